//! The reference of the scenario format as Markdown: every key with its type, default and meaning. It is generated from
//! the JSON Schema, and so from the types' doc comments, and from the descriptions of the kinds. A test fails if the
//! file is stale, and `cargo run -- schema --write` updates it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use serde_json::{Map, Value};

use crate::json_schema::{REFRESH, plain_scenario, rules};
use crate::scenario::{Expectation, Fault, FaultInfo, Load, Sandbox};

/// The path of the file in a checkout.
pub const FILE: &str = "scenarios/REFERENCE.md";

/// The text of the file.
pub fn text() -> String {
    let schema = plain_scenario();
    let reference = Reference { definitions: schema["$defs"].as_object().cloned().unwrap_or_default() };
    let mut out = format!(
        "# The scenario format\n\nEvery key of a scenario file, with its type, default and meaning. This page is generated: \
         `{REFRESH}` updates it.\n\nAny value can be a template expression such as `{{{{ name }}}}`. It takes its value from \
         `vars`, `--vars-file` or `--var`.\n\n"
    );
    reference.keys(&mut out, "Scenario", &schema);
    for name in reference.order(&schema) {
        let definition = &reference.definitions[name.as_str()];
        if definition["properties"].is_object() {
            reference.keys(&mut out, &name, definition);
        } else if !words(definition).is_empty() {
            reference.choices(&mut out, &name, definition);
        }
    }
    reference.values(&mut out);
    out
}

struct Reference {
    definitions: Map<String, Value>,
}

impl Reference {
    /// The definitions, in the order of their first reference.
    fn order(&self, root: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::from(["Template".to_owned()]);
        let mut open = VecDeque::from([root]);
        while let Some(next) = open.pop_front() {
            let mut names = Vec::new();
            references(next, &mut names);
            for name in names {
                if seen.insert(name.clone())
                    && let Some(definition) = self.definitions.get(&name)
                {
                    open.push_back(definition);
                    found.push(name);
                }
            }
        }
        found
    }

    /// A map with fixed keys.
    fn keys(&self, out: &mut String, name: &str, definition: &Value) {
        _ = writeln!(out, "## {name}\n\n{}\n", text_of(definition));
        _ = writeln!(out, "| key | type | default | meaning |\n| --- | --- | --- | --- |");
        let required = definition["required"].as_array().cloned().unwrap_or_default();
        for (key, property) in definition["properties"].as_object().into_iter().flatten() {
            let (meaning, written) = split_default(&text_of(property));
            let default = match (required.iter().any(|it| it == key), written, property.get("default")) {
                (true, ..) => "**required**".to_owned(),
                (false, Some(text), _) => text,
                (false, None, Some(value)) => format!("`{}`", short(value)),
                (false, None, None) => String::new(),
            };
            let meaning = match (meaning.is_empty(), property["$ref"].as_str().and_then(definition_name)) {
                (true, Some(name)) => self.definitions.get(name).map(text_of).unwrap_or_default(),
                _ => meaning,
            };
            _ = writeln!(
                out,
                "| `{key}` | {} | {} | {} |",
                cell(&self.type_of(property)),
                cell(&default),
                cell(&meaning)
            );
        }
        out.push('\n');
        if let Some((_, rules)) = rules().find(|(of, rules)| *of == name && !rules.is_empty()) {
            _ = writeln!(out, "{}\n", rules.iter().map(|rule| rule.text()).collect::<Vec<_>>().join(" "));
        }
        for kind in Fault::KINDS.iter().filter(|kind| kind.definition == name) {
            fault(out, kind);
        }
        for kind in Expectation::KINDS.iter().filter(|kind| kind.definition == name) {
            _ = writeln!(out, "```yaml\n{}: {}\n```\n", kind.name, kind.facts.example);
        }
        for kind in Load::KINDS.iter().filter(|kind| kind.definition == name) {
            _ = writeln!(out, "```yaml\n{}: {}\n```\n", kind.name, kind.facts.example);
        }
    }

    /// A choice of words, or of maps with one key.
    fn choices(&self, out: &mut String, name: &str, definition: &Value) {
        _ = writeln!(out, "## {name}\n\n{}\n\n| choice | meaning |\n| --- | --- |", text_of(definition));
        for option in words(definition) {
            let meaning = cell(&text_of(option));
            let inner = option["properties"].as_object().into_iter().flatten().next();
            match (option["const"].as_str(), inner) {
                (Some(word), _) => _ = writeln!(out, "| `{word}` | {meaning} |"),
                (None, Some((key, value))) => {
                    let text = text_of(value);
                    let short = text.find("Short form:").map_or(String::new(), |at| format!(" {}", cell(&text[at..])));
                    _ = writeln!(out, "| `{key}`: {} | {meaning}{short} |", cell(&self.type_of(value)));
                }
                (None, None) => {}
            }
        }
        out.push('\n');
    }

    /// The table of quantities, each a value with its own notation.
    fn values(&self, out: &mut String) {
        out.push_str("## Values\n\n| type | meaning | examples |\n| --- | --- | --- |\n");
        for (name, definition) in self.definitions.iter().filter(|(name, it)| is_value(it) && *name != "Template") {
            let examples = definition["examples"].as_array().into_iter().flatten();
            let examples: Vec<String> = examples.map(|it| format!("`{}`", short(it))).collect();
            _ = writeln!(out, "| {name} | {} | {} |", cell(&text_of(definition)), cell(&examples.join(", ")));
        }
    }

    /// A type, with links.
    fn type_of(&self, schema: &Value) -> String {
        if let Some(name) = schema["$ref"].as_str().and_then(definition_name) {
            return match self.definitions.get(name) {
                Some(definition) if is_value(definition) => format!("[{name}](#values)"),
                _ => format!("[{name}](#{})", name.to_ascii_lowercase()),
            };
        }
        if let Some(options) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
            let options = options.iter().filter(|it| it["$ref"] != "#/$defs/Template");
            let mut options: Vec<String> = options.map(|it| self.type_of(it)).filter(|it| !it.is_empty()).collect();
            options.dedup();
            return options.join(" or ");
        }
        if let Some(value) = schema.get("const") {
            return format!("`{}`", short(value));
        }
        let bounds = match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
            (Some(min), Some(max)) if max < 4e9 => format!(", {min} to {max}"),
            (Some(min), _) if min > 0.0 => format!(", from {min}"),
            (None, Some(max)) => format!(", to {max}"),
            _ => String::new(),
        };
        match schema["type"].as_str() {
            Some("array") => format!("list of {}", self.type_of(&schema["items"])),
            Some("object") => match schema.get("additionalProperties") {
                Some(Value::Object(_)) => format!("map to {}", self.type_of(&schema["additionalProperties"])),
                _ => "map".to_owned(),
            },
            Some("string") => "text".to_owned(),
            Some("integer") => format!("whole number{bounds}"),
            Some("number") => format!("number{bounds}"),
            Some("boolean") => "`true` or `false`".to_owned(),
            _ => "any value".to_owned(),
        }
    }
}

/// The engines of a kind of fault, how far the sandbox models it, and an example.
fn fault(out: &mut String, kind: &FaultInfo) {
    let means: Vec<String> = kind.facts.means.iter().map(|it| format!("`{}`", it.engine())).collect();
    let sandbox = match kind.facts.sandbox {
        Sandbox::Modelled => "modelled".to_owned(),
        Sandbox::Partly(limits) => format!("modelled in part: {limits}"),
        Sandbox::No(why) => format!("not modelled: {why}"),
    };
    _ = writeln!(out, "By {}. In the sandbox: {sandbox}.\n", means.join(" or "));
    _ = writeln!(out, "```yaml\n{}: {}\n```\n", kind.name, kind.facts.example);
}

/// The choices of an enumeration.
pub(crate) fn words(definition: &Value) -> Vec<&Value> {
    let options = definition["oneOf"].as_array().or_else(|| definition["anyOf"].as_array());
    let mut found = Vec::new();
    for option in options.into_iter().flatten() {
        match option.get("oneOf") {
            Some(_) => found.extend(words(option)),
            None if option.get("const").is_some() || option["properties"].is_object() => found.push(option),
            None => {}
        }
    }
    found
}

/// True for a value with its own notation.
pub(crate) fn is_value(definition: &Value) -> bool {
    definition["properties"].is_null() && words(definition).is_empty()
}

fn definition_name(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/$defs/")
}

/// The definitions that a schema refers to, in order.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value.as_str().and_then(definition_name)) {
                    ("$ref", Some(name)) => found.push(name.to_owned()),
                    ("$defs", _) => {}
                    _ => references(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

pub(crate) fn text_of(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// Splits a description into the text without the sentence on the default, and the default.
pub(crate) fn split_default(text: &str) -> (String, Option<String>) {
    let begins = |at: &usize| *at == 0 || text[..*at].ends_with(' ');
    let Some(at) = text.match_indices("Default").map(|(at, _)| at).find(begins) else { return (text.to_owned(), None) };
    let sentence = &text[at..];
    let end = sentence.find(". ").map_or(sentence.len(), |end| end + 1);
    let (sentence, rest) = sentence.split_at(end);
    let default = sentence["Default".len()..].trim_start_matches(':').trim().trim_end_matches('.').to_owned();
    let meaning = format!("{} {}", text[..at].trim_end(), rest.trim_start());
    (meaning.trim().to_owned(), Some(default))
}

fn short(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace("\n\n", " ").replace('\n', " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_reference_is_up_to_date() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        let fresh = text();
        if std::env::var("INSTA_UPDATE").is_ok_and(|it| it == "always") {
            fs::write(&path, &fresh).expect("the reference's file");
        }
        assert!(fs::read_to_string(&path).unwrap_or_default() == fresh, "{FILE} is stale; refresh it with `{REFRESH}`");
    }

    #[test]
    fn the_reference_lists_every_key_and_kind_with_its_type() {
        let text = text();
        let schema = plain_scenario();
        let maps = schema["$defs"].as_object().expect("definitions").values().chain([&schema]);
        for definition in maps {
            for key in definition["properties"].as_object().into_iter().flat_map(|it| it.keys()) {
                assert!(text.contains(&format!("| `{key}` |")), "{key} is missing");
            }
        }
        for name in Fault::KINDS.iter().map(|it| it.name).chain(Expectation::KINDS.iter().map(|it| it.name)) {
            assert!(text.contains(&format!("| `{name}`: [")), "{name} is missing");
        }
        assert!(!text.contains("any value | **required**"), "a key has no type");
        for line in text.lines().filter(|line| line.starts_with("| `")) {
            let cells = line.replace("\\|", "").matches('|').count();
            assert!(cells == 5 || cells == 3, "a broken row: {line}");
        }
        for target in text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()) {
            let heading = |line: &str| line.strip_prefix("## ").is_some_and(|it| it.to_ascii_lowercase() == target);
            assert!(text.lines().any(heading), "no heading #{target}");
        }
    }

    #[test]
    fn a_default_gets_its_own_cell() {
        let split = |text| split_default(text);
        assert_eq!(split("How long. Default: at once."), ("How long.".into(), Some("at once".into())));
        assert_eq!(split("Needs it. Default `0%`. More."), ("Needs it. More.".into(), Some("`0%`".into())));
        assert_eq!(split("Nothing."), ("Nothing.".into(), None));
    }
}
