//! Selectors as text, for plans, reports and errors.

use shakedown_schemas::scenario::{LabelSelector, PodSelector};

/// A selector as text.
pub(super) fn selector_text(selector: &PodSelector) -> String {
    let mut parts = Vec::new();
    for (what, value) in [("name", &selector.name), ("prefix", &selector.prefix), ("owner", &selector.owner)] {
        if let Some(value) = value {
            parts.push(format!("{what} `{value}`"));
        }
    }
    if let Some(labels) = &selector.labels {
        parts.push(format!("labels `{}`", label_text(labels)));
    }
    parts.join(" and ")
}

/// The pods that a selector matches, as text. An empty prefix matches all pods, such as in an overkill run.
pub(super) fn pods_text(selector: &PodSelector, namespace: &str) -> String {
    if selector.prefix.as_deref() == Some("") && selector.owner.is_none() && selector.labels.is_none() {
        return format!("all pods in namespace {namespace}");
    }
    format!("pods with {} in namespace {namespace}", selector_text(selector))
}

fn label_text(selector: &LabelSelector) -> String {
    let equal = selector.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
    let others = selector.match_expressions.iter().map(|it| {
        let values = if it.values.is_empty() { String::new() } else { format!(" ({})", it.values.join(", ")) };
        format!("{} {:?}{values}", it.key, it.operator)
    });
    equal.chain(others).collect::<Vec<_>>().join(", ")
}
