//! The whole scenario in the words of others.

use super::common::{folded, text_of};
use crate::source::flow::{flow, quoted};
use crate::source::{Entry, Node, Value};

/// A topology by its name alone.
pub(super) fn sandbox(_: &str, node: &Node) -> Option<String> {
    let Value::String(text) = &node.value else { return None };
    Some(format!("sandbox: {{topology: {}}}", quoted(text)))
}

/// The only version, in any notation.
pub(super) fn version(_: &str, node: &Node) -> Option<String> {
    (!matches!(node.value, Value::Int(_) | Value::Null)).then(|| "version: 1".to_owned())
}

/// Phases by their names.
pub(super) fn phases(_: &str, node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    let one = |entry: &Entry| match &entry.node.value {
        Value::Map(_) => {
            let rest = flow(&entry.node);
            Some(format!("{{name: {}, {}", quoted(&entry.key), rest.strip_prefix('{')?))
        }
        _ => None,
    };
    let all: Option<Vec<String>> = entries.iter().map(one).collect();
    all.map(|all| format!("phases: [{}]", all.join(", ")))
}

/// The stages of a load outside of it.
pub(super) fn stages(key: &str, node: &Node) -> Option<String> {
    super::write::stages(key, node).map(|line| format!("remove it, and write `{line}` in the load, next to `http`"))
}

/// Keys of a manifest.
pub(super) fn manifest(key: &str, node: &Node) -> Option<String> {
    let name = match &node.value {
        Value::Map(entries) => entries.iter().find(|it| folded(&it.key) == "name").and_then(|it| text_of(&it.node)),
        _ => None,
    };
    Some(match name.filter(|_| key == "metadata") {
        Some(name) => format!("remove it: a scenario is no manifest, and has its name as `name: {}`", quoted(name)),
        None => "remove it: a scenario is no manifest".to_owned(),
    })
}
