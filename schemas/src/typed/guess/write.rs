//! Lines that take more than the value under another key.

use super::common::{AT_LEAST, AT_MOST, FIRST_PHASE, NAMING, errors_of, folded, is_limit, ratio, text_of, typed};
use crate::scenario::{FaultInfo, LoadKindInfo};
use crate::source::flow::{flow, quoted};
use crate::source::{Node, Value};
use crate::units::short;

/// Words for a share of failures.
pub(super) const FAILURES: &[&str] = &[
    "error_rate",
    "errors_rate",
    "failure_rate",
    "error_percentage",
    "error_ratio",
    "failures",
    "failed",
    "http_req_failed",
];

/// Words for a share of successes.
pub(super) const SUCCESSES: &[&str] =
    &["availability", "success", "success_ratio", "success_percentage", "uptime", "slo", "sla"];

/// Words for a percentile of the latency.
pub(super) const LATENCIES: &[&str] = &[
    "response_time",
    "duration",
    "request_duration",
    "http_req_duration",
    "latencies",
    "median",
    "p50",
    "p75",
    "p90",
    "p95",
    "p99",
    "p99.9",
    "p999",
    "latency_p50",
    "latency_p90",
    "latency_p95",
    "latency_p99",
    "p50_latency",
    "p90_latency",
    "p95_latency",
    "p99_latency",
];

/// Words for `netem` with a delay.
pub(super) const DELAYS: &[&str] =
    &["delay", "latency", "slow", "network_delay", "network_latency", "net_delay", "pod_network_latency"];
/// Words for `netem` with loss.
pub(super) const LOSSES: &[&str] = &["loss", "network_loss", "packet_loss", "net_loss", "pod_network_loss"];
/// Words for `netem` with a bandwidth.
pub(super) const BANDWIDTHS: &[&str] = &["bandwidth", "network_bandwidth", "throttle"];
/// Words for `pod_kill`.
pub(super) const KILLS: &[&str] = &["kill_pod", "kill_pods", "delete_pod", "pod_delete", "kill", "terminate_pods"];
/// Words for `stress` of processors.
pub(super) const CPU: &[&str] = &["cpu_stress", "stress_cpu", "cpu", "cpu_hog", "pod_cpu_hog", "cpu_load"];
/// Words for `stress` of memory.
pub(super) const MEMORY: &[&str] = &["memory_stress", "stress_memory", "memory", "memory_hog", "pod_memory_hog"];
/// Words for `partition`.
pub(super) const CUTS: &[&str] = &[
    "network_partition",
    "net_partition",
    "cut",
    "isolate",
    "blackhole",
    "block",
    "disconnect",
    "pod_network_partition",
];

/// Kinds of workloads that own pods.
pub(super) const WORKLOADS: &[&str] =
    &["deployment", "deploy", "statefulset", "sts", "daemonset", "ds", "replicaset", "rs", "job"];

/// The keys of a selector.
pub(super) const SELECTS: &[&str] = &["name", "prefix", "labels", "owner", "namespace", "count", "percent"];

/// Words for `labels` of a selector.
const LABELS: &[&str] = &["labelselectors", "label_selectors", "matchlabels", "match_labels"];

/// The pods of a suggestion whose guess names none.
const SOME_PODS: &str = "{labels: {app: worker}}";

/// A comparison such as `p(95)<500`: its name, whether it says "at most", and its value.
pub(super) fn comparison(text: &str) -> Option<(&str, bool, &str)> {
    let at = text.find(['<', '>', '='])?;
    let (name, rest) = text.split_at(at);
    let is_most = rest.starts_with('<');
    let value = rest.trim_start_matches(['<', '>', '=']).trim();
    (!value.is_empty()).then(|| (name.trim(), is_most, value))
}

/// The meaning of the key, unless a comparison overrides it.
pub(super) fn line_of_comparison(name: &str, is_most: bool, value: &str) -> Option<String> {
    let limit = if is_most { "max" } else { "min" };
    if FAILURES.contains(&name) || name == "errors" {
        return Some(format!("success_rate: {{{}: {}}}", if is_most { "min" } else { "max" }, complement(value)?));
    }
    if SUCCESSES.contains(&name) || name == "success_rate" {
        return Some(format!("success_rate: {{{limit}: {}}}", percent(value)?));
    }
    let percentile = percentile_in(name);
    if percentile.is_some() || LATENCIES.contains(&name) || name == "latency" {
        let percentile = percentile.unwrap_or_else(|| "p95".to_owned());
        return Some(format!("latency: {{percentile: {percentile}, {limit}: {}}}", time(value)?));
    }
    None
}

/// `p95` of `p95`, `p(95)`, `latency_p95` and `latency.p95`.
fn percentile_in(name: &str) -> Option<String> {
    if name == "median" {
        return Some("p50".to_owned());
    }
    name.match_indices('p').find_map(|(at, _)| {
        let rest = name[at + 1..].trim_start_matches('(');
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = match &rest[..end] {
            "999" => 99.9,
            number => number.parse().ok()?,
        };
        (number > 0.0 && number < 100.0).then(|| format!("p{number}"))
    })
}

/// A share as a percentage: `99%` of `99%` and of `0.99`.
pub(super) fn percent(text: &str) -> Option<String> {
    share(text).map(|percent| format!("{}%", short(percent)))
}

/// What is left of a share: `99%` of `1%`.
fn complement(text: &str) -> Option<String> {
    share(text).map(|percent| format!("{}%", short(100.0 - percent)))
}

fn share(text: &str) -> Option<f64> {
    let text = text.trim();
    let percent = match text.strip_suffix('%') {
        Some(number) => number.trim().parse::<f64>().ok()?,
        // Without a unit, a share up to 1 is a fraction, and a larger number is a percentage.
        None => text.parse::<f64>().ok().map(|it| if it <= 1.0 { it * 100.0 } else { it })?,
    };
    (0.0..=100.0).contains(&percent).then(|| (percent * 1e6).round() / 1e6)
}

/// A time with its unit: other tools count in milliseconds.
fn time(text: &str) -> Option<String> {
    let text = text.trim();
    if text.parse::<f64>().is_ok() {
        return Some(format!("{text}ms"));
    }
    text.parse::<crate::units::Duration>().ok().map(|_| text.to_owned())
}

/// The limit in a value: whether it is "at most", if the value says so, and the value.
fn limit(node: &Node) -> Option<(Option<bool>, String)> {
    match &node.value {
        Value::Map(entries) => entries.iter().find_map(|entry| {
            let key = folded(&entry.key);
            let is_most = match key.as_str() {
                "max" => true,
                "min" => false,
                key if AT_MOST.contains(&key) => true,
                key if AT_LEAST.contains(&key) => false,
                _ => return None,
            };
            limit(&entry.node).map(|(_, value)| (Some(is_most), value))
        }),
        // The thresholds of k6 are a list.
        Value::Seq(nodes) => limit(nodes.first()?),
        Value::Null | Value::Gone | Value::Hole(_) | Value::Bool(_) => None,
        Value::String(text) | Value::Rendered(text) => match comparison(text) {
            Some((_, is_most, value)) => Some((Some(is_most), value.to_owned())),
            None => Some((None, text.clone())),
        },
        Value::Int(_) | Value::Float(_) => Some((None, flow(node))),
    }
}

/// An expectation under another name.
pub(super) fn limits(key: &str, node: &Node) -> Option<String> {
    let is_success = SUCCESSES.contains(&key) || key == "success_rate";
    if let Value::Map(entries) = &node.value
        && let Some(entry) = entries.iter().find(|entry| percentile_in(&entry.key).is_some())
    {
        let (is_most, value) = limit(&entry.node)?;
        return line_of_comparison(&entry.key, is_most.unwrap_or(true), &value);
    }
    // A comparison within the value may name the percentile: `http_req_duration: p(95)<500`.
    let name = text_of(node).and_then(comparison).map(|(name, ..)| name).filter(|name| percentile_in(name).is_some());
    let (is_most, value) = limit(node)?;
    if let Some(line) = percentile_in(key).and_then(|percentile| ratio(&percentile, &value)) {
        return Some(line);
    }
    line_of_comparison(name.unwrap_or(key), is_most.unwrap_or(!is_success), &value)
}

/// Any other key that has a percentile in it.
pub(super) fn any_limit(key: &str, node: &Node) -> Option<String> {
    let is_percentile = key.starts_with('p') && key[1..].starts_with(|c: char| c.is_ascii_digit());
    is_percentile.then(|| limits(key, node)).flatten()
}

/// A percentile without its key: `latency: 500ms`, `latency: {p95: 500ms}`, `latency: p(95)<500`.
pub(super) fn percentile(key: &str, node: &Node) -> Option<String> {
    let renamed = |line: String| line.replacen("latency:", &format!("{key}:"), 1);
    match &node.value {
        Value::Map(entries) => {
            let entry =
                entries.iter().find(|entry| percentile_in(&entry.key).is_some() && entry.key != "percentile")?;
            let (is_most, value) = limit(&entry.node)?;
            line_of_comparison(&entry.key, is_most.unwrap_or(true), &value).map(renamed)
        }
        _ => limits("latency", node).map(renamed),
    }
}

/// The same of a ratio.
pub(super) fn percentile_ratio(_: &str, node: &Node) -> Option<String> {
    let (name, value) = match &node.value {
        Value::Map(entries) => {
            let entry =
                entries.iter().find(|entry| percentile_in(&entry.key).is_some() && entry.key != "percentile")?;
            (percentile_in(&entry.key)?, limit(&entry.node)?.1)
        }
        _ => ("p95".to_owned(), limit(node)?.1),
    };
    let value: f64 = value.trim_end_matches(['x', 'X']).parse().ok()?;
    Some(format!("latency_ratio: {{percentile: {name}, to: {}, max: {}}}", FIRST_PHASE, short(value)))
}

/// A comparison in the place of a share.
pub(super) fn success_rate(_: &str, node: &Node) -> Option<String> {
    let text = match &node.value {
        Value::Map(entries) => {
            entries.iter().find_map(|entry| text_of(&entry.node).filter(|it| comparison(it).is_some()))?
        }
        _ => text_of(node)?,
    };
    let (_, is_most, value) = comparison(text)?;
    line_of_comparison("success_rate", is_most, value)
}

/// Limits on failures without their kind; a share of failures is a share of successes here.
pub(super) fn errors(key: &str, node: &Node) -> Option<String> {
    if let Some(line) = errors_of(key, node) {
        return Some(line);
    }
    if let Value::Map(entries) = &node.value
        && !entries.iter().all(|entry| matches!(limit(&entry.node), Some((_, _)) if is_limit(&entry.key)))
    {
        return None;
    }
    let (is_most, value) = limit(node)?;
    let is_most = is_most.unwrap_or(true);
    match value.parse::<u64>() {
        Ok(count) => Some(format!("errors: {{any: {{{}: {count}}}}}", if is_most { "max" } else { "min" })),
        Err(_) => line_of_comparison("errors", is_most, &value),
    }
}

/// A percentile of the times to the first token.
pub(super) fn first_token(_: &str, node: &Node) -> Option<String> {
    percentile("time_to_first_token", node)
}

/// A percentile of the times between tokens.
pub(super) fn between_tokens(_: &str, node: &Node) -> Option<String> {
    percentile("inter_token_latency", node)
}

/// A time to recover.
pub(super) fn recovery(_: &str, node: &Node) -> Option<String> {
    Some(format!("recovery_time: {{max: {}}}", time(&limit(node)?.1)?))
}

/// Restarts of pods.
pub(super) fn restarts(_: &str, node: &Node) -> Option<String> {
    Some(format!("pods: {{restarts: {{max: {}}}}}", limit(node)?.1.parse::<u64>().ok()?))
}

/// What a fault must change: fewer successes.
pub(super) fn effect(key: &str, node: &Node) -> Option<String> {
    if key == "success_rate" && matches!(node.value, Value::Map(_)) {
        return None;
    }
    let (_, value) = limit(node)?;
    let value = if FAILURES.contains(&key) { complement(&value) } else { percent(&value) }?;
    Some(format!("success_rate: {{max: {value}}}"))
}

/// A fault under another name, with as much of the guess as has a place.
pub(super) fn fault(key: &str, node: &Node) -> Option<String> {
    let (kind, setting, words, usual): (&str, &str, &[&str], &str) = match key {
        _ if DELAYS.contains(&key) => ("netem", "delay", &["delay", "latency", "time", "value"], "100ms"),
        _ if LOSSES.contains(&key) => ("netem", "loss", &["loss", "percent", "percentage", "value"], "20%"),
        _ if BANDWIDTHS.contains(&key) => ("netem", "bandwidth", &["bandwidth", "rate", "limit", "value"], "1Mbit/s"),
        _ if KILLS.contains(&key) => ("pod_kill", "", &[], ""),
        _ if CPU.contains(&key) => {
            ("stress", "cpu", &["cpu", "load", "percent", "value", "workers"], "{workers: 1, load: 80%}")
        }
        _ if MEMORY.contains(&key) => ("stress", "memory", &["memory", "size", "value"], "256MiB"),
        _ if CUTS.contains(&key) => ("partition", "from", &["from", "to", "peers", "service"], "postgres"),
        _ => return None,
    };
    let entry = |words: &[&str]| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| words.contains(&folded(&entry.key).as_str())),
        _ => None,
    };
    let pods = entry(&["pods", "targets", "target", "selector", "select", "labels", "deployment", "name"]);
    let keys = ["name", "prefix", "labels", "owner", "namespace", "count", "percent"];
    let selects: Vec<String> = match &node.value {
        Value::Map(entries) => entries
            .iter()
            .filter(|it| keys.contains(&it.key.as_str()))
            .map(|it| format!("{}: {}", it.key, flow(&it.node)))
            .collect(),
        _ => Vec::new(),
    };
    let pods = match pods {
        // A selector without its key.
        _ if entry(&["prefix", "owner"]).is_some() => format!("{{{}}}", selects.join(", ")),
        Some(entry) if entry.key == "labels" => format!("{{{}}}", selects.join(", ")),
        _ if entry(NAMING).is_some() => some_pods("pods", &without(node, words)),
        Some(entry) => some_pods(&folded(&entry.key), &entry.node),
        None if setting.is_empty() && text_of(node).is_some() => one_of(key, some_pods("pods", node)),
        None => SOME_PODS.to_owned(),
    };
    let mut parts = vec![format!("pods: {pods}")];
    if kind == "netem" {
        parts.extend(entry(&["to"]).map(|peers| format!("to: {}", flow(&peers.node))));
    }
    if !setting.is_empty() {
        let given = match &node.value {
            Value::Map(_) => entry(words).map(|entry| &entry.node),
            Value::Null => None,
            _ => Some(node),
        };
        let value = given.and_then(|it| written(setting, it)).unwrap_or_else(|| usual.to_owned());
        parts.push(format!("{setting}: {value}"));
    }
    parts.extend(entry(&["after"]).map(|it| format!("after: {}", flow(&it.node))));
    if kind != "pod_kill" {
        parts.extend(entry(&["for", "duration"]).map(|it| format!("for: {}", flow(&it.node))));
    }
    Some(format!("{kind}: {{{}}}", parts.join(", ")))
}

/// One pod of those, for a word that means one.
fn one_of(key: &str, pods: String) -> String {
    match pods.strip_suffix('}') {
        Some(selects) if !key.contains("pods") => format!("{selects}, count: 1}}"),
        _ => pods,
    }
}

/// A map without what is no selector.
fn without(node: &Node, words: &[&str]) -> Node {
    let Value::Map(entries) = &node.value else { return node.clone() };
    let others = ["after", "for", "duration", "to"];
    let is_select = |it: &&crate::source::Entry| {
        let key = folded(&it.key);
        !words.contains(&key.as_str()) && !others.contains(&key.as_str())
    };
    Node { span: node.span, value: Value::Map(entries.iter().filter(is_select).cloned().collect()) }
}

/// A bandwidth under another name. Without a unit that is known here, a usual one.
pub(super) fn bandwidth(_: &str, node: &Node) -> Option<String> {
    let value = written("bandwidth", node).unwrap_or_else(|| "1Mbit/s".to_owned());
    Some(format!("bandwidth: {value}"))
}

/// The other end of a link: a service by its name, or pods.
pub(super) fn peer(node: &Node) -> String {
    match (&node.value, text_of(node)) {
        (Value::Map(entries), _) => {
            let is_peer =
                entries.iter().any(|entry| matches!(entry.key.as_str(), "service" | "pods" | "cidr" | "host"));
            if is_peer { format!("[{}]", flow(node)) } else { format!("[{{pods: {}}}]", some_pods("pods", node)) }
        }
        (_, Some(text)) if text.contains(['=', '/']) => format!("[{{pods: {}}}]", some_pods("pods", node)),
        (_, Some(text)) => quoted(text),
        (_, None) => "postgres".to_owned(),
    }
}

/// A setting of a fault as it is written here; none where it is not one.
fn written(setting: &str, node: &Node) -> Option<String> {
    let text = flow(node);
    match setting {
        "delay" => time(&text),
        "loss" => percent(&text),
        "cpu" => processors(node),
        "memory" => text.parse::<crate::units::Size>().ok().map(|_| text),
        "bandwidth" => text.parse::<crate::units::Bandwidth>().ok().map(|_| text),
        _ => Some(text),
    }
}

/// `{workers: 1, load: 80%}` of `80%`, and `{workers: 2}` of `2`.
fn processors(node: &Node) -> Option<String> {
    match &node.value {
        Value::Int(workers) if (1..=1024).contains(workers) => Some(format!("{{workers: {workers}}}")),
        Value::Map(_) => Some(flow(node)),
        _ => {
            let text = limit(node)?.1;
            text.ends_with('%').then(|| percent(&text)).flatten().map(|load| format!("{{workers: 1, load: {load}}}"))
        }
    }
}

/// `cpu: 80%` of a stress.
pub(super) fn cpu(_: &str, node: &Node) -> Option<String> {
    (!matches!(node.value, Value::Map(_))).then(|| processors(node)).flatten().map(|it| format!("cpu: {it}"))
}

/// A selector of a word, a list of labels or a map.
pub(super) fn some_pods(key: &str, node: &Node) -> String {
    match (key, &node.value) {
        ("labels", _) => format!("{{labels: {}}}", flow(node)),
        ("name" | "deployment", _) if text_of(node).is_some() => format!("{{owner: deployment/{}}}", flow(node)),
        (_, Value::Map(entries)) => {
            let one = |entry: &crate::source::Entry| {
                let key = folded(&entry.key);
                if LABELS.contains(&key.as_str()) {
                    return format!("labels: {}", flow(&entry.node));
                }
                let owner = WORKLOADS.contains(&key.as_str()).then(|| owner(&key, &entry.node)).flatten();
                owner.unwrap_or_else(|| format!("{}: {}", entry.key, flow(&entry.node)))
            };
            // Other keys are labels without the key `labels`.
            let is_select = |entry: &&crate::source::Entry| {
                let key = folded(&entry.key);
                SELECTS.contains(&entry.key.as_str())
                    || WORKLOADS.contains(&key.as_str())
                    || LABELS.contains(&key.as_str())
            };
            let (selects, labels): (Vec<_>, Vec<_>) = entries.iter().partition(is_select);
            let mut parts: Vec<String> = selects.into_iter().map(one).collect();
            if !labels.is_empty() && !entries.iter().any(|entry| entry.key == "labels") {
                parts.push(format!("labels: {{{}}}", labels.into_iter().map(one).collect::<Vec<_>>().join(", ")));
            }
            format!("{{{}}}", parts.join(", "))
        }
        _ => match text_of(node) {
            Some(text) if text.contains('=') => format!("{{labels: {}}}", quoted(text)),
            Some(text) if text.contains('/') => format!("{{owner: {}}}", quoted(text)),
            Some(text) => format!("{{labels: {{app: {}}}}}", quoted(text)),
            None => SOME_PODS.to_owned(),
        },
    }
}

/// Target pods under another name, or without the way in which they are selected.
pub(super) fn pods(key: &str, node: &Node) -> Option<String> {
    let is_map = matches!(node.value, Value::Map(_));
    (key != "pods" || !is_map).then(|| format!("pods: {}", some_pods(key, node)))
}

/// A part of a selector that is not inside `pods`.
pub(super) fn in_pods(key: &str, node: &Node) -> Option<String> {
    match key {
        "deployment" => Some(format!("pods: {{owner: deployment/{}}}", flow(node))),
        _ => Some(format!("pods: {{{key}: {}}}", flow(node))),
    }
}

/// Faults without a name, as a list, or in the words of other tools.
pub(super) fn faults(_: &str, node: &Node) -> Option<String> {
    let one = |entries: &[crate::source::Entry]| -> Option<(String, String)> {
        let name = entries.iter().find(|it| it.key == "name").and_then(|it| text_of(&it.node));
        if let Some(line) = typed(entries) {
            let name = name.map_or_else(|| line.split(':').next().unwrap_or_default().replace('_', "-"), str::to_owned);
            return Some((name, line));
        }
        let rest: Vec<&crate::source::Entry> = entries.iter().filter(|it| it.key != "name").collect();
        let [entry] = rest.as_slice() else { return None };
        let kind = folded(&entry.key);
        let is_named = |inner: &Node| matches!(&inner.value, Value::Map(inner) if inner.len() == 1 && FaultInfo::of(&inner[0].key).is_some());
        if FaultInfo::of(&kind).is_some() {
            return Some((name.unwrap_or(&kind).replace('_', "-"), format!("{kind}: {}", flow(&entry.node))));
        }
        if is_named(&entry.node) {
            let line = flow(&entry.node);
            return Some((entry.key.clone(), line.trim_start_matches('{').strip_suffix('}')?.to_owned()));
        }
        let line = fault(&kind, &entry.node)?;
        Some((name.unwrap_or(&kind).replace('_', "-"), line))
    };
    let all: Option<Vec<(String, String)>> = match &node.value {
        Value::Map(entries) => one(entries).map(|it| vec![it]),
        Value::Seq(nodes) => nodes
            .iter()
            .map(|it| match &it.value {
                Value::Map(entries) => one(entries),
                _ => None,
            })
            .collect(),
        _ => None,
    };
    let mut names: Vec<String> = Vec::new();
    let mut lines = Vec::new();
    for (name, line) in all.filter(|it| !it.is_empty())? {
        let many = names.iter().filter(|it| **it == name).count();
        let own = if many > 0 { format!("{name}-{}", many + 1) } else { name.clone() };
        lines.push(format!("{}: {{{line}}}", quoted(&own)));
        names.push(name);
    }
    Some(format!("faults: {{{}}}", lines.join(", ")))
}

/// The workload that owns pods.
pub(super) fn owner(key: &str, node: &Node) -> Option<String> {
    let kind = match key {
        "deploy" => "deployment",
        "sts" => "statefulset",
        "ds" => "daemonset",
        "rs" => "replicaset",
        kind => kind,
    };
    text_of(node).map(|name| format!("owner: {}", quoted(&format!("{kind}/{name}"))))
}

/// A number without `/s`.
pub(super) fn rate(key: &str, node: &Node) -> Option<String> {
    if key == "rate" && matches!(node.value, Value::Map(_)) {
        return super::load::ramp(key, node);
    }
    let number: f64 = limit(node)?.1.trim_end_matches(['r', 'p', 's', 'q', '/']).trim().parse().ok()?;
    (number > 0.0).then(|| format!("rate: {}/s", short(number)))
}

/// Stages of k6: the rates that they go to, one after the other.
pub(super) fn stages(_: &str, node: &Node) -> Option<String> {
    let Value::Seq(stages) = &node.value else { return Some("rate: {from: 0/s, to: 20/s, over: 30s}".to_owned()) };
    let get = |node: &Node, key: &str| match &node.value {
        Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| flow(&entry.node)),
        _ => None,
    };
    let of_each: Vec<(String, String)> = stages
        .iter()
        .filter_map(|stage| Some((get(stage, "target").or_else(|| get(stage, "rate"))?, get(stage, "duration")?)))
        .collect();
    match of_each.as_slice() {
        [] => None,
        [(target, lasts)] => Some(format!("rate: {{from: 0/s, to: {target}/s, over: {lasts}}}")),
        [(_, lasts), ..] => {
            let rates: Vec<String> = of_each.iter().map(|(target, _)| format!("{target}/s")).collect();
            Some(format!("rate: {{steps: [{}], each: {lasts}}}", rates.join(", ")))
        }
    }
}

/// Loads without names: a list, or one load alone.
pub(super) fn load(_: &str, node: &Node) -> Option<String> {
    match &node.value {
        Value::Seq(loads) => {
            let named = |(index, load): (usize, &Node)| {
                let Value::Map(entries) = &load.value else { return None };
                let is_name = |entry: &&crate::source::Entry| entry.key == "name";
                let name = entries.iter().find(is_name).and_then(|entry| text_of(&entry.node));
                let name = match (name, index) {
                    (Some(name), _) => quoted(name),
                    (None, 0) => "main".to_owned(),
                    (None, _) => format!("load-{}", index + 1),
                };
                let rest = entries.iter().filter(|entry| entry.key != "name").cloned().collect();
                Some(format!("{name}: {}", flow(&Node { span: load.span, value: Value::Map(rest) })))
            };
            let loads: Option<Vec<String>> = loads.iter().enumerate().map(named).collect();
            loads.map(|loads| format!("load: {{{}}}", loads.join(", ")))
        }
        Value::Map(entries) => {
            let is_kind = |key: &str| LoadKindInfo::of(key).is_some();
            let is_load = |node: &Node, key: &str| match &node.value {
                Value::Map(entries) => entries.iter().any(|entry| entry.key == key),
                _ => false,
            };
            let is_bare = entries
                .iter()
                .any(|entry| is_kind(&entry.key) && (is_load(&entry.node, "service") || is_load(&entry.node, "url")));
            is_bare.then(|| format!("load: {{main: {}}}", flow(node)))
        }
        _ => super::load::whole("load", node),
    }
}

/// A number of pods that is no number: all of them, or a share.
pub(super) fn count(_: &str, node: &Node) -> Option<String> {
    match text_of(node)?.trim() {
        "all" | "ALL" | "*" => Some("remove it: without `count`, all of these pods are meant".to_owned()),
        "one" => Some("count: 1".to_owned()),
        text if text.ends_with('%') => Some(format!("percent: {}", percent(text)?)),
        _ => None,
    }
}

/// A structured body: the text that is sent.
pub(super) fn body(key: &str, node: &Node) -> Option<String> {
    let text = match &node.value {
        Value::Map(_) | Value::Seq(_) => crate::source::json(node.value.clone()).to_string(),
        _ if key != "body" => text_of(node)?.to_owned(),
        _ => return None,
    };
    Some(format!("body: '{}'", text.replace('\'', "''")))
}

/// A path under another name. A whole URL is none.
pub(super) fn path(_: &str, node: &Node) -> Option<String> {
    text_of(node).filter(|text| text.starts_with('/')).map(|text| format!("path: {}", quoted(text)))
}

/// Methods of HTTP as keys.
pub(super) const METHODS: &[&str] = &["get", "post", "put", "patch", "delete", "head"];

/// A method with its path as one entry.
pub(super) fn method(key: &str, node: &Node) -> Option<String> {
    let path = text_of(node).filter(|text| text.starts_with('/'))?;
    Some(format!("method: {}, path: {}", key.to_uppercase(), quoted(path)))
}

/// A table of rows under another name.
pub(super) fn feeder(_: &str, node: &Node) -> Option<String> {
    text_of(node).map(|file| format!("feeder: {{file: {}}}", quoted(file)))
}

/// Expectations under another name: a list, or a map of limits as in k6.
pub(super) fn expect(_: &str, node: &Node) -> Option<String> {
    let Value::Map(entries) = &node.value else { return Some(format!("expect: {}", flow(node))) };
    let one = |entry: &crate::source::Entry| match limits(&folded(&entry.key), &entry.node) {
        Some(line) => format!("{{{line}}}"),
        None => format!("{{{}: {}}}", entry.key, flow(&entry.node)),
    };
    Some(format!("expect: [{}]", entries.iter().map(one).collect::<Vec<_>>().join(", ")))
}
