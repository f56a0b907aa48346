//! Reads the resources: whether each acts on exactly its targets, what is missing, and why.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::Proof;
use tokio::time::Instant;

use super::contract::{self, Missing};
use super::spec::{Record, Shows};
use super::{Inner, Made, POLL, UNANSWERED, UNTOUCHED_LIMIT, diagnose, ending, explained, fitness};
use crate::{FaultError, Finding};
use shakedown_cluster::{ClusterError, Kind, ObjectKey};

/// How long Chaos Mesh may retry a failure that no retry can fix, such as a missing kernel module.
const LASTING: Duration = Duration::from_secs(10);

/// The object of a kind that has the namespace and the name of the pod that a record's id begins with.
fn child_of(kind: Kind, id: &str) -> ObjectKey {
    let mut parts = id.split('/');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    ObjectKey { kind, namespace: next(), name: next(), uid: None }
}

/// The number of planned records, as text. Both ends of a link count.
fn planned(records: &BTreeSet<Record>) -> String {
    let in_pods = records.iter().any(|record| record.id.split('/').count() > 2);
    let what = if in_pods { "container" } else { "pod" };
    match records.len() {
        1 => format!("planned {what}"),
        count => format!("{count} planned {what}s"),
    }
}

impl Inner {
    /// The current findings about one resource.
    pub(super) async fn look(&self, made: &Made) -> Result<Result<Vec<Finding>, Missing>, FaultError> {
        let Some(object) = self.cluster.get_once(&made.key).await? else {
            return Err(FaultError::Gone(format!("{} no longer exists: another client deleted it", made.key).into()));
        };
        if !object["metadata"]["deletionTimestamp"].is_null() {
            return Err(FaultError::Gone(format!("{} is being deleted: another client deleted it", made.key).into()));
        }
        if let Err(missing) = contract::injected(&object, &made.resource.records) {
            return Ok(Err(missing));
        }
        let applied = |detail: String| Finding { shows: Proof::Applied, holds: true, detail };
        let mut findings =
            vec![applied(format!("{} is injected on exactly the {}", made.key, planned(&made.resource.records)))];
        for pod in &made.resource.shapes {
            let network = self.network(pod).await?;
            if let Err(missing) = contract::in_place(network.as_ref(), pod, &made.source()) {
                return Ok(Err(missing));
            }
        }
        if let Some(shows) = made.resource.shows {
            match self.ended(made, shows).await? {
                Ok(ended) => findings.extend(ended),
                Err(missing) => return Ok(Err(missing)),
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

    /// Whether the programs of the pods have ended. Chaos Mesh reports that as soon as their images are changed or a signal was
    /// sent, but the kubelet may need until the grace periods are over.
    async fn ended(&self, made: &Made, shows: Shows) -> Result<Result<Vec<Finding>, Missing>, ClusterError> {
        let mut findings = Vec::new();
        for record in &made.resource.records {
            // A pod that is gone is reported as a replaced target.
            let Some(pod) = self.pod(&record.id).await? else { continue };
            let before = self.state().restarts.get(&record.id).copied().unwrap_or_default();
            let id = &record.id;
            let (how, done, missing) = match shows {
                Shows::Stopped => (
                    contract::stopped(&pod, before),
                    format!("the programs of pod {id} do not run"),
                    format!("the containers of pod {id} have not ended yet"),
                ),
                Shows::Killed => (
                    contract::killed(&pod, id.rsplit('/').next().unwrap_or_default(), before),
                    format!("container {id} was killed"),
                    format!("container {id} has not ended yet, by its pod's own status"),
                ),
            };
            let Some(how) = how else {
                return Ok(Err(Missing::Pending { what: missing, failure: None }));
            };
            let detail = format!("{done}: {how}");
            findings.push(Finding { shows: Proof::Effective, holds: true, detail });
        }
        Ok(Ok(findings))
    }

    /// The pod that a record's id begins with.
    async fn pod(&self, id: &str) -> Result<Option<Value>, ClusterError> {
        self.cluster.get_once(&child_of(Kind::Pod, id)).await
    }

    /// The failures of the pods' containers, for a resource that is not applied or not removed in time.
    pub(super) async fn ailing(&self, object: &Value) -> String {
        let mut crashes = BTreeSet::new();
        for id in contract::unsettled(object) {
            let pod = self.pod(id).await.ok().flatten();
            crashes.extend(pod.as_ref().and_then(contract::crash).map(|how| format!("; in pod {id} {how}")));
        }
        crashes.into_iter().collect()
    }

    /// The PodNetworkChaos of a pod.
    pub(super) async fn network(&self, pod: &str) -> Result<Option<Value>, ClusterError> {
        ending::network(&self.cluster, pod).await
    }

    /// What is missing, with a remedy, and whether that is an answer: Chaos Mesh or one of its daemons said why, or its manager
    /// is down or stuck. If the status gives no reason, it includes the latest event.
    async fn diagnosis(&self, made: &Made, missing: &Missing, waited: Duration) -> (Explained, bool) {
        let mut text = missing.text();
        let mut is_answer = matches!(missing, Missing::Pending { failure: Some(_), .. } | Missing::Wrong(_));
        if !matches!(missing, Missing::Pending { failure: Some(_), .. })
            && let Some(message) = self.event(made).await
        {
            is_answer = true;
            text.push_str(&format!(": {message}"));
        }
        let is_silent =
            matches!(missing, Missing::Untouched | Missing::Unselected | Missing::Pending { failure: None, .. });
        let ids: Vec<&str> = made.resource.records.iter().map(|record| record.id.as_str()).collect();
        if is_silent {
            let (silence, is_over) = self.silence(&made.key, &ids, waited).await;
            text.push_str(&silence);
            is_answer |= is_over;
        }
        if diagnose::is_mute(&text) || is_silent && *missing != Missing::Untouched {
            let words = missing.text();
            let named: Vec<&str> = ids.into_iter().filter(|id| words.contains(id)).collect();
            let (daemons, is_said) = self.asked_the_daemons(&named, !is_silent, waited).await;
            text.push_str(&daemons);
            is_answer |= is_said;
        }
        let explained = match diagnose::remedy(&text) {
            None if *missing == Missing::Untouched => Explained::new(text, diagnose::NO_CONTROLLER),
            _ => explained(&text),
        };
        (explained.about(&made.key), is_answer)
    }

    /// The recent messages of the daemons on these pods' nodes, or where to find their logs, and whether a daemon has
    /// reported something.
    async fn asked_the_daemons(&self, ids: &[&str], names_nodes: bool, waited: Duration) -> (String, bool) {
        let mut nodes = BTreeSet::new();
        for id in ids {
            let pod = self.pod(id).await.ok().flatten();
            nodes.extend(pod.and_then(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)));
        }
        let (mut text, mut is_said) = (String::new(), false);
        for node in nodes {
            let log = self.cluster.chaos_daemon_log(&node, waited).await.unwrap_or_default();
            match diagnose::last_words(&log) {
                Some(words) => {
                    is_said = true;
                    _ = write!(text, "; the chaos-daemon on node {node} says: {words}");
                }
                None if names_nodes => _ = write!(text, "; on node {node}"),
                None => {}
            }
        }
        (text, is_said)
    }

    /// Why a resource has no status: its controller does not run, or a child object has had no answer for that time. Empty
    /// otherwise. Also returns whether waiting is pointless.
    async fn silence(&self, key: &ObjectKey, ids: &[&str], waited: Duration) -> (String, bool) {
        let Ok(installed) = self.cluster.chaos_programs().await else { return (String::new(), false) };
        if let Some(down) = fitness::unavailable(&installed) {
            return (format!("; {}: {}", down.message, down.help.unwrap_or_default()), true);
        }
        let Some(kind) = key.kind.child() else { return (String::new(), false) };
        let stuck = |child: &ObjectKey, generation: i64| {
            let namespace = installed.controllers.first().and_then(|it| it["metadata"]["namespace"].as_str());
            format!(
                "; {child} has had no answer for its generation {generation} within {} s: the manager of Chaos Mesh hangs on a call, or the \
                 node is very slow, and every other {} waits behind it; if it hangs, only a restart helps (`kubectl -n {} rollout \
                 restart deployment chaos-controller-manager`)",
                UNANSWERED.as_secs(),
                key.kind.name(),
                namespace.unwrap_or("chaos-mesh")
            )
        };
        let mut waits = String::new();
        for id in ids {
            let child = child_of(kind, id);
            let there = self.cluster.get_once(&child).await.ok().flatten();
            let Some(generation) = there.as_ref().and_then(contract::unanswered) else { continue };
            if waited >= UNANSWERED {
                return (stuck(&child, generation), true);
            }
            waits = format!("; {child} (generation {generation}) has no answer yet");
            break;
        }
        match self.waits_behind(key, kind, waited).await {
            Some((other, generation)) => (stuck(&other, generation), true),
            None => (waits, false),
        }
    }

    /// Another child object that has had no answer for [`UNANSWERED`], and its generation. The server's clock counts.
    async fn waits_behind(&self, key: &ObjectKey, child: Kind, waited: Duration) -> Option<(ObjectKey, i64)> {
        let time = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
        let own = self.cluster.get_once(key).await.ok()??;
        let now = time(&own["metadata"]["creationTimestamp"])?.checked_add(waited).ok()?;
        let others = self.cluster.list(child, &key.namespace, None).await.ok()?;
        others.iter().find_map(|other| {
            let metadata = &other["metadata"];
            let writes = metadata["managedFields"].as_array().into_iter().flatten();
            let written =
                writes.filter_map(|it| time(&it["time"])).chain(time(&metadata["creationTimestamp"])).max()?;
            let generation = contract::unanswered(other)?;
            let text = |field: &str| metadata[field].as_str().unwrap_or_default().to_owned();
            let is_long = Duration::try_from(now.duration_since(written)).is_ok_and(|age| age >= UNANSWERED);
            is_long.then(|| (child_of(child, &format!("{}/{}", text("namespace"), text("name"))), generation))
        })
    }

    /// Why a controller does not release a resource, if its status does not say so.
    pub(super) async fn held_up(&self, key: &ObjectKey, object: &Value) -> String {
        if contract::tells(object) {
            return String::new();
        }
        let waited = self.state().begun.map_or(Duration::ZERO, |begun| begun.elapsed());
        let ids: Vec<&str> = contract::unsettled(object).collect();
        let (silence, _) = self.silence(key, &ids, waited).await;
        silence + &self.asked_the_daemons(&ids, false, waited).await.0
    }

    /// The latest failure event.
    async fn event(&self, made: &Made) -> Option<String> {
        let events = self.cluster.events_of(&made.key.namespace, made.key.uid.as_deref()?).await.ok()?;
        let failed = events.iter().rev().find(|event| event["type"] == "Warning" || event["reason"] == "Failed")?;
        failed["message"].as_str().map(str::to_owned)
    }

    /// Waits until every resource acts on exactly its targets, and records when each began.
    pub(super) async fn wait(&self) -> Result<(), FaultError> {
        let begun = Instant::now();
        let mut waiting = self.standing();
        let mut diagnosed = BTreeSet::new();
        while !waiting.is_empty() {
            let mut left = Vec::new();
            for made in waiting {
                if self.acts(&made, begun, &mut diagnosed).await? {
                    let mut state = self.state();
                    let since = state.begun.unwrap_or(begun).elapsed();
                    state.acting_since.entry(made.key.name).or_insert(since);
                } else {
                    left.push(made);
                }
            }
            waiting = left;
            if !waiting.is_empty() {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Whether a resource acts on exactly its targets. `diagnosed` are the failing resources whose cause was already looked up.
    ///
    /// # Errors
    /// With what is missing, once it has taken too long since `begun`.
    async fn acts(&self, made: &Made, begun: Instant, diagnosed: &mut BTreeSet<String>) -> Result<bool, FaultError> {
        let mut transient = false;
        let missing = match self.look(made).await {
            Ok(Ok(_)) => return Ok(true),
            Ok(Err(missing)) => missing,
            Err(FaultError::Cluster(error)) if error.is_transient() => {
                transient = true;
                let failure = Some(error.to_string());
                Missing::Pending { what: "the cluster does not answer".to_owned(), failure }
            }
            Err(error) => return Err(error),
        };
        let is_failing = !transient && matches!(&missing, Missing::Pending { failure: Some(_), .. });
        let limit = match &missing {
            Missing::Wrong(_) => Duration::ZERO,
            Missing::Untouched => UNTOUCHED_LIMIT.min(self.limits.active),
            Missing::Pending { .. } if is_failing => self.limits.failing.unwrap_or(self.limits.active),
            Missing::Unselected | Missing::Pending { .. } => self.limits.active,
        };
        // Chaos Mesh does not select a second time, so waiting does not help.
        let hopeless = missing == Missing::Unselected
            && self.event(made).await.is_some_and(|event| event.contains("Failed to select"));
        if is_failing && begun.elapsed() >= LASTING && diagnosed.insert(made.key.name.clone()) {
            let (diagnosis, _) = self.diagnosis(made, &missing, begun.elapsed()).await;
            if diagnose::lasts(&diagnosis.message) {
                return Err(FaultError::Impossible(diagnosis));
            }
        }
        if begun.elapsed() < limit && !hopeless {
            return Ok(false);
        }
        let (diagnosis, is_answer) = match transient {
            true => (Explained::from(missing.text()).about(&made.key), false),
            false => self.diagnosis(made, &missing, begun.elapsed()).await,
        };
        self.state().is_unanswered = !is_answer;
        Err(FaultError::Impossible(diagnosis))
    }
}
