//! What a failed injection has left is told, however its resource went.

use serde_json::{Value, json};
use shakedown_cluster::testing::store::{Fate, Store};
use shakedown_cluster::{Kind, pod_ref};

use super::super::spec::Inside;
use super::super::tests::naming;
use super::super::{ChaosFault, ChaosSpec, Limits, Recipe};
use super::*;
use crate::FaultDriver;

/// A stress of CPU time and memory in pod `n/web-0`, injected.
async fn stress(store: &Store) -> ChaosFault {
    store.serve_chaos();
    let both = json!({"pods": {"prefix": "web"}, "cpu": {"workers": 1}, "memory": {"size": "1MB"}});
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "n"}});
    let pod = pod_ref(&store.put(Kind::Pod, object));
    let spec = ChaosSpec {
        naming: naming("busy", "n"),
        targets: vec![Inside { pod, containers: vec!["main".into()] }],
        recipe: Recipe::Stress(serde_json::from_value(both).unwrap()),
        follow: false,
        observe: false,
        limits: Limits::default(),
    };
    let mut fault = ChaosFault::new(store.cluster(), spec);
    fault.inject().await.unwrap();
    fault
}

/// The paths of its resources. Their second stressor failed in these pods (`namespace/pod`).
fn fail_in(store: &Store, fault: &ChaosFault, pods: &[&str], finalizers: &Value) -> Vec<String> {
    let events = json!([{"operation": "Apply", "type": "Failed", "message": "open /proc/4711/comm: no such file"}]);
    let record = |pod: &&str| json!({"id": format!("{pod}/main"), "phase": "Not Injected", "events": events});
    let records: Vec<Value> = pods.iter().map(record).collect();
    let made = fault.inner.state().made.clone();
    let paths: Vec<String> = made.iter().map(|it| Store::path(it.key.kind, "n", &it.key.name)).collect();
    for path in &paths {
        store.change(path, |it| {
            it["metadata"]["finalizers"] = finalizers.clone();
            it["status"] = json!({"experiment": {"desiredPhase": "Stop", "containerRecords": records}});
        });
    }
    paths
}

/// The error of the proof, and the commands that remove what is left.
async fn told(fault: &mut ChaosFault) -> (String, Vec<String>) {
    let proof = fault.prove_undone().await;
    let Err(FaultError::Dirty(text)) = proof else { panic!("{proof:?}") };
    (text.to_string(), fault.leftovers().into_iter().map(|left| left.command).collect())
}

#[tokio::test(start_paused = true)]
async fn stressors_are_told_of_a_resource_that_goes_between_two_attempts() {
    let store = Store::default();
    let mut fault = stress(&store).await;
    let paths = fail_in(&store, &fault, &["n/web-0"], &json!(["chaos-mesh/records"]));
    fault.undo().await.unwrap_err();
    store.remove(&paths[0]);
    fault.undo().await.unwrap();
    assert_eq!(told(&mut fault).await.1, ["kubectl -n n delete pod web-0"]);
}

#[tokio::test(start_paused = true)]
async fn stressors_are_told_without_the_right_to_watch() {
    let store = Store::default();
    let mut fault = stress(&store).await;
    fail_in(&store, &fault, &["n/web-0"], &json!([]));
    store.script(|_, asked| match asked.starts_with("GET ") && asked.ends_with("/stresschaos") {
        true => Fate::Refused(403),
        false => Fate::Answered,
    });
    fault.undo().await.unwrap();
    assert_eq!(told(&mut fault).await.1, ["kubectl -n n delete pod web-0"]);
}

#[tokio::test(start_paused = true)]
async fn the_stressors_of_every_resource_are_told_with_a_command_for_each_namespace() {
    let store = Store::default();
    let mut fault = stress(&store).await;
    let targets = fault.inner.state().targets.clone();
    fault.inner.create(&targets, 1).await.unwrap();
    let paths = fail_in(&store, &fault, &["n/web-0", "far/web-1", "n/web-2"], &json!([]));
    fault.undo().await.unwrap();
    let (text, commands) = told(&mut fault).await;
    for path in paths {
        let name = path.rsplit('/').next().unwrap();
        assert!(text.contains(&format!("{name} in namespace n is gone, but not the")), "{name} is missing: {text}");
    }
    let each = ["kubectl -n far delete pod web-1", "kubectl -n n delete pod web-0 web-2"];
    assert_eq!(commands, [each, each].concat());
}
