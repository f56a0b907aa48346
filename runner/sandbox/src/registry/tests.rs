//! The registry's rules, without HTTP.

use serde_json::{Value, json};

use super::{DeleteOptions, ObjectPart, Registry, WriteOptions};
use crate::addresses::Addresses;
use crate::clock::Clock;
use crate::object;
use crate::resource::{DEPLOYMENTS, NAMESPACES, PODS, Resource, SERVICES};
use crate::store::{Key, Store};

fn registry() -> Registry {
    let registry = Registry {
        store: Store::new(Clock::new()),
        addresses: Addresses::claim().unwrap(),
        logs: Default::default(),
        kills: Default::default(),
        starting: Default::default(),
    };
    create(&registry, &NAMESPACES, json!({"metadata": {"name": "a"}}));
    registry
}

fn create(registry: &Registry, resource: &'static Resource, mut object: Value) -> Value {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.into();
    let namespace = if resource.namespaced { "a" } else { "" };
    let written = registry.create(resource, namespace, object, WriteOptions::default());
    Value::clone(&written.unwrap().object)
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Running"}})
}

#[tokio::test]
async fn a_status_is_not_the_creators_business() {
    let registry = registry();
    let created = create(&registry, &PODS, pod("p"));
    assert_eq!(created["status"]["phase"], "Pending");
    let key = Key::of(&PODS, &created);
    let mut changed = created.clone();
    changed["status"]["phase"] = "Failed".into();
    changed["metadata"]["labels"] = json!({"l": "v"});
    let main = registry.update(&key, ObjectPart::Main, changed.clone(), WriteOptions::default()).unwrap().object;
    assert_eq!(
        (main["status"]["phase"].as_str(), main["metadata"]["labels"]["l"].as_str()),
        (Some("Pending"), Some("v"))
    );
    changed["metadata"]["resourceVersion"] = main["metadata"]["resourceVersion"].clone();
    changed["metadata"]["labels"] = json!({"l": "w"});
    let status = registry.update(&key, ObjectPart::Status, changed, WriteOptions::default()).unwrap().object;
    assert_eq!(
        (status["status"]["phase"].as_str(), status["metadata"]["labels"]["l"].as_str()),
        (Some("Failed"), Some("v"))
    );
}

#[tokio::test]
async fn the_generation_counts_changes_of_the_spec_only() {
    let registry = registry();
    let template = json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let deployment =
        json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template}});
    let deployment = create(&registry, &DEPLOYMENTS, deployment);
    let key = Key::of(&DEPLOYMENTS, &deployment);
    let uid = object::uid(&deployment);
    registry.modify(&key, uid, |d| d["metadata"]["labels"] = json!({"l": "v"}));
    let generation = || registry.store.get(&DEPLOYMENTS, "a", "d").unwrap()["metadata"]["generation"].clone();
    assert_eq!(generation(), 1);
    registry.modify(&key, uid, |d| d["spec"]["replicas"] = 3.into());
    assert_eq!(generation(), 2);
    let before = registry.store.lock().revision();
    registry.modify(&key, uid, |d| d["spec"]["replicas"] = 3.into());
    assert_eq!(registry.store.lock().revision(), before, "no change, no version");
}

#[tokio::test]
async fn what_makes_an_object_itself_cannot_be_changed() {
    let registry = registry();
    let created = create(&registry, &PODS, pod("p"));
    let key = Key::of(&PODS, &created);
    let mut changed = created.clone();
    changed["metadata"]["creationTimestamp"] = "2001-01-01T00:00:00Z".into();
    changed["metadata"]["labels"] = json!({"l": "v"});
    let updated = registry.update(&key, ObjectPart::Main, changed.clone(), WriteOptions::default()).unwrap().object;
    assert_eq!(updated["metadata"]["creationTimestamp"], created["metadata"]["creationTimestamp"]);
    changed["metadata"]["resourceVersion"] = updated["metadata"]["resourceVersion"].clone();
    changed["metadata"]["uid"] = "another".into();
    let refused = registry.update(&key, ObjectPart::Main, changed.clone(), WriteOptions::default()).unwrap_err();
    assert!(refused.code == 409 && refused.message.contains("UID in precondition: another"), "{refused}");
    changed["metadata"]["uid"] = created["metadata"]["uid"].clone();
    changed["spec"]["hostNetwork"] = true.into();
    let refused = registry.update(&key, ObjectPart::Main, changed, WriteOptions::default()).unwrap_err();
    assert!(refused.code == 422 && refused.message.contains("pod updates may not change fields"), "{refused}");
}

#[tokio::test]
async fn a_pod_on_a_node_has_its_grace_and_a_waiting_one_goes_at_once() {
    let registry = registry();
    let waiting = Key::of(&PODS, &create(&registry, &PODS, pod("waiting")));
    assert!(registry.delete(&waiting, &DeleteOptions::default()).unwrap().gone);
    let placed = create(&registry, &PODS, pod("placed"));
    let key = Key::of(&PODS, &placed);
    registry.modify(&key, object::uid(&placed), |pod| pod["spec"]["nodeName"] = "n".into());
    let marked = registry.delete(&key, &DeleteOptions::default()).unwrap();
    assert!(!marked.gone);
    assert_eq!(marked.object["metadata"]["deletionGracePeriodSeconds"], 30);
    let longer = DeleteOptions { grace: Some(60), ..DeleteOptions::default() };
    let again = registry.delete(&key, &longer).unwrap();
    assert_eq!(again.object["metadata"]["deletionGracePeriodSeconds"], 30, "a grace period never grows");
    let now = DeleteOptions { grace: Some(0), ..DeleteOptions::default() };
    assert!(registry.delete(&key, &now).unwrap().gone);
    assert!(registry.store.get(&PODS, "a", "placed").is_none());
}

#[tokio::test]
async fn addresses_of_deleted_services_can_be_used_again() {
    let registry = registry();
    let service = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    let first = create(&registry, &SERVICES, service.clone());
    registry.delete(&Key::of(&SERVICES, &first), &DeleteOptions::default()).unwrap();
    let second = create(&registry, &SERVICES, service);
    assert_eq!(first["spec"]["clusterIP"], second["spec"]["clusterIP"]);
    assert_ne!(object::uid(&first), object::uid(&second));
    let uid = object::uid(&first);
    assert_eq!((uid.len(), uid.as_bytes()[14]), (36, b'4'), "{uid}");
}
