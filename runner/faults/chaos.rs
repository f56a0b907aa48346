//! Faults by Chaos Mesh: its resources are created, their status is read until they act on exactly the planned pods, and
//! they are deleted and watched until they went recovered.
//!
//! What the resources are is worked out in `spec`, what their status means in `contract`, and what a person can do about a
//! failure in `diagnose`: all three are pure. How they are removed is in `removal`, and what happens when a target is
//! replaced in `follow`.

mod contract;
mod diagnose;
mod follow;
mod removal;
pub mod spec;
mod units;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use shakedown_schemas::result::{Leftover, PodRef, Proof};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::fuse::Fuses;
use super::partition::pod_key;
use super::{FaultDriver, FaultError, Finding};
use crate::cluster::{Cluster, ClusterError, Kind, ObjectKey};
use crate::labels;
use contract::Missing;
use spec::{Inside, Resource, pod_id};

pub use contract::{failing, stuck};
pub use diagnose::explained;
pub(crate) use follow::container_names;
pub use removal::{Going, force, go};

/// How often a status is read.
const POLL: Duration = Duration::from_millis(200);
/// How long Chaos Mesh's controller has to look at a new resource: it takes a second or two.
const UNTOUCHED_LIMIT: Duration = Duration::from_secs(15);

/// How patient a fault is, and what it may do when Chaos Mesh is stuck.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long it may take until a fault is active.
    pub active: Duration,
    /// How long a removal may hang before finalizers are taken off by force; none for never.
    pub force_after: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { active: Duration::from_secs(60), force_after: None }
    }
}

/// How the resources of a fault are called.
#[derive(Debug, Clone)]
pub struct Naming {
    /// The run's id.
    pub run: String,
    /// The scenario's number in the run.
    pub serial: usize,
    /// The fault's number in the scenario: several names may look alike in an object's name.
    pub number: usize,
    /// The fault.
    pub fault: String,
    /// The namespace of everything that is created: the targets'.
    pub namespace: String,
    /// Chaos Mesh's own limit, in case that nobody removes it, counted from its creation.
    pub duration: Duration,
}

/// A resource as an object. `round` counts how often the fault was injected anew for replaced targets.
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

/// Makes the resources for some targets.
pub type Make = Arc<dyn Fn(&[Inside]) -> Vec<Resource> + Send + Sync>;

/// Everything that a fault of Chaos Mesh is made of.
pub struct Order {
    /// The cluster.
    pub cluster: Cluster,
    /// How it is called.
    pub naming: Naming,
    /// The targets.
    pub targets: Vec<Inside>,
    /// The resources for targets.
    pub make: Make,
    /// Whether replacements of targets are acted on as well.
    pub follow: bool,
    /// Patience.
    pub limits: Limits,
}

/// Carries out a fault by Chaos Mesh.
pub struct ChaosFault {
    inner: Arc<Inner>,
    watching: Option<AbortOnDropHandle<()>>,
}

/// What the driver and the task that watches targets share.
struct Inner {
    cluster: Cluster,
    naming: Naming,
    make: Make,
    follow: bool,
    limits: Limits,
    state: Mutex<State>,
    /// Held by whoever creates or removes.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    owner: Option<Value>,
    /// Those that are acted on now.
    targets: Vec<Inside>,
    made: Vec<Made>,
    standing: bool,
    round: u32,
    /// What happened to the targets while it stood, in words.
    notes: Vec<String>,
    undoing_since: Option<Instant>,
    /// What was done by force, in words.
    forced: Option<String>,
}

/// A resource that was begun.
#[derive(Clone)]
struct Made {
    key: ObjectKey,
    resource: Resource,
    /// It is not there any more.
    gone: bool,
    /// As it was when it went, where that was seen.
    last: Option<Value>,
}

impl Made {
    /// How Chaos Mesh names it as the source of rules.
    fn source(&self) -> String {
        format!("{}/{}", self.key.namespace, self.key.name)
    }
}

impl ChaosFault {
    /// A fault that is ready to be injected.
    pub fn new(order: Order) -> Self {
        let Order { cluster, naming, targets, make, follow, limits } = order;
        let state = State { targets, ..State::default() };
        let inner = Inner {
            cluster,
            naming,
            make,
            follow,
            limits,
            state: Mutex::new(state),
            gate: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner), watching: None }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates the resources for some targets.
    async fn create(&self, targets: &[Inside]) -> Result<(), FaultError> {
        let round = self.state().round;
        for resource in (self.make)(targets) {
            let mut sent = object(&resource, &self.naming, round);
            if let Some(owner) = self.state().owner.clone() {
                sent["metadata"]["ownerReferences"] = Value::Array(vec![owner]);
            }
            let name = sent["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            let (kind, namespace) = (resource.kind, self.naming.namespace.clone());
            let key = ObjectKey { kind, namespace: namespace.clone(), name, uid: None };
            // Noted before it is sent: an answer that never comes back may still have created it.
            let place = {
                let mut state = self.state();
                state.made.push(Made { key, resource, gone: false, last: None });
                state.made.len() - 1
            };
            let created = self.cluster.create(kind, &namespace, &sent).await.map_err(refused)?;
            self.state().made[place].key.uid = created["metadata"]["uid"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// Those that stand, or should.
    fn standing(&self) -> Vec<Made> {
        self.state().made.iter().filter(|made| !made.gone).cloned().collect()
    }

    /// What holds and what does not, of one resource, as it is now.
    async fn look(&self, made: &Made) -> Result<Result<Vec<Finding>, Missing>, FaultError> {
        let Some(object) = self.cluster.get_once(&made.key).await? else {
            return Err(FaultError::Gone(format!("{} is not there any more: somebody else deleted it", made.key)));
        };
        if let Err(missing) = contract::injected(&object, &made.resource.records) {
            return Ok(Err(missing));
        }
        let applied = |detail: String| Finding { shows: Proof::Applied, holds: true, detail };
        let mut findings = vec![applied(format!(
            "{} is injected on exactly the {} planned targets",
            made.key,
            made.resource.records.len()
        ))];
        for pod in &made.resource.shapes {
            let network = self.network(pod).await?;
            if let Err(missing) = contract::in_place(network.as_ref(), pod, &made.source()) {
                return Ok(Err(missing));
            }
        }
        if !made.resource.shapes.is_empty() {
            findings.push(applied(format!(
                "the daemons have put its rules into {}",
                made.resource.shapes.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(Ok(findings))
    }

    /// What Chaos Mesh keeps about a pod's network.
    async fn network(&self, pod: &str) -> Result<Option<Value>, ClusterError> {
        let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
        let key = ObjectKey { kind: Kind::PodNetworkChaos, namespace: namespace.into(), name: name.into(), uid: None };
        self.cluster.get_once(&key).await
    }

    /// What is missing, with the latest event where the status gives no reason, and what to do about it.
    async fn diagnosis(&self, made: &Made, missing: &Missing) -> String {
        let mut text = missing.text();
        if !matches!(missing, Missing::Pending { failure: Some(_), .. })
            && let Some(message) = self.event(made).await
        {
            text.push_str(&format!(": {message}"));
        }
        let mut explained = explained(&text);
        if *missing == Missing::Untouched && !explained.contains("\nhelp: ") {
            explained = format!("{text}\n{}", diagnose::NO_CONTROLLER);
        }
        format!("{}: {explained}", made.key)
    }

    /// The latest event of a failure.
    async fn event(&self, made: &Made) -> Option<String> {
        let events = self.cluster.events_of(&made.key.namespace, made.key.uid.as_deref()?).await.ok()?;
        let failed = events.iter().rev().find(|event| event["type"] == "Warning" || event["reason"] == "Failed")?;
        failed["message"].as_str().map(str::to_owned)
    }

    /// Waits until every resource acts on exactly its targets.
    async fn wait(&self) -> Result<(), FaultError> {
        let begun = Instant::now();
        for made in self.standing() {
            let mut transient = None;
            loop {
                let missing = match self.look(&made).await {
                    Ok(Ok(_)) => break,
                    Ok(Err(missing)) => missing,
                    Err(FaultError::Cluster(error)) if error.is_transient() => {
                        transient = Some(error.to_string());
                        Missing::Pending { what: "the cluster does not answer".to_owned(), failure: transient.clone() }
                    }
                    Err(error) => return Err(error),
                };
                let limit = match &missing {
                    Missing::Wrong(_) => Duration::ZERO,
                    Missing::Untouched => UNTOUCHED_LIMIT.min(self.limits.active),
                    Missing::Pending { .. } => self.limits.active,
                };
                // Nothing is selected a second time, so there is nothing to wait for once that is told.
                let hopeless = matches!(&missing, Missing::Pending { what, failure: None } if what.starts_with("no target"))
                    && self.event(&made).await.is_some_and(|event| event.contains("Failed to select"));
                if begun.elapsed() >= limit || hopeless {
                    let diagnosis = match transient {
                        Some(_) => format!("{}: {}", made.key, missing.text()),
                        None => self.diagnosis(&made, &missing).await,
                    };
                    return Err(FaultError::Impossible(diagnosis));
                }
                transient = None;
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// An error when a target is gone and nobody has come in its place.
    async fn check_targets(&self) -> Result<(), FaultError> {
        let targets: Vec<PodRef> = self.state().targets.iter().map(|target| target.pod.clone()).collect();
        let mut gone = targets.is_empty().then(|| "every target is gone".to_owned());
        for pod in targets {
            let there = self.cluster.get(&pod_key(&pod)).await?;
            if there.is_none_or(|object| !object["metadata"]["deletionTimestamp"].is_null()) {
                gone = Some(format!("target pod {} (uid {}) is not there any more", pod_id(&pod), pod.uid));
            }
        }
        match gone {
            Some(text) => Err(FaultError::TargetGone(format!(
                "{text}\nhelp: something replaces pods while the scenario runs; wait until the workload is settled and run \
                 again, or write `follow: true`"
            ))),
            None => Ok(()),
        }
    }
}

/// A refusal of the API server or of a webhook, with what to do about it.
fn refused(error: ClusterError) -> FaultError {
    let text = error.to_string();
    match diagnose::remedy(&text) {
        Some(_) if !error.is_transient() || text.contains("webhook") => FaultError::Impossible(explained(&text)),
        _ => FaultError::Cluster(error),
    }
}

#[async_trait]
impl FaultDriver for ChaosFault {
    fn owned_by(&mut self, fuses: &Fuses) {
        let owner = fuses.owner(&self.inner.naming.namespace).cloned();
        self.inner.state().owner = owner;
    }

    /// The server, with its webhooks, is asked what it would make of each resource, and the pods' networks are looked at.
    async fn preflight(&mut self) -> Result<(), FaultError> {
        let inner = &self.inner;
        inner.check_targets().await?;
        let targets = inner.state().targets.clone();
        let mut shaped = BTreeSet::new();
        for resource in (inner.make)(&targets) {
            let sent = object(&resource, &inner.naming, 0);
            inner.cluster.rehearse(resource.kind, &inner.naming.namespace, &sent).await.map_err(refused)?;
            shaped.extend(resource.shapes);
        }
        for pod in shaped {
            let network = inner.network(&pod).await?;
            if let Some(problem) = network.and_then(|network| contract::unfit(&network, &pod)) {
                return Err(FaultError::Impossible(problem));
            }
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<(), FaultError> {
        // From now on: a target that is replaced before its fault begins is followed, or an error then.
        self.watching = Some(follow::watch(self.inner.clone()));
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.inner.check_targets().await?;
        let _gate = self.inner.gate.lock().await;
        let targets = {
            let mut state = self.inner.state();
            state.standing = true;
            state.targets.clone()
        };
        self.inner.create(&targets).await
    }

    async fn become_active(&mut self) -> Result<(), FaultError> {
        self.inner.wait().await
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = Vec::new();
        for made in self.inner.standing() {
            match self.inner.look(&made).await? {
                Ok(found) => findings.extend(found),
                Err(missing) => {
                    let detail = format!("{}: {}", made.key, missing.text());
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                }
            }
        }
        Ok(findings)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = Vec::new();
        for made in self.inner.standing().into_iter().filter(|made| made.resource.lasts) {
            match self.inner.look(&made).await {
                Ok(Ok(_)) => {}
                // A target that was replaced is told of below.
                Ok(Err(missing)) => {
                    let detail = format!("{}: {}", made.key, missing.text());
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                }
                Err(FaultError::Gone(detail)) => {
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                }
                Err(error) => return Err(error),
            }
        }
        let (notes, targets, once) = {
            let state = self.inner.state();
            (state.notes.clone(), state.targets.len(), state.made.iter().all(|made| !made.resource.lasts))
        };
        if !notes.is_empty() && !once {
            let detail = format!("{}; {targets} were acted on at the end", notes.join("; "));
            findings.push(Finding { shows: Proof::Applied, holds: targets > 0, detail });
        }
        Ok(findings)
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        self.inner.remove_all().await
    }

    async fn dismiss(&mut self) -> Result<(), FaultError> {
        self.watching = None;
        Ok(())
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.inner.look_for_rests().await
    }

    fn leftovers(&self) -> Vec<Leftover> {
        self.inner.leftovers()
    }
}
