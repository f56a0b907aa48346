//! What editors make of the scenario's schema: titles of kinds, hovers with units and defaults, errors in words, and
//! snippets. The checks stay the same: a test judges a table of files by the schema with and without them.

use serde_json::{Map, Value, json};

use crate::diagnostic::words;
use crate::scenario::{Expectation, Fault, Load};

/// A snippet of a load by its name, a phase and a first phase.
const LOAD: &str = "{http: {service: \"${1:shop:80}\", path: \"${2:/}\"}, rate: 20/s, timeout: 5s}";
const PHASE: &str = "{name: \"${1:baseline}\", duration: 30s, expect: [{success_rate: {min: 99%}}]}";
const FAULT_PHASE: &str = "{name: \"${1:partition}\", duration: 60s, faults: {cut-off: {partition: {pods: {labels: {app: \
                           \"${2:checkout}\"}, count: 1}, from: [{service: \"${3:postgres}\"}]}}}, expect: [{success_rate: \
                           {min: 80%}}]}";
const RECOVERY_PHASE: &str = "{name: recovery, duration: 30s, expect: [{recovery_time: {max: 15s, hold: 5s}}]}";

/// Adds all of it.
pub(crate) fn annotate(schema: &mut Value) {
    let Some(definitions) = schema["$defs"].as_object().cloned() else { return };
    let mut annotated = Map::new();
    for (name, mut definition) in definitions.clone() {
        kinds(&name, &mut definition);
        in_words(&mut definition, "");
        hovers(&mut definition, &definitions);
        annotated.insert(name, definition);
    }
    schema["$defs"] = annotated.into();
    in_words(&mut schema["properties"], "");
    hovers(schema, &definitions);
    snippets(schema);
}

/// A map with one key, its kind: one schema with all of the keys in place of one schema for each, so that a completion
/// comes once, and an error says which kinds there are.
fn kinds(name: &str, definition: &mut Value) {
    let is_kind = |option: &Value| option["properties"].as_object().is_some_and(|it| it.len() == 1);
    let merge = |options: &[Value]| {
        let mut properties = Map::new();
        for option in options.iter().filter(|it| is_kind(it)) {
            for (key, property) in option["properties"].as_object().into_iter().flatten() {
                let mut property = property.clone();
                property["title"] = key.clone().into();
                let about = option["description"].as_str().unwrap_or_default();
                let own = property["description"].as_str().unwrap_or_default();
                property["description"] = [about, own].join(" ").trim().into();
                properties.insert(key.clone(), property);
            }
        }
        let what = match name {
            "Fault" => "kind of fault",
            "Expectation" => "kind of expectation",
            "StopCondition" => "kind of stop condition",
            _ => "choice",
        };
        let known: Vec<&str> = properties.keys().map(String::as_str).collect();
        let message = format!("this is no {what}: there are {}", words(&known));
        json!({
            "title": what,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "errorMessage": message,
        })
    };
    let Some(object) = definition.as_object_mut() else { return };
    if let Some(Value::Array(options)) = object.get("oneOf")
        && options.len() > 1
        && options.iter().all(is_kind)
    {
        let merged = merge(options);
        object.remove("oneOf");
        object.extend(merged.as_object().cloned().into_iter().flatten());
        return;
    }
    // A word, or a map with one key.
    for option in object.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some(options) = option["oneOf"].as_array().filter(|it| it.iter().filter(|it| is_kind(it)).count() > 1)
        else {
            continue;
        };
        let mut fewer: Vec<Value> = options.iter().filter(|it| !is_kind(it)).cloned().collect();
        fewer.push(merge(options));
        option["oneOf"] = fewer.into();
    }
}

/// A text with a pattern or a template: one pattern for both, and a message in words in place of the pattern.
fn in_words(schema: &mut Value, about: &str) {
    match schema {
        Value::Object(object) => {
            let about =
                object.get("description").and_then(Value::as_str).map_or_else(|| about.to_owned(), str::to_owned);
            if let Some(pattern) = with_template(object.get("anyOf")) {
                object.remove("anyOf");
                object.insert("type".to_owned(), "string".into());
                object.insert("pattern".to_owned(), pattern.into());
            }
            if object.get("pattern").is_some_and(Value::is_string) {
                let words = format!("expected: {}", about.trim_end_matches('.'));
                // For text that does not fit, and for a value of another type.
                object.insert("patternErrorMessage".to_owned(), words.clone().into());
                object.insert("errorMessage".to_owned(), words.into());
            }
            // The keys of a map describe themselves.
            let own = if object.contains_key("properties") { "" } else { &about };
            object.iter_mut().for_each(|(_, value)| in_words(value, own));
        }
        Value::Array(list) => list.iter_mut().for_each(|value| in_words(value, about)),
        _ => {}
    }
}

/// The pattern of a choice between a text with a pattern and a template.
fn with_template(options: Option<&Value>) -> Option<String> {
    let [text, template] = options?.as_array()?.as_slice() else { return None };
    let is_plain = text.as_object()?.keys().all(|key| key == "type" || key == "pattern");
    let pattern = text["pattern"].as_str().filter(|_| is_plain && text["type"] == "string")?;
    (template["$ref"] == "#/$defs/Template").then(|| format!(r"(?:{pattern})|\{{\{{[\s\S]*\}}\}}"))
}

/// The description of a key contains its unit and its default.
fn hovers(schema: &mut Value, definitions: &Map<String, Value>) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, property) in properties.iter_mut() {
        let Some(object) = property.as_object_mut() else { continue };
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut description = text(object.get("description"));
        let definition = text(object.get("$ref"));
        let definition = definition.strip_prefix("#/$defs/").and_then(|name| definitions.get(name));
        let unit = text(definition.and_then(|it| it.get("description")));
        if description.is_empty() {
            description = unit;
        } else if unit.starts_with("a ") || unit.starts_with("an ") {
            description = format!("{description}\n\nValue: {unit}.");
        }
        if let Some(default) = object.get("default").filter(|_| !description.contains("Default")) {
            let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
            description = format!("{description} Default `{default}`.");
        }
        if !description.is_empty() {
            object.insert("description".to_owned(), description.into());
        }
        described(object, definitions);
    }
}

/// A load, a phase, and each kind of fault and expectation, ready to be filled in.
fn snippets(schema: &mut Value) {
    let snippet = |label: &str, body: &str| json!({"label": label, "body": value(body)});
    let kinds = |all: Vec<(&'static str, &'static str)>| -> Value {
        let one = |(kind, example): (&str, &str)| snippet(kind, &format!("{{{kind}: {example}}}"));
        all.into_iter().map(one).collect()
    };
    let loads = Load::KINDS.iter().map(|it| {
        snippet(
            &format!("{} load", it.name),
            &format!("{{{}: {}, rate: 20/s, timeout: 10s}}", it.name, it.facts.example),
        )
    });
    schema["$defs"]["Load"]["defaultSnippets"] = [snippet("load", LOAD)].into_iter().chain(loads).collect();
    schema["$defs"]["Phase"]["defaultSnippets"] = json!([
        snippet("phase", PHASE),
        snippet("phase with a fault", FAULT_PHASE),
        snippet("phase of recovery", RECOVERY_PHASE),
    ]);
    schema["$defs"]["Fault"]["defaultSnippets"] =
        kinds(Fault::KINDS.iter().map(|it| (it.name, it.facts.example)).collect());
    schema["$defs"]["Expectation"]["defaultSnippets"] =
        kinds(Expectation::KINDS.iter().map(|it| (it.name, it.facts.example)).collect());
    for name in ["Fault", "Expectation"] {
        only_snippets(&mut schema["$defs"][name]["properties"]);
    }
    let name = "${1:main}";
    let load = json!({"label": "load", "body": {name: value(LOAD)}});
    schema["properties"]["load"]["defaultSnippets"] = json!([load]);
}

/// Each kind has a snippet, and its key alone would be a second proposal. The server ignores this next to a reference.
fn only_snippets(properties: &mut Value) {
    for (_, property) in properties.as_object_mut().into_iter().flatten() {
        if let Some(reference) = property.as_object_mut().and_then(|it| it.remove("$ref")) {
            property["anyOf"] = json!([{"$ref": reference, "description": property["description"]}]);
        }
        property["doNotSuggest"] = true.into();
    }
}

/// A value of one of several types shows the description of its own type. That of its key says more.
fn described(property: &mut Map<String, Value>, definitions: &Map<String, Value>) {
    let Some(description) = property.get("description").cloned() else { return };
    let of = property.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix("#/$defs/"));
    // A text or a template becomes one pattern with one message.
    let is_choice = |it: &&Map<String, Value>| it.contains_key("anyOf") && with_template(it.get("anyOf")).is_none();
    let of = of.and_then(|name| definitions.get(name)?.as_object()).filter(is_choice);
    if let Some(definition) = of.cloned() {
        property.remove("$ref");
        for (key, value) in definition {
            property.entry(key).or_insert(value);
        }
    }
    for option in property.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten() {
        option["description"] = description.clone();
        in_words(option, "");
    }
}

/// A text of ours as JSON.
fn value(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_schema::{plain_scenario, scenario_schema};
    use crate::{Overrides, parse};

    /// Calls `found` with each schema.
    fn each<'v>(schema: &'v Value, found: &mut impl FnMut(&'v Map<String, Value>)) {
        match schema {
            Value::Object(object) => {
                found(object);
                object.iter().filter(|(key, _)| *key != "defaultSnippets").for_each(|(_, value)| each(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| each(value, found)),
            _ => {}
        }
    }

    #[test]
    fn kinds_have_titles_and_patterns_have_words() {
        let schema = scenario_schema();
        for (name, kinds) in
            [("Fault", Fault::KINDS.len()), ("Expectation", Expectation::KINDS.len()), ("StopCondition", 3)]
        {
            let definition = &schema["$defs"][name];
            let properties = definition["properties"].as_object().expect("kinds");
            assert_eq!(properties.len(), kinds, "{name}");
            assert!(properties.iter().all(|(key, it)| it["title"] == *key && it["description"].is_string()), "{name}");
            assert!(
                definition["errorMessage"].as_str().is_some_and(|it| properties.keys().all(|key| it.contains(key)))
            );
        }
        each(&schema, &mut |it| {
            if it.get("pattern").is_some_and(Value::is_string) {
                let words = it.get("patternErrorMessage").and_then(Value::as_str).unwrap_or_default();
                assert!(words.len() > "expected: ".len() && !words.contains('^'), "{it:?}");
            }
        });
    }

    #[test]
    fn a_hover_says_the_unit_and_the_default() {
        let schema = scenario_schema();
        let hover =
            |of: &str, key: &str| schema["$defs"][of]["properties"][key]["description"].as_str().unwrap_or_default();
        assert!(hover("Phase", "duration").contains("a duration with its unit"), "{}", hover("Phase", "duration"));
        assert!(hover("Netem", "loss").contains("a percentage between"));
        assert!(hover("Load", "timeout").contains("Default"), "{}", hover("Load", "timeout"));
        for (name, definition) in schema["$defs"].as_object().expect("definitions") {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                let text = property["description"].as_str().unwrap_or_default();
                assert!(!text.is_empty() || property.get("const").is_some(), "{name}.{key} has no hover");
            }
        }
    }

    #[test]
    fn every_snippet_is_valid_in_its_place() {
        let schema = scenario_schema();
        let all = |name: &str| schema["$defs"][name]["defaultSnippets"].as_array().expect("snippets").clone();
        // An editor puts the words of the places in.
        let filled = |snippet: &Value| {
            let text = snippet["body"].to_string();
            regex(&text)
        };
        let load = "main: {http: {service: \"shop:80\"}, rate: 20/s}";
        let before = "{name: baseline, duration: 30s}";
        let kill = "{name: kill, duration: 60s, faults: {f: {pod_kill: {pods: {labels: {app: web}, count: 1}}}}}";
        let file = |load: &str, phases: &str| format!("version: 1\nname: x\nload: {{{load}}}\nphases: [{phases}]\n");
        let mut files = Vec::new();
        files.extend(all("Load").iter().map(|it| file(&format!("main: {}", filled(it)), before)));
        files.extend(all("Phase").iter().map(|it| {
            let earlier = if it["label"] == "phase" { String::new() } else { format!("{before}, {kill}, ") };
            let earlier = if it["label"] == "phase with a fault" { format!("{before}, ") } else { earlier };
            file(load, &format!("{earlier}{}", filled(it)))
        }));
        files.extend(
            all("Fault")
                .iter()
                .map(|it| file(load, &format!("{before}, {{name: f, duration: 60s, faults: {{f: {}}}}}", filled(it)))),
        );
        for text in &files {
            parse("x.yaml", text.as_bytes(), &Overrides::default())
                .unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
        }
        assert!(files.len() >= 4 + Fault::KINDS.len(), "{}", files.len());
    }

    /// The text with `${1:word}` replaced by the word.
    fn regex(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (place, behind) = after.split_once('}').expect("a place");
            out.push_str(before);
            out.push_str(place.split_once(':').expect("a word").1);
            rest = behind;
        }
        out + rest
    }

    #[test]
    fn the_checks_are_the_same_without_the_annotations() {
        let validator = |schema: &Value| jsonschema::validator_for(schema).expect("a schema");
        let (plain, annotated) = (validator(&plain_scenario()), validator(&scenario_schema()));
        for value in [
            json!({"version": 1, "name": "x", "load": {"m": {"http": {"url": "http://a"}, "rate": "20/s"}}, "phases": [{"name": "p",
                "duration": "{{ d }}"}]}),
            json!({"version": 1, "name": "x", "load": {}, "phases": [{"name": "p", "duration": "30"}]}),
            json!({"version": 1, "name": "x", "load": {"m": {"http": {"url": "http://a"}, "rate": "20/s"}}, "phases": [{"name": "p",
                "duration": "30s", "effect": {"success_rate": {"max": "20%"}, "latency_ratio": {"to": "p"}}}]}),
            json!({"version": 1, "name": "x", "load": {"m": {"http": {"url": "http://a"}, "rate": "20/s"}}, "phases": [{"name": "p",
                "duration": "30s", "effect": "any", "faults": {"f": {}}}]}),
        ] {
            assert_eq!(plain.is_valid(&value), annotated.is_valid(&value), "{value}");
        }
    }
}
