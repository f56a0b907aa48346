//! Removes resources and proves that they were recovered. Their controller removes its finalizer only when every target is
//! recovered, unless another client removes the finalizer by force.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use serde_json::{Value, json};
use shakedown_schemas::result::{Leftover, Proof};
use shakedown_schemas::{EventKind, Explained};
use tokio::time::Instant;

use super::contract;
use super::ending::end;
use super::half_done::{HalfDone, Rest};
use super::{Inner, POLL};
use crate::{FaultError, Finding};
use shakedown_cluster::{Change, Cluster, ClusterError, ObjectKey};

/// How long one attempt waits for a resource to be gone.
const GOING: Duration = Duration::from_secs(5);
/// How long Chaos Mesh may recover without a failure before the driver reports it. On a busy node (1.34, 29 November
/// 2026) it took up to 25 s.
const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
/// How long the watch may take to deliver the last state of a resource that a read has found to be gone.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long to wait for the controller's first update of a new resource, so that it does not begin after the deletion.
const FIRST_LOOK: Duration = Duration::from_secs(2);
/// How long the documented annotation may take to work before finalizers are removed.
const ANNOTATED: Duration = Duration::from_secs(3);

/// The result of waiting for a deletion.
pub enum Going {
    /// The object is gone. Contains its last state, if a watch observed it.
    Gone(Option<Value>),
    /// The object still exists, in this state.
    There(Value),
}

/// Deletes an object and waits until it is gone. `seen` becomes its latest state that was read, which may not be its last one.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn go(
    cluster: &Cluster,
    key: &ObjectKey,
    retry_limit: Duration,
    seen: &mut Option<Value>,
) -> Result<Going, ClusterError> {
    let Some(key) = &cluster.own_key(key).await? else { return Ok(Going::Gone(None)) };
    let same = |object: &Value| key.uid.as_deref().is_some_and(|uid| object["metadata"]["uid"] == uid);
    let mut changes = cluster.watch(key.kind, &key.namespace).boxed();
    // Watch from before the delete, to get the last state. Without permission to watch, only reads are used.
    let listed = match tokio::time::timeout(LAST_WORDS, changes.next()).await {
        Ok(Some(Change::Listed(objects))) => Some(objects),
        _ => None,
    };
    let heard = listed.is_some();
    let before = match listed {
        Some(objects) => objects.into_iter().find(same),
        None => cluster.get_once(key).await.ok().flatten(),
    };
    *seen = before.or(seen.take());
    cluster.delete(key).await?;
    let deadline = Instant::now() + retry_limit;
    let mut tick = tokio::time::interval(POLL);
    loop {
        tokio::select! {
            biased;
            change = changes.next(), if heard => match change {
                Some(Change::Deleted(object)) if same(&object) => return Ok(Going::Gone(Some(object))),
                Some(_) => {}
                None => tokio::time::sleep(POLL).await,
            },
            _ = tick.tick() => match cluster.get_once(key).await {
                Ok(None) => {
                    let last = async {
                        while let Some(change) = changes.next().await {
                            if let Change::Deleted(object) = change && same(&object) {
                                return Some(object);
                            }
                        }
                        None
                    };
                    let last = if heard { tokio::time::timeout(LAST_WORDS, last).await.ok().flatten() } else { None };
                    return Ok(Going::Gone(last));
                }
                Ok(Some(object)) => {
                    *seen = Some(object.clone());
                    if Instant::now() >= deadline {
                        return Ok(Going::There(object));
                    }
                }
                Err(error) if error.is_transient() && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            },
        }
    }
}

/// Removes an object's finalizers without waiting for its recovery: first by the documented annotation, then directly.
/// Its effects in pods may remain.
///
/// # Errors
/// When it still exists, or the cluster refuses or does not answer.
pub async fn force(cluster: &Cluster, key: &ObjectKey) -> Result<(), ClusterError> {
    let annotation = json!({"metadata": {"annotations": {"chaos-mesh.chaos-mesh.org/cleanFinalizer": "forced"}}});
    if let Err(error) = cluster.patch(key, &annotation).await {
        return if error.is_not_found() { Ok(()) } else { Err(error) };
    }
    if let Going::Gone(_) = go(cluster, key, ANNOTATED, &mut None).await? {
        return Ok(());
    }
    match cluster.patch(key, &json!({"metadata": {"finalizers": null}})).await {
        Err(error) if !error.is_not_found() => return Err(error),
        _ => {}
    }
    match go(cluster, key, ANNOTATED, &mut None).await? {
        Going::Gone(_) => Ok(()),
        Going::There(_) => Err(ClusterError::Other {
            action: format!("force the removal of {key}"),
            message: "its controller puts its finalizer back".to_owned(),
            transient: false,
        }),
    }
}

/// Gives the controller time for its first update. Older versions leave rules behind when they first see a resource while it
/// is being deleted.
///
/// # Errors
/// When the cluster refuses or does not answer.
pub async fn first_look(cluster: &Cluster, key: &ObjectKey) -> Result<(), ClusterError> {
    let Some(key) = &cluster.own_key(key).await? else { return Ok(()) };
    let until = Instant::now() + FIRST_LOOK;
    while Instant::now() < until {
        let Some(object) = cluster.get_once(key).await? else { return Ok(()) };
        let seen = object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        if seen || !object["metadata"]["deletionTimestamp"].is_null() {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The command that removes the leftovers of a run with their finalizers, without the flags that reach the cluster.
pub fn by_force(run: &str) -> String {
    format!("shakedown cleanup --run {run} --force-cleanup")
}

/// The error of an undo while Chaos Mesh still recovers a resource without a failure. None if the recovery takes too long, or
/// so long that the resource may be removed by force.
pub fn recovering(
    key: &ObjectKey,
    object: &Value,
    since: Duration,
    force_after: Option<Duration>,
) -> Option<FaultError> {
    let limit = force_after.map_or(RECOVERY_LIMIT, |after| after.min(RECOVERY_LIMIT));
    (since < limit && contract::is_recovering(object)).then(|| {
        FaultError::Recovering(Explained::new(
            format!("Chaos Mesh is still recovering {key}: {}", contract::stuck(object)),
            "Chaos Mesh continues on its own; a longer `--undo-timeout` waits for it",
        ))
    })
}

/// What a resource that is gone has left, by its last known state: what an injection that failed had put in place by then.
pub async fn half_done_leftovers(cluster: &Cluster, last: Option<&Value>) -> Vec<Leftover> {
    let Some(last) = last else { return Vec::new() };
    let Some(HalfDone { what, why }) = super::half_done::half_done(last) else { return Vec::new() };
    let name = last["metadata"]["name"].as_str().unwrap_or_default();
    match what {
        Rest::Rule => {
            let installed = cluster.chaos_programs().await.unwrap_or_default();
            let server = installed.name_servers.first().map_or(&Value::Null, |server| &server["metadata"]);
            let namespace = server["namespace"].as_str().unwrap_or("chaos-mesh");
            let deployment = server["name"].as_str().unwrap_or("chaos-dns-server");
            vec![Leftover {
                what: format!("rule {name} in chaos-dns-server"),
                command: format!("kubectl -n {namespace} rollout restart deployment {deployment}"),
                error: format!("Chaos Mesh gave the rule, failed at the next step, and did not take it back: {why}"),
            }]
        }
        Rest::Stressors(pods) => {
            let why =
                format!("Chaos Mesh may have started a stressor before it failed, and does not stop that one: {why}");
            left_in_pods(&format!("stressors of {name}"), pods, &why)
        }
    }
}

/// What is left in pods, by the ids of their records. One command of kubectl acts in one namespace.
pub fn left_in_pods<'i>(what: &str, ids: impl IntoIterator<Item = &'i str>, error: &str) -> Vec<Leftover> {
    let mut named: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for id in ids {
        let mut parts = id.split('/');
        if let (Some(namespace), Some(pod)) = (parts.next(), parts.next()) {
            named.entry(namespace).or_default().insert(pod);
        }
    }
    let of_namespace = |(namespace, pods): (&str, BTreeSet<&str>)| {
        let pods: Vec<&str> = pods.into_iter().collect();
        Leftover {
            what: format!("{what} in pods {} of namespace {namespace}", pods.join(", ")),
            command: format!("kubectl -n {namespace} delete pod {}", pods.join(" ")),
            error: error.to_owned(),
        }
    };
    named.into_iter().map(of_namespace).collect()
}

/// Why an undo fails after which this is left. No further try removes it.
pub fn left_half_done(key: &ObjectKey, left: &[Leftover]) -> String {
    let what: Vec<&str> = left.iter().map(|left| left.what.as_str()).collect();
    let why = left.first().map_or("", |left| &left.error);
    format!("{key} is gone, but not the {}: {why}", what.join(", "))
}

/// Why a resource is not gone yet, with a remedy.
pub fn held(cluster: &Cluster, key: &ObjectKey, run: &str, why: &str) -> Explained {
    let explained = match super::diagnose::remedy(why) {
        Some(remedy) => format!("{why} ({remedy})"),
        None => why.to_owned(),
    };
    Explained::new(
        format!("{key} is being deleted but still exists: {explained}"),
        format!(
            "remove the cause, or replace the pods that it acts on; as a last resort `{}` removes its finalizer without \
             recovering",
            cluster.by_hand(&by_force(run))
        ),
    )
}

impl Inner {
    /// Removes every resource that may exist.
    pub(super) async fn remove_all(&self) -> Result<(), FaultError> {
        {
            let mut state = self.state();
            state.standing = false;
            state.undoing_since.get_or_insert_with(Instant::now);
        }
        let _gate = self.gate.lock().await;
        let count = self.state().made.len();
        // Concurrently: one that hangs must not delay the others.
        let done = join_all((0..count).map(|place| self.remove(place))).await;
        if let Some(forced) = self.state().forced.clone() {
            return Err(FaultError::Dirty(forced.into()));
        }
        // A failure is more important than a recovery in progress.
        let (recovering, failed): (Vec<_>, Vec<_>) =
            done.into_iter().filter_map(Result::err).partition(|error| matches!(error, FaultError::Recovering(_)));
        failed.into_iter().chain(recovering).next().map_or(Ok(()), Err)
    }

    /// Records that another client has removed a resource before its undo.
    async fn look_for_missed(&self, key: &ObjectKey) {
        let what = match self.cluster.get_once(key).await {
            Ok(None) => format!("{key} no longer exists: another client deleted it"),
            Ok(Some(object)) if !object["metadata"]["deletionTimestamp"].is_null() => {
                format!("{key} is being deleted by another client")
            }
            _ => return,
        };
        self.state().missed.get_or_insert(what);
    }

    /// Removes one resource.
    pub(super) async fn remove(&self, place: usize) -> Result<(), FaultError> {
        let made = self.state().made[place].clone();
        if made.gone {
            return Ok(());
        }
        let is_first = !made.going && self.state().undoing_since.is_some();
        if is_first && made.key.uid.is_some() {
            self.look_for_missed(&made.key).await;
        }
        self.state().made[place].going = true;
        first_look(&self.cluster, &made.key).await?;
        let mut seen = made.seen;
        let going = go(&self.cluster, &made.key, GOING, &mut seen).await;
        self.state().made[place].seen = seen;
        match going? {
            Going::Gone(last) => {
                let mut state = self.state();
                let made = &mut state.made[place];
                (made.gone, made.last) = (true, last);
                Ok(())
            }
            Going::There(object) => {
                let since = self.state().undoing_since.map_or(Duration::ZERO, |since| since.elapsed());
                if let Some(error) = recovering(&made.key, &object, since, self.limits.force_after) {
                    return Err(error);
                }
                if let Some(done) = end(&self.cluster, &made.key, &object).await? {
                    self.cluster.tell(EventKind::Cluster { message: format!("fault {}: {done}", self.naming.fault) });
                    let mut state = self.state();
                    let made = &mut state.made[place];
                    (made.gone, made.ended) = (true, Some(done));
                    return Ok(());
                }
                self.state().made[place].stuck = true;
                let held_up = self.held_up(&made.key, &object).await;
                let why = contract::stuck(&object) + &self.ailing(&object).await + &held_up;
                let may_force = self.limits.force_after.is_some_and(|limit| since >= limit);
                if !may_force {
                    return Err(FaultError::Stuck(held(&self.cluster, &made.key, &self.naming.run, &why)));
                }
                force(&self.cluster, &made.key).await?;
                let mut state = self.state();
                state.made[place].gone = true;
                state.forced =
                    Some(format!("{} was removed by force (--force-cleanup) without being recovered: {why}", made.key));
                Ok(())
            }
        }
    }

    /// Checks that nothing of the fault is left.
    pub(super) async fn look_for_rests(&self) -> Result<Vec<Finding>, FaultError> {
        let removed = |holds: bool, detail: String| Finding { shows: Proof::Removed, holds, detail };
        let (mut findings, mut half_done) = (Vec::new(), Vec::new());
        let made = self.state().made.clone();
        for (place, made) in made.iter().enumerate() {
            let key = &made.key;
            if self.cluster.own(key).await?.is_some() {
                findings.push(removed(false, format!("{key} still exists")));
                continue;
            }
            let left = half_done_leftovers(&self.cluster, made.last.as_ref().or(made.seen.as_ref())).await;
            if !left.is_empty() {
                half_done.push(left_half_done(key, &left));
                self.state().made[place].half_done = left;
                continue;
            }
            let mut still = Vec::new();
            for pod in &made.resource.shapes {
                let network = self.network(pod).await?;
                if network.is_some_and(|network| contract::names(&network, &made.source())) {
                    still.push(pod.clone());
                }
            }
            if let (true, Some(done)) = (still.is_empty(), &made.ended) {
                findings.push(removed(true, done.clone()));
                continue;
            }
            let recovered = made.last.as_ref().map(contract::recovered);
            findings.push(match (&still[..], recovered) {
                ([], _) if !made.resource.lasts => removed(true, format!("{key} is gone; it acted only once")),
                ([], Some(Ok(()))) if made.resource.shapes.is_empty() => {
                    removed(true, format!("{key} was recovered and is gone"))
                }
                ([], Some(Ok(()))) => {
                    removed(true, format!("{key} was recovered and is gone with its rules in the pods"))
                }
                // The rules are gone, so it does not matter how the resource was removed.
                ([], _) if !made.resource.shapes.is_empty() => {
                    removed(true, format!("{key} is gone, and none of its rules is left"))
                }
                ([], None) => removed(true, format!("{key} is gone")),
                ([], Some(Err(missing))) => removed(
                    false,
                    format!(
                        "{key} is gone without being recovered ({}): another client removed its finalizer",
                        missing.text()
                    ),
                ),
                (pods, _) => removed(false, format!("{key} is gone, but its rules are still in {}", pods.join(", "))),
            });
        }
        // What is left half done stays. Another try may remove the rest.
        if !half_done.is_empty() && findings.iter().all(|finding| finding.holds) {
            return Err(FaultError::Dirty(half_done.join("; ").into()));
        }
        findings.extend(half_done.into_iter().map(|detail| removed(false, detail)));
        Ok(findings)
    }

    /// The objects that exist or may exist.
    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        let state = self.state();
        let error = state.forced.clone().unwrap_or_else(|| "its removal could not be confirmed".to_owned());
        let left = state.made.iter().filter(|made| !made.gone).map(|made| Leftover {
            what: made.key.to_string(),
            command: if made.stuck { by_force(&self.naming.run) } else { made.key.delete_command() },
            error: error.clone(),
        });
        let pods = state.made.iter().filter(|made| {
            made.gone
                && (state.forced.is_some() || made.last.as_ref().is_some_and(|last| contract::recovered(last).is_err()))
        });
        let dirty = pods.flat_map(|made| {
            let ids = made.resource.records.iter().map(|record| record.id.as_str());
            left_in_pods(&format!("effects of {}", made.key), ids, &error)
        });
        left.chain(dirty).chain(state.made.iter().flat_map(|made| made.half_done.clone())).collect()
    }
}

#[cfg(test)]
mod tests;
