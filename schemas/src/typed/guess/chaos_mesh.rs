//! Words of Chaos Mesh inside a scenario. Its values become those of a fault, as `import` carries them over. What is not there
//! is not made up.

use super::common::folded;
use super::write::percent;
use crate::diagnostic::words;
use crate::foreign;
use crate::import::chaos_mesh;
use crate::source::flow::{flow, quoted};
use crate::source::{Entry, Node, Value};

/// Its kinds, as [`folded`] writes them.
pub(super) const RESOURCES: &[&str] =
    &["networkchaos", "podchaos", "stresschaos", "iochaos", "dnschaos", "timechaos", "httpchaos"];

/// The faults that its kinds are here.
pub(super) const FAULTS: &[&str] =
    &["partition", "netem", "pod_kill", "pod_failure", "container_kill", "stress", "io", "dns", "time", "http"];

/// How many pods a selector takes.
pub(super) const AMOUNT: &[&str] = &["mode", "value"];

/// Keys of a `spec` that no fault has.
const OF_SPECS: &[&str] = &["selector", "stressors", "externalTargets", "volumePath", "timeOffset", "containerNames"];

const WHOLE: &str = "`shakedown import FILE` makes a scenario of a manifest";

fn entry<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
    entries.iter().find(|entry| folded(&entry.key) == key)
}

fn kind_of(word: &str) -> Option<(&'static str, &'static [&'static str])> {
    foreign::CHAOS_MESH.iter().find(|(kind, _)| kind.eq_ignore_ascii_case(word)).copied()
}

/// The fault of a specification, which may be inside the key `spec`.
fn line(kind: &str, node: &Node) -> Option<(String, bool)> {
    let inner = match &node.value {
        Value::Map(entries) => entry(entries, "spec").map(|it| &it.node),
        _ => None,
    };
    chaos_mesh::line(kind, inner.unwrap_or(node))
}

/// What to write, and where if that is elsewhere.
fn written(text: &str, place: &str, is_all: bool) -> String {
    let rest = if is_all { "" } else { "; `shakedown import FILE` says what of a manifest is not carried over" };
    format!("write `{text}`{place}{rest}")
}

/// A kind of Chaos Mesh as a kind of a fault.
pub(super) fn resource(word: &str, node: &Node) -> Option<String> {
    let (kind, faults) = kind_of(word)?;
    Some(match line(kind, node) {
        Some((line, is_all)) => written(&line, "", is_all),
        None => {
            let are = if faults.len() > 1 { "faults are" } else { "fault is" };
            format!("{WHOLE}; here its {are} {}: `shakedown explain {}` shows the keys", words(faults), faults[0])
        }
    })
}

/// A fault with the `spec` of its kind in Chaos Mesh.
pub(super) fn spec(word: &str, node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return super::fault::without_pods(word, node) };
    if !entries.iter().any(|entry| OF_SPECS.contains(&entry.key.as_str())) {
        return super::fault::without_pods(word, node);
    }
    let (kind, _) = foreign::CHAOS_MESH.iter().find(|(_, faults)| faults.contains(&word))?;
    let mut entries = entries.clone();
    if matches!(*kind, "NetworkChaos" | "PodChaos") && entry(&entries, "action").is_none() {
        let action = Node { span: node.span, value: Value::String(word.replace('_', "-")) };
        entries.push(Entry { key: "action".to_owned(), key_span: node.span, node: action });
    }
    let (line, is_all) = chaos_mesh::line(kind, &Node { span: node.span, value: Value::Map(entries) })?;
    Some(written(&line, "", is_all))
}

/// A whole manifest in the place of a fault.
pub(super) fn manifest(entries: &[Entry]) -> Option<String> {
    let kind = &entry(entries, "kind")?.node;
    resource(&folded(&flow(kind)), &entry(entries, "spec")?.node)
}

/// Faults of which some are named by their kind in Chaos Mesh.
pub(super) fn faults(_: &str, node: &Node) -> Option<String> {
    let entries = match &node.value {
        Value::Map(entries) if entries.iter().any(|entry| kind_of(&entry.key).is_some()) => entries,
        Value::Seq(_) => return super::write::faults("faults", node).map(|line| format!("write `{line}`")),
        _ => return None,
    };
    let mut is_whole = true;
    let mut one = |entry: &Entry| match kind_of(&entry.key) {
        Some((kind, _)) => line(kind, &entry.node).map(|(line, is_all)| {
            is_whole &= is_all;
            format!("{}: {{{line}}}", kind.to_lowercase())
        }),
        None => Some(format!("{}: {}", quoted(&entry.key), flow(&entry.node))),
    };
    let all: Option<Vec<String>> = entries.iter().map(&mut one).collect();
    all.map(|all| written(&format!("faults: {{{}}}", all.join(", ")), "", is_whole))
}

/// A kind of Chaos Mesh as a key of a phase.
pub(super) fn phase(word: &str, node: &Node) -> Option<String> {
    in_phase(word, node, "", "")
}

/// The same as a key of the scenario.
pub(super) fn scenario(word: &str, node: &Node) -> Option<String> {
    in_phase(word, node, "remove it, and ", " in a phase")
}

fn in_phase(word: &str, node: &Node, before: &str, place: &str) -> Option<String> {
    let (kind, _) = kind_of(word)?;
    match line(kind, node) {
        Some((line, is_all)) => {
            let text = written(&format!("faults: {{{word}: {{{line}}}}}"), place, is_all);
            Some(format!("{before}{text}"))
        }
        None => resource(word, node),
    }
}

/// The number of pods that a mode and its value mean, as a line; an empty one for all pods.
fn amount_of(entries: &[Entry]) -> Option<String> {
    let text = |key: &str| entry(entries, key).map(|entry| flow(&entry.node).trim_matches('"').to_owned());
    let number = || text("value").filter(|it| it.parse::<u32>().is_ok()).map(|it| format!("count: {it}"));
    match text("mode").as_deref() {
        Some("one") => Some("count: 1".to_owned()),
        Some("all") => Some(String::new()),
        Some("fixed") => number(),
        Some("fixed-percent" | "random-max-percent") => {
            Some(format!("percent: {}%", text("value")?.trim_end_matches('%').parse::<u32>().ok()?))
        }
        Some(_) => None,
        None => number().or_else(|| Some(format!("percent: {}", percent(&text("value")?)?))),
    }
}

/// Where the number of pods is missing.
const NO_AMOUNT: &str = "remove it, and write the number of pods as `count`, or their share as `percent`";

fn replaced(entries: &[Entry]) -> String {
    let keys: Vec<&str> = entries.iter().map(|it| it.key.as_str()).collect();
    if keys.len() > 1 { format!(" in the place of {}", words(&keys)) } else { String::new() }
}

/// The mode of a selector.
pub(super) fn amount(entries: &[Entry]) -> Option<String> {
    Some(match amount_of(entries) {
        Some(line) if line.is_empty() => "remove it: without `count`, all of these pods are meant".to_owned(),
        Some(line) => format!("write `{line}`{}", replaced(entries)),
        None => NO_AMOUNT.to_owned(),
    })
}

/// The mode next to a selector.
pub(super) fn amount_in_pods(entries: &[Entry]) -> Option<String> {
    Some(match amount_of(entries) {
        Some(line) if line.is_empty() => "remove it: without `count`, all of these pods are meant".to_owned(),
        Some(line) => format!("remove it, and write `{line}` in `pods`{}", replaced(entries)),
        None => format!("{NO_AMOUNT} in `pods`"),
    })
}

/// One namespace of a list.
pub(super) fn namespace(_: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Seq(nodes) => match nodes.as_slice() {
            [one] => Some(format!("namespace: {}", flow(one))),
            _ => None,
        },
        _ => Some(format!("namespace: {}", flow(node))),
    }
}

/// A direction in its words.
pub(super) fn direction(word: &str) -> Option<&'static str> {
    match word {
        "to" | "out" | "outbound" | "outgoing" => Some("egress"),
        "from" | "in" | "inbound" | "incoming" => Some("ingress"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_files_that_are_recognised() {
        let kinds: Vec<String> = foreign::CHAOS_MESH.iter().map(|(kind, _)| kind.to_lowercase()).collect();
        assert_eq!(RESOURCES, kinds);
        let faults: Vec<&str> = foreign::CHAOS_MESH.iter().flat_map(|(_, faults)| *faults).copied().collect();
        assert_eq!(FAULTS, faults);
    }
}
