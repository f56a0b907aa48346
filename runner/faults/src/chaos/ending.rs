//! The way out of a network fault that never took effect. Chaos Mesh has to inject before it recovers, so an injection that
//! cannot succeed keeps the resource for ever. This module removes its rules from the per-pod objects of Chaos Mesh. Once the
//! daemons have applied the remaining rules without a failure, nothing is left and the finalizer may be removed.
//!
//! On a node without the legacy iptables tables, the daemon fails even with an empty list of rules, because it creates its
//! chains first. If Kubernetes lacks the API by which Chaos Mesh finds its daemons, no daemon is ever reached. In both cases
//! the finalizer may be removed if no attempt ever reached a rule.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{POLL, contract, diagnose};
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

/// The timeout for a daemon to apply the rules without those of the fault.
const ANSWER: Duration = Duration::from_secs(10);
/// The number of attempts of a write that conflicts with another client's.
const WRITES: usize = 5;
/// Chaos Mesh's finalizer.
const FINALIZER: &str = "chaos-mesh/records";

/// Ends a NetworkChaos that is being deleted and never took effect, and reports how. None if that is not certain: it took
/// effect somewhere, a daemon does not answer or fails, or this account may not change these objects.
///
/// # Errors
/// When the cluster does not answer.
pub async fn end(cluster: &Cluster, key: &ObjectKey, object: &Value) -> Result<Option<String>, ClusterError> {
    match tried(cluster, key, object).await {
        Err(ClusterError::Forbidden { .. } | ClusterError::Conflict { .. } | ClusterError::NotFound(_)) => Ok(None),
        other => other,
    }
}

async fn tried(cluster: &Cluster, key: &ObjectKey, object: &Value) -> Result<Option<String>, ClusterError> {
    let source = format!("{}/{}", key.namespace, key.name);
    let pods: BTreeSet<String> = contract::pods(object).map(str::to_owned).collect();
    if key.kind != Kind::NetworkChaos || pods.is_empty() || !is_going(object) {
        return Ok(None);
    }
    let mut waiting = Vec::new();
    for pod in &pods {
        // The failure of another resource there, such as the one of the other direction, says nothing about this one.
        if contract::acts_elsewhere(object, pod) {
            if network(cluster, pod).await?.is_some_and(|there| contract::names(&there, &source)) {
                return Ok(None);
            }
            continue;
        }
        if contract::waits(object, pod) {
            waiting.push(pod);
            continue;
        }
        // Rules may be out of the PodNetworkChaos and still in the pod, until its daemon has answered.
        let Some(there) = network(cluster, pod).await? else { continue };
        let generation = there["metadata"]["generation"].as_i64().unwrap_or_default();
        if contract::names(&there, &source) || answer(cluster, pod, &source, generation).await? != Some(Answer::InPlace)
        {
            return Ok(None);
        }
        // This end was never changed, regardless of its record.
    }
    // It took effect and is still recovering: only Chaos Mesh may end that.
    if waiting.is_empty() {
        return Ok(None);
    }
    let (mut answered, mut without_rules) = (Vec::new(), Vec::new());
    for pod in &waiting {
        // Without one, Chaos Mesh never wrote rules for this pod.
        let Some(there) = network(cluster, pod).await? else { continue };
        let generation = match contract::names(&there, &source) {
            true => take_out(cluster, pod, &source).await?,
            false => there["metadata"]["generation"].as_i64(),
        };
        let Some(generation) = generation else { return Ok(None) };
        match answer(cluster, pod, &source, generation).await? {
            Some(Answer::InPlace) => {}
            Some(Answer::BeforeRules) if contract::failed_before_rules(object, pod) => {
                without_rules.push(pod.as_str());
            }
            _ => return Ok(None),
        }
        answered.push(format!("{pod} (generation {generation})"));
    }
    // Read it again: its controller may have progressed.
    let Some(now) = cluster.get_once(key).await? else { return Ok(Some(by_itself(key, &answered))) };
    if !is_going(&now) || waiting.iter().any(|pod| !contract::waits(&now, pod)) {
        return Ok(None);
    }
    let finalizers = now["metadata"]["finalizers"].as_array().into_iter().flatten();
    let others: Vec<&Value> = finalizers.filter(|finalizer| *finalizer != FINALIZER).collect();
    let version = &now["metadata"]["resourceVersion"];
    cluster.patch_once(key, &json!({"metadata": {"finalizers": others, "resourceVersion": version}})).await?;
    for pod in &waiting {
        if network(cluster, pod).await?.is_some_and(|network| contract::names(&network, &source)) {
            return Ok(None);
        }
    }
    let rules = match answered.is_empty() {
        true => "no PodNetworkChaos carries its rules".to_owned(),
        false => {
            let how = match without_rules.is_empty() {
                true => "the daemons have answered for that without a failure".to_owned(),
                false => format!("no attempt in {} reached a rule", without_rules.join(", ")),
            };
            format!("its rules were removed from the PodNetworkChaos of {}, and {how}", answered.join(", "))
        }
    };
    Ok(Some(format!("{key} never took effect: {rules}; its finalizer was removed, and nothing is left")))
}

fn by_itself(key: &ObjectKey, answered: &[String]) -> String {
    match answered.is_empty() {
        true => format!("{key} never took effect, and no PodNetworkChaos carries its rules"),
        false => format!(
            "{key} never took effect, and went once its rules were removed from the PodNetworkChaos of {}",
            answered.join(", ")
        ),
    }
}

fn is_going(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

fn network_key(pod: &str, uid: Option<String>) -> ObjectKey {
    let (namespace, name) = pod.split_once('/').unwrap_or(("", pod));
    ObjectKey { kind: Kind::PodNetworkChaos, namespace: namespace.into(), name: name.into(), uid }
}

/// The PodNetworkChaos of a pod.
pub(super) async fn network(cluster: &Cluster, pod: &str) -> Result<Option<Value>, ClusterError> {
    cluster.get_once(&network_key(pod, None)).await
}

/// Removes the rules of one source from a pod, and keeps those of others. Returns the generation without them.
async fn take_out(cluster: &Cluster, pod: &str, source: &str) -> Result<Option<i64>, ClusterError> {
    for _ in 0..WRITES {
        let Some(there) = network(cluster, pod).await? else { return Ok(None) };
        let mut spec = Map::new();
        for list in contract::LISTS {
            let Some(rules) = there["spec"][list].as_array() else { continue };
            let others: Vec<&Value> = rules.iter().filter(|rule| rule["source"] != source).collect();
            spec.insert(list.to_owned(), if others.is_empty() { Value::Null } else { json!(others) });
        }
        let uid = there["metadata"]["uid"].as_str().map(str::to_owned);
        let version = &there["metadata"]["resourceVersion"];
        let fields = json!({"metadata": {"resourceVersion": version}, "spec": spec});
        match cluster.patch_once(&network_key(pod, uid), &fields).await {
            Ok(written) => return Ok(written["metadata"]["generation"].as_i64()),
            Err(ClusterError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The daemon's answer for the rules of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The rules are in place, without those of the source.
    InPlace,
    /// It failed before any rule, so no rule is in place.
    BeforeRules,
}

/// The daemon's answer for a generation, or for a later one; `None` without one, and if it says neither.
async fn answer(cluster: &Cluster, pod: &str, source: &str, generation: i64) -> Result<Option<Answer>, ClusterError> {
    let until = Instant::now() + ANSWER;
    loop {
        let Some(there) = network(cluster, pod).await? else { return Ok(Some(Answer::InPlace)) };
        let status = &there["status"];
        if status["observedGeneration"].as_i64().unwrap_or_default() >= generation {
            let answer = match status["failedMessage"].as_str().unwrap_or_default() {
                "" => Some(Answer::InPlace),
                message if diagnose::is_before_rules(message) => Some(Answer::BeforeRules),
                _ => None,
            };
            return Ok(answer.filter(|_| !contract::names(&there, source)));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        tokio::time::sleep(POLL).await;
    }
}
