//! Faults in the words of others.

use super::common::{NAMING, folded, text_of, typed};
use super::write::{SELECTS, WORKLOADS, percent, some_pods};
use crate::source::flow::{flow, quoted};
use crate::source::{Entry, Node, Value};

/// Kinds that need nothing but pods.
const OF_PODS: &[&str] = &["pod_kill", "pod_failure"];

/// A fault whose pods have no key: `pod_kill: payments`, `pod_kill: {app: payments}`.
pub(super) fn without_pods(kind: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::String(_) if OF_PODS.contains(&kind) => {
            let pods = some_pods("pods", node);
            Some(format!("write `{kind}: {{pods: {}, count: 1}}}}`", pods.strip_suffix('}')?))
        }
        Value::Map(entries) if !entries.iter().any(|it| it.key == "pods") => {
            let is_label = |entry: &&Entry| NAMING.contains(&entry.key.as_str());
            let (labels, rest): (Vec<&Entry>, Vec<&Entry>) = entries.iter().partition(is_label);
            if labels.is_empty() {
                return None;
            }
            let (selects, rest): (Vec<&Entry>, Vec<&Entry>) =
                rest.into_iter().partition(|it| SELECTS.contains(&it.key.as_str()));
            let pair = |it: &Entry| format!("{}: {}", quoted(&it.key), flow(&it.node));
            let labels = labels.into_iter().map(pair).collect::<Vec<_>>().join(", ");
            let selects: String = selects.into_iter().map(|it| format!(", {}", pair(it))).collect();
            let rest: String = rest.into_iter().map(|it| format!(", {}", pair(it))).collect();
            Some(format!("write `{kind}: {{pods: {{labels: {{{labels}}}{selects}}}{rest}}}`"))
        }
        _ => None,
    }
}

/// The same for `type` alone.
pub(super) fn type_alone(key: &str, node: &Node) -> Option<String> {
    typed(&[Entry { key: key.to_owned(), key_span: node.span, node: node.clone() }])
}

/// Actions of other tools on workloads and nodes: the fault with the same effect on pods.
pub(super) fn action(key: &str, node: &Node) -> Option<String> {
    let entries = match &node.value {
        Value::Map(entries) => entries.as_slice(),
        _ => &[],
    };
    let of = |key: &str| entries.iter().find(|it| folded(&it.key) == key);
    let pods = match (of("pods"), entries.iter().find(|it| WORKLOADS.contains(&folded(&it.key).as_str()))) {
        (Some(pods), _) => some_pods("pods", &pods.node),
        (None, Some(owner)) => {
            let kind = folded(&owner.key);
            format!("{{{}}}", super::write::owner(&kind, &owner.node)?)
        }
        _ if text_of(node).is_some() => some_pods("pods", node),
        _ => some_pods("pods", &Node { span: node.span, value: Value::String("worker".to_owned()) }),
    };
    Some(match key {
        "drain" | "node_drain" | "drain_node" | "cordon" | "evict" => {
            format!("pod_kill: {{pods: {pods}, evict: true}}")
        }
        "scale" | "scale_down" | "scale_to_zero" | "stop" => format!("pod_failure: {{pods: {pods}}}"),
        _ => format!("pod_kill: {{pods: {pods}}}"),
    })
}

/// Ports next to the other end of a link.
pub(super) fn ports(_: &str, node: &Node, map: &[Entry]) -> Option<(String, &'static [&'static str])> {
    let peers = map.iter().find(|it| matches!(it.key.as_str(), "from" | "to"))?;
    let ports = if matches!(node.value, Value::Seq(_)) { flow(node) } else { format!("[{}]", flow(node)) };
    let one = |it: &Node| match &it.value {
        Value::Map(entries) if !entries.iter().any(|it| it.key == "ports") => {
            Some(format!("{}, ports: {ports}}}", flow(it).strip_suffix('}')?))
        }
        Value::String(text) => Some(format!("{{service: {}, ports: {ports}}}", quoted(text))),
        _ => None,
    };
    let all: Option<Vec<String>> = match &peers.node.value {
        Value::Seq(nodes) => nodes.iter().map(one).collect(),
        _ => one(&peers.node).map(|it| vec![it]),
    };
    let line = format!("{}: [{}]", peers.key, all?.join(", "));
    Some((format!("write `{line}` in the place of `{}` and `ports`", peers.key), &["from", "to"]))
}

/// A share of what the fault does: of packets.
pub(super) fn loss(_: &str, node: &Node) -> Option<String> {
    Some(format!("loss: {}", share(node)?))
}

/// A share of the pods, next to them.
pub(super) fn share_of_pods(_: &str, node: &Node) -> Option<String> {
    Some(format!("remove it, and write `percent: {}` in `pods`", share(node)?))
}

fn share(node: &Node) -> Option<String> {
    match node.value {
        Value::Int(number) => percent(&format!("{number}%")),
        _ => percent(flow(node).trim_matches('"')),
    }
}

/// A time without its unit: seconds, as Kubernetes counts.
pub(super) fn grace(key: &str, node: &Node) -> Option<String> {
    Some(match (&node.value, key) {
        (Value::Bool(true), "force" | "now") => "grace_period: 0s".to_owned(),
        (Value::Bool(false), _) => "remove it: that is the default".to_owned(),
        (Value::Int(seconds @ 0..), _) => format!("grace_period: {seconds}s"),
        _ => return None,
    })
}

/// Names that get no answer.
pub(super) fn patterns(_: &str, node: &Node) -> Option<String> {
    Some(match &node.value {
        Value::Seq(_) => format!("patterns: {}", flow(node)),
        _ => format!("patterns: [{}]", flow(node)),
    })
}

/// An error of Linux, by its number or name.
pub(super) fn errno(_: &str, node: &Node) -> Option<String> {
    let name = match &node.value {
        Value::Int(1) => "EPERM",
        Value::Int(2) => "ENOENT",
        Value::Int(5) => "EIO",
        Value::Int(28) => "ENOSPC",
        _ => text_of(node)?,
    };
    Some(format!("error: {name}"))
}

/// A shift of the clocks, which has a sign.
pub(super) fn offset(_: &str, node: &Node) -> Option<String> {
    let text = text_of(node)?.trim().to_owned();
    let signed = if text.starts_with(['+', '-']) { text } else { format!("+{text}") };
    signed.parse::<crate::units::Offset>().ok().map(|_| format!("offset: {signed}"))
}

/// Labels in a list, as arguments of kubectl.
pub(super) fn labels(_: &str, node: &Node) -> Option<String> {
    let Value::Seq(nodes) = &node.value else { return None };
    let pair = |node: &Node| match &node.value {
        Value::String(text) => {
            let (key, value) = text.split_once(['=', ':'])?;
            Some(format!("{}: {}", quoted(key.trim()), quoted(value.trim_start_matches('=').trim())))
        }
        Value::Map(entries) => match entries.as_slice() {
            [one] => Some(format!("{}: {}", quoted(&one.key), flow(&one.node))),
            _ => None,
        },
        _ => None,
    };
    let pairs: Option<Vec<String>> = nodes.iter().map(pair).collect();
    pairs.filter(|it| !it.is_empty()).map(|it| format!("labels: {{{}}}", it.join(", ")))
}
