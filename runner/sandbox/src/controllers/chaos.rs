//! Chaos Mesh's controller. For every chaos, it sets the finalizer, selects the targets, and carries out their records.
//!
//! In scope: the order of the steps, their retries, and the status. Out of scope: what a
//! step does to a target (`act`), and the rules of selectors and records (`mesh`).
//!
//! A failed step is retried with exponential backoff. A started injection has to succeed before it can be recovered. A chaos
//! that fails half-way therefore blocks its own deletion, as the real one does.

mod act;
#[cfg(any(test, feature = "testing"))]
mod elsewhere;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{earlier, events};
use crate::clock::Clock;
use crate::dns::Dns;
use crate::mesh::record::{self, Desired, Operation, Phase, Record};
use crate::mesh::{CLEAN, FINALIZER, KINDS, PAUSE, select, units};
use crate::net::Ailments;
use crate::object;
use crate::registry::Registry;
use crate::resource::Resource;
use crate::store::Key;

#[cfg(any(test, feature = "testing"))]
pub use elsewhere::{ChaosMesh, Request};

const COMPONENT: &str = "chaos-controller-manager";
/// The first and the longest pause before a failed step is retried.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// The controller, and its state in addition to the objects.
pub(crate) struct Controller {
    /// None where the pods are not the sandbox's: their ailments are then in the books alone.
    ailments: Option<Ailments>,
    dns: Arc<Dns>,
    /// Chaos that selected no pod, by uid, with the inputs that must be unchanged for that to be final.
    unlucky: BTreeMap<String, String>,
    /// Failed steps, by uid and record: the time of the next try, and the pause after it.
    failed: BTreeMap<(String, String, String), (Instant, Duration)>,
    /// Chaos whose duration is over.
    expired: BTreeSet<String>,
}

impl Controller {
    /// Sets the board for the ailments of pods.
    pub fn new(ailments: Option<Ailments>, dns: Arc<Dns>) -> Self {
        let (unlucky, failed, expired) = Default::default();
        Self { ailments, dns, unlucky, failed, expired }
    }

    /// Reconciles every chaos.
    pub fn reconcile(&mut self, registry: &Registry) -> Option<Duration> {
        let all: Vec<(&'static Resource, Arc<Value>)> = {
            let store = registry.store.lock();
            KINDS.iter().flat_map(|kind| store.list(kind, "").into_iter().map(|object| (*kind, object))).collect()
        };
        let known = |uid: &str| all.iter().any(|(_, chaos)| object::uid(chaos) == uid);
        self.unlucky.retain(|uid, _| known(uid));
        self.failed.retain(|(uid, _, _), _| known(uid));
        self.expired.retain(|uid| known(uid));
        all.iter().map(|(resource, chaos)| self.advance(registry, resource, chaos)).fold(None, earlier)
    }

    /// At most one write, like several controllers that each maintain one part of the object: its finalizer, the desired
    /// phase, its conditions, its records. A later pass reacts to the write.
    fn advance(&mut self, registry: &Registry, resource: &'static Resource, chaos: &Value) -> Option<Duration> {
        let (key, uid) = (Key::of(resource, chaos), object::uid(chaos).to_string());
        let say = |reason: &str, message: &str| events::emit(registry, chaos, COMPONENT, false, reason, message);
        let updated = |what: &str| say("Updated", &format!("Successfully update {what} of resource"));
        let terminating = object::is_terminating(chaos);
        if !terminating && !object::has_finalizer(chaos, FINALIZER) {
            registry.modify(&key, &uid, |chaos| {
                let mut finalizers = object::list(chaos, "/metadata/finalizers").to_vec();
                finalizers.push(FINALIZER.into());
                object::meta_mut(chaos).insert("finalizers".into(), finalizers.into());
            });
            say("FinalizerInited", "Finalizer has been inited");
            updated("finalizer");
            return None;
        }
        let is_once = matches!(object::text(chaos, "/spec/action"), "pod-kill" | "container-kill");
        let paused = chaos["metadata"]["annotations"][PAUSE] == "true";
        let left = time_left(chaos, &registry.store.clock).filter(|_| !is_once);
        if left == Some(Duration::ZERO) && !terminating && self.expired.insert(uid.clone()) {
            say("TimeUp", "Time up according to the duration");
        }
        // A one-time action cannot be ended by a pause or a time limit.
        let stop = terminating || (!is_once && (paused || left == Some(Duration::ZERO)));
        let desired = if stop { Desired::Stop } else { Desired::Run };
        let before = object::text(chaos, "/status/experiment/desiredPhase");
        if before != desired.word() {
            registry.modify(&key, &uid, |chaos| {
                chaos["status"]["experiment"]["desiredPhase"] = desired.word().into();
            });
            match (before, terminating) {
                (_, true) => say("Deleted", "Experiment has been deleted"),
                ("", _) if !is_once => say("Started", "Experiment has started"),
                _ => {}
            }
            updated("desiredPhase");
            return None;
        }
        let again = left.filter(|left| !left.is_zero());
        let known = record::read(chaos);
        if terminating && known.iter().flatten().all(|record| record.phase == Phase::NotInjected) {
            self.let_go(registry, &key, chaos);
            return None;
        }
        let conditions = record::conditions(known.as_deref(), paused);
        if chaos["status"]["conditions"] != conditions {
            registry.modify(&key, &uid, |chaos| chaos["status"]["conditions"] = conditions);
            return None;
        }
        self.keep_records(registry, resource, chaos, known, desired).map_or(again, |next| earlier(again, next))
    }

    fn let_go(&self, registry: &Registry, key: &Key, chaos: &Value) {
        registry.modify(key, object::uid(chaos), |chaos| {
            object::meta_mut(chaos).insert("finalizers".into(), json!([]));
        });
        events::emit(registry, chaos, COMPONENT, false, "FinalizerInited", "Finalizer has been removed");
        let said = "Successfully update finalizer of resource";
        events::emit(registry, chaos, COMPONENT, false, "Updated", said);
    }

    /// Selects the targets and takes the next step of each record. Returns when to continue; none without records.
    fn keep_records(
        &mut self,
        registry: &Registry,
        resource: &'static Resource,
        chaos: &Value,
        known: Option<Vec<Record>>,
        desired: Desired,
    ) -> Option<Option<Duration>> {
        let (key, uid) = (Key::of(resource, chaos), object::uid(chaos).to_string());
        let terminating = object::is_terminating(chaos);
        let mut records = match &known {
            None if terminating => return None,
            None => self.select(registry, chaos, desired)?,
            Some(records) => records.clone(),
        };
        let (mut again, mut failing) = (None, false);
        let mut instances = chaos["status"].get("instances").cloned().unwrap_or(json!({}));
        for index in 0..records.len() {
            let (next, failed) = self.step(registry, resource, chaos, &mut records, index, desired, &mut instances);
            again = earlier(again, next);
            failing |= failed;
        }
        if known.as_ref() != Some(&records) {
            registry.modify(&key, &uid, |chaos| {
                chaos["status"]["experiment"]["containerRecords"] = json!(records);
                if instances.as_object().is_some_and(|instances| !instances.is_empty()) {
                    chaos["status"]["instances"] = instances;
                }
            });
            let said = "Successfully update records of resource";
            events::emit(registry, chaos, COMPONENT, false, "Updated", said);
        }
        // The real controller does not reach this point either while a step fails, not even with a forced removal.
        if terminating && chaos["metadata"]["annotations"][CLEAN] == "forced" && !failing {
            self.let_go(registry, &key, chaos);
        }
        Some(again)
    }

    /// Chooses the targets, once. The targets stay the same until the chaos changes.
    fn select(&mut self, registry: &Registry, chaos: &Value, desired: Desired) -> Option<Vec<Record>> {
        let uid = object::uid(chaos).to_string();
        let mark = format!("{} {}", desired.word(), chaos["metadata"]["annotations"]);
        if self.unlucky.get(&uid) == Some(&mark) {
            return None;
        }
        let chosen = {
            let store = registry.store.lock();
            let own = select::pods(&store, &chaos["spec"]).map(|pods| records(chaos, &pods, "."));
            match chaos["spec"].get("target") {
                // In an HTTPChaos, `target` is a string.
                Some(target @ Value::Object(_)) => own.and_then(|mut own| {
                    own.extend(records(chaos, &select::pods(&store, target)?, ".Target"));
                    Ok(own)
                }),
                _ => own,
            }
        };
        match chosen {
            Ok(records) => Some(records),
            Err(why) => {
                let message = format!("Failed to select targets: {why}");
                events::emit(registry, chaos, COMPONENT, true, "Failed", &message);
                self.unlucky.insert(uid, mark);
                None
            }
        }
    }

    /// Carries out a record's next step, if it is due. Returns when to call again, and whether a step failed.
    #[allow(clippy::too_many_arguments, reason = "everything that a step reads and writes, in one place")]
    fn step(
        &mut self,
        registry: &Registry,
        resource: &Resource,
        chaos: &Value,
        records: &mut [Record],
        index: usize,
        desired: Desired,
        instances: &mut Value,
    ) -> (Option<Duration>, bool) {
        let Some(operation) = records[index].next(desired) else { return (None, false) };
        let mark = (object::uid(chaos).to_string(), records[index].selector_key.clone(), records[index].id.clone());
        let now = Instant::now();
        if let Some((at, _)) = self.failed.get(&mark).filter(|(at, _)| *at > now) {
            return (Some(*at - now), true);
        }
        let before = records[index].phase;
        let act = act::ChaosAction { registry, ailments: self.ailments.as_ref(), dns: &self.dns, resource, chaos };
        let came = match operation {
            Operation::Apply => act.apply(records, &records[index], instances),
            Operation::Recover => act.recover(&records[index], instances),
        };
        let record = &mut records[index];
        record.take(operation, &came, &registry.store.clock.stamp());
        let said = match (&came, operation) {
            (Err(failed), Operation::Apply) => (true, "Failed", format!("Failed to apply chaos: {}", failed.message)),
            (Err(failed), Operation::Recover) => {
                (true, "Failed", format!("Failed to recover chaos: {}", failed.message))
            }
            (Ok(Phase::Injected), _) => (false, "Applied", format!("Successfully apply chaos for {}", record.id)),
            (Ok(Phase::NotInjected), _) => {
                (false, "Recovered", format!("Successfully recover chaos for {}", record.id))
            }
            (Ok(_), _) => (false, "", String::new()),
        };
        if !said.1.is_empty() && (came.is_err() || record.phase != before) {
            events::emit(registry, chaos, COMPONENT, said.0, said.1, &said.2);
        }
        if came.is_ok() {
            self.failed.remove(&mark);
            return (None, false);
        }
        let pause = self.failed.get(&mark).map_or(RETRY.0, |(_, pause)| (*pause * 2).min(RETRY.1));
        self.failed.insert(mark, (now + pause, pause));
        (Some(pause), true)
    }
}

/// The time until the chaos is over by itself; `None` when it has no duration, or one that cannot be read.
fn time_left(chaos: &Value, clock: &Clock) -> Option<Duration> {
    let duration = units::duration(chaos["spec"]["duration"].as_str()?)?;
    let created: Timestamp = object::text(chaos, "/metadata/creationTimestamp").parse().ok()?;
    let end = created.checked_add(SignedDuration::try_from(duration).ok()?).ok()?;
    Some(end.duration_since(clock.now()).try_into().unwrap_or(Duration::ZERO))
}

/// The records of selected pods: one for each pod, or for each selected container.
fn records(chaos: &Value, pods: &[Arc<Value>], selector_key: &str) -> Vec<Record> {
    let by_pod = matches!(object::text(chaos, "/kind"), "NetworkChaos" | "HTTPChaos")
        || matches!(object::text(chaos, "/spec/action"), "pod-kill" | "pod-failure");
    let named: Vec<&str> = object::list(chaos, "/spec/containerNames").iter().filter_map(Value::as_str).collect();
    let mut records = Vec::new();
    for pod in pods {
        let id = format!("{}/{}", object::namespace(pod), object::name(pod));
        if by_pod {
            records.push(Record::new(id, selector_key));
            continue;
        }
        let all = object::list(pod, "/spec/containers").iter().map(|container| object::text(container, "/name"));
        let meant: Vec<&str> =
            if named.is_empty() { all.take(1).collect() } else { all.filter(|name| named.contains(name)).collect() };
        records.extend(meant.into_iter().map(|name| Record::new(format!("{id}/{name}"), selector_key)));
    }
    records
}
