//! Objects of the scenario's manifests: created, watched until their conditions hold, deleted, and proven gone.

mod acting;
mod dependants;
mod spec;

use std::time::Duration;

use async_trait::async_trait;
use futures::future::join_all;
use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{Leftover, PodRef, Proof};
use tokio::time::Instant;

use super::chaos::{
    Going, explained, failing, first_look, force, go, half_done_leftovers, held, left_half_done, left_in_pods,
    recovered, recovering, stuck, unsettled,
};
use super::kubernetes::KubernetesSpec;
use super::{FaultDriver, FaultError, Finding};
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, labels};
use shakedown_guard::fuse::Fuses;

use self::acting::Acting;
pub use self::acting::acts_through_others;
pub use self::dependants::{Dependants, dependants, kinds_of_dependants, pause};
pub use self::spec::{Check, Limits, ManifestSpec};

/// The interval at which conditions are checked.
const POLL: Duration = Duration::from_millis(200);
/// How long one attempt at the undo waits for the object to be gone.
const GOING: Duration = Duration::from_secs(10);
/// The finalizer of an object that the server deletes after its dependants.
const FOREGROUND: &str = "foregroundDeletion";

/// The driver that creates an object and deletes it again.
pub struct Written {
    cluster: Cluster,
    key: ObjectKey,
    object: Value,
    active_when: Vec<Check>,
    gone_when: Vec<Check>,
    limits: Limits,
    begun: bool,
    owner: Option<Value>,
    undoing_since: Option<Instant>,
    /// What the first attempt at the undo found instead of the object, as text.
    missed: Option<String>,
    /// Its last state before it was gone, if a watch observed it.
    last: Option<Value>,
    /// Its latest state that the undo has read.
    seen: Option<Value>,
    /// What failed injections of it, or of the objects through which it acts, have left.
    half_done: Vec<Leftover>,
    /// The forced removal, as text.
    forced: Option<String>,
    /// Whether it was observed to be gone.
    gone: bool,
    /// The objects through which it acts.
    acting: Acting,
    /// The objects that it had created at the last check.
    made: Dependants,
    /// The objects that it had created and that were removed by force, each with its last state.
    effects: Vec<(ObjectKey, Value)>,
}

impl KubernetesSpec for ManifestSpec {
    fn driver(&self, cluster: &Cluster, _: &[PodRef]) -> Box<dyn FaultDriver> {
        Box::new(Written::new(cluster.clone(), self.clone()))
    }

    fn objects(&self) -> Vec<&ObjectKey> {
        vec![&self.key]
    }
}

impl Written {
    /// An object that is not created yet.
    pub fn new(cluster: Cluster, spec: ManifestSpec) -> Self {
        let ManifestSpec { key, object, active_when, gone_when, limits } = spec;
        let (begun, owner, undoing_since, missed) = (false, None, None, None);
        let (last, seen, half_done, forced) = (None, None, Vec::new(), None);
        let (gone, made, effects) = (false, Dependants::default(), Vec::new());
        let acting = Acting::of(key.kind, &object);
        Self {
            cluster,
            key,
            object,
            active_when,
            gone_when,
            limits,
            begun,
            owner,
            undoing_since,
            missed,
            last,
            seen,
            half_done,
            forced,
            gone,
            acting,
            made,
            effects,
        }
    }

    /// The failure that Chaos Mesh reports, if the object is one of its kinds.
    async fn failing(&self) -> Option<String> {
        if !self.key.kind.is_chaos() || self.key.uid.is_none() {
            return None;
        }
        failing(&self.cluster.get_once(&self.key).await.ok()??)
    }

    /// Why the object with our UID no longer exists; `None` while it does. Another object of its name is not ours, and
    /// conditions such as "does not exist" would hold without it.
    async fn missing(&self) -> Result<Option<String>, ClusterError> {
        let there = match &self.key.uid {
            Some(_) => self.cluster.get_once(&self.key).await?,
            None => None,
        };
        Ok(match there {
            None => Some(format!("{} no longer exists: another client deleted it", self.key)),
            Some(object) if !object["metadata"]["deletionTimestamp"].is_null() => {
                Some(format!("{} is being deleted by another client", self.key))
            }
            Some(_) => None,
        })
    }

    /// The existing objects that our object created. An object of another client with this name is ignored.
    async fn look_for_made(&self) -> Result<Dependants, ClusterError> {
        let is_taken = self.key.uid.is_none() && self.cluster.get_once(&self.key).await?.is_some();
        if is_taken { Ok(Dependants::default()) } else { dependants(&self.cluster, &self.key).await }
    }

    /// Whether it is a Schedule or a Workflow, whose objects act.
    fn makes(&self) -> bool {
        !kinds_of_dependants(self.key.kind).is_empty()
    }

    fn may_force(&self, since: Instant) -> bool {
        self.limits.force_after.is_some_and(|limit| since.elapsed() >= limit)
    }

    /// Removes the objects of a Schedule or a Workflow by force, then itself, if it still waits for others. Without such
    /// objects, nothing is forced.
    async fn force_made(&mut self) -> Result<(), FaultError> {
        self.made = self.look_for_made().await?;
        let forced = join_all(self.made.left.iter().map(async |left| {
            let last = self.cluster.get_once(left).await?;
            force(&self.cluster, left).await.map(|()| last.map(|last| (left.clone(), last)))
        }))
        .await;
        let mut failed = None;
        for one in forced {
            match one {
                Ok(done) => self.effects.extend(done),
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        let mut names: Vec<String> = self.effects.iter().map(|(key, _)| key.to_string()).collect();
        if !self.gone && self.makes() {
            match go(&self.cluster, &self.key, GOING, &mut self.seen).await? {
                Going::Gone(_) => {}
                Going::There(_) => {
                    force(&self.cluster, &self.key).await?;
                    names.push(self.key.to_string());
                }
            }
            self.gone = true;
        }
        if names.is_empty() {
            return Ok(());
        }
        // A Schedule creates more objects while it is being deleted.
        self.made = self.look_for_made().await?;
        let names = names.join(", ");
        let forced = format!("removed by force (--force-cleanup) without being recovered: {names}");
        self.forced = Some(forced.clone());
        Err(FaultError::Dirty(forced.into()))
    }

    /// The remaining objects that it created.
    fn left_of_made(&self, error: &str) -> Vec<Leftover> {
        let key = &self.key;
        let of_one = |key: &ObjectKey| (key.to_string(), key.delete_command());
        let unlisted = (!self.made.unlisted.is_empty()).then(|| {
            let label = Dependants::label(key.kind);
            let (kinds, name) = (self.made.unlisted_kinds(), &key.name);
            let command = format!("kubectl -n {} delete {kinds} -l {label}={name}", key.namespace);
            (format!("{kinds} that {key} created, which this account may not list"), command)
        });
        let all = self.made.left.iter().map(of_one).chain(unlisted);
        let left = all.map(|(what, command)| Leftover { what, command, error: error.to_owned() });
        self.effects.iter().flat_map(|(key, last)| effects(key, last, error)).chain(left).collect()
    }

    /// The findings of the conditions for being active. Without our object, none of them holds.
    async fn active(&mut self) -> Result<Vec<Finding>, ClusterError> {
        if let Some(detail) = self.missing().await? {
            return Ok(vec![Finding { shows: Proof::Applied, holds: false, detail }]);
        }
        let mut findings = self.look(&self.active_when, Proof::Applied).await?;
        findings.extend(self.acting.look(&self.cluster, &self.key).await?);
        // Checked again afterwards, so that the conditions were read while our object existed.
        Ok(match self.missing().await? {
            Some(detail) => vec![Finding { shows: Proof::Applied, holds: false, detail }],
            None => findings,
        })
    }

    /// The findings of the conditions now.
    async fn look(&self, checks: &[Check], shows: Proof) -> Result<Vec<Finding>, ClusterError> {
        let mut findings = Vec::new();
        for Check { of, condition } in checks {
            let key = of.as_ref().unwrap_or(&self.key);
            let object = self.cluster.get_once(key).await?;
            let holds = condition.holds(object.as_ref());
            let detail = match (holds, &object) {
                (true, _) => format!("{key}: {}", condition.text()),
                (false, None) => format!("{key} does not exist, so this condition does not hold: {}", condition.text()),
                (false, Some(_)) => format!("{key}: this condition does not hold: {}", condition.text()),
            };
            findings.push(Finding { shows, holds, detail });
        }
        Ok(findings)
    }
}

#[async_trait]
impl FaultDriver for Written {
    fn owned_by(&mut self, fuses: &Fuses) {
        self.owner = fuses.owner(&self.key.namespace).cloned();
    }

    async fn preflight(&mut self) -> Result<(), FaultError> {
        if self.cluster.get(&self.key).await?.is_some() {
            return Err(FaultError::Impossible(Explained::new(
                format!("{} already exists", self.key),
                "remove it, or omit `metadata.name`: then each run uses its own name",
            )));
        }
        self.cluster.dry_run(self.key.kind, &self.key.namespace, &self.object).await.map(|_| ()).map_err(|error| {
            let why = error.explained();
            let known = explained(&why.message);
            FaultError::Impossible(Explained { help: known.help.or(why.help), ..known })
        })
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        let mut sent = self.object.clone();
        if let Some(owner) = self.owner.clone() {
            sent["metadata"]["ownerReferences"] = Value::Array(vec![owner]);
        }
        // Recorded before the request: the server may create it although its answer is lost.
        self.begun = true;
        let made =
            self.cluster.create(self.key.kind, &self.key.namespace, &sent).await.map_err(|error| match error {
                ClusterError::Conflict { .. } => FaultError::Impossible(Explained::new(
                    format!(
                        "{} already exists: another client created it after the run began, so it is not changed",
                        self.key
                    ),
                    "omit `metadata.name`: then each run uses its own name",
                )),
                error => FaultError::Cluster(error),
            })?;
        self.key.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        Ok(())
    }

    async fn become_active(&mut self) -> Result<(), FaultError> {
        let begun = Instant::now();
        loop {
            if let Ok(Some(gone)) = self.missing().await {
                return Err(FaultError::Gone(gone.into()));
            }
            let missing = match self.active().await {
                Ok(findings) => findings.into_iter().find(|finding| !finding.holds).map(|finding| finding.detail),
                Err(error) if error.is_transient() => Some(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            let Some(missing) = missing else { return Ok(()) };
            if begun.elapsed() >= self.limits.within {
                let within = self.limits.within.as_secs_f64();
                let words = self.failing().await.map(|words| format!(": {words}")).unwrap_or_default();
                let why = explained(&format!("it did not become active within {within} s: {missing}{words}"));
                let events = || {
                    let Self { key, .. } = &*self;
                    format!(
                        "`kubectl -n {} describe {} {}` shows its events",
                        key.namespace,
                        key.kind.kubectl(),
                        key.name
                    )
                };
                let help = why.help.or_else(|| self.acting.help()).unwrap_or_else(events);
                return Err(FaultError::Impossible(Explained { help: Some(help), ..why }));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        Ok(self.active().await?)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = self.active().await?;
        findings.retain(|finding| !finding.holds);
        Ok(findings)
    }

    fn missed(&self) -> Option<String> {
        self.missed.clone()
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        if !self.begun {
            return Ok(());
        }
        if self.undoing_since.is_none() && self.key.uid.is_some() {
            self.missed = self.missing().await.ok().flatten();
        }
        let since = *self.undoing_since.get_or_insert_with(Instant::now);
        if let Some(forced) = &self.forced {
            return Err(FaultError::Dirty(forced.as_str().into()));
        }
        // An object of this name that we did not create is kept.
        let Some(key) = self.cluster.own_key(&self.key).await? else { return Ok(()) };
        self.key = key;
        if self.key.kind.is_chaos() {
            first_look(&self.cluster, &self.key).await?;
        }
        pause(&self.cluster, &self.key).await?;
        self.acting.keep_states(&self.cluster, &self.key).await?;
        match go(&self.cluster, &self.key, GOING, &mut self.seen).await? {
            Going::Gone(last) => {
                self.last = last.or(self.last.take());
                self.gone = true;
                // The last object that it created may exist longer than itself.
                if self.may_force(since) { self.force_made().await } else { Ok(()) }
            }
            // Chaos Mesh keeps acting objects until they are recovered. A Schedule or a Workflow waits for the objects that
            // it created.
            Going::There(object) if Kind::CHAOS.contains(&self.key.kind) => {
                if let Some(error) = recovering(&self.key, &object, since.elapsed(), self.limits.force_after) {
                    return Err(error);
                }
                let why = stuck(&object);
                let run = object["metadata"]["labels"][labels::RUN].as_str().unwrap_or_default();
                if !self.may_force(since) {
                    return Err(FaultError::Stuck(held(&self.cluster, &self.key, run, &why)));
                }
                force(&self.cluster, &self.key).await?;
                let forced =
                    format!("{} was removed by force (--force-cleanup) without being recovered: {why}", self.key);
                self.last = Some(object);
                self.forced = Some(forced.clone());
                Err(FaultError::Dirty(forced.into()))
            }
            Going::There(object) => {
                if self.may_force(since) && self.makes() {
                    self.force_made().await?;
                }
                self.made = self.look_for_made().await?;
                let why = match self.made.left.first() {
                    Some(left) => format!("{left}, which it created, still exists"),
                    None => held_by(&object["metadata"]["finalizers"]),
                };
                Err(FaultError::Stuck(format!("{} is being deleted but still exists: {why}", self.key).into()))
            }
        }
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        if !self.begun {
            return Ok(Vec::new());
        }
        let gone = self.cluster.own(&self.key).await?.is_none();
        self.gone = gone;
        if gone {
            self.made = self.look_for_made().await?;
        }
        let key = &self.key;
        if let Some(detail) = self.made.unproven(key).filter(|_| gone) {
            if self.made.unlisted.is_empty() {
                return Err(FaultError::Recovering(detail.into()));
            }
            return Ok(vec![Finding { shows: Proof::Removed, holds: false, detail }]);
        }
        if gone {
            let own = self.last.as_ref().or(self.seen.as_ref()).map(|last| (key, last));
            let mut told = Vec::new();
            self.half_done.clear();
            for (key, last) in own.into_iter().chain(self.acting.states()) {
                let left = half_done_leftovers(&self.cluster, Some(last)).await;
                if !left.is_empty() {
                    told.push(left_half_done(key, &left));
                    self.half_done.extend(left);
                }
            }
            if !told.is_empty() {
                return Err(FaultError::Dirty(told.join("; ").into()));
            }
        }
        // A one-time action has nothing to recover.
        let once = matches!(self.object["spec"]["action"].as_str(), Some("pod-kill" | "container-kill"));
        let last = self.last.as_ref().filter(|_| key.kind.is_chaos() && !once).map(recovered);
        let (holds, word) = match (gone, last) {
            (false, _) => (false, "still exists".to_owned()),
            (true, None) => (true, "is gone".to_owned()),
            (true, Some(Ok(()))) => (true, "was recovered and is gone".to_owned()),
            (true, Some(Err(missing))) => (
                false,
                format!("is gone without being recovered ({}): another client removed its finalizer", missing.text()),
            ),
        };
        let mut findings = vec![Finding { shows: Proof::Removed, holds, detail: format!("{key} {word}") }];
        findings.extend(self.look(&self.gone_when, Proof::Removed).await?);
        Ok(findings)
    }

    fn leftovers(&self) -> Vec<Leftover> {
        if !self.begun {
            return Vec::new();
        }
        if !self.half_done.is_empty() {
            return self.half_done.clone();
        }
        let error = self.forced.clone().unwrap_or_else(|| "its removal could not be confirmed".to_owned());
        let last = self.last.as_ref().filter(|_| self.key.kind.is_chaos());
        let effects = last.map(|last| effects(&self.key, last, &error)).unwrap_or_default();
        if !effects.is_empty() {
            return effects;
        }
        let mut left = self.left_of_made(&error);
        if !self.gone || left.is_empty() {
            left.push(Leftover { what: self.key.to_string(), command: self.key.delete_command(), error });
        }
        left
    }
}

/// The effects in pods that an object has left, by its last state.
fn effects(key: &ObjectKey, last: &Value, error: &str) -> Vec<Leftover> {
    left_in_pods(&format!("effects of {key}"), unsettled(last), error)
}

/// What blocks the deletion of an object.
fn held_by(finalizers: &Value) -> String {
    match finalizers.as_array().map(Vec::as_slice) {
        Some([only]) if only == FOREGROUND => "the objects that it created still exist".to_owned(),
        _ => format!("its finalizers are {finalizers}"),
    }
}

#[cfg(test)]
mod tests;
