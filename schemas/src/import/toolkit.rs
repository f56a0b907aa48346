//! Experiments of the Chaos Toolkit, with the extension for Kubernetes. Source: the specification of experiments, version 1.

use std::collections::BTreeMap;
use std::time::Duration;

use super::draft::{Draft, Fault, Out, Request, Step};
use super::read::{Fields, Notes, text};
use super::values;
use crate::source::{Node, Value};

/// Adds an experiment: its HTTP probes become loads, its actions the faults of one phase.
pub(super) fn experiment(fields: &Fields, draft: &mut Draft, notes: &mut Notes) {
    fields.ignore(&["version", "contributions"]);
    draft.name = fields.text("title");
    draft.description = fields.text("description");
    draft.tags = fields.texts("tags");
    let values = configuration(fields);
    if let Some(hypothesis) = fields.map("steady-state-hypothesis") {
        hypothesis.ignore(&["title"]);
        for node in hypothesis.list("probes") {
            if let Some(probe) = Fields::of(node, "probe.") {
                activity(&probe, node, &values, draft, notes);
            }
        }
        hypothesis.finish(notes);
    }
    let mut method = Step { name: "method".to_owned(), faults: Vec::new() };
    let mut at = Duration::ZERO;
    // A pause that nothing follows.
    let mut last = None;
    for node in fields.list("method") {
        let Some(it) = Fields::of(node, "method.") else { continue };
        let pauses = it.map("pauses");
        let pause = |key: &str, notes: &mut Notes| {
            let node = pauses.as_ref().and_then(|it| it.node(key));
            node.and_then(|node| values::seconds(node, notes)).unwrap_or_default()
        };
        at = at.saturating_add(pause("before", notes));
        if let Some(mut fault) = activity(&it, node, &values, draft, notes) {
            fault.after = at;
            method.faults.push(fault);
        }
        let after = pause("after", notes);
        at = at.saturating_add(after);
        last = Some(node).filter(|_| !after.is_zero());
    }
    if let Some(node) = last {
        notes.at(node, "the pause at the end of the method is not carried over: the phase `recovery` follows");
    }
    draft.steps.push(method);
    for node in fields.list("rollbacks") {
        notes.at(node, "a rollback is not needed: every fault is undone, also if the runner dies");
    }
    fields.finish(notes);
}

/// The values of the configuration: constants, and the defaults of environment variables.
fn configuration(fields: &Fields) -> BTreeMap<String, String> {
    let Some(it) = fields.map("configuration") else { return BTreeMap::new() };
    let value = |key: &str| {
        let node = it.node(key)?;
        text(node).or_else(|| Fields::of(node, "")?.text("default"))
    };
    it.keys().into_iter().filter_map(|key| Some((key.to_owned(), value(key)?))).collect()
}

/// Text with the values of the configuration in place of `${name}`.
fn filled(text: String, values: &BTreeMap<String, String>) -> String {
    values.iter().fold(text, |text, (name, value)| text.replace(&format!("${{{name}}}"), value))
}

/// A probe becomes a request, an action a fault. What is neither is noted.
fn activity(
    it: &Fields,
    node: &Node,
    values: &BTreeMap<String, String>,
    draft: &mut Draft,
    notes: &mut Notes,
) -> Option<Fault> {
    it.ignore(&["background"]);
    let name = it.text("name").unwrap_or_else(|| "activity".to_owned());
    let is_probe = it.text("type").as_deref() != Some("action");
    let Some(provider) = it.map("provider") else {
        notes.at(node, format!("`{name}` has no provider"));
        return None;
    };
    let kind = provider.text("type").unwrap_or_default();
    if is_probe {
        match (kind.as_str(), provider.text("url")) {
            ("http", Some(url)) => probe(name, filled(url, values), it, &provider, draft, notes),
            _ => notes.at(
                node,
                format!("the probe `{name}` ({kind}) is not carried over: an expectation of a phase may ask the same"),
            ),
        }
        return None;
    }
    let call = format!("{}.{}", provider.text("module").unwrap_or_default(), provider.text("func").unwrap_or_default());
    let fault = provider.map("arguments").and_then(|arguments| {
        let fault = action(&name, &call, &Arguments { fields: &arguments, values }, notes);
        if fault.is_some() {
            arguments.finish(notes);
        }
        fault
    });
    if fault.is_none() {
        let what = if call == "." { kind } else { call };
        notes.at(node, format!("the action `{name}` ({what}) is not carried over: there is no fault like it"));
    }
    fault
}

fn probe(name: String, url: String, it: &Fields, provider: &Fields, draft: &mut Draft, notes: &mut Notes) {
    let mut check = Vec::new();
    if let Some(node) = it.node("tolerance") {
        match &node.value {
            Value::Int(status) => check.push(("status".to_owned(), Out::plain(status.to_string()))),
            Value::Seq(items) if items.len() != 2 || !is_range(items) => {
                let all = items.iter().filter_map(text).map(Out::plain).collect();
                check.push(("status".to_owned(), Out::List(all)));
            }
            Value::Map(_) => tolerance(node, &mut check, notes),
            _ => notes.at(node, "this tolerance is not carried over"),
        }
    }
    let timeout = provider.node("timeout").and_then(|node| match &node.value {
        Value::Seq(items) => items.last().and_then(|last| values::seconds(last, notes)),
        _ => values::seconds(node, notes),
    });
    draft.requests.push(Request {
        name,
        url,
        method: provider.text("method").map(|it| it.to_uppercase()).filter(|it| it != "GET"),
        headers: provider.pairs("headers"),
        body: None,
        check,
        timeout: timeout.map(|it| crate::units::Duration::from(it).to_string()),
    });
    provider.ignore(&["expected_status"]);
    provider.finish(notes);
}

/// Two numbers are the bounds of a range, unless both are statuses.
fn is_range(items: &[Node]) -> bool {
    !items.iter().filter_map(text).all(|it| it.parse::<u16>().is_ok_and(|it| (100..600).contains(&it)))
}

/// A tolerance with a type: a regular expression or a status in a range.
fn tolerance(node: &Node, check: &mut Vec<(String, Out)>, notes: &mut Notes) {
    let Some(it) = Fields::of(node, "tolerance.") else { return };
    it.ignore(&["target"]);
    match (it.text("type").as_deref(), it.text("pattern")) {
        (Some("regex"), Some(pattern)) => check.push(("matches".to_owned(), Out::Text(pattern))),
        (Some("jsonpath"), _) => {
            let path = it.text("path").unwrap_or_default();
            let mut condition = vec![("path".to_owned(), Out::Text(path))];
            if let Some(value) = it.node("expect").and_then(text) {
                condition.push(("equals".to_owned(), Out::Text(value)));
            }
            check.push(("json".to_owned(), Out::List(vec![Out::Map(condition)])));
        }
        (kind, _) => notes.at(node, format!("a tolerance of the type {} is not carried over", kind.unwrap_or("?"))),
    }
}

struct Arguments<'a, 'b> {
    fields: &'b Fields<'a>,
    values: &'b BTreeMap<String, String>,
}

impl Arguments<'_, '_> {
    fn text(&self, key: &str) -> Option<String> {
        self.fields.text(key).map(|text| filled(text, self.values))
    }

    /// Labels as a map or as text (`a=b,c=d`).
    fn labels(&self, key: &str) -> Option<Out> {
        let pairs = self.fields.pairs(key);
        if pairs.is_empty() { self.text(key).map(Out::Text) } else { Some(Out::pairs(pairs)) }
    }

    fn texts(&self, key: &str) -> Vec<String> {
        self.fields
            .texts(key)
            .into_iter()
            .flat_map(|it| it.split(',').map(|it| it.trim().to_owned()).collect::<Vec<_>>())
            .collect()
    }
}

/// A function of the extension for Kubernetes as a fault.
fn action(name: &str, call: &str, it: &Arguments, notes: &mut Notes) -> Option<Fault> {
    let (module, function) = call.rsplit_once('.')?;
    match module {
        "chaosk8s.pod.actions" if matches!(function, "terminate_pods" | "delete_pods") => kill(name, it, notes),
        "chaosk8s.chaosmesh.network.actions" => network(name, function, it, notes),
        "chaosk8s.chaosmesh.stress.actions" => stress(name, function, it, notes),
        _ => None,
    }
}

fn kill(name: &str, it: &Arguments, notes: &mut Notes) -> Option<Fault> {
    let mut pods = Vec::new();
    pods.extend(it.labels("label_selector").map(|labels| ("labels".to_owned(), labels)));
    pods.extend(it.text("name").map(|name| ("name".to_owned(), Out::Text(name))));
    if let (Some(pattern), Some(node)) = (it.text("name_pattern"), it.fields.node("name_pattern")) {
        match values::prefix(&pattern) {
            Some(prefix) => pods.push(("prefix".to_owned(), Out::Text(prefix))),
            None => notes.at(node, format!("the pattern {pattern} is no prefix of names, and is not carried over")),
        }
    }
    if pods.is_empty() {
        return None;
    }
    pods.push(("namespace".to_owned(), Out::Text(it.text("ns").unwrap_or_else(|| "default".to_owned()))));
    it.fields.ignore(&["rand", "order"]);
    let quantity = it.text("qty").unwrap_or_else(|| "1".to_owned());
    if !it.fields.is_true("all") {
        let is_share = it.text("mode").as_deref() == Some("percentage");
        pods.push(values::amount(&quantity, is_share, it.fields.node("qty"), notes));
    }
    let mut fault = Fault::new(name, "pod_kill", Out::Map(pods));
    fault
        .set_text("grace_period", it.text("grace_period").filter(|it| !it.starts_with('-')).map(|it| format!("{it}s")));
    Some(fault)
}

fn targets(it: &Arguments, notes: &mut Notes) -> Option<Out> {
    let mut pods = vec![("labels".to_owned(), it.labels("label_selectors")?)];
    let namespace = it.texts("namespaces_selectors").into_iter().next().or_else(|| it.text("ns"));
    pods.push(("namespace".to_owned(), Out::Text(namespace.unwrap_or_else(|| "default".to_owned()))));
    let place = it.fields.node("mode_value");
    match (it.text("mode").as_deref(), it.text("mode_value")) {
        (Some("all"), _) => {}
        (Some("fixed"), Some(value)) => pods.push(values::amount(&value, false, place, notes)),
        (Some("fixed-percent"), Some(value)) => pods.push(values::amount(&value, true, place, notes)),
        (Some("random-max-percent"), Some(value)) => {
            pods.push(values::amount(&value, true, place, notes));
            if let Some(node) = it.fields.node("mode") {
                notes.at(node, format!("a random share of up to {0} becomes {0}", values::percent(&value)));
            }
        }
        _ => pods.push(("count".to_owned(), Out::plain("1".to_owned()))),
    }
    it.fields.ignore(&["name"]);
    Some(Out::Map(pods))
}

fn network(name: &str, function: &str, it: &Arguments, notes: &mut Notes) -> Option<Fault> {
    let mut fault = Fault::new(name, "netem", targets(it, notes)?);
    let mut peers = Vec::new();
    if let Some(labels) = it.labels("target_label_selectors") {
        let mut pods = vec![("labels".to_owned(), labels)];
        let namespace = it.texts("target_namespaces_selectors").into_iter().next();
        pods.extend(namespace.map(|it| ("namespace".to_owned(), Out::Text(it))));
        peers.push(Out::map([("pods", Out::Map(pods))]));
        if let (Some(mode), Some(node)) =
            (it.text("target_mode").filter(|it| it != "all"), it.fields.node("target_mode"))
        {
            notes.at(node, format!("a peer is all its pods: the target mode {mode} is not carried over"));
        }
    }
    it.fields.ignore(&["target_mode", "target_mode_value"]);
    peers.extend(it.texts("external_targets").iter().map(|target| values::external(target)));
    let direction = values::direction(it.text("direction").as_deref());
    if !peers.is_empty() {
        fault.set("to", Some(Out::List(peers)));
        fault.set_text("direction", Some(direction.to_owned()));
    }
    let percent = |key: &str| it.text(key).map(|text| values::percent(&text));
    match function {
        "add_latency" => {
            fault.set_text("delay", it.text("latency"));
            fault.set_text("jitter", it.text("jitter"));
        }
        "set_loss" => fault.set_text("loss", percent("loss")),
        "duplicate_packets" => fault.set_text("duplicate", percent("duplicate")),
        "corrupt_packets" => fault.set_text("corrupt", percent("corrupt")),
        "set_bandwidth" => fault.set_text("bandwidth", it.text("rate").and_then(|rate| values::bandwidth(&rate))),
        _ => return None,
    }
    fault.set_text("correlation", percent("correlation"));
    Some(fault)
}

fn stress(name: &str, function: &str, it: &Arguments, notes: &mut Notes) -> Option<Fault> {
    let mut fault = Fault::new(name, "stress", targets(it, notes)?);
    match function {
        "stress_cpu" => {
            let workers = Out::plain(it.text("workers").unwrap_or_else(|| "1".to_owned()));
            let load = Out::Text(values::percent(&it.text("load").unwrap_or_else(|| "100".to_owned())));
            fault.set("cpu", Some(Out::map([("workers", workers), ("load", load)])));
        }
        "stress_memory" => {
            values::memory_workers(it.fields, notes);
            fault.set("memory", Some(Out::map([("size", Out::Text(it.text("size")?))])));
        }
        _ => return None,
    }
    it.fields.ignore(&["direction"]);
    let containers = it.texts("container_names");
    let containers = (!containers.is_empty()).then(|| Out::List(containers.into_iter().map(Out::Text).collect()));
    fault.set("containers", containers);
    fault.lasts = values::duration(&it.text("duration").unwrap_or_else(|| "30s".to_owned()));
    Some(fault)
}
