//! Objects with a value of a wrong type in every place. The API refuses what a real server refuses; for the others no controller
//! panics, and none neglects the objects next to the damaged one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Cluster, fuse, policy, workload};
use crate::object;
use crate::registry::WriteOptions;
use crate::resource::{
    CONFIGMAPS, DEPLOYMENTS, JOBS, NETWORK_POLICIES, PODS, REPLICA_SETS, Resource, SERVICES, STATEFUL_SETS,
};

/// Valid objects with everything that a controller reads.
fn valid() -> Vec<(&'static Resource, Value)> {
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gone", "uid": "u"}});
    let references = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "u",
        "controller": true, "blockOwnerDeletion": true}]);
    let mut job = fuse(40);
    job["metadata"]["name"] = "job".into();
    job["status"] = json!({"startTime": "2026-01-01T00:00:00Z", "conditions": [{"type": "Failed", "status": "False"}]});
    let mut set = workload(1);
    set["metadata"]["name"] = "set".into();
    set["spec"]["serviceName"] = "web".into();
    let mut replicas = workload(1);
    replicas["metadata"]["name"] = "replicas".into();
    vec![
        (
            &CONFIGMAPS,
            json!({"metadata": {"name": "map", "labels": {"a": "b"}, "annotations": {"a": "b"},
            "finalizers": ["example.com/hold"], "ownerReferences": references}, "data": {"a": "b"}}),
        ),
        (&JOBS, job),
        (&DEPLOYMENTS, workload(1)),
        (&STATEFUL_SETS, set),
        (&REPLICA_SETS, replicas),
        (
            &SERVICES,
            json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}}),
        ),
        (
            &PODS,
            json!({"metadata": {"name": "alone", "labels": {"app": "web"}, "ownerReferences": references},
            "spec": {"containers": [{"name": "web", "image": "none", "ports": [{"name": "http", "containerPort": 8080}]}],
                "terminationGracePeriodSeconds": 1},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}}),
        ),
        (&NETWORK_POLICIES, {
            let mut policy = policy(&owner);
            policy["metadata"]["name"] = "other".into();
            policy
        }),
    ]
}

/// Every place in a value, as JSON pointers.
pub(in crate::controllers) fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => items.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    for (key, value) in inner {
        let at = format!("{at}/{key}");
        places(value, &at, all);
        all.push(at);
    }
}

/// Values of every type.
pub(in crate::controllers) fn hostile() -> [Value; 9] {
    [
        Value::Null,
        true.into(),
        (-1).into(),
        i64::MAX.into(),
        1e300.into(),
        "".into(),
        "\u{0}/%{{ n }}".into(),
        json!([[], {}]),
        json!({"a": [1], "": {}}),
    ]
}

/// Creates the damaged object next to a fuse. True if the API accepted it.
async fn survives(resource: &'static Resource, damaged: &Value, what: &str) -> bool {
    let mut cluster = Cluster::new();
    let mut object = damaged.clone();
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.into();
    let accepted = cluster.registry.create(resource, "a", object, WriteOptions::default()).is_ok();
    if accepted {
        cluster.settle().await;
        let began = Instant::now();
        let job = cluster.create(&JOBS, fuse(30));
        cluster.create(&NETWORK_POLICIES, policy(&job));
        cluster.until(what, |c| c.get(&NETWORK_POLICIES, "cut").is_none()).await;
        assert!(began.elapsed() < Duration::from_secs(31), "{what}: the fuse took {:?}", began.elapsed());
        if cluster.get(resource, object::name(damaged)).is_some() {
            cluster.delete(resource, object::name(damaged), None);
            cluster.settle().await;
        }
    }
    let ended = cluster._tasks.try_join_next();
    assert!(ended.is_none(), "{what}: a controller ended: {ended:?}");
    accepted
}

#[tokio::test(start_paused = true)]
async fn a_wrong_value_anywhere_stops_no_controller() {
    let (mut tried, mut accepted) = (0, 0);
    for (resource, object) in valid() {
        assert!(survives(resource, &object, resource.kind).await, "{} is valid", resource.kind);
        let mut all = Vec::new();
        places(&object, "", &mut all);
        for place in all.iter().filter(|place| *place != "/metadata/name" && *place != "/metadata") {
            for value in hostile() {
                let mut damaged = object.clone();
                *damaged.pointer_mut(place).expect("a place") = value.clone();
                tried += 1;
                let what = format!("{} with {value} at {place}", resource.kind);
                accepted += usize::from(survives(resource, &damaged, &what).await);
            }
        }
    }
    assert!(tried > 1000 && accepted > 50 && accepted < tried / 2, "{accepted} of {tried} were accepted");
}
