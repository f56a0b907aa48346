//! The JSON Schemas (draft 2020-12) of the public formats, generated from the types. They are checked in for editors
//! and other programs. A test fails if they are stale, and `cargo run -- schema --write` updates them.
//!
//! The scenario's schema accepts every file that the parser accepts, so it allows a template wherever the parser does.
//! It finds errors within one part of the file. Rules across parts are in `check`.

use std::path::Path;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::rule::Rule;
use crate::scenario::{CountLimits, Expectation, Fault, Load};
use crate::{Event, RunResult, Scenario, editors, short};

/// Generates a schema.
pub type Generate = fn() -> Value;

/// The schema files in `schemas/`, with their generators.
pub const FILES: [(&str, Generate); 3] = [
    ("scenario.schema.json", scenario_schema),
    ("result.schema.json", result_schema),
    ("event.schema.json", event_schema),
];

/// The command that updates the files.
pub const REFRESH: &str = "cargo run -- schema --write";

/// The schema of a scenario file, with what editors show.
pub fn scenario_schema() -> Value {
    let mut schema = plain_scenario();
    editors::annotate(&mut schema);
    complete_elsewhere(&mut schema, "extends");
    for name in ["Phase", "Load"] {
        complete_elsewhere(&mut schema["$defs"][name], "use");
    }
    schema
}

/// Requires the keys of a map only if no other file may have them.
fn complete_elsewhere(definition: &mut Value, key: &str) {
    let Some(map) = definition.as_object_mut() else { return };
    let rules: Map<String, Value> =
        ["required", "allOf"].into_iter().filter_map(|rule| Some((rule.to_owned(), map.shift_remove(rule)?))).collect();
    map.insert("if".to_owned(), json!({"required": [key]}));
    map.insert("else".to_owned(), rules.into());
}

/// The schema of a scenario file, without the additions for editors.
pub(crate) fn plain_scenario() -> Value {
    let mut schema = without_templates();
    Templates.transform(&mut schema);
    let mut value = schema.to_value();
    if let Some(definitions) = value.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.insert(
            "Template".to_owned(),
            json!({
                "description": "Text with template expressions, which gives the value when the file is read.",
                "type": "string",
                "pattern": r"\{\{[\s\S]*\}\}",
                "examples": ["{{ name }}"],
            }),
        );
        choices(definitions);
    }
    short::allow(&mut value);
    value["patternProperties"] = json!({"^x-": {"description": "Ignored: a place for YAML's anchors."}});
    value
}

fn without_templates() -> Schema {
    let mut schema = generate::<Scenario>("shakedown scenario", "urn:shakedown:schema:scenario:1");
    RecursiveTransform(without_null).transform(&mut schema);
    schema
}

/// The schema of a scenario as its types have it: without templates, rules and short forms.
pub(crate) fn bare_scenario() -> Value {
    without_templates().to_value()
}

/// The schema of `result.json`.
pub fn result_schema() -> Value {
    generate::<RunResult>("shakedown result", "urn:shakedown:schema:result:1").to_value()
}

/// The schema of one line of `events.ndjson`.
pub fn event_schema() -> Value {
    generate::<Event>("shakedown event", "urn:shakedown:schema:event:1").to_value()
}

/// The schema of another YAML file of shakedown, whose type is `T`.
pub fn of<T: JsonSchema>(title: &str, id: &str) -> Value {
    let mut schema = generate::<T>(title, id);
    RecursiveTransform(without_null).transform(&mut schema);
    schema.to_value()
}

/// Updates the files in a directory, which is `schemas` of a checkout.
///
/// # Errors
/// An error of the file system.
pub fn write(folder: &Path) -> std::io::Result<()> {
    FILES.iter().try_for_each(|(file, generate)| std::fs::write(folder.join(file), text(&generate())))
}

/// The text of a schema's file.
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn generate<T: JsonSchema>(title: &str, id: &str) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    RecursiveTransform(one_line).transform(&mut schema);
    let Some(generated) = schema.as_object_mut().map(std::mem::take) else { return schema };
    let mut object = Map::new();
    // The identity of the schema comes first, then its content.
    object.insert("$schema".to_owned(), generated.get("$schema").cloned().unwrap_or_default());
    object.insert("$id".to_owned(), id.into());
    object.insert("title".to_owned(), title.into());
    object.insert("description".to_owned(), generated.get("description").cloned().unwrap_or_default());
    object
        .extend(generated.into_iter().filter(|(key, _)| !matches!(key.as_str(), "$schema" | "title" | "description")));
    object.into()
}

/// Joins the lines of a doc comment's paragraphs.
fn one_line(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        *text = text.replace("\n\n", "\0").replace('\n', " ").replace('\0', "\n\n");
    }
}

/// Removes `null` from the types: in a scenario a key without a value is an error.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|it| it != "null");
        if let [one] = types.as_slice() {
            let one = one.clone();
            object.insert("type".to_owned(), one);
        }
    }
    let single = match object.get_mut("anyOf") {
        Some(Value::Array(options)) => {
            options.retain(|option| option.get("type").is_none_or(|it| it != "null"));
            match options.as_slice() {
                [Value::Object(one)] => Some(one.clone()),
                _ => None,
            }
        }
        _ => None,
    };
    if let Some(single) = single {
        object.remove("anyOf");
        for (key, value) in single {
            object.entry(key).or_insert(value);
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

/// Allows a template wherever a value is not arbitrary text.
struct Templates;

/// The keywords that restrict the value. The others describe it.
const NARROWING: [&str; 14] = [
    "type",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "const",
    "enum",
    "oneOf",
    "anyOf",
    "pattern",
    "minLength",
    "maxLength",
    "multipleOf",
];

impl Transform for Templates {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        if !is_narrow(object) {
            return;
        }
        let mut narrow = Map::new();
        for key in NARROWING {
            if let Some(value) = object.remove(key) {
                narrow.insert(key.to_owned(), value);
            }
        }
        let template = json!({"$ref": "#/$defs/Template"});
        object.insert("anyOf".to_owned(), json!([narrow, template]));
    }
}

/// True for a number, a boolean, a choice of words, or text with a pattern.
fn is_narrow(schema: &Map<String, Value>) -> bool {
    let has = |key: &str| schema.contains_key(key);
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number" | "boolean") => true,
        Some("string") => has("pattern") || has("enum") || has("const") && !has("description") || has("minLength"),
        // A choice of words, each with its description.
        None => ["oneOf", "anyOf"]
            .iter()
            .any(|key| schema.get(*key).and_then(Value::as_array).is_some_and(|options| options.iter().any(is_word))),
        _ => false,
    }
}

fn is_word(option: &Value) -> bool {
    option.get("type").is_some_and(|it| it == "string")
        && (option.get("const").is_some() || option.get("enum").is_some())
}

/// Rules on combinations of keys, by the name of their type. `check` enforces the same rules and has the messages.
pub(crate) fn rules() -> impl Iterator<Item = (&'static str, &'static [Rule])> {
    const SHARED: [(&str, &[Rule]); 9] = [
        ("Load", &[Load::ONE_KIND, Rule::One(&["rate", "concurrency"])]),
        ("Peer", &[Rule::One(&["service", "pods", "cidr", "host"])]),
        ("PodSelector", &[Rule::Some(&["name", "prefix", "labels", "owner"]), Rule::NotBoth("count", "percent")]),
        ("Condition", &[Rule::One(&["equals", "not_equals", "exists"])]),
        ("JsonCheck", &[Rule::One(&["equals", "not_equals", "contains", "matches", "exists"])]),
        ("TextCheck", &[Rule::Some(&["equals", "contains", "matches", "exists"])]),
        ("CountLimits", CountLimits::RULES),
        ("Capture", &[Rule::One(&["json", "header", "cookie", "regex"])]),
        ("GroupBy", &[Rule::One(&["header", "json"])]),
    ];
    let faults = Fault::KINDS.iter().map(|kind| (kind.definition, kind.facts.rules));
    let expectations = Expectation::KINDS.iter().map(|kind| (kind.definition, kind.rules));
    let loads = Load::KINDS.iter().map(|kind| (kind.definition, kind.facts.rules));
    SHARED.into_iter().chain(faults).chain(expectations).chain(loads)
}

fn choices(definitions: &mut Map<String, Value>) {
    for (name, rules) in rules().filter(|(_, rules)| !rules.is_empty()) {
        if let Some(definition) = definitions.get_mut(name).and_then(Value::as_object_mut) {
            definition.insert("allOf".to_owned(), rules.iter().map(|rule| rule.schema()).collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn checked_in_schemas_are_fresh() {
        for (file, generate) in FILES {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
            let fresh = text(&generate());
            if std::env::var("INSTA_UPDATE").is_ok_and(|it| it == "always") {
                fs::write(&path, &fresh).expect("the schema's file");
            }
            let checked_in = fs::read_to_string(&path).unwrap_or_default();
            assert!(checked_in == fresh, "schemas/{file} is stale; refresh it with `{REFRESH}`");
        }
    }

    #[test]
    fn schemas_are_valid_and_every_property_is_described() {
        for (file, generate) in FILES {
            let schema = generate();
            jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|error| panic!("{file}: {error}"));
            let mut bare = Vec::new();
            described(&schema, "", &mut bare);
            assert!(bare.is_empty(), "{file}: no description at {bare:#?}");
        }
    }

    fn described(schema: &Value, path: &str, bare: &mut Vec<String>) {
        match schema {
            Value::Object(object) => {
                for (key, value) in object {
                    let path = format!("{path}/{key}");
                    if let (true, Some(properties)) = (key == "properties", value.as_object()) {
                        for (name, property) in properties {
                            // The only key of a variant has the variant's description.
                            let is_variant = properties.len() == 1 && object.contains_key("description");
                            let tag = property.get("const").is_some() || is_variant;
                            if property.get("description").is_none() && !tag && property.get("$ref").is_none() {
                                bare.push(format!("{path}/{name}"));
                            }
                        }
                    }
                    described(value, &path, bare);
                }
            }
            Value::Array(list) => list.iter().for_each(|value| described(value, path, bare)),
            _ => {}
        }
    }

    #[test]
    fn every_value_of_a_scenario_has_an_example_or_a_default() {
        let schema = scenario_schema();
        let definitions = schema["$defs"].as_object().expect("definitions").iter();
        for (name, definition) in definitions.map(|(name, it)| (name.as_str(), it)).chain([("Scenario", &schema)]) {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                let container = ["object", "array"].iter().any(|it| property["type"] == *it);
                let shown = ["$ref", "examples", "default", "enum", "oneOf", "anyOf"]
                    .iter()
                    .any(|it| property.get(it).is_some());
                assert!(container || shown || key == "version", "{name}.{key} has no example");
            }
        }
    }

    #[test]
    fn a_result_fits_its_schema() {
        let result = json!({
            "format_version": 1,
            "run": {
                "id": "r1", "started_at": "2026-01-31T12:00:00Z", "duration_s": 1.5, "tool_version": "0.1.0",
                "command": ["shakedown", "run"], "seed": 7, "host": "h"
            },
            "verdict": "inconclusive", "exit_code": 4, "scenarios": [],
            "events": [
                {"at": "2026-01-31T12:00:00Z", "event": "run_started", "run": "r1", "seed": 7},
                {"at": "2026-01-31T12:00:01Z", "event": "load_started", "elapsed_s": 0.0, "scenario": "x"}
            ],
        });
        let typed: RunResult = serde_json::from_value(result).expect("a result");
        let written = serde_json::to_value(&typed).expect("a result is JSON");
        jsonschema::validate(&result_schema(), &written).unwrap_or_else(|error| panic!("{error}"));
        let events = jsonschema::validator_for(&event_schema()).expect("a schema");
        for event in &typed.events {
            let event = serde_json::to_value(event).expect("an event is JSON");
            assert!(events.is_valid(&event), "{event}");
        }
        assert!(!events.is_valid(&json!({"at": "2026-01-31T12:00:00Z", "event": "nothing_known"})));
    }
}
