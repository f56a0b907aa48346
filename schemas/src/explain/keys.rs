//! A key of a scenario or of another format: its type, unit, default, allowed values and example, and the keys below it. A path
//! may begin at the top, at any kind, type or key: `phases.faults.netem.loss`, `netem.loss` and `loss` are the same.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::Explained;
use crate::diagnostic::closest;
use crate::json_schema::{plain_scenario, rules};
use crate::reference::{is_value, split_default, text_of, words};
use crate::rule::Rule;
use crate::scenario::{Expectation, Fault, Load};
use crate::source::flow::flow_json;

/// A place in the format.
#[derive(Clone)]
struct Place {
    /// Its path from where the question began.
    path: String,
    /// The key itself: the last part of the path that is no name of the file. Empty for the scenario and for a type.
    key: String,
    /// The schema of the key, with its description and default.
    property: Value,
    /// Whether the key is required where it is.
    required: bool,
}

/// The keys of a format.
pub struct Keys {
    /// The format's name. A path in another format than a scenario begins with it: `topology.workloads`.
    format: &'static str,
    root: Value,
    /// The types, by name.
    pub(super) definitions: Map<String, Value>,
}

/// The format of a scenario.
const SCENARIO: &str = "scenario";

/// One entry as an example of a key of a type.
pub(super) fn example_of(of: &str, key: &str) -> Option<String> {
    static KEYS: LazyLock<Keys> = LazyLock::new(Keys::of_scenario);
    let definition = if of == "Scenario" { &KEYS.root } else { KEYS.definitions.get(of)? };
    let kinds = || words(definition).into_iter().find_map(|it| it["properties"].get(key));
    let property = definition["properties"].get(key).or_else(kinds)?;
    KEYS.example(key, property)
}

fn is_index(part: &str) -> bool {
    !part.is_empty() && part.chars().all(|it| it.is_ascii_digit())
}

impl Keys {
    /// Those of a scenario.
    pub fn of_scenario() -> Self {
        Self::new(SCENARIO, plain_scenario())
    }

    /// Those of the format with this name and this JSON Schema.
    pub fn new(format: &'static str, root: Value) -> Self {
        Self { format, definitions: root["$defs"].as_object().cloned().unwrap_or_default(), root }
    }

    /// The text about a path. The empty path is the whole format.
    ///
    /// # Errors
    /// A message with the closest key, for a path that does not exist.
    pub fn explain(&self, path: &str, recursive: bool) -> Result<String, Explained> {
        let parts: Vec<&str> =
            path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|it| !is_index(it)).collect();
        if path.is_empty() {
            return Ok(self.text(&self.top(), recursive));
        }
        let places = self.find(&parts)?;
        let mut texts: Vec<String> = Vec::new();
        for text in places.iter().map(|place| self.text(place, recursive)) {
            // The same key in two places differs in its path, on the first line.
            let body = |text: &str| text.split_once('\n').map(|(_, body)| body.to_owned());
            if !texts.iter().any(|other| body(other) == body(&text)) {
                texts.push(text);
            }
        }
        Ok(texts.join("\n"))
    }

    /// The paths of all keys that can be asked for: from the top, and from each kind.
    pub fn topics(&self) -> Vec<String> {
        let mut found = Vec::new();
        let starts = self.kinds().into_iter().map(|(name, _)| name);
        for start in self.below(&self.root).into_iter().map(|(name, ..)| name).chain(starts) {
            let Ok(places) = self.find(&[start.as_str()]) else { continue };
            let inner = places.iter().flat_map(|it| self.below(&it.property)).map(|(key, ..)| format!("{start}.{key}"));
            let inner: Vec<String> = inner.collect();
            found.push(start);
            found.extend(inner);
        }
        found.extend(self.all().into_iter().map(|place| place.path));
        let mut seen = BTreeSet::new();
        found.retain(|it| seen.insert(it.clone()));
        found.iter().map(|path| self.typed(path)).collect()
    }

    /// A path as a person types it after `shakedown explain`.
    fn typed(&self, path: &str) -> String {
        match (self.format, path) {
            (SCENARIO, path) => path.to_owned(),
            (format, "") => format.to_owned(),
            (format, path) => format!("{format}.{path}"),
        }
    }

    fn top(&self) -> Place {
        Place { path: String::new(), key: String::new(), property: self.root.clone(), required: false }
    }

    /// Every key of the format once, at its shortest path.
    fn all(&self) -> Vec<Place> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = VecDeque::from([self.top()]);
        while let Some(Place { path, property, .. }) = open.pop_front() {
            let mut below = self.below(&property);
            // It takes the expectations of `expect`, which is their usual place.
            below.sort_by_key(|(name, ..)| name == "effect");
            // The same keys are below every key of this type.
            if below.is_empty() || !seen.insert(format!("{:?}", self.containers(&property, 0))) {
                continue;
            }
            for (name, property, required) in below {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let place = Place { path, key: name, property, required };
                found.push(place.clone());
                open.push_back(place);
            }
        }
        found
    }

    /// The places of a path: several, if kinds of faults and expectations share a name.
    fn find(&self, parts: &[&str]) -> Result<Vec<Place>, Explained> {
        let (first, rest) = parts.split_first().ok_or("the path is empty")?;
        let starts = self.starts(first);
        if starts.is_empty() {
            let mut known: Vec<String> = self.below(&self.root).into_iter().map(|(name, ..)| name).collect();
            known.extend(self.kinds().into_iter().map(|(name, _)| name));
            known.extend(self.all().into_iter().map(|place| place.key));
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(self.unknown(first, "", "", &known));
        }
        let mut missing = None;
        let found: Vec<Place> = starts
            .into_iter()
            .filter_map(|start| self.walk(start, rest).map_err(|why| missing = missing.take().or(Some(why))).ok())
            .collect();
        if found.is_empty() { Err(missing.unwrap_or_else(|| "the path is empty".into())) } else { Ok(found) }
    }

    fn walk(&self, start: Place, rest: &[&str]) -> Result<Place, Explained> {
        let mut place = start;
        // Where the keys of the place are listed, for a path with a name of the file: `load` for `load.shop`.
        let mut listed = place.path.clone();
        let mut named = false;
        for part in rest {
            let below = self.below(&place.property);
            let path = format!("{}.{part}", place.path);
            if let Some((_, property, required)) = below.iter().find(|(name, ..)| name == part) {
                let key = (*part).to_owned();
                place = Place { path: path.clone(), key, property: property.clone(), required: *required };
                (listed, named) = (path, false);
                continue;
            }
            let names: Vec<&str> = below.iter().map(|(name, ..)| name.as_str()).collect();
            let is_name = !named && self.has_free_names(&place.property, 0);
            if !is_name || closest(part, names.iter().copied()).is_some() {
                return Err(self.unknown(part, &place.path, &listed, &names));
            }
            place.path = path;
            named = true;
        }
        Ok(place)
    }

    /// Whether a key contains a map with names that the file chooses, such as `load` and `faults`.
    fn has_free_names(&self, schema: &Value, depth: u8) -> bool {
        if depth > 8 || schema["properties"].is_object() {
            return false;
        }
        if schema["additionalProperties"].is_object() {
            return true;
        }
        let definition = schema["$ref"].as_str().and_then(|it| self.definitions.get(it.strip_prefix("#/$defs/")?));
        let options = schema["anyOf"].as_array().into_iter().flatten();
        definition.into_iter().chain(options).any(|it| self.has_free_names(it, depth + 1))
    }

    /// The places where a path can begin: a key of the scenario, a kind, any key by its name, or a type by its name.
    fn starts(&self, first: &str) -> Vec<Place> {
        let named = |property, required| Place { path: first.to_owned(), key: first.to_owned(), property, required };
        let top = self.below(&self.root).into_iter().filter(|(name, ..)| name == first);
        let kinds = self.kinds().into_iter().filter(|(name, _)| name == first);
        let mut found: Vec<Place> = top.map(|(_, property, required)| named(property, required)).collect();
        found.extend(kinds.map(|(_, property)| named(property, false)));
        // Kinds that share a name differ by their whole paths.
        if found.len() != 1 {
            found = self.all().into_iter().filter(|place| place.key == first).collect();
        }
        if found.is_empty() {
            let folded = first.to_ascii_lowercase();
            let types = self.definitions.iter().filter(|(name, _)| name.to_ascii_lowercase() == folded);
            found.extend(types.map(|(name, definition)| Place {
                path: name.clone(),
                key: String::new(),
                property: definition.clone(),
                required: false,
            }));
        }
        found
    }

    /// Every kind of fault, expectation, load and stop condition, with its key's schema.
    fn kinds(&self) -> Vec<(String, Value)> {
        let mut found: Vec<(String, Value)> = Vec::new();
        for union in ["Fault", "Expectation", "StopCondition"] {
            for option in self.definitions.get(union).into_iter().flat_map(words) {
                found.extend(
                    option["properties"]
                        .as_object()
                        .into_iter()
                        .flatten()
                        .map(|(key, value)| (key.clone(), value.clone())),
                );
            }
        }
        for kind in Load::KINDS {
            found.extend(
                self.definitions.get("Load").map(|load| (kind.name.to_owned(), load["properties"][kind.name].clone())),
            );
        }
        found
    }

    /// The keys below a key, through lists and maps with free names: name, schema, whether it is required.
    fn below(&self, property: &Value) -> Vec<(String, Value, bool)> {
        let mut found: Vec<(String, Value, bool)> = Vec::new();
        for definition in self.containers(property, 0) {
            for it in self.keys_of(&definition) {
                if !found.iter().any(|(name, ..)| *name == it.0) {
                    found.push(it);
                }
            }
        }
        found
    }

    /// The keys of a map.
    fn keys_of(&self, definition: &Value) -> Vec<(String, Value, bool)> {
        let required = definition["required"].as_array().cloned().unwrap_or_default();
        let options = words(definition).into_iter().filter(|option| option["properties"].is_object());
        let alone = |schema: &Value, required: &[Value]| -> Vec<(String, Value, bool)> {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(key, value)| (key.clone(), value.clone(), required.iter().any(|it| it == key))).collect()
        };
        let mut found = alone(definition, &required);
        if found.is_empty() {
            found = options
                .flat_map(|option| {
                    let about = text_of(option);
                    alone(option, &[]).into_iter().map(move |(key, mut value, required)| {
                        if text_of(&value).is_empty() && !about.is_empty() && value.is_object() {
                            value["description"] = about.clone().into();
                        }
                        (key, value, required)
                    })
                })
                .collect();
        }
        found
    }

    /// The maps with keys that a value is, contains as elements, or refers to: several for a choice between them.
    fn containers(&self, schema: &Value, depth: u8) -> Vec<Value> {
        if depth > 8 {
            return Vec::new();
        }
        if schema["properties"].is_object() || words(schema).iter().any(|it| it["properties"].is_object()) {
            return vec![schema.clone()];
        }
        if let Some(definition) =
            schema["$ref"].as_str().and_then(|it| self.definitions.get(it.strip_prefix("#/$defs/")?))
        {
            return self.containers(definition, depth + 1);
        }
        let inner = [&schema["items"], &schema["additionalProperties"]].into_iter().filter(|it| it.is_object());
        let options = schema["anyOf"].as_array().into_iter().flatten();
        inner.chain(options).flat_map(|it| self.containers(it, depth + 1)).collect()
    }

    fn text(&self, place: &Place, recursive: bool) -> String {
        let Place { path, key, property, required } = place;
        let definition = self.definition(property);
        let mut out = String::new();
        let name = if path.is_empty() { self.format.to_uppercase() } else { self.typed(path) };
        _ = writeln!(out, "KEY:      {name}");
        if !path.is_empty() {
            _ = writeln!(out, "TYPE:     {}", self.type_or_any(property));
        }
        let (about, written) = split_default(&text_of(property));
        let default = written.or_else(|| property.get("default").map(short));
        match (required, default) {
            (true, _) => out.push_str("REQUIRED: yes\n"),
            (false, Some(default)) => _ = writeln!(out, "DEFAULT:  {default}"),
            (false, None) if path.is_empty() => {}
            (false, None) => out.push_str("DEFAULT:  none\n"),
        }
        let users = self.users(path);
        if !users.is_empty() {
            _ = writeln!(out, "ALSO IN:  {}", wrapped(&users.join(", "), 10).trim_start());
        }
        let own = split_default(&definition.map(text_of).unwrap_or_default()).0;
        if own.starts_with("a ") {
            _ = writeln!(out, "VALUE:    {}", wrapped(&own, 10).trim_start());
        }
        let mut texts = vec![about];
        if !own.starts_with("a ") && !texts[0].starts_with(&own) {
            texts.push(own);
        }
        texts.retain(|it| !it.is_empty());
        _ = writeln!(out, "\n{}", texts.iter().map(|it| wrapped(it, 2)).collect::<Vec<_>>().join("\n"));
        self.values(&mut out, property, definition);
        self.listed(&mut out, property, recursive);
        if let Some(example) = self.example(key, property) {
            _ = writeln!(out, "\nEXAMPLE\n  {example}");
        }
        out
    }

    /// The allowed words and more examples of a value.
    fn values(&self, out: &mut String, property: &Value, definition: Option<&Value>) {
        let options = definition.map(words).unwrap_or_default();
        let options: Vec<&Value> = options.into_iter().filter(|it| it["const"].is_string()).collect();
        if !options.is_empty() {
            out.push_str("\nVALUES\n");
            for option in options {
                let about = text_of(option);
                let word = short(&option["const"]);
                _ = writeln!(out, "  {word:<14} {}", wrapped(&about, 17).trim_start());
            }
        }
        let examples = [Some(property), definition].into_iter().flatten().find_map(|it| it["examples"].as_array());
        if let Some(examples) = examples.filter(|it| it.len() > 1 && self.below(property).is_empty()) {
            let examples: Vec<String> = examples.iter().map(flow_json).collect();
            _ = writeln!(out, "\nEXAMPLES OF VALUES\n  {}", examples.join("   "));
        }
    }

    /// The keys below, with the type, the default, the first sentence and an example of each; or all of them with their types.
    fn listed(&self, out: &mut String, property: &Value, recursive: bool) {
        let below = self.below(property);
        if below.is_empty() {
            return;
        }
        out.push_str("\nKEYS\n");
        if recursive {
            self.tree(out, property, 1, &mut Vec::new());
        } else {
            for (name, property, required) in below {
                let (about, written) = split_default(&self.about(&property));
                let default = written.or_else(|| property.get("default").map(short));
                let mark = match (required, default) {
                    (true, _) => "  (required)".to_owned(),
                    (false, Some(default)) => format!("  (default {default})"),
                    (false, None) => String::new(),
                };
                let kind = self.type_or_any(&property);
                _ = writeln!(out, "  {name}  {}", wrapped(&format!("<{kind}>{mark}"), 6).trim_start());
                let sentence = about.find(". ").map_or(about.as_str(), |at| &about[..=at]);
                _ = writeln!(out, "{}", wrapped(sentence, 6));
                if let Some(example) = self.example(&name, &property) {
                    _ = writeln!(out, "      `{example}`");
                }
            }
        }
        let name = property["$ref"].as_str().map_or("Scenario", |it| it.trim_start_matches("#/$defs/"));
        if let Some(rules) = self.rules(name) {
            _ = writeln!(out, "\n{}", rules.iter().map(|rule| wrapped(&rule.text(), 2)).collect::<Vec<_>>().join("\n"));
        }
    }

    fn tree(&self, out: &mut String, property: &Value, depth: usize, open: &mut Vec<String>) {
        for (name, property, _) in self.below(property) {
            _ = writeln!(out, "{:indent$}{name}  <{}>", "", self.type_of(&property), indent = depth * 2);
            // A type can contain itself.
            let kind = self.type_of(&property);
            if !open.contains(&kind) {
                open.push(kind);
                self.tree(out, &property, depth + 1, open);
                open.pop();
            }
        }
    }

    /// The description of a key, or else of its type.
    fn about(&self, property: &Value) -> String {
        let own = text_of(property);
        if own.is_empty() { self.definition(property).map(text_of).unwrap_or_default() } else { own }
    }

    /// The definition that a key refers to, through the choice between a value and a template, or a list.
    fn definition(&self, schema: &Value) -> Option<&Value> {
        let name = |it: &Value| it["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")).map(str::to_owned);
        let options = schema["anyOf"].as_array().into_iter().flatten().filter_map(name);
        let own = name(schema).into_iter().chain(options).chain(name(&schema["items"]));
        own.filter(|it| it != "Template").find_map(|it| self.definitions.get(&it))
    }

    /// A type in words: `duration`, `list of Peer`.
    fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")) {
            return match self.definitions.get(name) {
                Some(definition) if is_value(definition) => name.to_lowercase(),
                _ => name.to_owned(),
            };
        }
        if let Some(options) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            let options = options.iter().filter(|it| it["$ref"] != "#/$defs/Template");
            let mut options: Vec<String> = options.map(|it| self.type_of(it)).filter(|it| !it.is_empty()).collect();
            options.dedup();
            return options.join(" or ");
        }
        let bounds = match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
            (Some(min), Some(max)) if max < 4e9 => format!(" from {min} to {max}"),
            (Some(min), _) if min > 0.0 => format!(" from {min}"),
            _ => String::new(),
        };
        match schema["type"].as_str() {
            Some("array") => match self.type_of(&schema["items"]) {
                any if any.is_empty() => "list".to_owned(),
                inner => format!("list of {inner}"),
            },
            Some("object") => match &schema["additionalProperties"] {
                inner @ Value::Object(_) => format!("map to {}", self.type_of(inner)),
                _ => "map".to_owned(),
            },
            Some("string") => "text".to_owned(),
            Some("integer") => format!("whole number{bounds}"),
            Some("number") => format!("number{bounds}"),
            Some("boolean") => "true or false".to_owned(),
            _ => schema.get("const").map(short).unwrap_or_default(),
        }
    }

    /// The same, and words for a value of any type.
    fn type_or_any(&self, schema: &Value) -> String {
        Some(self.type_of(schema)).filter(|it| !it.is_empty()).unwrap_or_else(|| "any value".to_owned())
    }

    /// The rules across the keys of a type, if it has any. Only types of a scenario have some.
    pub(super) fn rules(&self, name: &str) -> Option<&'static [Rule]> {
        let of_name = |(of, rules): &(&str, &[Rule])| *of == name && !rules.is_empty();
        rules().filter(|_| self.format == SCENARIO).find(of_name).map(|(_, rules)| rules)
    }

    /// The answer to a key that does not exist. `listed` is the topic that lists the keys of the place.
    fn unknown(&self, part: &str, path: &str, listed: &str, known: &[&str]) -> Explained {
        let place = if path.is_empty() { format!("a {}", self.format) } else { format!("`{}`", self.typed(path)) };
        let help = match closest(part, known.iter().copied()) {
            Some(meant) if path.is_empty() => format!("did you mean `{}`?", self.typed(meant)),
            Some(meant) => format!("did you mean `{}.{meant}`?", self.typed(path)),
            None if known.is_empty() => format!("{place} has no keys of its own"),
            None => format!("`{}` lists its keys", format!("shakedown explain {}", self.typed(listed)).trim_end()),
        };
        Explained::new(format!("`{part}` is not a key of {place}"), help)
    }

    /// The other kinds of fault, or of expectation, with the same key.
    fn users(&self, path: &str) -> Vec<&'static str> {
        let mut parts = path.rsplit('.');
        let (Some(key), Some(kind)) = (parts.next(), parts.next()) else { return Vec::new() };
        let has =
            |definition: &str| self.definitions.get(definition).is_some_and(|it| it["properties"][key].is_object());
        let faults = Fault::KINDS.iter().map(|it| (it.name, it.definition));
        let expectations = Expectation::KINDS.iter().map(|it| (it.name, it.definition));
        let (faults, expectations): (Vec<_>, Vec<_>) = (faults.collect(), expectations.collect());
        let family = if faults.iter().any(|(name, _)| *name == kind) { faults } else { expectations };
        if !family.iter().any(|(name, _)| *name == kind) {
            return Vec::new();
        }
        family.into_iter().filter(|(name, it)| *name != kind && has(it)).map(|(name, _)| name).collect()
    }
}

fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text with lines of at most 90 characters, each indented.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    const WIDTH: usize = 90;
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut line = " ".repeat(indent);
        for word in paragraph.split_whitespace() {
            if line.trim_start().is_empty() {
                line.push_str(word);
            } else if line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::replace(&mut line, format!("{}{word}", " ".repeat(indent))));
            } else {
                line.push(' ');
                line.push_str(word);
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Every key has a type, a default or that it is required, a meaning and an example that the schema takes.
    #[test]
    fn every_key_of_the_schema_is_explained_with_an_example() {
        let keys = Keys::of_scenario();
        let all = keys.all();
        assert!(all.len() > 350, "{}", all.len());
        let mut lacking = Vec::new();
        for place in &all {
            let text = keys.text(place, false);
            for part in ["TYPE:", "EXAMPLE\n"] {
                if !text.contains(part) {
                    lacking.push(format!("{} has no {part}", place.path));
                }
            }
            if !text.contains("REQUIRED:") && !text.contains("DEFAULT:") {
                lacking.push(format!("{} has no default", place.path));
            }
            let about = keys.about(&place.property);
            if about.trim().is_empty() {
                lacking.push(format!("{} has no meaning", place.path));
            }
            let by_path = keys.explain(&place.path, false).unwrap_or_else(|why| panic!("{}: {why}", place.path));
            if !by_path.contains(&text) {
                lacking.push(format!("{} is another key by its path:\n{by_path}", place.path));
            }
        }
        assert_eq!(lacking, Vec::<String>::new());
        let mut listed = 0;
        for place in &all {
            let text = keys.text(place, false);
            for (name, ..) in keys.below(&place.property) {
                assert!(text.contains(&format!("\n  {name}  <")), "{}: {name}\n{text}", place.path);
                listed += 1;
            }
        }
        assert!(listed > 350, "{listed}");
    }

    #[test]
    fn an_example_fits_the_schema_of_its_key() {
        let keys = Keys::of_scenario();
        let mut wrong = Vec::new();
        for Place { path, key, property, .. } in keys.all() {
            let example = keys.example(&key, &property).unwrap_or_else(|| panic!("{path}"));
            let tree =
                crate::source::parse(&example).unwrap_or_else(|why| panic!("{path}: {example}: {}", why.message));
            let value = crate::source::json(tree.value)[key.as_str()].clone();
            let mut schema = property.clone();
            schema["$defs"] = json!(keys.definitions);
            let schema = jsonschema::validator_for(&schema).unwrap_or_else(|why| panic!("{path}: {why}"));
            let errors: Vec<String> = schema.iter_errors(&value).map(|it| it.to_string()).collect();
            if !errors.is_empty() {
                wrong.push(format!("{example} ({path}): {errors:?}"));
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
    }

    /// `steps` was the ramp of a rate, and a key below a key was found only with its path.
    #[test]
    fn a_key_is_found_by_its_name_alone() {
        let keys = Keys::of_scenario();
        for (name, paths) in [
            ("steps", vec!["load.http.steps", "load.rate.steps"]),
            ("capture", vec!["load.http.steps.capture"]),
            ("group_by", vec!["load.group_by"]),
            ("http", vec!["load.http", "phases.faults.http", "abort_if.http"]),
            ("or_below", vec!["phases.expect.latency_ratio.or_below"]),
        ] {
            let text = keys.explain(name, false).unwrap_or_else(|why| panic!("{name}: {why}"));
            for path in paths {
                assert!(text.contains(&format!("KEY:      {path}\n")), "{path} is not in\n{text}");
            }
        }
        let http = keys.explain("load.http", false).unwrap();
        for part in ["steps  <list of HttpStep>", "method  <text> (default `GET`)", "`service: \"shop:80\"`"] {
            assert!(http.contains(part), "{part} is not in\n{http}");
        }
        let below = keys.explain("steps.capture.regex", false).unwrap();
        assert!(below.contains("KEY:      load.http.steps.capture.regex"), "{below}");
    }
}
