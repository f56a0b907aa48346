//! The driver against an API server that gives prepared answers: what an account may not do, what only a daemon's log
//! knows, and what the pods themselves have to say. Whole runs are in `tests/chaos.rs`.

use std::sync::Arc;

use serde_json::{Value, json};
use shakedown_schemas::result::PodRef;

use super::spec::{Ends, Inside};
use super::*;
use crate::FaultDriver;
use shakedown_cluster::{ConnectOptions, connect};
use shakedown_fakes::Answer;
use shakedown_fakes::kubernetes::{self, json_answer};

/// A cluster that answers each request by its line and its body.
async fn server(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Cluster {
    _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = kubernetes::server(move |request| answer(&format!("{}\n{}", request.line, request.text())));
    connect(&ConnectOptions { kubeconfig_text: Some(kubeconfig), ..ConnectOptions::default() }).await.unwrap()
}

fn pod(namespace: &str, name: &str, ip: &str) -> PodRef {
    PodRef { namespace: namespace.into(), name: name.into(), uid: name.into(), node: None, ip: Some(ip.into()) }
}

/// The names of this fault's resources.
pub(super) fn naming(fault: &str, namespace: &str) -> Naming {
    Naming {
        run: "20260301-105959-abcde".into(),
        serial: 0,
        number: 0,
        fault: fault.into(),
        namespace: namespace.into(),
        duration: Duration::from_secs(600),
    }
}

/// Half of the packets from one pod to one of another namespace get lost.
fn lossy(cluster: Cluster) -> ChaosFault {
    let netem: shakedown_schemas::scenario::Netem =
        serde_json::from_value(json!({"pods": {"prefix": "worker"}, "loss": "50%"})).unwrap();
    let ends = Ends { pods: vec![pod("bus", "nats-0", "10.0.1.1")], ..Ends::default() };
    let recipe = Recipe::Netem {
        netem: Box::new(netem),
        ends: Some(ends),
        direction: shakedown_schemas::scenario::Direction::Egress,
    };
    let spec = ChaosSpec {
        naming: naming("lossy", "shop"),
        targets: vec![Inside { pod: pod("shop", "worker-0", "10.0.0.1"), containers: vec!["main".into()] }],
        recipe,
        follow: false,
        observe: true,
        limits: Limits { active: Duration::ZERO, ..Limits::default() },
    };
    ChaosFault::new(cluster, spec)
}

fn ok(object: &Value) -> Answer {
    json_answer(200, object.to_string())
}

fn refusal(code: u16, message: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message});
    json_answer(code, status.to_string())
}

fn worker() -> Value {
    let crashing = json!({"name": "main", "restartCount": 7, "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "worker-0", "namespace": "shop", "uid": "worker-0"},
        "spec": {"nodeName": "node-1"}, "status": {"phase": "Running", "containerStatuses": [crashing]},
    })
}

/// The resource as its controller leaves it: with these phases, and what it said.
fn failing(phase: &str, operation: &str, message: &str) -> Value {
    let record = |id: &str, key: &str, phase: &str| {
        let events = json!([{"type": "Failed", "operation": operation, "message": message}]);
        json!({"id": id, "selectorKey": key, "phase": phase, "events": events})
    };
    let records = json!([record("shop/worker-0", ".", phase), record("bus/nats-0", ".Target", "Injected")]);
    json!({
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos",
        "metadata": {"name": "lossy", "namespace": "shop", "uid": "u", "finalizers": ["chaos-mesh/records"]},
        "status": {"conditions": [{"type": "Selected", "status": "True"}],
            "experiment": {"desiredPhase": "Run", "containerRecords": records}},
    })
}

#[tokio::test]
async fn a_missing_permission_in_a_peers_namespace_is_reported_with_its_rule() {
    let cluster = server(|asked| match asked {
        asked if asked.contains("selfsubjectaccessreviews") => {
            let allowed = !asked.contains(r#""namespace":"bus""#);
            let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "status": {"allowed": allowed}});
            json_answer(201, review.to_string())
        }
        asked if asked.starts_with("POST") => {
            let user = "system:serviceaccount:shop:runner is forbidden on namespace bus";
            refusal(403, &format!("admission webhook \"vauth.kb.io\" denied the request: {user}"))
        }
        _ => ok(&worker()),
    })
    .await;
    let error = lossy(cluster).preflight().await.unwrap_err().to_string();
    for part in
        ["in namespace bus", "kubectl -n bus create role", "--verb=create --resource=networkchaos.chaos-mesh.org"]
    {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
    assert!(!error.contains("-n shop"), "that is allowed: {error}");
}

#[tokio::test]
async fn why_a_tool_failed_is_read_from_the_daemons_log_on_the_pods_node() {
    let log = "INFO build command\nERROR error while adding netem {\"error\": \"error code: exit status 2, msg: Error: \
               Specified qdisc not found.\\n\"}\n";
    let cluster = server(move |asked| match asked {
        asked if asked.contains("/chaos-daemon-x/log") => Answer::new(200, log),
        asked if asked.contains("chaos-daemon") => {
            let daemon = json!({"metadata": {"name": "chaos-daemon-x", "namespace": "chaos-mesh"},
                "spec": {"nodeName": "node-1"}});
            ok(&json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [daemon]}))
        }
        asked if asked.contains("/networkchaos") => {
            ok(&failing("Not Injected/Wait", "Apply", "unable to set tcs for pod shop/worker-0"))
        }
        _ => ok(&worker()),
    })
    .await;
    let mut fault = lossy(cluster);
    fault.inject().await.unwrap();
    let error = fault.become_active().await.unwrap_err().to_string();
    for part in [
        "shop/worker-0 is `Not Injected/Wait`",
        "the chaos-daemon on node node-1 says: Error: Specified qdisc not found.",
        "modprobe sch_netem",
    ] {
        assert!(error.contains(part), "`{part}` is missing: {error}");
    }
}

#[tokio::test]
async fn a_resource_that_does_not_recover_is_reported_with_its_pods_state() {
    let cluster = server(|_| ok(&worker())).await;
    let told = lossy(cluster).inner.ailing(&failing("Injected/Wait", "Recover", "no running task found")).await;
    assert!(
        told.contains("in pod shop/worker-0 container main does not run (CrashLoopBackOff, started again 7 times)")
    );
}

#[tokio::test]
async fn a_removal_waits_for_the_controllers_first_look() {
    // Older versions leave rules behind when they see a resource for the first time while it is being deleted.
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let told = seen.clone();
    let cluster = server(move |asked| {
        let mut seen = told.lock().unwrap();
        let (method, path) = asked.split_once(' ').unwrap();
        if method == "GET" && path.contains("/networkchaos?") {
            return refusal(404, "listing and watching are forbidden here");
        } else if !path.contains("/networkchaos") {
            return ok(&worker());
        }
        seen.push(method.to_owned());
        let looks = seen.iter().filter(|method| *method == "GET").count();
        let mut fresh = failing("Not Injected", "Apply", "");
        match (method, looks) {
            ("GET", _) if seen.contains(&"DELETE".to_owned()) => return refusal(404, "gone"),
            ("GET", 1 | 2) => fresh["metadata"]["finalizers"] = json!([]),
            _ => {}
        }
        ok(&fresh)
    })
    .await;
    let mut fault = lossy(cluster);
    fault.inject().await.unwrap();
    fault.undo().await.unwrap();
    // Without a watch, one more look keeps its state.
    assert_eq!(seen.lock().unwrap()[..6], ["POST", "GET", "GET", "GET", "GET", "DELETE"]);
}

#[tokio::test]
async fn an_undo_reports_a_resource_that_was_gone_before_it() {
    for is_there in [true, false] {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let told = seen.clone();
        let cluster = server(move |asked| {
            let (method, path) = asked.split_once(' ').unwrap();
            if !path.contains("/networkchaos") {
                return ok(&worker());
            }
            let mut seen = told.lock().unwrap();
            seen.push(method.to_owned());
            let is_gone = method == "GET" && (!is_there || seen.contains(&"DELETE".to_owned()));
            if is_gone { refusal(404, "gone") } else { ok(&failing("Injected", "Apply", "")) }
        })
        .await;
        let mut fault = lossy(cluster);
        fault.inject().await.unwrap();
        fault.undo().await.unwrap();
        assert_eq!(fault.missed().is_none(), is_there, "{:?}", fault.missed());
    }
}
