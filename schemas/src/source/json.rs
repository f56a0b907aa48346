//! The tree as JSON, and JSON as a tree.

use super::node::{Entry, Node, Span, Value};

/// A JSON value as a node, with this position for all of its parts.
pub(crate) fn node_of(value: &serde_json::Value, span: Span) -> Node {
    let value = match value {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => Value::Int(value.into()),
            (_, Some(value)) => Value::Int(value.into()),
            _ => Value::Float(number.as_f64().unwrap_or_default()),
        },
        serde_json::Value::String(text) => Value::String(text.clone()),
        serde_json::Value::Array(list) => Value::Seq(list.iter().map(|value| node_of(value, span)).collect()),
        serde_json::Value::Object(map) => Value::Map(
            map.iter()
                .map(|(key, value)| Entry { key: key.clone(), key_span: span, node: node_of(value, span) })
                .collect(),
        ),
    };
    Node { span, value }
}

/// A part of the tree as JSON.
pub(crate) fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Null | Value::Gone | Value::Hole(_) => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => match (i64::try_from(value), u64::try_from(value)) {
            (Ok(value), _) => value.into(),
            (_, Ok(value)) => value.into(),
            _ => (value as f64).into(),
        },
        Value::Float(value) => value.into(),
        Value::String(text) | Value::Rendered(text) => text.into(),
        Value::Seq(nodes) => nodes.into_iter().map(|node| json(node.value)).collect(),
        Value::Map(entries) => entries
            .into_iter()
            .map(|entry| (entry.key, json(entry.node.value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}
