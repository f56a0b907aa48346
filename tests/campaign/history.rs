//! What really was in a namespace, and when: watched at the API server by plain HTTP, without shakedown's own code. It shows
//! whether a run that passed had its faults, and which objects were its own, whatever became of their labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::actor::is_strange;
use super::mix::{Fault, FaultKind, Mix};
use super::server::{Collection, Server, is_managed};

/// How much of its planned time a fault must have acted in a run that passed. The program itself asks for nine tenths; the rest
/// is for the delay of a watch on a busy machine.
const ENOUGH: f64 = 0.8;
/// The pause after a watch that broke.
const AGAIN: Duration = Duration::from_millis(200);

/// One object as it was from a moment on; none for one that is gone.
struct Sight {
    at: Instant,
    plural: &'static str,
    uid: String,
    object: Option<Value>,
}

/// The history of one namespace. It is written until this is dropped.
pub struct History {
    sights: Arc<Mutex<Vec<Sight>>>,
    _watching: Vec<AbortOnDropHandle<()>>,
}

impl History {
    /// Begins with what is there.
    pub async fn begin(server: &Server, namespace: &str) -> Self {
        let sights = Arc::default();
        let mut watching = Vec::new();
        for collection in server.collections() {
            let path = collection.path(namespace);
            let mut watch =
                Watch { server: server.clone(), path, collection, known: BTreeSet::new(), sights: Arc::clone(&sights) };
            let version = watch.list().await.expect("a list");
            watching.push(AbortOnDropHandle::new(tokio::spawn(watch.run(version))));
        }
        Self { sights, _watching: watching }
    }

    /// The UIDs of what the runs made here.
    pub fn ours(&self) -> BTreeSet<String> {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        first(&sights).into_iter().filter(|(_, (_, object))| is_ours(object)).map(|(uid, _)| uid.to_owned()).collect()
    }

    /// The faults of a mix that did not act for most of their time: a run that passed nevertheless passed for nothing.
    pub fn empty(&self, mix: &Mix) -> Vec<String> {
        let sights = self.sights.lock().unwrap_or_else(PoisonError::into_inner);
        let mut empty = Vec::new();
        for fault in &mix.faults {
            if fault.kind == FaultKind::Kill {
                if !killed(&sights, fault) {
                    empty.push(format!("{}: pod {} was not killed", fault.name, fault.pod));
                }
                continue;
            }
            let (acted, planned) = (acted(&sights, fault), mix.planned(fault));
            if acted < planned.mul_f64(ENOUGH) {
                empty.push(format!("{} acted for {acted:.1?} of {planned:.1?}", fault.name));
            }
        }
        empty
    }
}

fn is_ours(object: &Value) -> bool {
    is_managed(object) && !is_strange(object)
}

/// Each object as it was seen first, by its UID.
fn first(sights: &[Sight]) -> BTreeMap<&str, (&'static str, &Value)> {
    let mut first = BTreeMap::new();
    for sight in sights {
        if let Some(object) = &sight.object {
            first.entry(sight.uid.as_str()).or_insert((sight.plural, object));
        }
    }
    first
}

fn killed(sights: &[Sight], fault: &Fault) -> bool {
    let first = first(sights);
    let victim =
        first.iter().find(|(_, (plural, object))| *plural == "pods" && object["metadata"]["name"] == fault.pod);
    let going = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
    victim.is_some_and(|(uid, _)| {
        sights.iter().any(|sight| sight.uid == **uid && sight.object.as_ref().is_none_or(going))
    })
}

/// How long a fault acted, all in all.
fn acted(sights: &[Sight], fault: &Fault) -> Duration {
    let first = first(sights);
    let mut now: BTreeMap<&str, &Value> = BTreeMap::new();
    let (mut since, mut total): (Option<Instant>, Duration) = (None, Duration::ZERO);
    for sight in sights {
        match &sight.object {
            Some(object) => _ = now.insert(&sight.uid, object),
            None => _ = now.remove(sight.uid.as_str()),
        }
        let acts = first.iter().any(|(uid, (plural, made))| {
            let stands = |there: &&&Value| there["metadata"]["deletionTimestamp"].is_null();
            let there = now.get(uid).filter(stands);
            is_ours(made) && there.is_some_and(|there| acts(fault, plural, made, there, &now, &first))
        });
        match (since, acts) {
            (None, true) => since = Some(sight.at),
            (Some(begun), false) => {
                total += sight.at - begun;
                since = None;
            }
            _ => {}
        }
    }
    total + since.map_or(Duration::ZERO, |begun| begun.elapsed())
}

/// Whether an object of ours makes the fault act, as things are. `made` is the object as it was made.
fn acts(
    fault: &Fault,
    plural: &str,
    made: &Value,
    there: &Value,
    now: &BTreeMap<&str, &Value>,
    first: &BTreeMap<&str, (&'static str, &Value)>,
) -> bool {
    match (fault.kind, plural) {
        (FaultKind::Partition { .. }, "networkpolicies") => {
            let pods = now.iter().filter(|(uid, _)| first.get(*uid).is_some_and(|(plural, _)| *plural == "pods"));
            let mut targets = pods.map(|(_, pod)| pod).filter(|pod| pod["metadata"]["name"] == fault.pod);
            made["spec"] == there["spec"] && targets.any(|pod| selects(there, pod))
        }
        (FaultKind::Degradation, "networkchaos") => {
            let conditions = there["status"]["conditions"].as_array();
            let injected = |it: &Value| it["type"] == "AllInjected" && it["status"] == "True";
            let pods = made["spec"]["selector"]["pods"].to_string();
            pods.contains(&format!("\"{}\"", fault.pod)) && conditions.is_some_and(|all| all.iter().any(injected))
        }
        (FaultKind::Manifest { .. }, "configmaps") => there["data"]["key"] == "value",
        _ => false,
    }
}

/// Whether a policy selects a pod by labels.
pub fn selects(policy: &Value, pod: &Value) -> bool {
    let labels = policy["spec"]["podSelector"]["matchLabels"].as_object();
    labels.is_some_and(|labels| {
        !labels.is_empty() && labels.iter().all(|(key, value)| pod["metadata"]["labels"][key] == *value)
    })
}

struct Watch {
    server: Server,
    path: String,
    collection: Collection,
    known: BTreeSet<String>,
    sights: Arc<Mutex<Vec<Sight>>>,
}

impl Watch {
    fn note(&mut self, uid: String, object: Option<Value>) {
        match object {
            Some(_) => _ = self.known.insert(uid.clone()),
            None => _ = self.known.remove(&uid),
        }
        let sight = Sight { at: Instant::now(), plural: self.collection.plural, uid, object };
        self.sights.lock().unwrap_or_else(PoisonError::into_inner).push(sight);
    }

    /// Reads what is there, and what has gone since it was last looked at. The version from which on to watch.
    async fn list(&mut self) -> Option<String> {
        let (status, list) = self.server.try_ask(Method::GET, &self.path, None).await.ok()?;
        let items = list["items"].as_array().filter(|_| status.is_success())?;
        let there: BTreeMap<String, &Value> = items.iter().map(|item| (uid(item), item)).collect();
        for gone in self.known.clone().into_iter().filter(|uid| !there.contains_key(uid)) {
            self.note(gone, None);
        }
        for (uid, item) in there {
            self.note(uid, Some(item.clone()));
        }
        list["metadata"]["resourceVersion"].as_str().map(str::to_owned)
    }

    async fn run(mut self, mut version: String) {
        loop {
            let path = format!("{}?watch=1&resourceVersion={version}", self.path);
            if let Ok(mut answer) = self.server.request(Method::GET, &path).send().await {
                let mut text = Vec::new();
                while let Ok(Some(chunk)) = answer.chunk().await {
                    text.extend_from_slice(&chunk);
                    while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                        let line: Vec<u8> = text.drain(..=end).collect();
                        self.event(&serde_json::from_slice(&line).unwrap_or_default());
                    }
                }
            }
            loop {
                tokio::time::sleep(AGAIN).await;
                if let Some(next) = self.list().await {
                    version = next;
                    break;
                }
            }
        }
    }

    fn event(&mut self, event: &Value) {
        let object = &event["object"];
        match event["type"].as_str() {
            Some("ADDED" | "MODIFIED") => self.note(uid(object), Some(object.clone())),
            Some("DELETED") => self.note(uid(object), None),
            _ => {}
        }
    }
}

fn uid(object: &Value) -> String {
    object["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Milliseconds, a kind, a UID, and an object.
    type Entry = (u64, &'static str, &'static str, Option<Value>);

    fn policy(uid: &str, spec: &str) -> Value {
        let labels = json!({"app.kubernetes.io/managed-by": "shakedown"});
        json!({"metadata": {"uid": uid, "labels": labels},
            "spec": {"podSelector": {"matchLabels": {"mark": "on"}}, "policyTypes": [spec]}})
    }

    fn pod(mark: &str) -> Value {
        json!({"metadata": {"uid": "pod", "name": "one", "labels": {"mark": mark}}})
    }

    /// A history from sights at milliseconds; the last one ends it.
    fn history(sights: &[Entry]) -> History {
        let begun = Instant::now() - Duration::from_secs(10);
        let sight = |(at, plural, uid, object): &Entry| Sight {
            at: begun + Duration::from_millis(*at),
            plural,
            uid: (*uid).to_owned(),
            object: object.clone(),
        };
        History { sights: Arc::new(Mutex::new(sights.iter().map(sight).collect())), _watching: Vec::new() }
    }

    fn empty(sights: &[Entry]) -> bool {
        let mut mix = Mix::fixed();
        mix.faults.truncate(1);
        !history(sights).empty(&mix).is_empty()
    }

    #[test]
    fn a_partition_acts_while_its_policy_is_as_it_was_made_and_its_target_is_marked() {
        let made = || Some(policy("p", "Ingress"));
        let begin = [(0, "pods", "pod", Some(pod("on"))), (100, "networkpolicies", "p", made())];
        let with = |more: Entry| [&begin[..], &[more, (1400, "networkpolicies", "p", None)]].concat();
        assert!(!empty(&with((1300, "networkpolicies", "p", None))));
        assert!(empty(&with((700, "networkpolicies", "p", None))));
        assert!(empty(&with((700, "networkpolicies", "p", Some(policy("p", "Egress"))))));
        assert!(empty(&with((700, "pods", "pod", Some(pod("off"))))));
        assert!(empty(&[(0, "pods", "pod", Some(pod("on")))]));
    }

    #[test]
    fn a_policy_of_another_client_makes_no_fault_act() {
        let mut other = policy("p", "Ingress");
        other["metadata"]["labels"] = json!({});
        let sights = [(0, "pods", "pod", Some(pod("on"))), (100, "networkpolicies", "p", Some(other))];
        assert!(empty(&sights) && history(&sights).ours().is_empty());
    }
}
