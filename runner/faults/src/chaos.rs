//! Faults by Chaos Mesh. The driver creates its resources, reads their status until they act on exactly the planned pods,
//! and deletes them and watches until they are recovered and gone.
//!
//! Pure parts: `spec` computes the resources, `contract` interprets their status, `diagnose` finds remedies for failures, and
//! `fitness` checks an installation. Acting parts: `proof` reads the resources, `removal` removes them, `follow` handles
//! replaced targets, and `usage` reads the usage of stressed containers, which `meter` judges. `recording` records the events
//! of the API server about them.

mod ability;
pub mod canary;
mod contract;
mod diagnose;
mod driver;
mod ending;
pub mod fitness;
mod follow;
mod half_done;
mod memory;
mod meter;
mod proof;
pub mod quota;
mod recipe;
mod recording;
mod removal;
pub mod spec;
mod units;
mod usage;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use shakedown_schemas::Explained;
use shakedown_schemas::result::Leftover;
use shakedown_schemas::units::as_text;
use tokio::time::Instant;

use super::FaultError;
use super::driver::REPLACED;
use super::partition::pod_key;
use super::stretch::Doubts;
use meter::Meter;
use shakedown_cluster::labels;
use shakedown_cluster::{Access, CHAOS_GROUP, Cluster, ClusterError, ObjectKey};
use spec::{Inside, Resource, pod_id};

pub use ability::{Ability, Trial, in_words, survey, trials};
pub use contract::{failing, recovered, stuck, unsettled, was_injected};
pub use diagnose::{explained, remedy};
pub use driver::ChaosFault;
pub use ending::end;
pub use follow::container_names;
pub use recipe::Recipe;
pub use recording::{Recording, Scope};
pub use removal::{
    Going, by_force, first_look, force, go, half_done_leftovers, held, left_half_done, left_in_pods, recovering,
};

/// The interval at which a status is read.
const POLL: Duration = Duration::from_millis(200);
/// How long Chaos Mesh's controller may take to process a new resource. It usually takes 1 s to 2 s.
const UNTOUCHED_LIMIT: Duration = Duration::from_secs(15);

/// How long Chaos Mesh's manager may take to answer for a pod's rules. After that it is stuck: it processes one at a time.
const UNANSWERED: Duration = Duration::from_secs(60);

/// The limits of a fault, and its action when Chaos Mesh is stuck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The timeout for a fault to become active.
    #[serde(serialize_with = "as_text::duration")]
    pub active: Duration,
    /// The timeout after Chaos Mesh has reported a failure, which may recover. `None`: the same as `active`.
    #[serde(skip)]
    pub failing: Option<Duration>,
    /// How long a removal may hang before finalizers are removed by force. `None`: never.
    #[serde(serialize_with = "as_text::optional", skip_serializing_if = "Option::is_none")]
    pub force_after: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { active: Duration::from_secs(60), failing: None, force_after: None }
    }
}

/// The names of a fault's resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Naming {
    /// The run's id.
    pub run: String,
    /// The scenario's number in the run.
    pub serial: usize,
    /// The fault's number in the scenario. Names of faults alone may collide once shortened to object names.
    pub number: usize,
    /// The fault.
    pub fault: String,
    /// The namespace of the resources: the targets'.
    pub namespace: String,
    /// Chaos Mesh's own time limit, from the resource's creation, in case the runner and the fuse fail to remove it.
    #[serde(serialize_with = "as_text::duration")]
    pub duration: Duration,
}

/// A resource as an object. `round` counts the injections for replaced targets.
pub fn object(resource: &Resource, naming: &Naming, round: u32) -> Value {
    let Naming { run, serial, number, fault, namespace, duration } = naming;
    let again = if round == 0 { String::new() } else { format!("-{round}") };
    let mut spec = resource.spec.clone();
    if resource.lasts {
        spec["duration"] = json!(format!("{}s", duration.as_secs_f64().ceil()));
    }
    json!({
        "apiVersion": resource.kind.api_version(),
        "kind": resource.kind.name(),
        "metadata": {
            "name": format!("shakedown-{run}-{serial}-{number}-{}-{}{again}", labels::name_part(fault), resource.role),
            "namespace": namespace,
            "labels": {
                labels::MANAGED_BY: labels::MANAGER,
                labels::RUN: run,
                labels::FAULT: labels::value(fault),
            },
        },
        "spec": spec,
    })
}

/// The spec of a fault by Chaos Mesh: plain data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ChaosSpec {
    /// The names of its resources.
    pub naming: Naming,
    /// The targets, with their containers.
    pub targets: Vec<Inside>,
    /// The recipe of its resources.
    pub recipe: Recipe,
    /// Whether the fault also acts on replacements of targets.
    pub follow: bool,
    /// Whether the driver looks for evidence that is independent of Chaos Mesh.
    pub observe: bool,
    /// The limits of its steps.
    pub limits: Limits,
}

/// The state that the driver shares with the task that watches targets.
struct Inner {
    cluster: Cluster,
    naming: Naming,
    recipe: Recipe,
    follow: bool,
    observe: bool,
    limits: Limits,
    state: Mutex<ChaosState>,
    /// Serialises creation and removal.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct ChaosState {
    owner: Option<Value>,
    /// The current targets.
    targets: Vec<Inside>,
    /// The targets that are gone, as in records.
    lost: BTreeSet<String>,
    made: Vec<Made>,
    standing: bool,
    /// When the first resource was sent.
    begun: Option<Instant>,
    /// How long after that each resource began to act, by name.
    acting_since: BTreeMap<String, Duration>,
    /// True if the driver gave up without an answer: neither Chaos Mesh nor one of its daemons reported a cause.
    is_unanswered: bool,
    round: u32,
    /// Changes to the targets while the fault acted, as text.
    notes: Vec<String>,
    undoing_since: Option<Instant>,
    /// A resource that the undo found missing, as text.
    missed: Option<String>,
    /// The forced removals, as text.
    forced: Option<String>,
    /// The restarts of the targets before the fault, by the ids of records: of pods, and of containers.
    restarts: BTreeMap<String, u64>,
    /// The usage of the stressed containers, for a fault that it can show.
    meter: Option<Meter>,
    /// What the watching task does not know or has not done yet.
    doubts: Doubts<()>,
}

impl ChaosState {
    /// Whether it acts once, at its injection, and has no duration.
    fn is_once(&self) -> bool {
        self.made.iter().all(|made| !made.resource.lasts)
    }

    fn count_restarts(&mut self, id: &str, pod: &Value) {
        let mut all = 0;
        for (container, count) in contract::restarts(pod) {
            self.restarts.insert(format!("{id}/{container}"), count);
            all += count;
        }
        self.restarts.insert(id.to_owned(), all);
    }
}

/// A resource that may exist: its creation was requested.
#[derive(Clone)]
struct Made {
    key: ObjectKey,
    resource: Resource,
    /// The number of its injection: 0, or that of a replaced target.
    round: u32,
    /// The runner is removing it.
    going: bool,
    /// It is gone.
    gone: bool,
    /// Its last state before it was gone, if a watch observed it.
    last: Option<Value>,
    /// Its latest state that a removal has read.
    seen: Option<Value>,
    /// What its failed injection has left.
    half_done: Vec<Leftover>,
    /// Its removal did not end.
    stuck: bool,
    /// How a resource that never took effect was ended, as text.
    ended: Option<String>,
}

impl Made {
    /// Its name as the source of rules in Chaos Mesh.
    fn source(&self) -> String {
        format!("{}/{}", self.key.namespace, self.key.name)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, ChaosState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the resources for some targets. A second attempt at a round creates the missing ones.
    async fn create(&self, targets: &[Inside], round: u32) -> Result<(), FaultError> {
        self.state().begun.get_or_insert_with(Instant::now);
        for resource in self.recipe.resources(targets) {
            let mut sent = object(&resource, &self.naming, round);
            if let Some(owner) = self.state().owner.clone() {
                sent["metadata"]["ownerReferences"] = Value::Array(vec![owner]);
            }
            let name = sent["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let (kind, namespace) = (resource.kind, self.naming.namespace.clone());
            let key = ObjectKey { kind, namespace: namespace.clone(), name, uid: None };
            // Recorded before the request: the server may create it although its answer is lost.
            let place = {
                let mut state = self.state();
                let known = state.made.iter().position(|made| (made.key.kind, &made.key.name) == (key.kind, &key.name));
                known.unwrap_or_else(|| {
                    let (going, gone, stuck) = (false, false, false);
                    state.made.push(Made {
                        key,
                        resource,
                        round,
                        going,
                        gone,
                        last: None,
                        seen: None,
                        half_done: Vec::new(),
                        stuck,
                        ended: None,
                    });
                    state.made.len() - 1
                })
            };
            let created = match self.cluster.create(kind, &namespace, &sent).await {
                Ok(created) => created,
                Err(error) => {
                    let mut state = self.state();
                    // An object of this name may still exist; it belongs to another client.
                    if !self.cluster.may_have_made(&state.made[place].key) {
                        state.made.remove(place);
                    }
                    return Err(refused(error));
                }
            };
            self.state().made[place].key.uid = created["metadata"]["uid"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// The resources that exist or should exist.
    fn standing(&self) -> Vec<Made> {
        self.state().made.iter().filter(|made| !made.going && !made.gone).cloned().collect()
    }

    /// Returns an error if a target is gone without a replacement.
    async fn check_targets(&self) -> Result<(), FaultError> {
        let targets = self.state().targets.clone();
        let mut meter = Meter::default();
        let mut gone = targets.is_empty().then(|| "every target is gone".to_owned());
        for target in targets {
            let pod = &target.pod;
            let there = self.cluster.get(&pod_key(pod)).await?;
            match there.filter(|object| object["metadata"]["deletionTimestamp"].is_null()) {
                Some(object) => {
                    self.state().count_restarts(&pod_id(pod), &object);
                    meter.expect(&self.recipe, &target, &object);
                }
                None => gone = Some(format!("target pod {} (uid {}) no longer exists", pod_id(pod), pod.uid)),
            }
        }
        self.state().meter = Some(meter).filter(|meter| self.observe && !meter.is_empty());
        match gone {
            Some(text) => Err(FaultError::TargetGone(Explained::new(text, REPLACED))),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// The same. If Chaos Mesh refuses because of a missing permission, the help names the rule to add.
    async fn named(&self, resource: &Resource, error: ClusterError) -> FaultError {
        if !error.to_string().contains(diagnose::NOT_ALLOWED) {
            return refused(error);
        }
        let access = Access { group: CHAOS_GROUP, resource: resource.kind.plural(), verb: "create" };
        let namespaces: BTreeSet<&str> =
            resource.records.iter().filter_map(|record| record.id.split('/').next()).collect();
        let mut missing = Vec::new();
        for namespace in namespaces {
            if self.cluster.may(access, namespace).await.is_ok_and(|may| may == Some(false)) {
                missing.push(namespace);
            }
        }
        if missing.is_empty() {
            return refused(error);
        }
        let plural = access.resource;
        let commands = missing.iter().map(|namespace| {
            format!("`kubectl -n {namespace} create role shakedown-{plural} --verb=create --resource={plural}.{CHAOS_GROUP}`")
        });
        FaultError::Impossible(Explained::new(
            error.explained().message,
            format!(
                "this account may not create {plural} in namespace {}, and Chaos Mesh asks for that in every namespace that a \
                 fault names, the peers' as well: {}, and bind it to the account",
                missing.join(", "),
                commands.collect::<Vec<_>>().join(", ")
            ),
        ))
    }
}

/// A refusal of the API server or of a webhook, with a remedy if one is known.
fn refused(error: ClusterError) -> FaultError {
    let text = error.explained().message;
    match diagnose::remedy(&text) {
        Some(_) if !error.is_transient() || text.contains("webhook") => FaultError::Impossible(explained(&text)),
        _ => FaultError::Cluster(error),
    }
}

#[cfg(test)]
mod replay;
#[cfg(test)]
mod tests;
