//! PodDisruptionBudgets: their status contains the number of pods that may be evicted now.

use std::time::Duration;

use serde_json::json;

use crate::budgets::tally;
use crate::object;
use crate::registry::Registry;
use crate::resource::POD_DISRUPTION_BUDGETS;
use crate::store::Key;

/// Keeps the status of every budget up to date.
pub(crate) fn reconcile(registry: &Registry) -> Option<Duration> {
    let budgets = registry.store.list(&POD_DISRUPTION_BUDGETS, "");
    for budget in budgets {
        let tally = tally(&registry.store.lock(), &budget);
        let now = registry.store.clock.stamp();
        registry.modify(&Key::of(&POD_DISRUPTION_BUDGETS, &budget), object::uid(&budget), |budget| {
            let (status, reason) =
                if tally.allowed() > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
            let before = object::list(budget, "/status/conditions").iter().find(|c| c["status"] == status);
            let since = before.map_or(now.as_str(), |c| object::text(c, "/lastTransitionTime")).to_owned();
            budget["status"] = json!({
                "currentHealthy": tally.healthy, "desiredHealthy": tally.desired, "expectedPods": tally.expected,
                "disruptionsAllowed": tally.allowed(), "observedGeneration": budget["metadata"]["generation"],
                "conditions": [{"type": "DisruptionAllowed", "status": status, "reason": reason, "message": "",
                    "lastTransitionTime": since}],
            });
        });
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::addresses::Addresses;
    use crate::clock::Clock;
    use crate::registry::{DeleteOptions, WriteOptions};
    use crate::resource::{NAMESPACES, PODS, REPLICA_SETS, Resource};
    use crate::store::Store;

    /// A ReplicaSet with three of three pods, `ready` of which are ready, and a budget.
    fn cluster(budget: Value, ready: usize) -> Registry {
        let registry = Registry {
            store: Store::new(Clock::new()),
            addresses: Addresses::claim().unwrap(),
            logs: Default::default(),
            kills: Default::default(),
            starting: Default::default(),
        };
        let create = |resource: &'static Resource, mut object: Value| {
            object["apiVersion"] = resource.api_version().into();
            object["kind"] = resource.kind.into();
            let namespace = if resource.namespaced { "a" } else { "" };
            registry.create(resource, namespace, object, WriteOptions::default()).unwrap().object
        };
        create(&NAMESPACES, json!({"metadata": {"name": "a"}}));
        let pod = json!({"containers": [{"name": "c", "image": "i"}], "nodeName": "sandbox"});
        let template = json!({"metadata": {"labels": {"app": "w"}}, "spec": pod});
        let set = create(
            &REPLICA_SETS,
            json!({"metadata": {"name": "w"}, "spec": {"replicas": 3,
            "selector": {"matchLabels": {"app": "w"}}, "template": template}}),
        );
        let owner = object::controller_reference("apps/v1", "ReplicaSet", &set);
        for index in 0..3 {
            let metadata = json!({"name": format!("w-{index}"), "labels": {"app": "w"}, "ownerReferences": [owner]});
            let made = create(&PODS, json!({"metadata": metadata, "spec": pod}));
            let is_ready = if index < ready { "True" } else { "False" };
            registry.modify(&Key::of(&PODS, &made), object::uid(&made), |pod| {
                pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": is_ready}]});
            });
        }
        let mut spec = json!({"selector": {"matchLabels": {"app": "w"}}});
        spec.as_object_mut().unwrap().extend(budget.as_object().unwrap().clone());
        create(&POD_DISRUPTION_BUDGETS, json!({"metadata": {"name": "b"}, "spec": spec}));
        registry
    }

    fn evict(registry: &Registry, name: &str) -> Result<(), (u16, String)> {
        let options = DeleteOptions { grace: Some(5), ..DeleteOptions::default() };
        let evicted = registry.evict(&Key::new(&PODS, "a", name), &options);
        evicted.map(|_| ()).map_err(|error| (error.code, error.details["causes"][0]["message"].to_string()))
    }

    #[tokio::test]
    async fn budgets_allow_what_leaves_enough() {
        for (budget, ready, allowed) in [
            (json!({"minAvailable": 2}), 3, 1),
            (json!({"minAvailable": 2}), 2, 0),
            (json!({"minAvailable": "50%"}), 3, 1),
            (json!({"maxUnavailable": 1}), 3, 1),
            (json!({"maxUnavailable": "100%"}), 3, 3),
            (json!({"maxUnavailable": 0}), 3, 0),
        ] {
            let registry = cluster(budget.clone(), ready);
            reconcile(&registry);
            let status = registry.store.get(&POD_DISRUPTION_BUDGETS, "a", "b").unwrap()["status"].clone();
            assert_eq!(status["disruptionsAllowed"], allowed, "{budget}: {status}");
            assert_eq!((&status["currentHealthy"], &status["expectedPods"]), (&json!(ready), &json!(3)), "{budget}");
        }
    }

    #[tokio::test]
    async fn an_eviction_that_leaves_too_few_is_refused_and_one_of_a_second_pod_as_well() {
        let registry = cluster(json!({"minAvailable": 2}), 3);
        evict(&registry, "w-0").unwrap();
        assert!(object::is_terminating(&registry.store.get(&PODS, "a", "w-0").unwrap()), "it has its grace");
        let (code, why) = evict(&registry, "w-1").unwrap_err();
        assert_eq!(code, 429);
        assert!(why.contains("disruption budget b needs 2 healthy pods and has 2"), "{why}");
        evict(&registry, "w-0").unwrap();
        registry.delete(&Key::new(&PODS, "a", "w-1"), &DeleteOptions::default()).expect("a deletion asks no budget");
    }
}
