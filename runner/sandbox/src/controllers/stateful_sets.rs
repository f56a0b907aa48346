//! StatefulSets: numbered pods, one after the other, which keep their names when they are replaced.

use std::time::Duration;

use serde_json::json;

use super::pods;
use crate::object;
use crate::registry::Registry;
use crate::resource::{PODS, STATEFUL_SETS};
use crate::store::Key;

const COMPONENT: &str = "statefulset-controller";

/// Reconciles StatefulSets.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    for set in registry.store.list(&STATEFUL_SETS, "").iter().filter(|s| !object::is_terminating(s)) {
        fill(registry, set);
    }
    None
}

fn fill(registry: &Registry, set: &serde_json::Value) {
    let owned = pods::claim(registry, &STATEFUL_SETS, set);
    let wanted = object::number(set, "/spec/replicas").unwrap_or(1).max(0);
    let name = |ordinal: i64| format!("{}-{ordinal}", object::name(set));
    let in_order = object::text(set, "/spec/podManagementPolicy") != "Parallel";
    for ordinal in 0..wanted {
        // A pod that is being deleted, or of another owner, also keeps the name.
        let pod = registry.store.get(&PODS, object::namespace(set), &name(ordinal));
        match pod {
            None => {
                let mut pod = pods::from_template(&STATEFUL_SETS, set);
                object::meta_mut(&mut pod).insert("name".into(), name(ordinal).into());
                object::map_mut(&mut pod["metadata"], "labels").extend([
                    ("statefulset.kubernetes.io/pod-name".to_string(), name(ordinal).into()),
                    ("apps.kubernetes.io/pod-index".to_string(), ordinal.to_string().into()),
                ]);
                object::map_mut(&mut pod, "spec").insert("hostname".into(), name(ordinal).into());
                pods::create(registry, set, COMPONENT, pod);
                if in_order {
                    break;
                }
            }
            Some(pod) if in_order && !pods::is_ready(&pod) => break,
            Some(_) => {}
        }
    }
    for pod in owned.iter().filter(|pod| !pods::is_over(pod)) {
        let ordinal = object::name(pod).rsplit('-').next().and_then(|n| n.parse::<i64>().ok());
        if ordinal.is_some_and(|ordinal| ordinal >= wanted) {
            pods::delete(registry, set, COMPONENT, pod);
        }
    }
    let living = owned.iter().filter(|pod| !pods::is_over(pod)).count();
    let ready = owned.iter().filter(|pod| pods::is_ready(pod)).count();
    registry.modify(&Key::of(&STATEFUL_SETS, set), object::uid(set), |set| {
        set["status"] = json!({
            "observedGeneration": set["metadata"]["generation"],
            "replicas": living, "currentReplicas": living, "updatedReplicas": living,
            "readyReplicas": ready, "availableReplicas": ready,
        });
    });
}
