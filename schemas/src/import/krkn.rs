//! Scenario files of krkn: kills of pods and containers, outages of applications, and chaos in the network of pods.

use std::time::Duration;

use super::draft::{Draft, Fault, Out};
use super::read::{Fields, Notes};
use super::values;
use crate::source::Node;

/// Adds a list of scenarios, each in a phase. False if this is no file of krkn.
pub(super) fn list(items: &[Node], draft: &mut Draft, notes: &mut Notes) -> bool {
    let mut is_ours = false;
    for node in items {
        let Some(it) = Fields::of(node, "") else { continue };
        let Some(id) = it.text("id") else { continue };
        is_ours = true;
        let fault = match id.as_str() {
            "kill-pods" => it.map("config").and_then(|config| {
                let fault = kill(&config, node, notes);
                config.finish(notes);
                fault
            }),
            "pod_network_chaos" => network(&it, notes),
            "pod_network_filter" => filter(&it, notes),
            _ => None,
        };
        match fault {
            Some(fault) => {
                it.finish(notes);
                draft.step(fault);
            }
            None if id.starts_with("node") => {
                notes.at(node, format!("the scenario {id} is not carried over: faults act in pods, not on nodes"));
            }
            None => notes.at(node, format!("the scenario {id} is not carried over")),
        }
    }
    is_ours
}

/// Adds a file that is a map. False if this is no file of krkn.
pub(super) fn map(fields: &Fields, draft: &mut Draft, notes: &mut Notes) -> bool {
    if let Some(it) = fields.map("application_outage") {
        let fault = outage(&it, notes);
        it.finish(notes);
        fields.finish(notes);
        if let Some(fault) = fault {
            draft.step(fault);
        }
        return true;
    }
    if fields.has("scenarios")
        && fields.list("scenarios").iter().any(|node| Fields::of(node, "").is_some_and(|it| it.has("container_name")))
    {
        for node in fields.list("scenarios") {
            let Some(it) = Fields::of(node, "scenarios.") else { continue };
            if let Some(fault) = container(&it, node, notes) {
                it.finish(notes);
                draft.step(fault);
            }
        }
        fields.finish(notes);
        return true;
    }
    let node = ["network_chaos", "hog-type", "time_scenarios", "node_scenarios", "kraken", "service_hijacking"]
        .iter()
        .find_map(|key| fields.node(key));
    if let Some(node) = node {
        notes.at(
            node,
            "this is not carried over: import the file of each scenario, and faults act in pods, not on nodes",
        );
    }
    node.is_some()
}

/// A regular expression of a namespace that means one name.
fn literal(pattern: &str) -> Option<String> {
    let name = pattern.trim_start_matches('^').trim_end_matches('$');
    (!name.contains(['*', '.', '[', '(', '|', '+'])).then(|| name.to_owned())
}

fn selector(it: &Fields, keys: [&str; 2], node: &Node, notes: &mut Notes) -> Option<Vec<(String, Out)>> {
    let [labels, name] = keys;
    let mut pods = Vec::new();
    let text = it.text(labels).filter(|it| !it.starts_with('<'));
    pods.extend(text.map(|text| ("labels".to_owned(), Out::Text(text))));
    let pattern = it.text(name).filter(|it| !it.starts_with('<'));
    if let Some(pattern) = pattern.filter(|it| it != ".*" && it != "^.*$") {
        match (values::prefix(&pattern), name) {
            (Some(name), "target") => pods.push(("name".to_owned(), Out::Text(name))),
            (Some(prefix), _) => pods.push(("prefix".to_owned(), Out::Text(prefix))),
            (None, _) => {
                notes.at(node, format!("the pattern {pattern} is no prefix of names, and is not carried over"))
            }
        }
    }
    if pods.is_empty() {
        notes.at(node, "the pods are not named: give labels or the beginning of their names");
        return None;
    }
    Some(pods)
}

/// The number of pods under a key. One that is named is not counted.
fn count(pods: &mut Vec<(String, Out)>, it: &Fields, key: &str, notes: &mut Notes) {
    let count = it.text(key).unwrap_or_else(|| "1".to_owned());
    if !pods.iter().any(|(key, _)| key == "name") {
        pods.push(values::amount(&count, false, it.node(key), notes));
    }
}

fn namespaced(pods: &mut Vec<(String, Out)>, namespace: Option<String>) {
    pods.extend(namespace.filter(|it| !it.starts_with('<')).map(|it| ("namespace".to_owned(), Out::Text(it))));
}

fn kill(it: &Fields, node: &Node, notes: &mut Notes) -> Option<Fault> {
    let mut pods = selector(it, ["label_selector", "name_pattern"], node, notes)?;
    if let (Some(pattern), Some(node)) = (it.text("namespace_pattern"), it.node("namespace_pattern")) {
        match literal(&pattern) {
            Some(namespace) => namespaced(&mut pods, Some(namespace)),
            None => notes.at(node, format!("a fault acts in one namespace: {pattern} is not carried over")),
        }
    }
    count(&mut pods, it, "kill", notes);
    it.ignore(&["execution"]);
    if let (Some(seconds), Some(node)) = (it.text("krkn_pod_recovery_time"), it.node("krkn_pod_recovery_time")) {
        notes.at(
            node,
            format!("krkn waits {seconds} s for the pods; `recovery_time` of the recovery limits what users feel"),
        );
    }
    Some(Fault::new("kill-pods", "pod_kill", Out::Map(pods)))
}

fn container(it: &Fields, node: &Node, notes: &mut Notes) -> Option<Fault> {
    let mut pods = selector(it, ["label_selector", "pod_names"], node, notes)?;
    namespaced(&mut pods, it.text("namespace"));
    count(&mut pods, it, "count", notes);
    let Some(container) = it.text("container_name") else {
        notes.at(node, "`container_name` is empty: a scenario names the container to kill");
        return None;
    };
    it.ignore(&["action", "retry_wait", "expected_recovery_time"]);
    let name = it.text("name").unwrap_or_else(|| "kill-container".to_owned());
    let mut fault = Fault::new(name, "container_kill", Out::Map(pods));
    fault.set("containers", Some(Out::List(vec![Out::Text(container)])));
    Some(fault)
}

/// A partition names its peers.
const OUTSIDE: &str = "krkn cuts these pods off from everything, also from other pods: only addresses outside the cluster are \
                       carried over, so add the pods and services that the cut is to concern to `from`";

fn outage(it: &Fields, notes: &mut Notes) -> Option<Fault> {
    let node = it.node("pod_selector")?;
    let labels = it.pairs("pod_selector");
    let labels = if labels.is_empty() { it.text("pod_selector").map(Out::Text) } else { Some(Out::pairs(labels)) };
    let Some(labels) = labels else {
        notes.at(node, "an outage of all pods of a namespace is not carried over: name the pods");
        return None;
    };
    let mut pods = vec![("labels".to_owned(), labels)];
    namespaced(&mut pods, it.text("namespace"));
    let blocked: Vec<String> = it.texts("block").iter().map(|it| it.to_lowercase()).collect();
    let has = |word: &str| blocked.iter().any(|it| it == word);
    let direction = values::sides(has("ingress"), has("egress"));
    let mut fault = Fault::new("application-outage", "partition", Out::Map(pods));
    notes.at(node, OUTSIDE);
    fault.set("from", Some(Out::List(vec![Out::map([("cidr", Out::text("0.0.0.0/0"))])])));
    fault.set_text("direction", Some(direction.to_owned()));
    fault.lasts = it.node("duration").and_then(|node| values::seconds(node, notes));
    Some(fault)
}

/// What both kinds of chaos in the network of pods share.
fn of_pods(it: &Fields, kind: &'static str, notes: &mut Notes) -> Option<Fault> {
    let node = it.node("id")?;
    let mut pods = selector(it, ["label_selector", "target"], node, notes)?;
    namespaced(&mut pods, it.text("namespace"));
    count(&mut pods, it, "instance_count", notes);
    it.ignore(&["image", "wait_duration", "service_account", "taints", "execution"]);
    let mut fault = Fault::new(it.text("id")?, kind, Out::Map(pods));
    fault.lasts = it.node("test_duration").and_then(|node| values::seconds(node, notes));
    Some(fault)
}

fn network(it: &Fields, notes: &mut Notes) -> Option<Fault> {
    let mut fault = of_pods(it, "netem", notes)?;
    it.ignore(&["egress"]);
    if let (true, Some(node)) = (it.is_true("ingress"), it.node("ingress")) {
        notes.at(node, "without a peer only what the pods send is degraded: `ingress` is not carried over");
    }
    fault.set_text("delay", it.text("latency").filter(|it| !values::is_zero(it)));
    fault.set_text("loss", it.text("loss").filter(|it| it != "0").map(|it| values::percent(&it)));
    fault.set_text("bandwidth", it.text("bandwidth").and_then(|rate| values::bandwidth(&rate)));
    (fault.body.len() > 1).then_some(fault)
}

fn filter(it: &Fields, notes: &mut Notes) -> Option<Fault> {
    let mut fault = of_pods(it, "partition", notes)?;
    if let Some(node) = it.node("id") {
        notes.at(node, OUTSIDE);
    }
    let (ports, protocols) = (it.texts("ports"), it.texts("protocols"));
    let protocols = if protocols.is_empty() { vec!["tcp".to_owned()] } else { protocols };
    let ports =
        ports.iter().flat_map(|port| protocols.iter().map(move |protocol| Out::Text(format!("{port}/{protocol}"))));
    let peer = Out::map([("cidr", Out::text("0.0.0.0/0")), ("ports", Out::List(ports.collect()))]);
    fault.set("from", Some(Out::List(vec![peer])));
    let direction = values::sides(it.is_true("ingress"), it.is_true("egress"));
    fault.set_text("direction", Some(direction.to_owned()));
    fault.lasts = fault.lasts.or(Some(Duration::from_secs(60)));
    Some(fault)
}
