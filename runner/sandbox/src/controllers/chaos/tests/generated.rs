//! Chaos with a value of a wrong type in every place: what the API accepts stops neither the controller nor the next chaos.

use serde_json::{Value, json};

use super::harness::Cluster;
use super::slow_to_nats;
use crate::controllers::tests::generated::{hostile, places};
use crate::resource::{DNS_CHAOS, HTTP_CHAOS, IO_CHAOS, NETWORK_CHAOS, POD_CHAOS, Resource, STRESS_CHAOS, TIME_CHAOS};

/// Specs that the controller acts on.
fn valid() -> [(&'static Resource, Value); 8] {
    let of = |spec: Value| {
        let mut whole =
            json!({"mode": "fixed", "value": "1", "selector": {"labelSelectors": {"app": "w"}}, "duration": "30s"});
        whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        whole
    };
    [
        (
            &NETWORK_CHAOS,
            of(json!({"action": "netem", "direction": "to", "externalTargets": ["10.0.0.9"],
            "delay": {"latency": "10ms", "jitter": "1ms", "correlation": "0"}, "loss": {"loss": "1", "correlation": "0"},
            "target": {"mode": "all", "selector": {"labelSelectors": {"app": "nats"}}}})),
        ),
        (
            &NETWORK_CHAOS,
            of(json!({"action": "bandwidth", "bandwidth": {"rate": "1mbit", "limit": 20000, "buffer": 10000}})),
        ),
        (&POD_CHAOS, of(json!({"action": "container-kill", "containerNames": ["main"]}))),
        (
            &STRESS_CHAOS,
            of(json!({"stressors": {"cpu": {"workers": 1, "load": 50}, "memory": {"workers": 1, "size": "1MB"}}})),
        ),
        (
            &IO_CHAOS,
            of(
                json!({"action": "fault", "volumePath": "/data", "path": "/data/a", "errno": 5, "percent": 50, "methods": ["READ"]}),
            ),
        ),
        (&DNS_CHAOS, of(json!({"action": "error", "patterns": ["nats.*"]}))),
        (&TIME_CHAOS, of(json!({"timeOffset": "-1m", "clockIds": ["CLOCK_REALTIME"]}))),
        (&HTTP_CHAOS, of(json!({"target": "Request", "port": 80, "path": "*", "abort": true}))),
    ]
}

/// Creates the damaged chaos and a valid one after it. True if the API accepted it, as it must without damage (`what` is its
/// kind).
async fn survives(resource: &'static Resource, spec: &Value, what: &str) -> bool {
    let mut cluster = Cluster::new();
    let created = cluster.try_create(resource, json!({"metadata": {"name": "damaged"}, "spec": spec}));
    let accepted = created.is_ok();
    assert!(accepted || what != resource.kind, "{what}: {created:?}");
    if accepted {
        cluster.chaos(&NETWORK_CHAOS, "slow", slow_to_nats());
        cluster.until(what, |c| c.is(&NETWORK_CHAOS, "slow", "AllInjected")).await;
        cluster.delete(resource, "damaged");
        cluster.delete(&NETWORK_CHAOS, "slow");
        cluster.until(what, |c| c.get(&NETWORK_CHAOS, "slow").is_none()).await;
    }
    assert!(cluster.works(), "{what}: a controller ended");
    accepted
}

#[tokio::test(start_paused = true)]
async fn a_wrong_value_anywhere_stops_neither_the_controller_nor_other_chaos() {
    let (mut tried, mut accepted) = (0, 0);
    for (resource, spec) in valid() {
        survives(resource, &spec, resource.kind).await;
        let mut all = Vec::new();
        places(&spec, "", &mut all);
        for place in all {
            for value in hostile() {
                let mut damaged = spec.clone();
                *damaged.pointer_mut(&place).expect("a place") = value.clone();
                tried += 1;
                accepted += usize::from(
                    survives(resource, &damaged, &format!("{} with {value} at {place}", resource.kind)).await,
                );
            }
        }
    }
    assert!(tried > 500 && accepted > 50 && accepted < tried, "{accepted} of {tried} were accepted");
}
