//! The sandbox's Chaos Mesh against the recordings of a real one: what each object goes through, in which order, and what is
//! said about it.
//!
//! Only the order of what follows from each other is compared. Two pods' daemons, for one, answer in any order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shakedown_fakes::recordings;

use super::harness::Cluster;
use crate::object;
use crate::resource::{NETWORK_CHAOS, POD_CHAOS, Resource, TIME_CHAOS};

/// An event of a watch: the kind, the name and the object, `None` once it is gone.
type Step = (String, String, Option<Value>);

/// What an object goes through, part by part.
#[derive(Debug, Default, PartialEq)]
struct Trace {
    /// When something was there for the first time, in this order. What came with one write is joined by `+`.
    milestones: Vec<String>,
    /// The phases of each end, with how often it was injected and recovered, and the last operation.
    records: BTreeMap<String, Vec<String>>,
    /// The values of each condition.
    conditions: BTreeMap<String, Vec<String>>,
    /// The rules of each end's pod, and whether the daemon has answered for them.
    rules: BTreeMap<String, Vec<String>>,
    /// What was said, by kind.
    events: BTreeSet<String>,
}

fn push(list: &mut Vec<String>, value: String) {
    if list.last() != Some(&value) {
        list.push(value);
    }
}

fn shape(rule: &Value) -> String {
    let keys = rule.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    let keys: BTreeSet<String> = keys
        .map(|(key, value)| match key.as_str() {
            "type" | "ipsetType" | "direction" => format!("{key}={}", value.as_str().unwrap_or_default()),
            _ => key.clone(),
        })
        .collect();
    keys.into_iter().collect::<Vec<_>>().join(",")
}

/// The trace of the resource with this name.
fn trace(steps: &[Step], name: &str) -> Trace {
    let (mut trace, mut seen) = (Trace::default(), BTreeSet::new());
    // Which end a pod is, by its name.
    let mut ends: BTreeMap<String, String> = BTreeMap::new();
    for (_, its, object) in steps {
        let records =
            object.as_ref().filter(|_| its == name).map(|it| object::list(it, "/status/experiment/containerRecords"));
        for record in records.into_iter().flatten() {
            let pod = object::text(record, "/id").split('/').nth(1).unwrap_or_default().to_owned();
            ends.insert(pod, object::text(record, "/selectorKey").to_owned());
        }
    }
    for (kind, its, object) in steps {
        match (kind.as_str(), object) {
            ("Event", Some(event)) => {
                let about = object::text(event, "/involvedObject/kind");
                // A race between two writers, which a single one does not have.
                let race = object::text(event, "/message").starts_with("Failed to update conditions");
                let ours = object::text(event, "/involvedObject/name") == name || about == "PodNetworkChaos";
                if ours && !race {
                    let message = object::text(event, "/message").split(" for ").next().unwrap_or_default().to_owned();
                    trace.events.insert(format!("{about} {}: {message}", object::text(event, "/reason")));
                }
            }
            ("PodNetworkChaos", Some(network)) => {
                let Some(end) = ends.get(its) else { continue };
                let ours = |list: &str| -> String {
                    let rules = object::list(network, &format!("/spec/{list}")).iter();
                    let ours = rules.filter(|rule| object::text(rule, "/source").ends_with(name));
                    format!("{list}[{}]", ours.map(shape).collect::<Vec<_>>().join(" | "))
                };
                let answered = network["status"]["observedGeneration"] == network["metadata"]["generation"];
                let rules = ["ipsets", "iptables", "tcs"].map(ours).join(" ");
                let failed = if object::text(network, "/status/failedMessage").is_empty() { "" } else { " failed" };
                push(trace.rules.entry(end.clone()).or_default(), format!("{rules} answered={answered}{failed}"));
            }
            (_, object) if its == name => step(&mut trace, &mut seen, object.as_ref()),
            _ => {}
        }
    }
    trace
}

/// One event of the resource.
fn step(trace: &mut Trace, seen: &mut BTreeSet<String>, object: Option<&Value>) {
    let mut now = Vec::new();
    let Some(object) = object else {
        trace.milestones.push("gone".to_owned());
        return;
    };
    let records = object::list(object, "/status/experiment/containerRecords");
    let all = |phase: &str| !records.is_empty() && records.iter().all(|record| record["phase"] == phase);
    let condition = |kind: &str| object::condition(object, kind) == Some("True");
    let desired = object::text(object, "/status/experiment/desiredPhase");
    let was = |what: &str| seen.contains(what);
    let facts = [
        ("finalizer", object::has_finalizer(object, "chaos-mesh/records")),
        ("Run", desired == "Run"),
        ("conditions", !object::list(object, "/status/conditions").is_empty()),
        ("records", !records.is_empty()),
        ("all Injected", all("Injected")),
        ("Selected", condition("Selected")),
        ("AllInjected", condition("AllInjected")),
        ("deleted", object::is_terminating(object)),
        ("Stop", desired == "Stop"),
        ("all Injected/Wait", all("Injected/Wait")),
        ("AllInjected ends", was("AllInjected") && !condition("AllInjected")),
        ("all Not Injected", was("Stop") && all("Not Injected")),
    ];
    for (what, is_so) in facts {
        if is_so && !seen.contains(what) {
            now.push(what);
        }
    }
    seen.extend(now.iter().map(|what| (*what).to_owned()));
    if !now.is_empty() {
        trace.milestones.push(now.join(" + "));
    }
    for record in records {
        let last = object::list(record, "/events").last();
        let last = last.map(|it| format!("{} {}", object::text(it, "/operation"), object::text(it, "/type")));
        let counts = format!("{}/{}", record["injectedCount"], record["recoveredCount"]);
        let line = format!("{} {counts} {}", object::text(record, "/phase"), last.unwrap_or_default());
        push(trace.records.entry(object::text(record, "/selectorKey").to_owned()).or_default(), line);
    }
    for it in object::list(object, "/status/conditions") {
        let values = trace.conditions.entry(object::text(it, "/type").to_owned()).or_default();
        push(values, object::text(it, "/status").to_owned());
    }
}

/// A recording, and the name of its first resource.
fn recorded(name: &str) -> (Vec<Step>, String) {
    let events = recordings::read(name);
    let first = events.iter().find(|event| event.name.starts_with("shakedown-") && event.kind != "Event");
    let first = first.expect("a resource").name.clone();
    let steps = events.into_iter().map(|event| {
        let there = (event.change != "DELETED").then_some(event.object);
        (event.kind, event.name, there)
    });
    (steps.collect(), first)
}

/// The same fault in the sandbox: two faults one after the other, as the pods of the recording had had rules before.
async fn played(resource: &'static Resource, spec: Value, goes: bool) -> Vec<Step> {
    let cluster = Cluster::new();
    if resource.kind == "NetworkChaos" && goes {
        let before = with(ends(), json!({"action": "partition", "direction": "both"}));
        cluster.chaos(resource, "before", before);
        cluster.until("it is injected", |c| c.is(resource, "before", "AllInjected")).await;
        cluster.delete(resource, "before");
        cluster.until("it is gone", |c| c.get(resource, "before").is_none()).await;
    }
    let begun = cluster.registry.store.lock().revision();
    cluster.chaos(resource, "shakedown-f", spec);
    match goes {
        true => cluster.until("it is injected", |c| c.is(resource, "shakedown-f", "AllInjected")).await,
        false => cluster.until("it fails", |c| c.said("Failed to apply chaos") > 0).await,
    }
    cluster.settle().await;
    cluster.delete(resource, "shakedown-f");
    match goes {
        true => cluster.until("it is gone", |c| c.get(resource, "shakedown-f").is_none()).await,
        false => cluster.until("it stops", |c| c.desired(resource, "shakedown-f") == "Stop").await,
    }
    cluster.settle().await;
    let (changes, _) = cluster.registry.store.changes_since(begun).unwrap();
    changes
        .into_iter()
        .map(|change| {
            let there = (!change.deleted).then(|| Value::clone(&change.after));
            (change.key.resource.kind.to_owned(), change.key.name.clone(), there)
        })
        .collect()
}

#[track_caller]
fn same(recording: &str, steps: &[Step], fails: bool) {
    let (real, name) = recorded(recording);
    let (mut real, mut ours) = (trace(&real, &name), trace(steps, "shakedown-f"));
    if fails {
        // How often it was tried again until the recording ended depends on the time.
        for trace in [&mut real, &mut ours] {
            trace.rules.values_mut().for_each(Vec::dedup);
        }
    }
    // What a pod's rules were before the fault is not the fault's.
    for trace in [&mut real, &mut ours] {
        for rules in trace.rules.values_mut() {
            while rules.first().is_some_and(|first| first.starts_with("ipsets[] iptables[] tcs[]")) {
                rules.remove(0);
            }
        }
        trace.rules.retain(|_, rules| !rules.is_empty());
    }
    assert_eq!(format!("{ours:#?}"), format!("{real:#?}"), "the sandbox, and the recording `{recording}`");
}

fn ends() -> Value {
    json!({"selector": {"pods": {"a": ["w-0"]}}, "mode": "all", "externalTargets": ["10.96.0.103"],
        "target": {"mode": "all", "selector": {"pods": {"a": ["nats-0"]}}}})
}

fn with(mut spec: Value, fields: Value) -> Value {
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    spec
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_links_goes_as_it_was_recorded() {
    let delay = json!({"action": "netem", "direction": "to", "delay": {"latency": "100ms", "jitter": "50ms"}});
    same("delay", &played(&NETWORK_CHAOS, with(ends(), delay), true).await, false);
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_goes_as_it_was_recorded() {
    let rate = json!({"rate": "100kbit", "limit": 75_700, "buffer": 15_140});
    let spec = with(ends(), json!({"action": "bandwidth", "direction": "to", "bandwidth": rate}));
    same("bandwidth", &played(&NETWORK_CHAOS, spec, true).await, false);
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_both_directions_goes_as_it_was_recorded() {
    let spec = with(ends(), json!({"action": "partition", "direction": "both"}));
    same("cut", &played(&NETWORK_CHAOS, spec, true).await, false);
}

#[tokio::test(start_paused = true)]
async fn a_pod_failure_and_a_skew_go_as_they_were_recorded() {
    let spec = json!({"action": "pod-failure", "selector": {"pods": {"a": ["w-0"]}}});
    same("fail", &played(&POD_CHAOS, spec, true).await, false);
    let spec = json!({"timeOffset": "-10m", "clockIds": ["CLOCK_REALTIME"], "selector": {"pods": {"a": ["w-0"]}}});
    same("skew", &played(&TIME_CHAOS, spec, true).await, false);
}

/// On a node without netem.
#[tokio::test(start_paused = true)]
async fn what_never_succeeds_fails_as_it_was_recorded() {
    let spec =
        json!({"action": "netem", "direction": "to", "loss": {"loss": "150"}, "selector": {"pods": {"a": ["w-0"]}}});
    let steps = played(&NETWORK_CHAOS, spec, false).await;
    let (real, name) = recorded("hostnode");
    let (real, ours) = (trace(&real, &name), trace(&steps, "shakedown-f"));
    assert_eq!(ours.records, real.records);
    assert_eq!((ours.milestones, ours.conditions), (real.milestones, real.conditions));
    assert_eq!(ours.events, real.events);
    let rules = |trace: &BTreeMap<String, Vec<String>>| -> Vec<String> {
        trace["."].iter().map(|it| it.replace("loss", "delay")).collect()
    };
    assert_eq!(rules(&ours.rules), rules(&real.rules));
}
