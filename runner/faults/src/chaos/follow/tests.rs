//! Following while the API server fails: the fault ends up acting on a replacement, and until then that is not proven.

use serde_json::json;
use tokio::time::sleep;

use super::super::tests::naming;
use super::super::{ChaosFault, ChaosSpec, Limits, Recipe};
use super::*;
use crate::FaultDriver;
use shakedown_cluster::Kind;
use shakedown_cluster::testing::store::{Fate, Store, Unanswered};

const SECOND: Duration = Duration::from_secs(1);

fn put_pod(store: &Store, name: &str, second: u32) -> Inside {
    let object = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "n", "creationTimestamp": format!("2026-03-01T00:00:{second:02}Z"),
            "ownerReferences": [{"kind": "StatefulSet", "name": "w", "uid": "w", "controller": true}],
        },
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{second}")},
    });
    Inside { pod: pod_ref(&store.put(Kind::Pod, object)), containers: vec!["main".into()] }
}

fn fault(store: &Store, targets: Vec<Inside>) -> ChaosFault {
    following(store, targets, true)
}

fn following(store: &Store, targets: Vec<Inside>, follow: bool) -> ChaosFault {
    store.serve_chaos();
    let stress = serde_json::from_value(json!({"pods": {"prefix": "w"}, "cpu": {"workers": 1}})).unwrap();
    let naming = naming("busy", "n");
    let limits = Limits { active: Duration::from_secs(60), failing: None, force_after: None };
    ChaosFault::new(
        store.cluster(),
        ChaosSpec { naming, targets, recipe: Recipe::Stress(stress), follow, observe: false, limits },
    )
}

/// A controller that injects each new resource within a second.
fn controller(store: &Store, inner: &Arc<Inner>) -> AbortOnDropHandle<()> {
    let (store, inner) = (store.clone(), inner.clone());
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            sleep(SECOND).await;
            let made: Vec<Made> = inner.state().made.clone();
            for made in made {
                let path = Store::path(made.key.kind, "n", &made.key.name);
                if store.get(&path).is_none_or(|object| !object["status"].is_null()) {
                    continue;
                }
                let record =
                    |it: &super::super::spec::Record| json!({"id": it.id, "selectorKey": it.key, "phase": "Injected"});
                let records: Vec<Value> = made.resource.records.iter().map(record).collect();
                store.change(&path, |object| {
                    object["metadata"]["finalizers"] = json!(["chaos-mesh/records"]);
                    object["status"] = json!({
                        "experiment": {"desiredPhase": "Run", "containerRecords": records},
                        "conditions": [
                            {"type": "Selected", "status": "True"}, {"type": "AllInjected", "status": "True"},
                        ],
                    });
                });
            }
        }
    }))
}

fn chaos_of(store: &Store, pod: &str) -> usize {
    let objects = store.all().into_iter().filter(|path| path.contains("/stresschaos/"));
    objects.filter(|path| store.get(path).unwrap_or_default()["spec"].to_string().contains(pod)).count()
}

#[tokio::test(start_paused = true)]
async fn a_replacement_is_acted_on_once_the_server_answers_again() {
    let hang: fn() -> Fate = || Fate::Late(Unanswered::Silence, SECOND);
    let lost: fn() -> Fate = || Fate::AnswerLost;
    for (what, fate) in [
        ("refused", (|| Fate::Refused(403)) as fn() -> Fate),
        ("overloaded", || Fate::Refused(503)),
        ("silent", hang),
        ("lost", lost),
    ] {
        let store = Store::default();
        let mut fault = fault(&store, vec![put_pod(&store, "w-0", 1), put_pod(&store, "w-1", 2)]);
        let _controller = controller(&store, &fault.inner);
        fault.prepare().await.unwrap();
        sleep(SECOND).await;
        fault.inject().await.unwrap();
        fault.become_active().await.unwrap();
        let until = Instant::now() + 25 * SECOND;
        store.script(move |_, asked| match asked.starts_with("POST") && Instant::now() < until {
            true => fate(),
            false => Fate::Answered,
        });
        let begun = Instant::now();
        store.remove(&Store::path(Kind::Pod, "n", "w-0"));
        put_pod(&store, "w-9", 9);
        sleep(20 * SECOND).await;
        if what != "lost" && what != "silent" {
            let lasting = fault.unproven();
            assert!(lasting.iter().any(|it| it.to.is_none() && it.from == begun), "{what}: {lasting:?}");
        }
        sleep(60 * SECOND).await;
        assert_eq!(chaos_of(&store, "w-9"), 1, "{what}: {:?}", store.all());
        let stretches = fault.unproven();
        let [stretch] = &stretches[..] else { panic!("{what}: {stretches:?}") };
        let length = stretch.to.expect("it is over") - stretch.from;
        assert!(stretch.from == begun && length >= SECOND / 2 && length < 60 * SECOND, "{what}: {stretches:?}");
        assert!(stretch.why.starts_with("pod w-9 has replaced a target"), "{what}: {stretches:?}");
    }
}

/// As `a_target_that_is_gone_is_not_cut_off_from_then_on` of partitions.
#[tokio::test(start_paused = true)]
async fn a_target_that_is_gone_is_not_acted_on_from_then_on() {
    for (follow, replaced, wanted) in [(false, true, 1), (false, false, 1), (true, true, 0), (true, false, 1)] {
        let store = Store::default();
        let targets = vec![put_pod(&store, "w-0", 1), put_pod(&store, "w-1", 2)];
        let uid = targets[0].pod.uid.clone();
        let mut fault = following(&store, targets, follow);
        let _controller = controller(&store, &fault.inner);
        fault.prepare().await.unwrap();
        sleep(SECOND).await;
        fault.inject().await.unwrap();
        fault.become_active().await.unwrap();
        sleep(4 * SECOND).await;
        let at = Instant::now();
        store.remove(&Store::path(Kind::Pod, "n", "w-0"));
        if replaced {
            put_pod(&store, "w-9", 9);
        }
        sleep(20 * SECOND).await;
        let lost: Vec<_> = fault.unproven().into_iter().filter(|it| it.target.is_some()).collect();
        assert_eq!(lost.len(), wanted, "{follow} {replaced}: {lost:?}");
        for stretch in lost {
            assert_eq!((stretch.target.as_ref(), stretch.to), (Some(&uid), None), "{follow} {replaced}");
            assert!(
                stretch.from <= at + SECOND / 2 && stretch.from + SECOND / 2 >= at,
                "{follow} {replaced}: {stretch:?}"
            );
        }
        let concluded = fault.settle().await.unwrap();
        assert!(concluded.iter().all(|finding| finding.holds), "one is left: {concluded:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_was_gone_before_the_watch_is_never_proven() {
    let store = Store::default();
    let mut fault = fault(&store, vec![put_pod(&store, "w-0", 1)]);
    store.remove(&Store::path(Kind::Pod, "n", "w-0"));
    put_pod(&store, "w-9", 9);
    fault.prepare().await.unwrap();
    sleep(SECOND).await;
    let stretches = fault.unproven();
    assert!(stretches.iter().any(|it| it.why.contains("cannot be distinguished from other pods")), "{stretches:?}");
}
