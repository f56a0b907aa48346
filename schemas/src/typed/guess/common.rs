//! What the answers share: the words of a guess, and lines that more than one of them writes.

use crate::scenario::FaultInfo;
use crate::source::flow::{flow, quoted};
use crate::source::{Entry, Node, Value};

/// What stands for the name of the first load, and of the first phase, which are elsewhere in the file.
pub(in crate::typed) const FIRST_LOAD: &str = "<load>";
pub(in crate::typed) const FIRST_PHASE: &str = "<phase>";

/// Words for `max`.
pub(super) const AT_MOST: &[&str] =
    &["below", "under", "at_most", "less_than", "lt", "lte", "maximum", "upper", "within"];

/// Words for `min`.
pub(super) const AT_LEAST: &[&str] =
    &["above", "at_least", "more_than", "greater_than", "gt", "gte", "minimum", "lower"];

/// Keys of labels that are written without `labels`.
pub(super) const NAMING: &[&str] = &["app", "component", "tier", "role", "app.kubernetes.io/name", "k8s-app"];

/// A key as the table has it.
pub(super) fn folded(key: &str) -> String {
    key.trim().to_lowercase().replace(['-', ' '], "_")
}

/// The text of a node, or of the first entry of a list.
pub(super) fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::String(text) | Value::Rendered(text) => Some(text),
        Value::Seq(nodes) => text_of(nodes.first()?),
        _ => None,
    }
}

/// Whether a key limits a value in the words of any tool.
pub(super) fn is_limit(key: &str) -> bool {
    let key = folded(key);
    matches!(key.as_str(), "min" | "max") || AT_MOST.contains(&key.as_str()) || AT_LEAST.contains(&key.as_str())
}

/// Numbers in the place of limits on kinds of errors: `errors: {5xx: 0}`.
pub(super) fn errors_of(key: &str, node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    let (mut lines, mut is_changed) = (Vec::new(), false);
    for entry in entries {
        let name = match folded(&entry.key).as_str() {
            "5xx" | "http5xx" | "server_errors" => "http_5xx",
            "4xx" | "http4xx" | "client_errors" => "http_4xx",
            "timeouts" => "timeout",
            "all" | "total" => "any",
            _ => entry.key.as_str(),
        };
        let is_count = matches!(entry.node.value, Value::Int(0..));
        is_changed |= name != entry.key || is_count;
        lines.push(match is_count {
            true => format!("{name}: {{max: {}}}", flow(&entry.node)),
            false => format!("{name}: {}", flow(&entry.node)),
        });
    }
    (key == "errors" && is_changed && !entries.iter().any(|it| is_limit(&it.key)))
        .then(|| format!("errors: {{{}}}", lines.join(", ")))
}

/// A multiple of a percentile: a comparison with the first phase.
pub(super) fn ratio(percentile: &str, value: &str) -> Option<String> {
    let times: f64 = value.trim().strip_suffix(['x', 'X'])?.parse().ok()?;
    let times = crate::units::short(times);
    Some(format!("latency_ratio: {{percentile: {percentile}, to: {FIRST_PHASE}, max: {times}}}"))
}

/// A fault as its `type`, with its settings next to it.
pub(super) fn typed(entries: &[Entry]) -> Option<String> {
    let kind = entries.iter().find(|it| matches!(folded(&it.key).as_str(), "type" | "kind" | "action"))?;
    let info = FaultInfo::of(&folded(text_of(&kind.node)?))?;
    let mut rest: Vec<String> = Vec::new();
    for entry in entries.iter().filter(|it| it.key != kind.key && it.key != "name") {
        rest.push(format!("{}: {}", quoted(&entry.key), flow(&entry.node)));
    }
    Some(match rest.is_empty() {
        true => format!("{}: {}", info.name, info.facts.example),
        false => format!("{}: {{{}}}", info.name, rest.join(", ")),
    })
}
