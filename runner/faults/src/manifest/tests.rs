//! Conditions hold for our object and no other: not for one that is gone, is going, or was made anew under its name.

use serde_json::json;
use shakedown_cluster::Kind;
use shakedown_cluster::testing::store::{Fate, Store};

use super::*;

/// What another client does to our object.
#[derive(Debug, Clone, Copy)]
enum OtherClient {
    Nothing,
    Deletes,
    DeletesWithFinalizer,
    Replaces,
}

fn config_map() -> Kind {
    Kind::other("v1", "ConfigMap", "configmaps")
}

fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: config_map(), namespace: "n".into(), name: name.into(), uid: None }
}

fn object(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "n"}, "data": {"key": "value"}})
}

impl OtherClient {
    fn act(self, store: &Store) {
        let path = Store::path(config_map(), "n", "settings");
        match self {
            Self::Nothing => {}
            Self::Deletes => _ = store.remove(&path),
            Self::DeletesWithFinalizer => {
                store.change(&path, |it| it["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z"));
            }
            Self::Replaces => {
                let same = store.remove(&path).unwrap();
                store.put(config_map(), same);
            }
        }
    }
}

/// A fault that is injected, and the server.
async fn injected(condition: Value, of: Option<ObjectKey>) -> (Store, Written) {
    let store = Store::default();
    store.put(config_map(), object("other"));
    let check = Check { of, condition: serde_json::from_value(condition).unwrap() };
    let limits = Limits { within: Duration::from_secs(5), force_after: None };
    let (key, object) = (key("settings"), object("settings"));
    let spec = ManifestSpec { key, object, active_when: vec![check], gone_when: Vec::new(), limits };
    let mut fault = Written::new(store.cluster(), spec);
    fault.preflight().await.unwrap();
    fault.inject().await.unwrap();
    (store, fault)
}

#[tokio::test(start_paused = true)]
async fn no_condition_holds_without_our_object() {
    let conditions = [
        (json!({"field": "status.error", "exists": false}), None),
        (json!({"field": "data.key", "not_equals": "other"}), None),
        (json!({"field": "data.key", "equals": "value"}), None),
        (json!({"field": "data.key", "exists": true}), None),
        // Of another object, which stays as it is, and of one that never was.
        (json!({"field": "status.error", "exists": false}), Some(key("other"))),
        (json!({"field": "metadata.name", "exists": false}), Some(key("nothing"))),
    ];
    for (condition, of) in conditions {
        for other in
            [OtherClient::Nothing, OtherClient::Deletes, OtherClient::DeletesWithFinalizer, OtherClient::Replaces]
        {
            let untouched = matches!(other, OtherClient::Nothing);
            let all = |findings: Vec<Finding>| findings.iter().all(|finding| finding.holds);
            let what = format!("{condition} of {of:?}, {other:?}");

            let (store, mut fault) = injected(condition.clone(), of.clone()).await;
            other.act(&store);
            let active = fault.become_active().await;
            assert_eq!(active.is_ok(), untouched, "{what}: active {active:?}");
            assert!(untouched || matches!(active, Err(FaultError::Gone(_))), "{what}: {active:?}");

            let (store, mut fault) = injected(condition.clone(), of.clone()).await;
            fault.become_active().await.unwrap();
            other.act(&store);
            assert_eq!(all(fault.prove().await.unwrap()), untouched, "{what}: proven");

            let (store, mut fault) = injected(condition.clone(), of.clone()).await;
            fault.become_active().await.unwrap();
            assert!(all(fault.prove().await.unwrap()), "{what}: it exists");
            other.act(&store);
            assert_eq!(all(fault.settle().await.unwrap()), untouched, "{what}: settled");
        }
    }
}

/// However often it is tried.
#[tokio::test(start_paused = true)]
async fn an_undo_reports_an_object_that_was_gone_before_it() {
    for other in [OtherClient::Nothing, OtherClient::Deletes, OtherClient::DeletesWithFinalizer, OtherClient::Replaces]
    {
        let (store, mut fault) = injected(json!({"field": "data.key", "equals": "value"}), None).await;
        other.act(&store);
        for _ in 0..2 {
            _ = fault.undo().await;
            assert_eq!(
                fault.missed().is_none(),
                matches!(other, OtherClient::Nothing),
                "{other:?}: {:?}",
                fault.missed()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_another_client_made_meanwhile_is_left_alone() {
    let store = Store::default();
    let limits = Limits { within: Duration::from_secs(5), force_after: None };
    let spec = ManifestSpec {
        key: key("settings"),
        object: object("settings"),
        active_when: Vec::new(),
        gone_when: Vec::new(),
        limits,
    };
    let mut fault = Written::new(store.cluster(), spec);
    fault.preflight().await.unwrap();
    let theirs = store.put(config_map(), object("settings"));
    let error = fault.inject().await.unwrap_err().to_string();
    assert!(error.contains("another client created it"), "{error}");
    fault.undo().await.unwrap();
    assert!(fault.prove_undone().await.unwrap().iter().all(|finding| finding.holds), "nothing of ours is there");
    assert_eq!(store.get(&Store::path(config_map(), "n", "settings")), Some(theirs));
}

/// A Schedule of Chaos Mesh, or a Deployment: the object itself could go at once, and what it has made acts for a while.
#[tokio::test(start_paused = true)]
async fn a_fault_is_not_undone_before_what_its_object_has_made_is_gone() {
    let schedule = Kind::other("chaos-mesh.org/v1alpha1", "Schedule", "schedules");
    for kind in [config_map(), schedule, Kind::other("apps/v1", "Deployment", "deployments")] {
        let store = Store::default();
        let key = ObjectKey { kind, ..key("settings") };
        let limits = Limits { within: Duration::from_secs(5), force_after: None };
        let (active_when, gone_when) = (Vec::new(), Vec::new());
        let spec = ManifestSpec { key, object: object("settings"), active_when, gone_when, limits };
        let mut fault = Written::new(store.cluster(), spec);
        fault.preflight().await.unwrap();
        fault.inject().await.unwrap();
        let owner = store.get(&Store::path(kind, "n", "settings")).unwrap();
        let mut child = object("child");
        child["metadata"]["finalizers"] = json!(["chaos-mesh/records"]);
        child["metadata"]["ownerReferences"] = json!([{"uid": owner["metadata"]["uid"], "blockOwnerDeletion": true}]);
        store.put(config_map(), child);
        let error = fault.undo().await.unwrap_err().to_string();
        assert!(error.contains("the objects that it created still exist"), "{kind:?}: {error}");
        assert!(fault.prove_undone().await.unwrap().iter().any(|finding| !finding.holds), "{kind:?}");
        let child = Store::path(config_map(), "n", "child");
        assert!(store.get(&child).unwrap()["metadata"]["deletionTimestamp"].is_string(), "it is being deleted");
        store.remove(&child);
        fault.undo().await.unwrap();
        assert_eq!(store.get(&Store::path(kind, "n", "settings")), None, "{kind:?}");
    }
}

/// As seen on Chaos Mesh 2.8.3: while a Schedule waits for the NetworkChaos that it has made, it makes the next one, which
/// stands for some seconds after it is gone.
#[tokio::test(start_paused = true)]
async fn what_a_schedule_makes_while_it_is_deleted_is_waited_for() {
    let store = Store::default();
    store.serve_chaos();
    let schedule = Kind::other("chaos-mesh.org/v1alpha1", "Schedule", "schedules");
    let key = ObjectKey { kind: schedule, ..key("often") };
    let limits = Limits { within: Duration::from_secs(5), force_after: None };
    let object = json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "Schedule", "metadata": {"name": "often", "namespace": "n"}});
    let spec = ManifestSpec { key: key.clone(), object, active_when: Vec::new(), gone_when: Vec::new(), limits };
    let mut fault = Written::new(store.cluster(), spec);
    fault.inject().await.unwrap();
    let made = |name: &str, maker: &str| {
        json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos", "metadata": {"name": name, "namespace": "n",
            "labels": {"managed-by": maker}, "finalizers": ["chaos-mesh/records"]}})
    };
    store.put(Kind::NetworkChaos, made("of-others", "seldom"));
    store.put(Kind::NetworkChaos, made("often-2", "often"));
    store.remove(&Store::path(schedule, "n", "often"));
    fault.undo().await.unwrap();
    let error = fault.prove_undone().await.unwrap_err();
    assert!(matches!(&error, FaultError::Recovering(text) if text.message.contains("networkchaos/often-2")), "{error}");
    store.remove(&Store::path(Kind::NetworkChaos, "n", "often-2"));
    assert!(fault.prove_undone().await.unwrap().iter().all(|finding| finding.holds));
}

/// A Schedule of Chaos Mesh, injected, and its key.
async fn schedule(store: &Store, force_after: Option<Duration>) -> (Written, ObjectKey) {
    store.serve_chaos();
    let kind = Kind::other("chaos-mesh.org/v1alpha1", "Schedule", "schedules");
    let key = ObjectKey { kind, ..key("often") };
    let limits = Limits { within: Duration::from_secs(5), force_after };
    let object =
        json!({"apiVersion": kind.api_version(), "kind": "Schedule", "metadata": {"name": "often", "namespace": "n"}});
    let spec = ManifestSpec { key: key.clone(), object, active_when: Vec::new(), gone_when: Vec::new(), limits };
    let mut fault = Written::new(store.cluster(), spec);
    fault.inject().await.unwrap();
    (fault, key)
}

/// As seen on Chaos Mesh 2.8.3: a Schedule that is being deleted makes more as long as one of them cannot go.
#[tokio::test(start_paused = true)]
async fn a_schedule_is_paused_before_it_is_deleted() {
    for may_patch in [true, false] {
        let store = Store::default();
        let (mut fault, key) = schedule(&store, None).await;
        store.change(&Store::path(key.kind, "n", "often"), |it| {
            it["metadata"]["finalizers"] = json!(["foregroundDeletion"])
        });
        store.script(move |_, asked| match asked.starts_with("PATCH ") && !may_patch {
            true => Fate::Refused(403),
            false => Fate::Answered,
        });
        let error = fault.undo().await.unwrap_err();
        assert!(matches!(&error, FaultError::Stuck(_)), "{error}");
        let there = store.get(&Store::path(key.kind, "n", "often")).unwrap();
        let paused = &there["metadata"]["annotations"]["experiment.chaos-mesh.org/pause"];
        assert_eq!(*paused == "true", may_patch, "{there}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_not_proven_where_what_was_made_may_not_be_listed() {
    for (code, holds) in [(403, false), (404, true)] {
        let store = Store::default();
        let (mut fault, _) = schedule(&store, None).await;
        store.script(move |_, asked| match asked {
            "GET /apis/chaos-mesh.org/v1alpha1/namespaces/n/networkchaos" => Fate::Refused(code),
            _ => Fate::Answered,
        });
        fault.undo().await.unwrap();
        let findings = fault.prove_undone().await.unwrap();
        assert_eq!(findings.iter().all(|finding| finding.holds), holds, "{code}: {findings:?}");
        let detail = &findings[0].detail;
        assert_eq!(detail.contains("the verb `list`") && detail.contains("networkchaos"), !holds, "{detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_maker_of_this_name_has_made_is_not_waited_for() {
    let store = Store::default();
    let (mut fault, key) = schedule(&store, None).await;
    let owner = json!([{"kind": "Schedule", "name": "often", "uid": "of-another"}]);
    store.put(
        Kind::NetworkChaos,
        json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos", "metadata": {"name": "theirs", "namespace": "n",
            "labels": {"managed-by": key.name}, "ownerReferences": owner}}),
    );
    fault.undo().await.unwrap();
    assert!(fault.prove_undone().await.unwrap().iter().all(|finding| finding.holds));
}

/// A NetworkChaos that a Schedule has made, which a dead daemon holds.
fn held() -> Value {
    let records = json!([{"id": "n/client-1", "phase": "Injected", "selectorKey": "."}]);
    json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos", "metadata": {"name": "often-2", "namespace": "n",
        "labels": {"managed-by": "often"}, "finalizers": ["chaos-mesh/records"]},
        "status": {"experiment": {"desiredPhase": "Stop", "containerRecords": records}}})
}

#[tokio::test(start_paused = true)]
async fn the_object_that_acts_is_named_as_what_is_left() {
    for is_gone in [true, false] {
        let store = Store::default();
        let (mut fault, key) = schedule(&store, None).await;
        store.put(Kind::NetworkChaos, held());
        if !is_gone {
            store.change(&Store::path(key.kind, "n", "often"), |it| {
                it["metadata"]["finalizers"] = json!(["foregroundDeletion"])
            });
        }
        match fault.undo().await {
            Ok(()) => assert!(matches!(fault.prove_undone().await, Err(FaultError::Recovering(_)))),
            Err(error) => assert!(error.to_string().contains("often-2 in namespace n, which it created"), "{error}"),
        }
        let left = fault.leftovers();
        assert_eq!(left.len(), if is_gone { 1 } else { 2 }, "{left:?}");
        assert_eq!(left[0].command, "kubectl -n n delete networkchaos often-2");
        assert!(is_gone || left[1].what.contains("often"), "{left:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_schedule_has_made_is_removed_by_force_in_its_time() {
    for is_gone in [true, false] {
        let store = Store::default();
        let (mut fault, key) = schedule(&store, Some(Duration::from_secs(25))).await;
        store.put(Kind::NetworkChaos, held());
        if !is_gone {
            store.change(&Store::path(key.kind, "n", "often"), |it| {
                it["metadata"]["finalizers"] = json!(["foregroundDeletion"])
            });
        }
        let acts = || store.get(&Store::path(Kind::NetworkChaos, "n", "often-2")).is_some();
        _ = fault.undo().await;
        assert!(acts(), "its time has not come");
        tokio::time::sleep(Duration::from_secs(25)).await;
        let error = fault.undo().await.unwrap_err();
        assert!(matches!(&error, FaultError::Dirty(text) if text.message.contains("networkchaos/often-2")), "{error}");
        assert!(!acts() && store.get(&Store::path(key.kind, "n", "often")).is_none(), "{:?}", store.all());
        let left = fault.leftovers();
        assert_eq!((left.len(), left[0].command.as_str()), (1, "kubectl -n n delete pod client-1"), "{left:?}");
    }
}

/// A DNSChaos whose injection failed after Chaos Mesh had given its rule.
fn half_done(labels: &Value) -> Value {
    let events = json!([{"operation": "Apply", "type": "Failed", "message": "sh: sed: not found"}]);
    let records = json!([{"id": "n/client-1/main", "phase": "Not Injected", "events": events}]);
    json!({"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "DNSChaos",
        "metadata": {"name": "names", "namespace": "n", "labels": labels, "finalizers": ["chaos-mesh/records"]},
        "status": {"experiment": {"desiredPhase": "Run", "containerRecords": records}}})
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_left_of_an_object_that_goes_between_two_attempts_and_of_one_that_a_schedule_has_made() {
    let schedule = Kind::other("chaos-mesh.org/v1alpha1", "Schedule", "schedules");
    for kind in [Kind::DnsChaos, schedule] {
        let store = Store::default();
        store.serve_chaos();
        let key = ObjectKey { kind, ..key(if kind == schedule { "often" } else { "names" }) };
        let limits = Limits { within: Duration::from_secs(5), force_after: None };
        let object = json!({"apiVersion": kind.api_version(), "kind": kind.name(), "spec": {"type": "DNSChaos"},
            "metadata": {"name": key.name, "namespace": "n"}});
        let spec = ManifestSpec { key, object, active_when: Vec::new(), gone_when: Vec::new(), limits };
        let mut fault = Written::new(store.cluster(), spec);
        fault.inject().await.unwrap();
        let path = Store::path(Kind::DnsChaos, "n", "names");
        if kind == schedule {
            store.put(Kind::DnsChaos, half_done(&json!({"managed-by": "often"})));
            fault.undo().await.unwrap();
            assert!(matches!(fault.prove_undone().await, Err(FaultError::Recovering(_))));
        } else {
            store.change(&path, |it| {
                let failed = half_done(&json!({}));
                it["metadata"]["finalizers"] = failed["metadata"]["finalizers"].clone();
                it["status"] = failed["status"].clone();
            });
            fault.undo().await.unwrap_err();
        }
        store.remove(&path);
        fault.undo().await.unwrap();
        let proof = fault.prove_undone().await;
        let Err(FaultError::Dirty(text)) = &proof else { panic!("{kind:?}: {proof:?}") };
        assert!(text.message.contains("dnschaos/names") && text.message.contains("sed: not found"), "{text}");
        let left = fault.leftovers();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(left[0].command, "kubectl -n chaos-mesh rollout restart deployment chaos-dns-server");
    }
}
