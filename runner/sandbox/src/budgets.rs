//! PodDisruptionBudgets as pure functions of the objects: the budgets of a pod, and the number of allowed evictions.

use serde_json::Value;

use super::object;
use super::pod::is_ready;
use super::resource::{self, POD_DISRUPTION_BUDGETS, PODS};
use super::selector::Labels;
use super::store::{Inner, Key};

/// The numbers of a budget.
#[derive(Debug, PartialEq)]
pub(crate) struct Tally {
    /// The desired number of pods.
    pub expected: i64,
    /// The number of healthy pods.
    pub healthy: i64,
    /// The required number of healthy pods.
    pub desired: i64,
}

impl Tally {
    /// The number of pods that may be evicted.
    pub fn allowed(&self) -> i64 {
        if self.expected == 0 { 0 } else { (self.healthy - self.desired).max(0) }
    }
}

/// The budgets of a pod, with their numbers.
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

/// The current numbers of a budget.
pub(crate) fn tally(store: &Inner, budget: &Value) -> Tally {
    let pods: Vec<_> =
        store.list(&PODS, object::namespace(budget)).into_iter().filter(|pod| is_meant(budget, pod)).collect();
    let healthy = pods.iter().filter(|pod| is_ready(pod)).count() as i64;
    let spec = &budget["spec"];
    // An absolute `minAvailable` needs no owner. Everything else is relative to the owners' replicas.
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

/// The uid and the desired replicas of a pod's controller.
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
