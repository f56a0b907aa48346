//! Deployments and ReplicaSets: as many pods as requested, each with a unique name.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::{events, pods};
use crate::object;
use crate::registry::{Registry, WriteOptions};
use crate::resource::{DEPLOYMENTS, REPLICA_SETS};
use crate::store::Key;

const HASH: &str = "pod-template-hash";

/// Reconciles Deployments and ReplicaSets.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    for deployment in registry.store.list(&DEPLOYMENTS, "").iter().filter(|d| !object::is_terminating(d)) {
        roll_out(registry, deployment);
    }
    for set in registry.store.list(&REPLICA_SETS, "").iter().filter(|s| !object::is_terminating(s)) {
        fill(registry, set);
    }
    None
}

/// Makes the ReplicaSet of the current template, and shrinks older ones once it is complete.
fn roll_out(registry: &Registry, deployment: &Value) {
    let hash = template_hash(&deployment["spec"]["template"]);
    let uid = object::uid(deployment);
    let sets: Vec<Arc<Value>> = registry
        .store
        .list(&REPLICA_SETS, object::namespace(deployment))
        .into_iter()
        .filter(|set| object::controller_uid(set) == Some(uid))
        .collect();
    let wanted = object::number(deployment, "/spec/replicas").unwrap_or(1);
    let is_current = |set: &Value| object::labels(set).is_some_and(|l| l.get(HASH).is_some_and(|h| *h == hash));
    let Some(current) = sets.iter().find(|set| is_current(set)) else {
        create_set(registry, deployment, &hash, sets.len() + 1);
        return;
    };
    scale(registry, deployment, current, wanted);
    if object::number(current, "/status/readyReplicas").unwrap_or(0) >= wanted {
        for old in sets.iter().filter(|set| !is_current(set)) {
            scale(registry, deployment, old, 0);
        }
    }
    let sum = |pointer: &str| sets.iter().filter_map(|set| object::number(set, pointer)).sum::<i64>();
    let (all, ready) = (sum("/status/replicas"), sum("/status/readyReplicas"));
    let updated = object::number(current, "/status/replicas").unwrap_or(0);
    let name = object::name(current);
    let now = registry.store.clock.stamp();
    registry.modify(&Key::of(&DEPLOYMENTS, deployment), uid, |deployment| {
        let done = ready >= wanted && updated >= wanted && all == updated;
        let available = if ready >= wanted {
            ("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.".to_string())
        } else {
            (
                "Available",
                "False",
                "MinimumReplicasUnavailable",
                "Deployment does not have minimum availability.".to_string(),
            )
        };
        let progress = if done {
            (
                "Progressing",
                "True",
                "NewReplicaSetAvailable",
                format!("ReplicaSet \"{name}\" has successfully progressed."),
            )
        } else {
            ("Progressing", "True", "ReplicaSetUpdated", format!("ReplicaSet \"{name}\" is progressing."))
        };
        let conditions: Vec<Value> =
            [available, progress].into_iter().map(|c| condition(deployment, &now, c)).collect();
        let mut status = json!({"observedGeneration": deployment["metadata"]["generation"], "conditions": conditions});
        for (key, count) in [
            ("replicas", all),
            ("updatedReplicas", updated),
            ("readyReplicas", ready),
            ("availableReplicas", ready),
            ("unavailableReplicas", (wanted - ready).max(0)),
        ] {
            if count > 0 {
                status[key] = count.into();
            }
        }
        deployment["status"] = status;
    });
}

/// A condition whose time only changes with its status.
fn condition(object: &Value, now: &str, (kind, status, reason, message): (&str, &str, &str, String)) -> Value {
    let before = object::list(object, "/status/conditions").iter().find(|c| c["type"] == kind && c["status"] == status);
    let since = before.and_then(|c| c["lastTransitionTime"].as_str()).unwrap_or(now);
    let updated = before.filter(|c| c["reason"] == reason).and_then(|c| c["lastUpdateTime"].as_str()).unwrap_or(now);
    json!({"type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since, "lastUpdateTime": updated})
}

fn create_set(registry: &Registry, deployment: &Value, hash: &str, revision: usize) {
    let mut template = deployment["spec"]["template"].clone();
    object::meta_mut(&mut template);
    object::map_mut(&mut template["metadata"], "labels").insert(HASH.into(), hash.into());
    let mut selector = deployment["spec"]["selector"].clone();
    object::map_mut(&mut selector, "matchLabels").insert(HASH.into(), hash.into());
    let name = format!("{}-{hash}", object::name(deployment));
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "labels": template["metadata"]["labels"],
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [object::controller_reference("apps/v1", "Deployment", deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    });
    if let Err(error) = registry.create(&REPLICA_SETS, object::namespace(deployment), set, WriteOptions::default()) {
        let message = format!("Failed to create new replica set {name:?}: {error}");
        events::emit(registry, deployment, "deployment-controller", true, "ReplicaSetCreateError", &message);
    }
}

fn scale(registry: &Registry, deployment: &Value, set: &Value, replicas: i64) {
    let before = object::number(set, "/spec/replicas").unwrap_or(0);
    if before == replicas {
        return;
    }
    registry.modify(&Key::of(&REPLICA_SETS, set), object::uid(set), |set| set["spec"]["replicas"] = replicas.into());
    let way = if replicas > before { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {} from {before} to {replicas}", object::name(set));
    events::emit(registry, deployment, "deployment-controller", false, "ScalingReplicaSet", &message);
}

/// Ten characters that change with the template.
fn template_hash(template: &Value) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hasher = DefaultHasher::new();
    hash_value(template, &mut hasher);
    let mut rest = hasher.finish();
    (0..10)
        .map(|_| {
            let at = usize::try_from(rest % ALPHABET.len() as u64).unwrap_or(0);
            rest /= ALPHABET.len() as u64;
            char::from(ALPHABET[at])
        })
        .collect()
}

/// Hashes a value with sorted keys, because their order has no meaning.
fn hash_value(value: &Value, hasher: &mut DefaultHasher) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().collect();
            for (key, value) in sorted {
                key.hash(hasher);
                hash_value(value, hasher);
            }
        }
        Value::Array(items) => {
            items.len().hash(hasher);
            items.iter().for_each(|item| hash_value(item, hasher));
        }
        other => other.hash(hasher),
    }
}

/// Creates and deletes the pods of a ReplicaSet.
fn fill(registry: &Registry, set: &Value) {
    const COMPONENT: &str = "replicaset-controller";
    let mut living = pods::claim(registry, &REPLICA_SETS, set);
    living.retain(|pod| !pods::is_over(pod));
    let wanted = usize::try_from(object::number(set, "/spec/replicas").unwrap_or(1)).unwrap_or(0);
    for _ in living.len()..wanted {
        let mut pod = pods::from_template(&REPLICA_SETS, set);
        object::meta_mut(&mut pod).insert("generateName".into(), format!("{}-", object::name(set)).into());
        if !pods::create(registry, set, COMPONENT, pod) {
            break;
        }
    }
    if living.len() > wanted {
        // Ready pods are kept.
        living.sort_by_key(|pod| pods::is_ready(pod));
        for pod in living.iter().take(living.len() - wanted) {
            pods::delete(registry, set, COMPONENT, pod);
        }
    }
    let ready = living.iter().filter(|pod| pods::is_ready(pod)).count();
    let count = living.len();
    registry.modify(&Key::of(&REPLICA_SETS, set), object::uid(set), |set| {
        let mut status = json!({"replicas": count, "observedGeneration": set["metadata"]["generation"]});
        if count > 0 {
            status["fullyLabeledReplicas"] = count.into();
        }
        if ready > 0 {
            status["readyReplicas"] = ready.into();
            status["availableReplicas"] = ready.into();
        }
        set["status"] = status;
    });
}
