//! Watches the pods of a scenario during the run: changes of readiness, restarts of containers, deletions. A cluster itself
//! keeps only the last change.
//!
//! It needs the permission to watch pods. Without it, the diagnostics contain only the data that the cluster keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::{BoxStream, select_all};
use serde_json::Value;
use shakedown_schemas::result::PodChange;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::object::{cut, is_ours, uid};
use shakedown_cluster::{Change, Cluster, ClusterError, Kind, lasting_statuses};

/// The most changes that are kept. It limits the memory when a pod flaps for hours.
const CHANGES: usize = 4_000;

/// An observed change of a pod.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObservedChange {
    /// When it was observed, by the local clock.
    pub at: Instant,
    /// The pod.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The kind of change.
    pub change: PodChange,
    /// A description.
    pub detail: String,
    /// The number of restarts; 1 for other changes.
    pub count: u64,
}

/// The task that watches, until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    notes: Arc<Mutex<Notes>>,
    _watching: AbortOnDropHandle<()>,
}

impl Watch {
    pub(super) fn start(cluster: &Cluster, namespaces: &BTreeSet<String>) -> Self {
        let notes = Arc::<Mutex<Notes>>::default();
        let streams: Vec<BoxStream<'static, (String, Change)>> = namespaces
            .iter()
            .map(|namespace| {
                let name = namespace.clone();
                cluster.watch(Kind::Pod, namespace).map(move |change| (name.clone(), change)).boxed()
            })
            .collect();
        let mine = notes.clone();
        let watching = tokio::spawn(async move {
            let mut changes = select_all(streams);
            while let Some((namespace, change)) = changes.next().await {
                if let Change::Broken { error: ClusterError::Forbidden { .. }, .. } = change {
                    return;
                }
                mine.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now(), &namespace, change);
            }
        });
        Self { notes, _watching: AbortOnDropHandle::new(watching) }
    }

    /// The changes so far, in order.
    pub(super) fn seen(&self) -> Vec<ObservedChange> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).seen.clone()
    }
}

/// The last observed state of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
struct PodState {
    ready: bool,
    ending: bool,
    restarts: BTreeMap<String, u64>,
}

#[derive(Debug, Default)]
struct Notes {
    /// The pods by namespace and UID; each with its name.
    pods: BTreeMap<(String, String), (String, PodState)>,
    seen: Vec<ObservedChange>,
    /// The namespaces whose first list is complete. Pods seen before that are the initial state, not changes.
    begun: BTreeSet<String>,
}

impl Notes {
    fn take(&mut self, at: Instant, namespace: &str, change: Change) {
        match change {
            Change::Applied(pod) => self.pod(at, namespace, &pod),
            Change::Deleted(pod) => self.gone(at, namespace, uid(&pod)),
            Change::Listed(pods) => {
                let there: BTreeSet<&str> = pods.iter().map(uid).collect();
                let known = self.pods.keys().filter(|(known, uid)| known == namespace && !there.contains(uid.as_str()));
                for (_, uid) in known.cloned().collect::<Vec<_>>() {
                    self.gone(at, namespace, &uid);
                }
                pods.iter().for_each(|pod| self.pod(at, namespace, pod));
                self.begun.insert(namespace.to_owned());
            }
            Change::Broken { .. } => {}
        }
    }

    fn pod(&mut self, at: Instant, namespace: &str, pod: &Value) {
        if is_ours(pod) {
            return;
        }
        let key = (namespace.to_owned(), uid(pod).to_owned());
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let (now, why) = state(pod);
        let before = self.pods.insert(key.clone(), (name.clone(), now.clone()));
        let Some((_, before)) = before else {
            if self.begun.contains(namespace) {
                self.note(at, &key, &name, PodChange::Created, "created".to_owned(), 1);
                if now.ready {
                    self.note(at, &key, &name, PodChange::Ready, "ready".to_owned(), 1);
                }
            }
            return;
        };
        for (container, count) in &now.restarts {
            let more = count.saturating_sub(before.restarts.get(container).copied().unwrap_or_default());
            if more > 0 {
                let detail = format!(
                    "container {container} was restarted{} (restarts: {more} more than before)",
                    last(pod, container)
                );
                self.note(at, &key, &name, PodChange::Restarted, detail, more);
            }
        }
        if now.ending && !before.ending {
            self.note(at, &key, &name, PodChange::NotReady, "deletion requested".to_owned(), 1);
        } else if now.ready != before.ready && !now.ending {
            let (change, detail) = match now.ready {
                true => (PodChange::Ready, "ready".to_owned()),
                false => (PodChange::NotReady, format!("not ready{why}")),
            };
            self.note(at, &key, &name, change, detail, 1);
        }
    }

    fn gone(&mut self, at: Instant, namespace: &str, uid: &str) {
        let key = (namespace.to_owned(), uid.to_owned());
        if let Some((name, _)) = self.pods.remove(&key) {
            self.note(at, &key, &name, PodChange::Gone, "gone".to_owned(), 1);
        }
    }

    fn note(&mut self, at: Instant, key: &(String, String), name: &str, change: PodChange, detail: String, count: u64) {
        if self.seen.len() < CHANGES {
            let ((namespace, uid), name) = (key.clone(), name.to_owned());
            self.seen.push(ObservedChange { at, uid, namespace, name, change, detail, count });
        }
    }
}

/// A pod's state, and why it is not ready.
fn state(pod: &Value) -> (PodState, String) {
    let ready = pod["status"]["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Ready");
    let why = ready.and_then(|it| it["message"].as_str()).filter(|it| !it.is_empty());
    let restarts =
        lasting_statuses(pod).filter_map(|it| Some((it["name"].as_str()?.to_owned(), it["restartCount"].as_u64()?)));
    let state = PodState {
        ready: ready.is_some_and(|it| it["status"] == "True"),
        ending: !pod["metadata"]["deletionTimestamp"].is_null(),
        restarts: restarts.collect(),
    };
    (state, why.map(|it| format!(": {}", cut(it))).unwrap_or_default())
}

/// Why a container last ended, as the end of a sentence.
fn last(pod: &Value, container: &str) -> String {
    let ended = lasting_statuses(pod).find(|it| it["name"] == container).map(|it| &it["lastState"]["terminated"]);
    match ended.map(|it| (it["reason"].as_str(), it["exitCode"].as_i64())) {
        Some((Some(reason), Some(code))) => format!(" after {reason}, exit code {code}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(ready: bool, restarts: u64, ending: bool) -> Value {
        json!({
            "metadata": {"namespace": "n", "name": "p", "uid": "u1",
                "deletionTimestamp": ending.then_some("2026-01-31T12:00:00Z")},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }, "message": "probe failed"}],
                "containerStatuses": [{"name": "c", "restartCount": restarts,
                    "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}],
            },
        })
    }

    fn seen(changes: Vec<Change>) -> Vec<(PodChange, String)> {
        let mut notes = Notes::default();
        let at = Instant::now();
        changes.into_iter().for_each(|change| notes.take(at, "n", change));
        notes.seen.into_iter().map(|it| (it.change, it.detail)).collect()
    }

    #[tokio::test]
    async fn every_change_is_recorded_and_the_initial_state_is_none() {
        let found = seen(vec![
            Change::Listed(vec![pod(true, 0, false)]),
            Change::Applied(pod(true, 0, false)),
            Change::Applied(pod(false, 0, false)),
            Change::Applied(pod(false, 1, false)),
            Change::Applied(pod(true, 1, false)),
            Change::Applied(pod(true, 1, true)),
            Change::Applied(pod(false, 1, true)),
            Change::Deleted(pod(false, 1, true)),
            Change::Applied(pod(true, 0, false)),
        ]);
        let wanted = [
            (PodChange::NotReady, "not ready: probe failed"),
            (
                PodChange::Restarted,
                "container c was restarted after OOMKilled, exit code 137 (restarts: 1 more than before)",
            ),
            (PodChange::Ready, "ready"),
            (PodChange::NotReady, "deletion requested"),
            (PodChange::Gone, "gone"),
            (PodChange::Created, "created"),
            (PodChange::Ready, "ready"),
        ];
        assert_eq!(found, wanted.map(|(change, text)| (change, text.to_owned())));
    }

    #[tokio::test]
    async fn a_restarted_watch_misses_no_deletion_and_ignores_our_own_pods() {
        let mut ours = pod(true, 0, false);
        ours["metadata"]["uid"] = json!("u2");
        ours["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "shakedown"});
        let found = seen(vec![
            Change::Listed(vec![pod(true, 0, false), ours.clone()]),
            Change::Listed(vec![ours.clone()]),
            Change::Deleted(ours),
        ]);
        assert_eq!(found, [(PodChange::Gone, "gone".to_owned())]);
    }
}
