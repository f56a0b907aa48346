//! Diagnostics of a scenario: pod events, restarts, readiness changes, created and deleted pods, and the targets' logs
//! around the faults. They are read at the end from the data that the cluster keeps. Only the pods are watched during the
//! run, because a cluster keeps only the last change of readiness.
//!
//! Diagnostics do not judge, and they never fail a run. Data that could not be read is listed among them.

mod logs;
mod object;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use shakedown_schemas::result::{LogExcerpt, PodChange, PodEvent, PodRole, ScenarioResult};
use shakedown_schemas::{Event, EventKind};

use tokio::time::Instant;

use self::object::{cut, is_ours, uid};
use self::watch::{ObservedChange, Watch};
use shakedown_cluster::{Cluster, Kind, lasting_statuses};
use shakedown_policy::{Labels, Selector};

/// The most pod events in the result.
const EVENTS: usize = 400;
/// The timeout of the whole collection.
const LIMIT: Duration = Duration::from_secs(20);

/// The pods of a scenario's namespaces as they were at its beginning.
#[derive(Debug, Default)]
pub struct Before {
    namespaces: BTreeSet<String>,
    pods: BTreeMap<String, Value>,
    watch: Option<Watch>,
}

impl Before {
    /// Reads the pods and watches them from now on. Pods that cannot be read are left out; [`Self::tell`] reports them.
    pub async fn look(cluster: &Cluster, namespaces: BTreeSet<String>) -> Self {
        let mut pods = BTreeMap::new();
        for namespace in &namespaces {
            let listed = tokio::time::timeout(LIMIT, cluster.list(Kind::Pod, namespace, None)).await;
            for pod in listed.ok().and_then(Result::ok).unwrap_or_default() {
                pods.insert(uid(&pod).to_owned(), pod);
            }
        }
        let watch = Watch::start(cluster, &namespaces);
        Self { namespaces, pods, watch: Some(watch) }
    }

    /// Collects the diagnostics into the result. `zero` is the load's start by the monotonic clock.
    pub async fn tell(&self, cluster: &Cluster, zero: Option<Instant>, result: &mut ScenarioResult) {
        let collected = tokio::time::timeout(LIMIT, self.collect(cluster, zero, result)).await;
        match collected {
            Ok((events, logs, gaps)) => {
                result.pod_events = events;
                result.logs = logs;
                result.warnings.extend(gaps);
            }
            Err(_) => result.warnings.push(format!(
                "the cluster's diagnostics are missing: reading them took longer than {} s",
                LIMIT.as_secs()
            )),
        }
    }

    async fn collect(
        &self,
        cluster: &Cluster,
        load_start: Option<Instant>,
        result: &ScenarioResult,
    ) -> (Vec<PodEvent>, Vec<LogExcerpt>, Vec<String>) {
        let mut diagnosis =
            Diagnosis { zero: zero(result, &result.events), end_s: result.duration_s, ..Diagnosis::default() };
        diagnosis.targets = result.faults.iter().flat_map(|fault| &fault.targets).map(|pod| pod.uid.clone()).collect();
        let mut gaps = Vec::new();
        let mut after = BTreeMap::new();
        let mut all_seen = true;
        for namespace in &self.namespaces {
            match cluster.list(Kind::Pod, namespace, None).await {
                Ok(pods) => after.extend(pods.into_iter().map(|pod| (uid(&pod).to_owned(), pod))),
                Err(error) => {
                    all_seen = false;
                    gaps.push(format!("the pods of {namespace} could not be read: {error}"));
                }
            }
            // When a service is a peer, the pods that it selects are peers.
            match cluster.services(namespace).await {
                Ok(services) => diagnosis.peers.extend(peers(&services, namespace, result, self.pods.values())),
                Err(error) => gaps.push(format!("the services of {namespace} could not be read: {error}")),
            }
        }
        let seen = self.watch.as_ref().map(Watch::seen).unwrap_or_default();
        for namespace in &self.namespaces {
            match cluster.pod_events(namespace).await {
                Ok(events) => events.iter().for_each(|event| diagnosis.event(event)),
                Err(error) => gaps.push(format!("the events of {namespace} could not be read: {error}")),
            }
        }
        // A failed list does not mean that the pods are gone.
        if all_seen {
            let watched: BTreeSet<&str> = seen.iter().map(|it| it.uid.as_str()).collect();
            diagnosis.changes(&self.pods, &after, &watched);
        }
        diagnosis.watched(load_start, seen);
        let logs = logs::logs(cluster, result, diagnosis.zero).await;
        (diagnosis.finish(), logs, gaps)
    }
}

/// The wall clock at the timeline's zero.
pub fn zero(result: &ScenarioResult, events: &[Event]) -> Timestamp {
    let started = events.iter().find(|event| matches!(event.kind, EventKind::LoadStarted));
    started.map_or(result.started_at, |event| event.at)
}

/// The UIDs of the pods behind the services that faults name as peers.
fn peers<'a>(
    services: &[Value],
    namespace: &str,
    result: &ScenarioResult,
    pods: impl Iterator<Item = &'a Value> + Clone,
) -> BTreeSet<String> {
    let named = |name: &str| {
        let words = format!("service {name} ");
        result.faults.iter().flat_map(|fault| &fault.peers).any(|peer| format!("{peer} ").contains(&words))
    };
    let mut found = BTreeSet::new();
    for service in services.iter().filter(|it| it["metadata"]["name"].as_str().is_some_and(named)) {
        let labels = Labels::deserialize(&service["spec"]["selector"]).unwrap_or_default();
        let selector = Selector::from(&labels);
        let selected = pods.clone().filter(|pod| {
            // A service without a selector has manually maintained endpoints.
            pod["metadata"]["namespace"] == namespace
                && !selector.is_everything()
                && selector.holds(|key| pod["metadata"]["labels"][key].as_str())
        });
        found.extend(selected.map(|pod| uid(pod).to_owned()));
    }
    found
}

#[derive(Debug, Default)]
struct Diagnosis {
    zero: Timestamp,
    end_s: f64,
    targets: BTreeSet<String>,
    peers: BTreeSet<String>,
    events: Vec<PodEvent>,
}

impl Diagnosis {
    fn at_s(&self, text: &Value) -> Option<f64> {
        let at: Timestamp = text.as_str()?.parse().ok()?;
        Some((at.as_millisecond() - self.zero.as_millisecond()) as f64 / 1e3)
    }

    fn role(&self, uid: &str) -> PodRole {
        if self.targets.contains(uid) {
            PodRole::Target
        } else if self.peers.contains(uid) {
            PodRole::Peer
        } else {
            PodRole::Other
        }
    }

    /// Keeps events within the scenario. Times of a cluster have a resolution of 1 s, so 1 s is added at the end.
    fn add(
        &mut self,
        at_s: Option<f64>,
        pod: (&str, &str, &str),
        change: PodChange,
        reason: &str,
        detail: String,
        count: u64,
    ) {
        let Some(at_s) = at_s.filter(|at| (0.0..=self.end_s + 1.0).contains(at)) else { return };
        let (namespace, name, uid) = pod;
        self.events.push(PodEvent {
            at_s,
            namespace: namespace.to_owned(),
            pod: name.to_owned(),
            role: self.role(uid),
            change,
            reason: reason.to_owned(),
            detail,
            count,
        });
    }

    /// Adds an Event of the cluster. Its time field depends on its source and on the cluster's version.
    fn event(&mut self, event: &Value) {
        let about = &event["involvedObject"];
        // An Event has no labels of its pod. Our own pods are recognised by the beginning of their names.
        if about["kind"] != "Pod" || about["name"].as_str().is_some_and(|name| name.starts_with("shakedown-2")) {
            return;
        }
        let times = [&event["lastTimestamp"], &event["series"]["lastObservedTime"], &event["eventTime"]];
        let first = [&event["firstTimestamp"], &event["metadata"]["creationTimestamp"]];
        let at = times.into_iter().chain(first).find_map(|time| self.at_s(time));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let change = if event["type"] == "Warning" { PodChange::Warning } else { PodChange::Normal };
        let count = event["count"].as_u64().or(event["series"]["count"].as_u64()).unwrap_or(1);
        let (namespace, name, uid) = (text(&about["namespace"]), text(&about["name"]), text(&about["uid"]));
        let (reason, detail) = (text(&event["reason"]), text(&event["message"]));
        self.add(at, (&namespace, &name, &uid), change, &reason, cut(&detail), count);
    }

    /// Adds the changes that the watch observed.
    fn watched(&mut self, load_start: Option<Instant>, seen: Vec<ObservedChange>) {
        let Some(zero) = load_start else { return };
        for it in seen {
            // Changes before the load's start are outside the scenario.
            let at_s = it.at.checked_duration_since(zero).map(|since| since.as_secs_f64());
            self.add(at_s, (&it.namespace, &it.name, &it.uid), it.change, "", it.detail, it.count);
        }
    }

    /// Adds changes from the statuses of pods that were not watched: created and deleted pods, restarts, and the last change of
    /// readiness.
    fn changes(&mut self, before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>, watched: &BTreeSet<&str>) {
        let unseen = |uid: &str, pod: &Value| !watched.contains(uid) && !is_ours(pod);
        for (uid, pod) in after.iter().filter(|(uid, pod)| unseen(uid, pod)) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            let who = (namespace.as_str(), name.as_str(), uid.as_str());
            if !before.contains_key(uid) {
                let at = self.at_s(&pod["metadata"]["creationTimestamp"]);
                self.add(at, who, PodChange::Created, "", "created".to_owned(), 1);
            }
            for container in lasting_statuses(pod) {
                let restarts = container["restartCount"].as_u64().unwrap_or_default();
                let had = before.get(uid).map_or(0, |old| restarts_of(old, &container["name"]));
                if restarts > had {
                    let at = self.at_s(&container["state"]["running"]["startedAt"]);
                    let last = &container["lastState"]["terminated"];
                    let why = match (last["reason"].as_str(), last["exitCode"].as_i64()) {
                        (Some(reason), Some(code)) => format!(" after {reason}, exit code {code}"),
                        _ => String::new(),
                    };
                    let name = text(&container["name"]);
                    let detail =
                        format!("container {name} was restarted{why} (restarts: {} more than before)", restarts - had);
                    self.add(at.or(Some(self.end_s)), who, PodChange::Restarted, "", detail, restarts - had);
                }
            }
            let ready = pod["status"]["conditions"].as_array().into_iter().flatten().find(|it| it["type"] == "Ready");
            if let Some(ready) = ready {
                let is = ready["status"] == "True";
                let (change, word) = if is { (PodChange::Ready, "ready") } else { (PodChange::NotReady, "not ready") };
                let why = ready["message"].as_str().filter(|it| !it.is_empty()).map(|it| format!(": {}", cut(it)));
                let detail = format!("{word}{}", why.unwrap_or_default());
                self.add(self.at_s(&ready["lastTransitionTime"]), who, change, "", detail, 1);
            }
        }
        for (uid, pod) in before.iter().filter(|(uid, pod)| !after.contains_key(*uid) && unseen(uid, pod)) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let (namespace, name) = (text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
            // Only an Event has the time of the delete. The end of the scenario only shows that the pod is gone.
            let killed_s = self.events.iter().filter(|it| it.pod == name && it.namespace == namespace);
            let killed_s = killed_s.filter(|it| it.reason == "Killing").map(|it| it.at_s).next_back();
            let detail = match killed_s {
                Some(_) => "deleted; gone when the scenario ended".to_owned(),
                None => "gone when the scenario ended".to_owned(),
            };
            self.add(killed_s.or(Some(self.end_s)), (&namespace, &name, uid), PodChange::Gone, "", detail, 1);
        }
    }

    fn finish(mut self) -> Vec<PodEvent> {
        self.events
            .sort_by(|a, b| (a.role, a.at_s).partial_cmp(&(b.role, b.at_s)).unwrap_or(std::cmp::Ordering::Equal));
        // When there are too many, events of targets and peers are kept first.
        self.events.truncate(EVENTS);
        self.events.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        self.events
    }
}

fn restarts_of(pod: &Value, container: &Value) -> u64 {
    lasting_statuses(pod)
        .filter(|it| it["name"] == *container)
        .find_map(|it| it["restartCount"].as_u64())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn diagnosis() -> Diagnosis {
        let targets = BTreeSet::from(["u1".to_owned()]);
        let zero = "2026-01-31T12:00:00Z".parse().unwrap();
        Diagnosis { zero, end_s: 60.0, targets, ..Diagnosis::default() }
    }

    #[test]
    fn events_of_old_and_new_clusters_have_a_time() {
        let mut diagnosis = diagnosis();
        let about = json!({"kind": "Pod", "namespace": "n", "name": "p", "uid": "u1"});
        let event = |times: Value| {
            let mut event = json!({"involvedObject": about, "type": "Warning", "reason": "Unhealthy", "message": "m"});
            event.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
            event
        };
        diagnosis.event(&event(json!({"lastTimestamp": "2026-01-31T12:00:10Z", "count": 3})));
        diagnosis.event(&event(json!({"lastTimestamp": null, "eventTime": "2026-01-31T12:00:20.500000Z"})));
        diagnosis.event(&event(json!({"lastTimestamp": "2026-01-31T11:00:10Z"})));
        diagnosis.event(&event(json!({})));
        diagnosis.event(&json!({"involvedObject": {"kind": "Job"}, "lastTimestamp": "2026-01-31T12:00:10Z"}));
        let found: Vec<_> = diagnosis.finish().into_iter().map(|it| (it.at_s, it.role, it.change, it.count)).collect();
        let warning = |at_s, count| (at_s, PodRole::Target, PodChange::Warning, count);
        assert_eq!(found, [warning(10.0, 3), warning(20.5, 1)]);
    }

    #[test]
    fn statuses_show_restarts_readiness_and_created_and_deleted_pods() {
        let pod = |restarts: u64, ready: &str, since: &str| {
            json!({
                "metadata": {"namespace": "n", "name": "p", "uid": "u1", "creationTimestamp": "2026-01-31T12:00:05Z"},
                "status": {
                    "containerStatuses": [{"name": "c", "restartCount": restarts,
                        "state": {"running": {"startedAt": "2026-01-31T12:00:30Z"}},
                        "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}],
                    "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}],
                },
            })
        };
        let before = BTreeMap::from([
            ("u1".to_owned(), pod(1, "True", "2026-01-31T11:00:00Z")),
            ("u2".to_owned(), json!({"metadata": {"namespace": "n", "name": "old"}})),
        ]);
        let after = BTreeMap::from([
            ("u1".to_owned(), pod(2, "False", "2026-01-31T12:00:31Z")),
            ("u3".to_owned(), pod(0, "True", "2026-01-31T12:00:07Z")),
        ]);
        let mut diagnosis = diagnosis();
        diagnosis.changes(&before, &after, &BTreeSet::new());
        let found: Vec<_> = diagnosis.finish().into_iter().map(|it| (it.at_s, it.change, it.role)).collect();
        assert_eq!(
            found,
            [
                (5.0, PodChange::Created, PodRole::Other),
                (7.0, PodChange::Ready, PodRole::Other),
                (30.0, PodChange::Restarted, PodRole::Target),
                (31.0, PodChange::NotReady, PodRole::Target),
                (60.0, PodChange::Gone, PodRole::Other),
            ]
        );
    }
}
