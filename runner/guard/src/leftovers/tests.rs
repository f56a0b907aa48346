//! A search for leftovers finds every kind, and only our objects.

use serde_json::json;

use super::*;
use shakedown_cluster::testing::store::{Fate, Store};

fn config_maps() -> Kind {
    Kind::other("v1", "ConfigMap", "configmaps")
}

fn object(kind: Kind, name: &str, run: &str) -> Value {
    let labels = json!({labels::MANAGED_BY: labels::MANAGER, labels::RUN: run});
    let metadata = json!({"name": name, "namespace": "n", "labels": labels});
    json!({"apiVersion": kind.api_version(), "kind": kind.name(), "metadata": metadata})
}

fn names(search: &Search) -> Vec<&str> {
    search.found.iter().map(|(_, item)| item.key().name.as_str()).collect()
}

#[tokio::test]
async fn kinds_of_manifests_are_found_by_journal_or_discovery() {
    let store = Store::default();
    store.put(config_maps(), object(config_maps(), "settings", "r"));
    store.put(config_maps(), object(config_maps(), "others", "s"));
    let mut deployment = object(config_maps(), "the operator's own", "r");
    deployment["metadata"]["labels"].as_object_mut().unwrap().remove(labels::RUN);
    store.put(config_maps(), deployment);
    let cluster = store.cluster();
    for namespace in ["", "n"] {
        let kinds = [Kinds::with([config_maps()]), Kinds::every(&cluster).await.unwrap()];
        for kinds in kinds {
            let one = find(&cluster, Some("r"), namespace, &kinds).await.unwrap();
            assert_eq!(names(&one), ["settings"]);
            let all = find(&cluster, None, namespace, &kinds).await.unwrap();
            assert_eq!(names(&all), ["others", "settings"]);
        }
    }
}

#[tokio::test]
async fn a_kind_that_may_not_be_listed_is_reported() {
    let store = Store::default();
    store.script(|_, asked| if asked.ends_with("/configmaps") { Fate::Refused(403) } else { Fate::Answered });
    let cluster = store.cluster();
    let swept = find(&cluster, None, "", &Kinds::every(&cluster).await.unwrap()).await.unwrap();
    assert_eq!(swept.unseen.into_iter().collect::<Vec<_>>(), ["configmap"]);
}

#[tokio::test]
async fn dependents_of_our_objects_are_not_listed() {
    let store = Store::default();
    let owner = store.put(config_maps(), object(config_maps(), "owner", "r"));
    let controlled = |name: &str, uid: &Value| {
        let mut object = object(config_maps(), name, "r");
        object["metadata"]["ownerReferences"] = json!([{"kind": "ConfigMap", "uid": uid, "controller": true}]);
        store.put(config_maps(), object);
    };
    controlled("slice", &owner["metadata"]["uid"]);
    controlled("orphan", &json!("unknown"));
    let swept = find(&store.cluster(), None, "", &Kinds::with([config_maps()])).await.unwrap();
    assert_eq!(names(&swept), ["orphan", "owner"]);
}

#[tokio::test]
async fn a_journalled_item_is_ours_by_uid_and_label() {
    let store = Store::default();
    let made = store.put(config_maps(), object(config_maps(), "settings", "r"));
    let uid = made["metadata"]["uid"].as_str().unwrap().to_owned();
    let cluster = store.cluster();
    let key = |name: &str, uid: Option<&str>| ObjectKey {
        kind: config_maps(),
        namespace: "n".into(),
        name: name.into(),
        uid: uid.map(str::to_owned),
    };
    for (what, run, key, there) in [
        ("the very one", "r", key("settings", Some(&uid)), true),
        ("its UID is not known", "r", key("settings", None), true),
        ("made anew by another client", "r", key("settings", Some("another")), false),
        ("another run's", "s", key("settings", None), false),
        ("gone", "r", key("nothing", None), false),
        ("its name is a secret", "r", key("[redacted]", Some(&uid)), true),
        ("its name is a secret and its UID is not known", "r", key("set[redacted]", None), true),
        ("its name is a secret, and it was made anew", "r", key("[redacted]", Some("another")), false),
        ("its name is a secret, and another run's", "s", key("[redacted]", None), false),
    ] {
        let found = existing(&cluster, vec![(run.to_owned(), Item::Object(key))]).await.unwrap();
        assert_eq!(found.len(), usize::from(there), "{what}: {found:?}");
        assert!(found.iter().all(|(_, item)| item.key().uid.as_ref() == Some(&uid)), "{what}: {found:?}");
    }
}
