//! A Schedule acts once an object that it created was injected, as recorded on a real Chaos Mesh.

use std::time::Duration;

use serde_json::{Value, json};
use shakedown_cluster::testing::store::Store;
use shakedown_cluster::{Kind, ObjectKey};
use shakedown_fakes::recordings::{self, Recorded};

use super::Acting;
use crate::manifest::{Check, Limits, ManifestSpec, Written};
use crate::{FaultDriver, FaultError, Finding};

const VERSION: &str = "chaos-mesh.org/v1alpha1";

fn schedules() -> Kind {
    Kind::other(VERSION, "Schedule", "schedules")
}

/// The recorded Schedule, created and not active yet, and the recording after its creation.
async fn scheduled(store: &Store) -> (Written, Vec<Recorded>) {
    let mut events = recordings::read("schedule");
    let at = events.iter().position(|event| event.kind == "Schedule").expect("a Schedule");
    let later = events.split_off(at + 1);
    let Recorded { name, object, .. } = events.pop().expect("its creation");
    let key = ObjectKey { kind: schedules(), namespace: "s3".into(), name, uid: None };
    let object = json!({"apiVersion": VERSION, "kind": "Schedule", "spec": object["spec"],
        "metadata": {"name": key.name, "namespace": key.namespace}});
    // What users write.
    let condition = serde_json::from_value(json!({"field": "status.active", "exists": true})).expect("a condition");
    let spec = ManifestSpec {
        key,
        object,
        active_when: vec![Check { of: None, condition }],
        gone_when: Vec::new(),
        limits: Limits { within: Duration::from_secs(60), force_after: None },
    };
    store.serve_chaos();
    let mut fault = Written::new(store.cluster(), spec);
    fault.inject().await.expect("its creation");
    (fault, later)
}

/// Lets the server know what was recorded.
fn show(store: &Store, recorded: &Recorded) {
    let path = |kind: Kind| Store::path(kind, "s3", &recorded.name);
    match (recorded.kind.as_str(), recorded.change.as_str()) {
        ("Schedule", _) => {
            store.change(&path(schedules()), |it| it["status"] = recorded.object["status"].clone());
        }
        ("NetworkChaos", "DELETED") => _ = store.remove(&path(Kind::NetworkChaos)),
        ("NetworkChaos", _) => store.set(Kind::NetworkChaos, recorded.object.clone()),
        _ => {}
    }
}

fn holds(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.holds)
}

/// Its status names the object from the first second. Here the daemon needed another 56 s.
#[tokio::test(start_paused = true)]
async fn a_schedule_is_proven_once_its_object_was_injected() {
    let store = Store::default();
    let (mut fault, events) = scheduled(&store).await;
    let is_injected = |it: &Recorded| it.object["status"]["experiment"]["containerRecords"][0]["phase"] == "Injected";
    let injected = events.iter().position(is_injected).expect("an injection");
    let mut before = 0;
    for (number, event) in events.iter().enumerate().take_while(|(_, it)| it.change != "DELETED") {
        show(&store, event);
        let findings = fault.prove().await.unwrap();
        assert_eq!(holds(&findings), number >= injected, "event {number}: {findings:?}");
        before += usize::from(number < injected && findings[0].holds);
    }
    assert!(before > 5, "its own conditions held {before} times before");
    // The server removes finished objects.
    events.iter().for_each(|event| show(&store, event));
    assert!(store.all().iter().all(|path| !path.contains("/networkchaos/")));
    let findings = fault.prove().await.unwrap();
    assert!(findings.last().is_some_and(|it| it.holds && it.detail.contains("-szbqd")), "{findings:?}");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_that_does_not_act_in_time_says_why() {
    for (shown, words, help) in [
        (0, "has created no object that acts yet", "raise `within`"),
        (20, "was not injected yet", "raise `within`"),
        (20, "was not injected yet: unable to set tcs", "netem"),
    ] {
        let store = Store::default();
        let (mut fault, events) = scheduled(&store).await;
        let own = events.iter().find(|event| event.kind == "Schedule").expect("its status");
        store.change(&Store::path(schedules(), "s3", &own.name), |it| it["status"] = json!({"active": [{}]}));
        events[..shown].iter().for_each(|event| show(&store, event));
        if words.contains("tcs") {
            let child = events.iter().find(|event| event.kind == "NetworkChaos").expect("an object");
            store.change(&Store::path(Kind::NetworkChaos, "s3", &child.name), |it| {
                let record = &mut it["status"]["experiment"]["containerRecords"][0];
                record["events"] = json!([{"operation": "Apply", "type": "Failed",
                    "message": "unable to set tcs for pod web: Specified qdisc kind is unknown"}]);
            });
        }
        let FaultError::Impossible(error) = fault.become_active().await.unwrap_err() else { panic!("{words}") };
        assert!(error.message.contains(words), "{error}");
        assert!(error.help.as_ref().is_some_and(|it| it.contains(help)), "{error}");
    }
}

/// A Workflow of tasks acts through pods, and one of an unknown kind through objects that nobody looks for.
#[test]
fn the_objects_that_act_are_of_the_types_in_the_spec() {
    let of = |name: &str, spec: Value| {
        let kind = Kind::other(VERSION, name, "any");
        Acting::of(kind, &json!({"spec": spec})).kinds.iter().map(|it| it.name()).collect::<Vec<_>>().join(" ")
    };
    let often = json!({"type": "PodChaos"});
    let flow = json!({"templates": [{"templateType": "Serial"}, {"templateType": "Schedule", "schedule": often}]});
    assert_eq!(of("Schedule", often), "PodChaos");
    assert_eq!(of("Workflow", flow.clone()), "Schedule PodChaos");
    assert_eq!(of("Schedule", json!({"type": "Workflow", "workflow": flow})), "Workflow Schedule PodChaos");
    assert_eq!(of("Workflow", json!({"templates": [{"templateType": "Task"}]})), "");
    assert_eq!(of("Schedule", json!({"type": "KernelChaos"})), "");
    assert_eq!(of("NetworkChaos", json!({"type": "NetworkChaos"})), "");
}
