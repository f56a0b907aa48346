//! One example of a key, from the examples of its kind, its type or the types below.

use serde_json::{Value, json};

use super::keys::Keys;
use crate::reference::{split_default, text_of, words};
use crate::rule::Rule;
use crate::scenario::{Expectation, Fault, Load};
use crate::source::flow::flow_json;

impl Keys {
    /// One example of a key, or of a type without a name: that of its kind, or else a value of its schema.
    pub(super) fn example(&self, name: &str, property: &Value) -> Option<String> {
        let definition = property["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/"));
        let faults = Fault::KINDS.iter().map(|it| (it.name, it.definition, it.facts.example));
        let expectations = Expectation::KINDS.iter().map(|it| (it.name, it.definition, it.facts.example));
        let loads = Load::KINDS.iter().map(|it| (it.name, it.definition, it.facts.example));
        let mut kinds = faults.chain(expectations).chain(loads);
        if let Some((.., example)) = kinds.find(|(kind, of, _)| *kind == name && Some(*of) == definition) {
            return Some(format!("{name}: {example}"));
        }
        let avoided = split_default(&text_of(property)).1.map(|it| json!(it.trim_matches('`')));
        let avoided = avoided.as_ref().or_else(|| property.get("default"));
        let value = self.sample(property, avoided, 0)?;
        let value = flow_json(&value);
        Some(if name.is_empty() { value } else { format!("{name}: {value}") })
    }

    /// A value that fits a schema: an example of it, or else one of its choices other than the default, or one that is made of
    /// those below.
    fn sample(&self, schema: &Value, avoided: Option<&Value>, depth: u8) -> Option<Value> {
        if depth > 8 {
            return None;
        }
        if let Some(example) = schema["examples"].as_array().and_then(|it| it.first()).or_else(|| schema.get("const")) {
            return Some(example.clone());
        }
        let choices: Vec<&Value> = words(schema).into_iter().filter_map(|it| it.get("const")).collect();
        if let Some(choice) = choices.iter().find(|it| Some(**it) != avoided).or(choices.first()) {
            return Some((*choice).clone());
        }
        let reference =
            schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")).filter(|it| *it != "Template");
        if let Some(name) = reference {
            let definition = self.definitions.get(name)?;
            return self.sample_of(name, definition, avoided, depth + 1);
        }
        let options = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
        if let Some(options) = options.filter(|_| !schema["properties"].is_object()) {
            return options.iter().find_map(|it| self.sample(it, avoided, depth + 1));
        }
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind {
            Some("boolean") => Some(json!(avoided.and_then(Value::as_bool) != Some(true))),
            Some("array") => Some(json!([self.sample(&schema["items"], None, depth + 1)?])),
            Some("object") if schema["properties"].is_object() => self.sample_of("", schema, None, depth),
            Some("object") => Some(json!({"main": self.sample(schema.get("additionalProperties")?, None, depth + 1)?})),
            Some("integer" | "number") => {
                Some(schema.get("minimum").filter(|it| it.as_f64() > Some(0.0)).cloned().unwrap_or(json!(1)))
            }
            // A text without an example is mostly left as it is.
            Some("string") => avoided.cloned(),
            _ => None,
        }
    }

    /// The same for the map of a type: with the keys that it needs.
    fn sample_of(&self, name: &str, definition: &Value, avoided: Option<&Value>, depth: u8) -> Option<Value> {
        let Some(properties) = definition["properties"].as_object().filter(|_| definition.get("examples").is_none())
        else {
            return self.sample(definition, avoided, depth);
        };
        let mut needed: Vec<&str> =
            definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for rule in self.rules(name).into_iter().flatten() {
            if let Rule::One(keys) | Rule::Some(keys) = rule {
                needed.extend(keys.first());
            }
        }
        if needed.is_empty() {
            needed.extend(properties.keys().next().map(String::as_str));
        }
        let sample = |key: &&str| {
            let property = properties.get(*key)?;
            self.sample(property, None, depth + 1).or_else(|| property.get("default").cloned())
        };
        let pairs = needed.iter().map(|key| Some(((*key).to_owned(), sample(key)?)));
        Some(Value::Object(pairs.collect::<Option<_>>()?))
    }
}
