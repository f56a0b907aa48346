//! Samples pods once a second.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::scenario::PodSelector;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::task::AbortOnDropHandle;

use shakedown_cluster::{Cluster, ClusterError, Kind, lasting_statuses};
use shakedown_observe::{PodSeen, PodsSeen};

const EVERY: Duration = Duration::from_secs(1);
/// The timeout of one sample.
const LIMIT: Duration = Duration::from_secs(3);
/// After this time, a sample is kept even if it equals the previous one. It shows that the pods were observed all the
/// time.
const KEEP: Duration = Duration::from_secs(2);

/// The samples of each expectation, by its path, each with its time.
type Looks = BTreeMap<String, Vec<(Instant, PodsSeen)>>;

/// The pods of an expectation: those that match any of these selectors.
pub(super) type Selectors = Vec<PodSelector>;

#[derive(Debug, Default)]
struct PodSamples {
    looks: Looks,
    problems: BTreeSet<String>,
}

/// The task that samples, until this is dropped.
pub(super) struct Watch {
    seen: Arc<Mutex<PodSamples>>,
    _looking: AbortOnDropHandle<()>,
}

impl Watch {
    pub(super) fn start(cluster: Cluster, asked: Vec<(String, Selectors)>, namespace: String) -> Self {
        let seen = Arc::<Mutex<PodSamples>>::default();
        let looking = look(cluster, asked, namespace, seen.clone());
        Self { seen, _looking: AbortOnDropHandle::new(tokio::spawn(looking)) }
    }

    /// The samples, with times in nanoseconds since `zero`, and the problems.
    pub(super) fn end(self, zero: Instant) -> (BTreeMap<String, Vec<PodsSeen>>, Vec<String>) {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        let since = |(at, look): (Instant, PodsSeen)| PodsSeen {
            at_ns: at.saturating_duration_since(zero).as_nanos() as u64,
            ..look
        };
        let looks = seen.looks.into_iter().map(|(path, looks)| (path, looks.into_iter().map(since).collect()));
        (looks.collect(), seen.problems.into_iter().collect())
    }
}

async fn look(cluster: Cluster, asked: Vec<(String, Selectors)>, namespace: String, seen: Arc<Mutex<PodSamples>>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Cached: whether a pod matches does not change, and its owner has to be read from the cluster.
    let mut known: HashMap<(usize, String), bool> = HashMap::new();
    loop {
        ticks.tick().await;
        for (number, (path, selectors)) in asked.iter().enumerate() {
            let looked = timeout(LIMIT, one(&cluster, number, selectors, &namespace, &mut known)).await;
            // Ready pods were ready at this moment at the latest.
            let at = Instant::now();
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match looked {
                Ok(Ok(look)) => keep(seen.looks.entry(path.clone()).or_default(), at, look),
                Ok(Err(error)) => drop(seen.problems.insert(format!("the pods could not be read: {error}"))),
                Err(_) => drop(seen.problems.insert("the pods could not be read: no answer in time".to_owned())),
            }
        }
    }
}

fn keep(looks: &mut Vec<(Instant, PodsSeen)>, at: Instant, look: PodsSeen) {
    let is_news = looks.last().is_none_or(|(last, before)| before.pods != look.pods || at - *last >= KEEP);
    if is_news {
        looks.push((at, look));
    }
}

async fn one(
    cluster: &Cluster,
    number: usize,
    selectors: &Selectors,
    namespace: &str,
    known: &mut HashMap<(usize, String), bool>,
) -> Result<PodsSeen, ClusterError> {
    let mut look = PodsSeen::default();
    for pod in listed(cluster, selectors, namespace).await? {
        let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let is_meant = match known.get(&(number, uid.clone())) {
            Some(known) => *known,
            None => {
                let is_meant = is_meant(cluster, &pod, selectors, namespace).await?;
                known.insert((number, uid.clone()), is_meant);
                is_meant
            }
        };
        if is_meant {
            look.pods.insert(uid, seen(&pod));
        }
    }
    Ok(look)
}

async fn is_meant(
    cluster: &Cluster,
    pod: &Value,
    selectors: &Selectors,
    namespace: &str,
) -> Result<bool, ClusterError> {
    for selector in selectors {
        if cluster.is_selected(pod, selector, namespace).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All pods of the selectors' namespaces.
async fn listed(cluster: &Cluster, selectors: &Selectors, namespace: &str) -> Result<Vec<Value>, ClusterError> {
    let namespaces: BTreeSet<&str> =
        selectors.iter().map(|selector| selector.namespace.as_deref().unwrap_or(namespace)).collect();
    let mut pods = Vec::new();
    for namespace in namespaces {
        pods.extend(cluster.list(Kind::Pod, namespace, None).await?);
    }
    Ok(pods)
}

/// The pods that match the selectors, in any state.
pub(super) async fn matching(
    cluster: &Cluster,
    selectors: &Selectors,
    namespace: &str,
) -> Result<Vec<Value>, ClusterError> {
    let mut found = Vec::new();
    for pod in listed(cluster, selectors, namespace).await? {
        if is_meant(cluster, &pod, selectors, namespace).await? {
            found.push(pod);
        }
    }
    Ok(found)
}

/// The restarts of a pod's containers in total.
pub(super) fn restarts(pod: &Value) -> u64 {
    lasting_statuses(pod).filter_map(|it| it["restartCount"].as_u64()).sum()
}

fn seen(pod: &Value) -> PodSeen {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let is_ready = conditions.into_iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    PodSeen {
        name: pod["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
        ready: is_ready && pod["metadata"]["deletionTimestamp"].is_null(),
        restarts: restarts(pod),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(ready: &str) -> Value {
        json!({
            "metadata": {"name": "p", "uid": "u"},
            "status": {
                "conditions": [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": ready}],
                "containerStatuses": [{"restartCount": 2}, {"restartCount": 1}],
            },
        })
    }

    #[test]
    fn a_pod_is_ready_until_it_is_being_deleted() {
        assert_eq!(seen(&pod("True")), PodSeen { name: "p".to_owned(), ready: true, restarts: 3 });
        assert!(!seen(&pod("False")).ready);
        let mut ending = pod("True");
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-31T12:00:00Z");
        assert!(!seen(&ending).ready);
    }

    #[test]
    fn a_native_sidecar_is_a_container_and_another_init_container_is_not() {
        let mut pod = pod("True");
        pod["spec"]["initContainers"] = json!([{"name": "proxy", "restartPolicy": "Always"}, {"name": "migrate"}]);
        pod["status"]["initContainerStatuses"] =
            json!([{"name": "proxy", "restartCount": 4}, {"name": "migrate", "restartCount": 7}]);
        assert_eq!(seen(&pod).restarts, 3 + 4);
    }

    #[test]
    fn unchanged_samples_are_kept_only_now_and_then() {
        let begun = Instant::now();
        let mut looks = Vec::new();
        for second in 0..10 {
            let pods = BTreeMap::from([("u".to_owned(), PodSeen { ready: second != 5, ..PodSeen::default() })]);
            keep(&mut looks, begun + Duration::from_secs(second), PodsSeen { pods, ..PodsSeen::default() });
        }
        let at: Vec<u64> = looks.iter().map(|(at, _)| (*at - begun).as_secs()).collect();
        assert_eq!(at, [0, 2, 4, 5, 6, 8]);
    }
}
