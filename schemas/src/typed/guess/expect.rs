//! Expectations and stop conditions in the words of others, and in places where they do not belong.

use super::common::{FIRST_LOAD, errors_of, folded, text_of};
use super::write::{FAILURES, LATENCIES, SUCCESSES, comparison, fault, limits, line_of_comparison, some_pods};
use crate::scenario::{Expectation, FaultInfo};
use crate::source::flow::flow;
use crate::source::{Entry, Node, Value};
use crate::units::Duration;

/// Keys that say which pods.
const SELECTING: &[&str] = &[
    "labels",
    "label",
    "name",
    "prefix",
    "owner",
    "namespace",
    "app",
    "deployment",
    "deploy",
    "statefulset",
    "selector",
];

/// An expectation in one text: `success_rate 80%`, `error_rate < 1%`, `no_errors`.
pub(super) fn in_words(text: &str) -> Option<String> {
    if folded(text) == "no_errors" {
        return Some("errors: {any: {max: 0}}".to_owned());
    }
    if let Some((name, is_most, value)) = comparison(text) {
        return line_of_comparison(&folded(name), is_most, value);
    }
    let (name, value) = text.trim().split_once([' ', ':'])?;
    let name = folded(name);
    let is_most = !SUCCESSES.contains(&name.as_str()) && name != "success_rate";
    line_of_comparison(&name, is_most, value.trim())
}

/// One expectation by its key, whatever its name.
fn by_key(entry: &Entry) -> Option<String> {
    let key = folded(&entry.key);
    if Expectation::KINDS.iter().any(|it| it.name == key) {
        return Some(match counted(&key, &entry.node).or_else(|| errors_of(&key, &entry.node)) {
            Some(line) => line,
            None => format!("{key}: {}", flow(&entry.node)),
        });
    }
    if key == "no_errors" {
        return in_words(&key);
    }
    limits(&key, &entry.node)
}

/// Expectations that are no list: a text, or a map of them. A list that is one has no answer.
pub(super) fn list(_: &str, node: &Node) -> Option<String> {
    let lines: Option<Vec<String>> = match &node.value {
        Value::Map(entries) => entries.iter().map(by_key).collect(),
        Value::String(text) => in_words(text).map(|line| vec![line]),
        _ => None,
    };
    let lines = lines?.into_iter().map(|it| if it.starts_with('{') { it } else { format!("{{{it}}}") });
    Some(format!("expect: [{}]", lines.collect::<Vec<_>>().join(", ")))
}

/// A number in the place of the limits of a count.
pub(super) fn counted(key: &str, node: &Node) -> Option<String> {
    let Value::Int(count) = node.value else { return None };
    let limit = match key {
        "requests" => "min",
        "stuck" => "max",
        _ => return None,
    };
    (count >= 0).then(|| format!("{key}: {{{limit}: {count}}}"))
}

/// Pods that are ready: within the given time, or a usual one.
pub(super) fn ready(_: &str, node: &Node) -> Option<String> {
    Some(format!("pods: {{ready_within: {}}}", ready_within(node)))
}

fn ready_within(node: &Node) -> String {
    let time = text_of(node).filter(|text| text.parse::<Duration>().is_ok());
    time.unwrap_or("30s").to_owned()
}

/// Pods that are selected without `select`, and pods that are `ready`.
pub(super) fn pods(_: &str, node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return None };
    let of = |wanted: &[&str]| -> Vec<Entry> {
        entries.iter().filter(|it| wanted.contains(&folded(&it.key).as_str())).cloned().collect()
    };
    let (selecting, ready) = (of(SELECTING), of(&["ready", "ready_within"]));
    if selecting.is_empty() && !ready.iter().any(|it| it.key == "ready") {
        return None;
    }
    let mut parts = Vec::new();
    if !selecting.is_empty() {
        parts.push(format!("pods: {}", some_pods("pods", &Node { span: node.span, value: Value::Map(selecting) })));
    }
    parts.extend(of(&["pods", "select", "restarts"]).iter().map(|it| format!("{}: {}", it.key, flow(&it.node))));
    if !ready.is_empty() || of(&["restarts"]).is_empty() {
        let time = ready.first().map_or_else(|| "30s".to_owned(), |it| ready_within(&it.node));
        parts.push(format!("ready_within: {time}"));
    }
    Some(format!("pods: {{{}}}", parts.join(", ")))
}

/// A status among expectations. The requests are those of the load.
pub(super) fn status(_: &str, _: &Node) -> Option<String> {
    Some(
        "write `success_rate: {min: 99%}`: the load sends the requests, and its `check` says which answers succeed"
            .to_owned(),
    )
}

/// Stop conditions in the words of expectations.
pub(super) fn stops(_: &str, node: &Node) -> Option<String> {
    let all: Vec<&Node> = match &node.value {
        Value::Seq(nodes) => nodes.iter().collect(),
        _ => vec![node],
    };
    let lines: Option<Vec<String>> = all.iter().map(|it| stop(it)).collect();
    let lines = lines.filter(|lines| !lines.is_empty())?;
    let line = format!("abort_if: [{}]", lines.join(", "));
    (format!("abort_if: {}", flow(node)) != line).then_some(line)
}

/// One stop condition: what an expectation forbids.
fn stop(node: &Node) -> Option<String> {
    let line = match &node.value {
        Value::Map(entries) => {
            let [entry] = entries.as_slice() else { return None };
            if matches!(entry.key.as_str(), "success_rate" | "latency" | "http")
                && matches!(entry.node.value, Value::Map(_))
            {
                return Some(flow(node));
            }
            by_key(entry).and_then(|line| limits(&folded(&entry.key), &entry.node).or(Some(line)))?
        }
        _ => in_words(text_of(node)?)?,
    };
    let value = |line: &str| Some(line.rsplit_once(": ")?.1.trim_end_matches('}').to_owned());
    let value = value(&line)?;
    if line.starts_with("success_rate: ") {
        return Some(format!("{{success_rate: {{below: {value}, for: 10s}}}}"));
    }
    let percentile = line.split_once("percentile: ")?.1.split(',').next()?;
    line.starts_with("latency: ")
        .then(|| format!("{{latency: {{percentile: {percentile}, above: {value}, for: 10s}}}}"))
}

/// What belongs into a list or a map of the phase, directly in the phase: an expectation, or a fault.
pub(super) fn in_phase(key: &str, node: &Node, map: &[Entry]) -> Option<(String, &'static [&'static str])> {
    let entry = Entry { key: key.to_owned(), key_span: node.span, node: node.clone() };
    let has = |wanted: &str| map.iter().any(|it| it.key == wanted);
    let is_fault = FaultInfo::of(key).is_some();
    if let Some(line) = if is_fault { Some(format!("{key}: {}", flow(node))) } else { fault_of_tool(key, node) } {
        let name = line.split(':').next()?.replace('_', "-");
        return Some((
            match has("faults") {
                true => format!("remove it, and write `{name}: {{{line}}}` in `faults`"),
                false => format!("write `faults: {{{name}: {{{line}}}}}`"),
            },
            &[],
        ));
    }
    let is_expectation = FAILURES.contains(&key) || SUCCESSES.contains(&key) || LATENCIES.contains(&key);
    let is_kind = Expectation::KINDS.iter().any(|it| it.name == key) && key != "faults";
    let line = match key {
        "duration" | "load" => None,
        "status" | "http_probe" | "httpprobe" | "probe" => Some("success_rate: {min: 99%}".to_owned()),
        "errors" => by_key(&entry).filter(|_| matches!(node.value, Value::Map(_))).or_else(|| limits(key, node)),
        _ if is_kind && !matches!(node.value, Value::Map(_)) => limits(key, node).or_else(|| by_key(&entry)),
        _ if is_expectation || is_kind || key == "no_errors" => by_key(&entry),
        _ => None,
    }?;
    Some((
        match has("expect") {
            true => format!("remove it, and write `- {line}` in `expect`"),
            false => format!("write `expect: [{{{line}}}]`"),
        },
        &[],
    ))
}

fn fault_of_tool(key: &str, node: &Node) -> Option<String> {
    if matches!(key, "delay" | "latency" | "cpu" | "memory") {
        return None;
    }
    fault(key, node)
}

/// A pace in a phase: that of a load by its name.
pub(super) fn pace(key: &str, node: &Node) -> Option<String> {
    let line = match key {
        "load" if matches!(node.value, Value::Map(_)) => return None,
        "load" => super::write::rate("rps", node)?,
        "rate" | "concurrency" => format!("{key}: {}", flow(node)),
        _ => super::write::rate(key, node)?,
    };
    Some(format!("load: {{{FIRST_LOAD}: {{{line}}}}}"))
}
