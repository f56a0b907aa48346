//! Pods that other clients end as well, servers that do not answer, and targets that are chosen at the strike.

use std::time::Duration;

use serde_json::json;
use shakedown_cluster::Kind;
use shakedown_cluster::testing::store::{Fate, Store, Unanswered};

use super::*;

/// What happens to the pod right before our deletion arrives, or to the answer.
#[derive(Debug, Clone, Copy)]
enum Meanwhile {
    Nothing,
    ItsStatusIsWritten,
    AnotherClientDeletesIt,
    AnotherClientReplacesIt,
    OurAnswerIsLost,
}

impl Meanwhile {
    fn happens(self, store: &Store, path: &str) -> Fate {
        match self {
            Self::Nothing => {}
            Self::ItsStatusIsWritten => store.change(path, |pod| pod["status"] = json!({"phase": "Running"})),
            Self::AnotherClientDeletesIt => {
                store.change(path, |pod| pod["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z"));
            }
            Self::AnotherClientReplacesIt => {
                let same = store.remove(path).unwrap();
                store.put(Kind::Pod, same);
            }
            Self::OurAnswerIsLost => return Fate::AnswerLost,
        }
        Fate::Answered
    }
}

/// A pod `a` that stays for its grace period once it is deleted, and its kill.
fn kill_of(store: &Store, evict: bool) -> Kill {
    let metadata = json!({"name": "a", "namespace": "n", "finalizers": ["n/grace"]});
    let pod = store.put(Kind::Pod, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}));
    let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
    let target = PodRef { name: "a".into(), namespace: "n".into(), uid, node: None, ip: None };
    Kill::new(store.cluster(), vec![target], KillSpec { grace: None, evict, anew: None })
}

fn running(name: &str, is_controlled: bool) -> Value {
    let owners = [json!({"kind": "ReplicaSet", "name": "web", "uid": "rs", "controller": true})];
    json!({
        "apiVersion": "v1", "kind": "Pod", "status": {"phase": "Running"},
        "metadata": {"name": name, "namespace": "n", "labels": {"app": "web"},
            "ownerReferences": if is_controlled { &owners[..] } else { &[] }},
    })
}

/// The pod that was planned has been replaced by the time of the strike.
#[tokio::test(start_paused = true)]
async fn with_follow_the_successor_is_killed_and_proven_by_its_uid() {
    let pods: PodSelector = serde_json::from_value(json!({"labels": {"app": "web"}})).unwrap();
    let kill = |store: &Store, planned: &[Value]| {
        let anew = Selection { pods: pods.clone(), namespace: "n".into(), seed: 7, fault: "kill".into() };
        let target = |pod: &Value| PodRef {
            name: pod["metadata"]["name"].as_str().unwrap().to_owned(),
            namespace: "n".into(),
            uid: pod["metadata"]["uid"].as_str().unwrap().to_owned(),
            node: None,
            ip: None,
        };
        let targets = planned.iter().map(target).collect();
        Kill::new(store.cluster(), targets, KillSpec { grace: None, evict: false, anew: Some(anew) })
    };
    let store = Store::default();
    let first = store.put(Kind::Pod, running("web-a", true));
    let mut it = kill(&store, &[first]);
    it.preflight().await.unwrap();
    store.remove(&Store::path(Kind::Pod, "n", "web-a"));
    let successor = store.put(Kind::Pod, running("web-b", true));
    it.inject().await.unwrap();
    let uid = successor["metadata"]["uid"].as_str().unwrap();
    let proof = it.prove().await.unwrap();
    assert!(matches!(&proof[..], [it] if it.holds && it.detail.contains(uid)), "{proof:?}");
    assert_eq!(it.chosen().unwrap().iter().map(|pod| &pod.uid[..]).collect::<Vec<_>>(), [uid]);
    assert_eq!(store.get(&Store::path(Kind::Pod, "n", "web-b")), None);
    // Never more than planned, and none that would stay away.
    let store = Store::default();
    let all: Vec<Value> = ["web-a", "web-b", "web-c"].map(|name| store.put(Kind::Pod, running(name, true))).into();
    let mut it = kill(&store, &all[..2]);
    it.inject().await.unwrap();
    assert_eq!(it.chosen().unwrap().len(), 2);
    let store = Store::default();
    let alone = store.put(Kind::Pod, running("web-a", false));
    let mut it = kill(&store, &[alone]);
    let refused = it.inject().await.unwrap_err().to_string();
    assert!(refused.contains("no controller") && store.get(&Store::path(Kind::Pod, "n", "web-a")).is_some());
    // Only one of two has been replaced yet.
    for (count, percent) in [(Some(2), None), (None, Some("50%")), (None, None)] {
        let store = Store::default();
        let one = store.put(Kind::Pod, running("web-a", true));
        let mut it = kill(&store, &[one.clone(), one]);
        let selected = &mut it.spec.anew.as_mut().unwrap().pods;
        selected.count = count;
        selected.percent = percent.map(|text| serde_json::from_value(json!(text)).unwrap());
        let few = it.inject().await.unwrap_err().to_string();
        assert!(few.contains("needs 2 pods") && few.contains("`after`"), "{few}");
        assert!(store.get(&Store::path(Kind::Pod, "n", "web-a")).is_some());
    }
    // It goes after it was chosen.
    let store = Store::default();
    let one = store.put(Kind::Pod, running("web-a", true));
    let mut it = kill(&store, &[one]);
    let path = Store::path(Kind::Pod, "n", "web-a");
    let read = format!("GET {path}");
    store.script(move |store, asked| {
        if asked == read {
            store.remove(&path);
        }
        Fate::Answered
    });
    let error = it.inject().await.unwrap_err();
    assert!(matches!(error, FaultError::TargetGone(_)), "{error}");
}

/// Every request that ends the pod has no answer; the last of them is carried out after 30 s, or never.
#[tokio::test(start_paused = true)]
async fn a_kill_without_an_answer_is_unclear_and_looked_at_again() {
    for (evict, late) in [(false, true), (false, false), (true, false)] {
        let store = Store::default();
        let mut kill = kill_of(&store, evict);
        store.script(move |_, asked| match asked.starts_with("DELETE") || asked.starts_with("POST") {
            true => Fate::Late(Unanswered::Reset, Duration::from_secs(if late { 30 } else { 3600 })),
            false => Fate::Answered,
        });
        let error = kill.inject().await.unwrap_err().to_string();
        assert!(error.starts_with("it is not known whether pod n/a (uid "), "{error}");
        let seen = |findings: &[Finding]| findings.iter().map(|it| it.detail.clone()).collect::<Vec<_>>().join("; ");
        let first = seen(&kill.prove_undone().await.unwrap());
        assert!(first.starts_with("no pod is known to be killed; it is not known"), "{first}");
        assert!(first.ends_with(": it still exists") && kill.unclear().is_some(), "{first}");
        assert!(kill.cluster.unclear_until().is_some(), "the run looks again at its end");
        tokio::time::sleep(Duration::from_secs(40)).await;
        let then = seen(&kill.prove_undone().await.unwrap());
        let ends = if late { ": it is gone or being deleted now" } else { ": it still exists" };
        assert!(then.ends_with(ends), "{then}");
        assert_eq!(kill.cluster.unclear_until().is_none(), late);
    }
}

/// A run that is stopped while the server is silent.
#[tokio::test(start_paused = true)]
async fn an_interrupted_kill_is_unclear() {
    let store = Store::default();
    let mut kill = kill_of(&store, false);
    store.script(|_, asked| match asked.starts_with("DELETE") {
        true => Fate::Late(Unanswered::Silence, Duration::from_secs(3600)),
        false => Fate::Answered,
    });
    assert!(tokio::time::timeout(Duration::from_secs(1), kill.inject()).await.is_err());
    assert!(kill.unclear().is_some_and(|why| why.starts_with("it is not known whether pod n/a")));
    assert_eq!(kill.cluster.look_at_unclear_ends().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn only_a_pod_that_this_run_ended_is_killed() {
    let path = Store::path(Kind::Pod, "n", "a");
    for (meanwhile, ours) in [
        (Meanwhile::Nothing, true),
        (Meanwhile::ItsStatusIsWritten, true),
        (Meanwhile::AnotherClientDeletesIt, false),
        (Meanwhile::AnotherClientReplacesIt, false),
        (Meanwhile::OurAnswerIsLost, true),
    ] {
        let store = Store::default();
        let mut kill = kill_of(&store, false);
        kill.preflight().await.unwrap();
        let (its, mut first) = (path.clone(), true);
        store.script(move |store, asked| {
            let is_ours = asked.starts_with("DELETE") && std::mem::take(&mut first);
            if is_ours { meanwhile.happens(store, &its) } else { Fate::Answered }
        });
        let injected = kill.inject().await;
        let left = kill.prove_undone().await.unwrap();
        assert_eq!(left[0].detail.starts_with("the kill happened"), ours, "{meanwhile:?}: {left:?}");
        match injected {
            Ok(()) => assert!(ours, "{meanwhile:?}"),
            Err(FaultError::TargetGone(text)) => assert!(!ours, "{meanwhile:?}: {text}"),
            Err(other) => panic!("{meanwhile:?}: {other}"),
        }
    }
}
