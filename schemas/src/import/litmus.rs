//! A `ChaosEngine` of Litmus (`litmuschaos.io/v1alpha1`) with experiments of its chart for Kubernetes.

use std::time::Duration;

use super::draft::{Draft, Fault, Out, Request};
use super::read::{Fields, Notes};
use super::values;
use crate::source::Node;

/// What configures Litmus itself.
const OWN: [&str; 15] = [
    "CONTAINER_RUNTIME",
    "SOCKET_PATH",
    "LIB",
    "LIB_IMAGE",
    "TC_IMAGE",
    "STRESS_IMAGE",
    "SEQUENCE",
    "CHAOS_NAMESPACE",
    "DEFAULT_HEALTH_CHECK",
    "SET_HELPER_DATA",
    "INSTANCE_ID",
    "PROXY_PORT",
    "NETWORK_INTERFACE_NAME",
    "SIGNAL",
    "CHAOS_KILL_COMMAND",
];

/// Adds an engine: its experiments run one after the other, each in a phase.
pub(super) fn engine(fields: &Fields, draft: &mut Draft, notes: &mut Notes) {
    fields.ignore(&["apiVersion", "kind", "status"]);
    let metadata = fields.map("metadata");
    let own = metadata.as_ref().and_then(|it| it.text("namespace"));
    draft.name = draft.name.take().or_else(|| metadata.as_ref()?.text("name"));
    let Some(spec) = fields.map("spec") else { return };
    spec.ignore(&[
        "chaosServiceAccount",
        "annotationCheck",
        "jobCleanUpPolicy",
        "components",
        "auxiliaryAppInfo",
        "terminationGracePeriodSeconds",
    ]);
    if let (Some(state), Some(node)) = (spec.text("engineState").filter(|it| it != "active"), spec.node("engineState"))
    {
        notes.at(node, format!("`engineState: {state}` is not carried over: the scenario runs when it is started"));
    }
    let application = spec.map("appinfo");
    let of = |key: &str| application.as_ref().and_then(|it| it.text(key));
    let target = Target { labels: of("applabel"), namespace: of("appns").or(own) };
    of("appkind");
    for node in spec.list("experiments") {
        let Some(it) = Fields::of(node, "experiments.") else { continue };
        let name = it.text("name").unwrap_or_default();
        if kind_of(&name).is_none() {
            notes.at(node, format!("the experiment {name} is not supported: it has no fault that is the same here"));
            continue;
        }
        let Some(inner) = it.map("spec") else {
            notes.at(node, format!("the experiment {name} has no `spec`, and is not carried over"));
            continue;
        };
        let environment = Environment::of(&inner);
        match fault(&name, &target, &environment, node, notes) {
            Some(fault) => {
                environment.finish(notes);
                draft.step(fault);
            }
            None => notes.at(node, format!("the experiment {name} is not carried over")),
        }
        for node in inner.list("probe") {
            if let Some(probe) = Fields::of(node, "probe.") {
                probes(&probe, node, draft, notes);
            }
        }
        inner.ignore(&["components", "rank"]);
        inner.finish(notes);
    }
    spec.finish(notes);
    fields.finish(notes);
}

struct Target {
    /// As `key=value`.
    labels: Option<String>,
    namespace: Option<String>,
}

/// The variables of an experiment, which configure it.
struct Environment<'a> {
    all: Vec<(String, String, &'a Node)>,
    read: std::cell::RefCell<Vec<String>>,
}

impl<'a> Environment<'a> {
    fn of(spec: &Fields<'a>) -> Self {
        let components = spec.map("components");
        let list = components.map(|it| it.list("env")).unwrap_or_default();
        let entry = |node: &'a Node| {
            let it = Fields::of(node, "env.")?;
            Some((it.text("name")?, it.text("value")?, node))
        };
        Self { all: list.iter().filter_map(entry).collect(), read: std::cell::RefCell::default() }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.read.borrow_mut().push(name.to_owned());
        self.all.iter().find(|(it, ..)| it == name).map(|(_, value, _)| value.clone())
    }

    fn list(&self, name: &str) -> Vec<String> {
        let text = self.get(name).unwrap_or_default();
        let text = text.trim_matches(['[', ']']);
        text.split(',').map(|it| it.trim().trim_matches('"').to_owned()).filter(|it| !it.is_empty()).collect()
    }

    fn finish(&self, notes: &mut Notes) {
        for (name, value, node) in &self.all {
            if !OWN.contains(&name.as_str()) && !self.read.borrow().contains(name) {
                notes.at(node, format!("{name}={value} is not carried over"));
            }
        }
    }
}

fn pods(target: &Target, it: &Environment, node: &Node, notes: &mut Notes) -> Option<Out> {
    let mut pods = Vec::new();
    let named = it.list("TARGET_PODS");
    if named.len() > 1 {
        notes.at(node, format!("a fault takes one pod by name: of TARGET_PODS only {} is carried over", named[0]));
    }
    match named.first() {
        Some(name) => pods.push(("name".to_owned(), Out::text(name))),
        None => pods.push(("labels".to_owned(), Out::Text(target.labels.clone()?))),
    }
    pods.extend(target.namespace.clone().map(|it| ("namespace".to_owned(), Out::Text(it))));
    if !pods.iter().any(|(key, _)| key == "name") {
        pods.push(match it.get("PODS_AFFECTED_PERC").filter(|it| it != "0") {
            Some(share) => values::amount(&share, true, Some(node), notes),
            None => ("count".to_owned(), Out::plain("1".to_owned())),
        });
    }
    Some(Out::Map(pods))
}

/// The kind of the fault that an experiment is here.
fn kind_of(name: &str) -> Option<&'static str> {
    Some(match name {
        "pod-delete" => "pod_kill",
        "container-kill" => "container_kill",
        "pod-network-partition" => "partition",
        "pod-dns-error" => "dns",
        _ if name.starts_with("pod-network-") => "netem",
        "pod-cpu-hog" | "pod-memory-hog" => "stress",
        "pod-http-latency" | "pod-http-status-code" | "pod-http-reset-peer" => "http",
        _ => return None,
    })
}

fn fault(name: &str, target: &Target, it: &Environment, node: &Node, notes: &mut Notes) -> Option<Fault> {
    let Some(pods) = pods(target, it, node, notes) else {
        notes.at(node, format!("{name} has no target: neither `appinfo.applabel` nor TARGET_PODS"));
        return None;
    };
    let percent = |key: &str| it.get(key).map(|text| values::percent(&text));
    let milliseconds = |key: &str| it.get(key).filter(|text| text != "0").map(|text| format!("{text}ms"));
    let lasts = it.get("TOTAL_CHAOS_DURATION").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let kind = kind_of(name)?;
    let mut fault = Fault::new(name, kind, pods);
    match name {
        "pod-delete" => {
            let forced = it.get("FORCE").is_some_and(|it| it == "true");
            fault.set_text("grace_period", forced.then(|| "0s".to_owned()));
            repeats(it, lasts, node, notes);
        }
        "container-kill" => {
            let Some(container) = it.get("TARGET_CONTAINER") else {
                notes.at(node, "TARGET_CONTAINER is empty: a scenario names the container to kill");
                return None;
            };
            fault.set("containers", Some(Out::List(vec![Out::Text(container)])));
            repeats(it, lasts, node, notes);
        }
        "pod-network-latency" => {
            fault.set_text("delay", milliseconds("NETWORK_LATENCY").or_else(|| Some("2000ms".to_owned())));
            fault.set_text("jitter", milliseconds("JITTER"));
        }
        "pod-network-loss" => fault.set_text("loss", percent("NETWORK_PACKET_LOSS_PERCENTAGE")),
        "pod-network-corruption" => fault.set_text("corrupt", percent("NETWORK_PACKET_CORRUPTION_PERCENTAGE")),
        "pod-network-duplication" => fault.set_text("duplicate", percent("NETWORK_PACKET_DUPLICATION_PERCENTAGE")),
        "pod-network-rate-limit" => {
            fault.set_text("bandwidth", it.get("NETWORK_BANDWIDTH").and_then(|rate| values::bandwidth(&rate)));
        }
        "pod-network-partition" => partition(&mut fault, it, target, node, notes),
        "pod-cpu-hog" => {
            let workers = Out::plain(it.get("CPU_CORES").filter(|it| it != "0").unwrap_or_else(|| "1".to_owned()));
            let mut cpu = vec![("workers".to_owned(), workers)];
            cpu.extend(it.get("CPU_LOAD").map(|load| ("load".to_owned(), Out::Text(values::percent(&load)))));
            fault.set("cpu", Some(Out::Map(cpu)));
        }
        "pod-memory-hog" => {
            let size = it.get("MEMORY_CONSUMPTION").unwrap_or_else(|| "500".to_owned());
            fault.set("memory", Some(Out::map([("size", Out::Text(format!("{size}MB")))])));
        }
        "pod-dns-error" => {
            let names = it.list("TARGET_HOSTNAMES");
            fault.set("patterns", (!names.is_empty()).then(|| Out::List(names.into_iter().map(Out::Text).collect())));
        }
        _ => {
            fault.set("port", Some(Out::plain(it.get("TARGET_SERVICE_PORT").unwrap_or_else(|| "80".to_owned()))));
            match name {
                "pod-http-latency" => fault.set_text("delay", milliseconds("LATENCY")),
                "pod-http-status-code" => {
                    fault.set("status", Some(Out::plain(it.get("STATUS_CODE").unwrap_or_else(|| "500".to_owned()))));
                }
                _ => fault.set("abort", Some(Out::plain("true".to_owned()))),
            }
        }
    }
    if kind == "netem" {
        peers(&mut fault, it, "to");
        fault.set_text("device", it.get("NETWORK_INTERFACE"));
    } else if matches!(kind, "stress") {
        fault.set("containers", it.get("TARGET_CONTAINER").map(|name| Out::List(vec![Out::Text(name)])));
    } else {
        it.get("TARGET_CONTAINER");
    }
    fault.lasts = lasts.filter(|_| !fault.is_once());
    Some(fault)
}

/// Litmus repeats a kill until its time is over.
fn repeats(it: &Environment, lasts: Option<Duration>, node: &Node, notes: &mut Notes) {
    it.get("RANDOMNESS");
    let interval = it.get("CHAOS_INTERVAL").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    if let (Some(interval), Some(lasts)) = (interval, lasts)
        && interval < lasts
    {
        notes.at(node, format!("a kill happens once in a phase; Litmus repeats it every {} s", interval.as_secs()));
    }
}

/// The addresses and names at the other end.
fn peers(fault: &mut Fault, it: &Environment, key: &str) {
    let mut peers: Vec<Out> = it.list("DESTINATION_IPS").iter().map(|target| values::external(target)).collect();
    peers.extend(it.list("DESTINATION_HOSTS").iter().map(|target| values::external(target)));
    fault.set(key, (!peers.is_empty()).then_some(Out::List(peers)));
}

/// A partition is a NetworkPolicy there too. Without a peer it cuts everything.
fn partition(fault: &mut Fault, it: &Environment, target: &Target, node: &Node, notes: &mut Notes) {
    peers(fault, it, "from");
    if !fault.body.iter().any(|(key, _)| key == "from") {
        let selector = it.get("POD_SELECTOR");
        let peer = match selector {
            Some(labels) => {
                let namespace = target.namespace.clone().map(|it| ("namespace".to_owned(), Out::Text(it)));
                let pods = [("labels".to_owned(), Out::Text(labels))].into_iter().chain(namespace).collect();
                Out::map([("pods", Out::Map(pods))])
            }
            None => {
                notes.at(node, "a partition without a peer cuts off every address");
                Out::map([("cidr", Out::text("0.0.0.0/0"))])
            }
        };
        fault.set("from", Some(Out::List(vec![peer])));
    }
    let types = it.get("POLICY_TYPES").unwrap_or_default();
    let direction = values::sides(types == "ingress", types == "egress");
    fault.set_text("direction", Some(direction.to_owned()));
}

/// An HTTP probe becomes a load.
fn probes(probe: &Fields, node: &Node, draft: &mut Draft, notes: &mut Notes) {
    let name = probe.text("name").unwrap_or_else(|| "probe".to_owned());
    let inputs = probe.map("httpProbe/inputs");
    let url = inputs.as_ref().and_then(|it| it.text("url"));
    let (Some(inputs), Some(url)) = (inputs, url) else {
        notes.at(node, format!("the probe `{name}` is not carried over: an expectation of a phase may ask the same"));
        return;
    };
    let method = inputs.map("method");
    let get = method.as_ref().and_then(|it| it.map("get"));
    let post = method.as_ref().and_then(|it| it.map("post"));
    let way = get.as_ref().or(post.as_ref());
    let equals = way.is_none_or(|it| it.text("criteria").is_none_or(|it| it == "=="));
    let status = way.filter(|_| equals).and_then(|it| it.text("responseCode"));
    if !equals {
        notes.at(
            node,
            format!("the criteria of the probe `{name}` are not carried over: a status from 200 to 299 succeeds"),
        );
    }
    probe.ignore(&["type", "mode"]);
    probe.finish(notes);
    inputs.finish(notes);
    draft.requests.push(Request {
        name,
        url,
        method: post.as_ref().map(|_| "POST".to_owned()),
        headers: Vec::new(),
        body: post.as_ref().and_then(|it| it.text("body")),
        check: status.map(|it| ("status".to_owned(), Out::plain(it))).into_iter().collect(),
        timeout: None,
    });
}
