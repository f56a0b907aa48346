//! A part of a tree as YAML in one line, for a suggestion.

use serde_json::Value as Json;

use super::{Node, Value, scalar};

/// The value in one line, with the quotes that it needs within a map.
pub(crate) fn flow(node: &Node) -> String {
    match &node.value {
        Value::Null | Value::Gone | Value::Hole(_) => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(text) | Value::Rendered(text) => quoted(text),
        Value::Seq(nodes) => format!("[{}]", nodes.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", quoted(&entry.key), flow(&entry.node)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The same for JSON.
pub(crate) fn flow_json(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(text),
        Json::Array(items) => format!("[{}]", items.iter().map(flow_json).collect::<Vec<_>>().join(", ")),
        Json::Object(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", quoted(key), flow_json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// A text as it is written within a map in one line.
pub(crate) fn quoted(text: &str) -> String {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '/' | '%' | '-' | '=' | '(' | ')');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.'));
    if begins && !text.ends_with(' ') && text.chars().all(is_plain) && matches!(scalar(text), Value::String(_)) {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}
