//! PodDisruptionBudgets: how many pods may be evicted now, and whether this one may be.

use std::time::Duration;

use serde_json::{Value, json};

use super::pods::is_ready;
use crate::object;
use crate::registry::Registry;
use crate::resource::{self, POD_DISRUPTION_BUDGETS, PODS};
use crate::selector::Labels;
use crate::store::{Inner, Key};

/// What a budget comes to.
#[derive(Debug, PartialEq)]
pub(crate) struct Tally {
    /// How many pods there ought to be.
    expected: i64,
    /// How many serve.
    pub healthy: i64,
    /// How many have to.
    pub desired: i64,
}

impl Tally {
    /// How many may be evicted.
    pub fn allowed(&self) -> i64 {
        if self.expected == 0 { 0 } else { (self.healthy - self.desired).max(0) }
    }
}

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

/// The budgets of a pod, with what they come to.
pub(crate) fn budgets(store: &Inner, pod: &Value) -> Vec<(String, Tally)> {
    let budgets = store.list(&POD_DISRUPTION_BUDGETS, object::namespace(pod));
    let its = budgets.iter().filter(|budget| is_meant(budget, pod));
    its.map(|budget| (object::name(budget).to_owned(), tally(store, budget))).collect()
}

/// An empty selector means all pods, a missing one none.
fn is_meant(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    selector.is_object() && Labels::from_selector(selector).matches(object::labels(pod))
}

fn tally(store: &Inner, budget: &Value) -> Tally {
    let pods: Vec<_> =
        store.list(&PODS, object::namespace(budget)).into_iter().filter(|pod| is_meant(budget, pod)).collect();
    let healthy = pods.iter().filter(|pod| is_ready(pod)).count() as i64;
    let spec = &budget["spec"];
    // A number of pods that must stay needs no owner; all else is a share of what the owners want.
    if let Some(least) = spec["minAvailable"].as_i64() {
        return Tally { expected: pods.len() as i64, healthy, desired: least };
    }
    let mut owners: Vec<_> = pods.iter().filter_map(|pod| owner(store, pod)).collect();
    owners.sort_by(|one, other| one.0.cmp(&other.0));
    owners.dedup();
    let expected = owners.iter().map(|(_, replicas)| replicas).sum();
    let desired = match (spec.get("minAvailable"), spec.get("maxUnavailable")) {
        (Some(least), _) => share(least, expected),
        (None, Some(most)) => expected - share(most, expected),
        (None, None) => expected,
    };
    Tally { expected, healthy, desired: desired.max(0) }
}

/// The uid and the wanted replicas of a pod's controller.
fn owner(store: &Inner, pod: &Value) -> Option<(String, i64)> {
    let references = object::list(pod, "/metadata/ownerReferences");
    let controller = references.iter().find(|owner| owner["controller"] == true)?;
    let kind = resource::find_kind(object::text(controller, "/apiVersion"), object::text(controller, "/kind"))?;
    let owner = store.get(&Key::new(kind, object::namespace(pod), object::text(controller, "/name")))?;
    Some((object::uid(&owner).to_owned(), object::number(&owner, "/spec/replicas")?))
}

/// A number, or a share of all, rounded up.
fn share(value: &Value, all: i64) -> i64 {
    match value {
        Value::String(text) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(100);
            (all * percent + 99) / 100
        }
        other => other.as_i64().unwrap_or(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Addresses;
    use crate::clock::Clock;
    use crate::registry::{DeleteOptions, WriteOptions};
    use crate::resource::{NAMESPACES, REPLICA_SETS, Resource};
    use crate::store::Store;

    /// Three pods of a ReplicaSet that wants three, so many of which serve, under a budget.
    fn cluster(budget: Value, ready: usize) -> Registry {
        let registry = Registry {
            store: Store::new(Clock::new()),
            addresses: Addresses::claim().unwrap(),
            logs: Default::default(),
            kills: Default::default(),
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
