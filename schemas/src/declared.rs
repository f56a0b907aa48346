//! A variable as `vars` declares it: a plain value, which is its default, or a map with conditions, such as
//! `{default: 10%, values: [10%, 50%]}`.

use serde_json::Value as Json;

use crate::diagnostic::{Code, Diagnostic};
use crate::source::{Node, json};
use crate::tables::plain;

/// The keys of a declaration. A map with other keys is a value.
const KEYS: [&str; 5] = ["type", "required", "values", "default", "description"];

/// A declared variable.
pub(crate) struct Declared {
    /// The value without `--var`. Null if there is none.
    pub(crate) default: Json,
    /// A value must be given.
    required: bool,
    /// The allowed values. Empty if all are allowed.
    values: Vec<Json>,
    /// The name of the type. None if all types are allowed.
    kind: Option<String>,
    /// What it means.
    description: Option<String>,
    /// A key of the declaration whose value has the wrong type.
    wrong: Option<&'static str>,
}

impl Declared {
    /// Reads a rendered value of `vars`.
    pub(crate) fn of(node: Node) -> Self {
        let bare =
            |default| Self { default, required: false, values: Vec::new(), kind: None, description: None, wrong: None };
        let map = match json(node.value) {
            Json::Object(map) if !map.is_empty() && map.keys().all(|key| KEYS.contains(&key.as_str())) => map,
            value => return bare(value),
        };
        let mut declared = bare(map.get("default").cloned().unwrap_or(Json::Null));
        for (key, value) in &map {
            match (key.as_str(), value) {
                ("required", Json::Bool(required)) => declared.required = *required,
                ("values", Json::Array(values)) if !values.is_empty() => declared.values.clone_from(values),
                ("type", Json::String(kind)) if TYPES.contains(&kind.as_str()) => declared.kind = Some(kind.clone()),
                ("description", Json::String(text)) => declared.description = Some(text.clone()),
                ("default", _) => {}
                (key, _) => declared.wrong = KEYS.iter().find(|it| **it == key).copied(),
            }
        }
        // Neither a value nor a way to give one: it is needed as well.
        declared.required |= !map.contains_key("default");
        declared
    }

    /// What is wrong with a value.
    pub(crate) fn problem(&self, name: &str, value: &Json) -> Option<Diagnostic> {
        let about = self.description.as_ref().map(|text| format!(" ({text})")).unwrap_or_default();
        let list = || self.values.iter().map(|it| format!("`{}`", plain(it))).collect::<Vec<_>>().join(", ");
        if let Some(key) = self.wrong {
            let help = match key {
                "required" => "write `required: true`",
                "values" => "write a list with at least one value, such as `values: [decode, prefill]`",
                "type" => "the types are `text`, `number` and `boolean`",
                _ => "write a text",
            };
            return Some(
                Diagnostic::error(Code::VariableValue, format!("`{key}` of the variable `{name}` cannot be used"))
                    .help(help),
            );
        }
        if value.is_null() && self.required {
            let choices = if self.values.is_empty() { String::new() } else { format!("; it can be {}", list()) };
            return Some(
                Diagnostic::error(Code::VariableValue, format!("the variable `{name}`{about} has no value"))
                    .help(format!("give it one with `--var {name}=...`{choices}")),
            );
        }
        if !self.values.is_empty() && !self.values.contains(value) {
            let message = format!("`{}` is not a value of the variable `{name}`{about}", plain(value));
            return Some(Diagnostic::error(Code::VariableValue, message).help(format!("it can be {}", list())));
        }
        let kind = self.kind.as_deref().filter(|kind| !is_of(kind, value))?;
        let message = format!("`{}` is not a {kind}, and the variable `{name}`{about} is one", plain(value));
        Some(Diagnostic::error(Code::VariableValue, message).help(match kind {
            "boolean" => "write `true` or `false`",
            "number" => "write a number without a unit",
            _ => "put the value into quotes",
        }))
    }
}

/// The names of types.
const TYPES: [&str; 3] = ["text", "number", "boolean"];

fn is_of(kind: &str, value: &Json) -> bool {
    match kind {
        "text" => value.is_string(),
        "number" => value.is_number(),
        _ => value.is_boolean(),
    }
}
