//! The sandbox's Chaos Mesh against the recordings of a real one: what each object goes through, in which order, and what is
//! said about it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shakedown_fakes::recordings::{self, Recorded, Trace};

use super::harness::Cluster;
use crate::mesh::lacks::LACKS;
use crate::net::Ailment;
use crate::resource::{DNS_CHAOS, NETWORK_CHAOS, NODES, POD_CHAOS, Resource, TIME_CHAOS};

/// A recording, and the name of its first resource.
fn recorded(name: &str) -> (Vec<Recorded>, String) {
    let events = recordings::read(name);
    let first = recordings::first(&events).expect("a resource").name.clone();
    (events, first)
}

/// The same fault in the sandbox: two faults one after the other, as the pods of the recording had had rules before.
async fn played(resource: &'static Resource, spec: Value, goes: bool) -> Vec<Recorded> {
    played_on(&Cluster::new(), resource, spec, goes).await
}

async fn played_on(cluster: &Cluster, resource: &'static Resource, spec: Value, goes: bool) -> Vec<Recorded> {
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
        // What a target waits for has to succeed first. Nothing else is recovered.
        false if resource.kind != "NetworkChaos" => {
            cluster.until("it is gone", |c| c.get(resource, "shakedown-f").is_none()).await;
        }
        false => cluster.until("it stops", |c| c.desired(resource, "shakedown-f") == "Stop").await,
    }
    cluster.settle().await;
    let (changes, _) = cluster.registry.store.changes_since(begun).unwrap();
    changes
        .into_iter()
        .map(|change| Recorded {
            change: if change.deleted { "DELETED" } else { "MODIFIED" }.to_owned(),
            kind: change.key.resource.kind.to_owned(),
            name: change.key.name.clone(),
            object: Value::clone(&change.after),
        })
        .collect()
}

#[track_caller]
fn same(recording: &str, steps: &[Recorded]) {
    let (real, name) = recorded(recording);
    let (real, ours) = (Trace::of(&real, &name).since_the_fault(), Trace::of(steps, "shakedown-f").since_the_fault());
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
    same("delay", &played(&NETWORK_CHAOS, with(ends(), delay), true).await);
}

#[tokio::test(start_paused = true)]
async fn a_bandwidth_goes_as_it_was_recorded() {
    let rate = json!({"rate": "100kbit", "limit": 75_700, "buffer": 15_140});
    let spec = with(ends(), json!({"action": "bandwidth", "direction": "to", "bandwidth": rate}));
    same("bandwidth", &played(&NETWORK_CHAOS, spec, true).await);
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_both_directions_goes_as_it_was_recorded() {
    let spec = with(ends(), json!({"action": "partition", "direction": "both"}));
    same("cut", &played(&NETWORK_CHAOS, spec, true).await);
}

#[tokio::test(start_paused = true)]
async fn a_pod_failure_and_a_skew_go_as_they_were_recorded() {
    let spec = json!({"action": "pod-failure", "selector": {"pods": {"a": ["w-0"]}}});
    same("fail", &played(&POD_CHAOS, spec, true).await);
    let spec = json!({"timeOffset": "-10m", "clockIds": ["CLOCK_REALTIME"], "selector": {"pods": {"a": ["w-0"]}}});
    same("skew", &played(&TIME_CHAOS, spec, true).await);
}

/// In a container without `sed`, the second step fails. The rule of the first stays, although the object goes as if nothing had
/// been done.
#[tokio::test(start_paused = true)]
async fn a_dns_fault_leaves_its_rule_as_it_was_recorded() {
    let spec = json!({"action": "error", "patterns": ["*"], "selector": {"pods": {"a": ["w-0"]}}});
    same("dns", &played(&DNS_CHAOS, spec.clone(), true).await);
    for (own_server, left) in [(false, 0), (true, 1)] {
        let policy = if own_server { "None" } else { "ClusterFirst" };
        let cluster = Cluster::with(&json!({"nodeName": "node-1", "dnsPolicy": policy}));
        cluster.create(&NODES, json!({"metadata": {"name": "node-1", "annotations": {LACKS: "sed"}}}));
        same("dnshalf", &played_on(&cluster, &DNS_CHAOS, spec.clone(), false).await);
        let ailments = cluster.links.ailments().of(cluster.ip("w-0"));
        assert_eq!(ailments.iter().filter(|it| matches!(it, Ailment::Names { .. })).count(), left);
    }
}

/// On a node without netem.
#[tokio::test(start_paused = true)]
async fn what_never_succeeds_fails_as_it_was_recorded() {
    let spec =
        json!({"action": "netem", "direction": "to", "loss": {"loss": "150"}, "selector": {"pods": {"a": ["w-0"]}}});
    let steps = played(&NETWORK_CHAOS, spec, false).await;
    let (real, name) = recorded("hostnode");
    let (real, ours) = (Trace::of(&real, &name), Trace::of(&steps, "shakedown-f"));
    assert_eq!(ours.records, real.records);
    assert_eq!((ours.milestones, ours.conditions), (real.milestones, real.conditions));
    assert_eq!(ours.events, real.events);
    let rules = |rules: &BTreeMap<String, Vec<String>>| -> Vec<String> {
        rules["."].iter().map(|it| it.replace("loss", "delay")).collect()
    };
    assert_eq!(rules(&ours.rules), rules(&real.rules));
}
