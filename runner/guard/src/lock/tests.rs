//! Locks on paused time, against a server without a clock. A holder is alive while it renews, whichever time it writes. It is
//! dead when it does not renew for a whole lease duration by the local clock.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use super::*;
use shakedown_cluster::testing::store::Store;

fn holder(run: &str) -> Holder {
    Holder { run: run.into(), host: "h".into(), ci_job_url: Some("https://ci/1".into()) }
}

/// Times that a holder may write: right, behind, ahead, and invalid.
fn clocks() -> Vec<(&'static str, String)> {
    let at = |seconds| micro(Timestamp::now() + jiff::SignedDuration::from_secs(seconds));
    vec![
        ("right", at(0)),
        ("2 min behind", at(-120)),
        ("8 min behind", at(-480)),
        ("a year behind", at(-31_536_000)),
        ("8 min ahead", at(480)),
        ("the year 9999", "9999-12-30T22:00:00.000000Z".to_owned()),
        ("the year 10000", "10000-01-01T00:00:00.000000Z".to_owned()),
        ("before all years", "-009999-01-02T01:59:59.000000Z".to_owned()),
        ("none", String::new()),
    ]
}

/// A Lease of run `a` in a namespace.
fn theirs(namespace: &str, clock: &str) -> Value {
    let mut lease = lease(namespace, &holder("a"), None);
    lease["spec"]["renewTime"] = json!(clock);
    lease
}

fn path(namespace: &str) -> String {
    Store::path(Kind::Lease, namespace, NAME)
}

/// Renews the lock of a namespace every 5 s without changing its times.
fn renewing(store: &Store, namespace: &'static str) -> AbortOnDropHandle<()> {
    let store = store.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            tokio::time::sleep(RENEWAL).await;
            store.change(&path(namespace), |lease| lease["spec"]["leaseTransitions"] = json!(0));
        }
    }))
}

/// Creates a fault of run `a` in a namespace.
fn fault(store: &Store, namespace: &str) -> String {
    let labels = json!({labels::MANAGED_BY: labels::MANAGER, labels::RUN: "a"});
    let metadata = json!({"name": "cut", "namespace": namespace, "labels": labels});
    store.put(
        Kind::NetworkPolicy,
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}),
    );
    Store::path(Kind::NetworkPolicy, namespace, "cut")
}

fn recorded(cluster: Cluster) -> (Cluster, Arc<Mutex<Vec<String>>>) {
    let events: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = events.clone();
    (cluster.notifying(Arc::new(move |event| sink.lock().unwrap().push(format!("{event:?}")))), events)
}

#[tokio::test(start_paused = true)]
async fn a_live_run_keeps_its_lock_and_its_faults_with_any_clock() {
    for (name, clock) in clocks() {
        for wait in [Duration::ZERO, Duration::from_secs(100)] {
            let store = Store::default();
            store.put(Kind::Lease, theirs("n", &clock));
            let policy = fault(&store, "n");
            let _alive = renewing(&store, "n");
            let locks = Locks::new(store.cluster());
            let begun = Instant::now();
            let error = locks.wait("n", &holder("b"), begun + wait).await.unwrap_err();
            let error = error.to_string();
            assert!(error.contains("run a on h holds the namespace `n` (https://ci/1)"), "{name}: {error}");
            let took = begun.elapsed();
            assert!(took >= wait && took <= wait + Duration::from_secs(31), "{name}: refused after {took:?}");
            assert!(store.get(&path("n")).is_some() && store.get(&policy).is_some(), "{name}: it took something");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_runs_lock_is_free_after_one_lease_duration_with_any_clock() {
    for (name, clock) in clocks() {
        let store = Store::default();
        store.put(Kind::Lease, theirs("n", &clock));
        let policy = fault(&store, "n");
        let locks = Locks::new(store.cluster());
        let begun = Instant::now();
        locks.wait("n", &holder("b"), begun + Duration::from_secs(100)).await.unwrap();
        let took = begun.elapsed();
        assert!(took >= DURATION && took <= DURATION + 3 * POLL, "{name}: {took:?}");
        assert!(store.get(&path("n")).is_none() && store.get(&policy).is_none(), "{name}: {:?}", store.all());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_looks_expired_is_watched_by_default_and_another_one_is_refused_at_once() {
    for (name, clock) in clocks() {
        let store = Store::default();
        store.put(Kind::Lease, theirs("n", &clock));
        let begun = Instant::now();
        let answer = Locks::new(store.cluster()).wait("n", &holder("b"), begun).await;
        let old = !["right", "8 min ahead", "the year 9999"].contains(&name);
        assert_eq!(answer.is_ok(), old, "{name}: {answer:?}");
        let Err(error) = answer else { continue };
        let error = error.to_string();
        for part in ["its lock is free in 30 s", "--wait-lock", "shakedown cleanup --run a"] {
            assert!(error.contains(part), "{name}: no `{part}` in {error}");
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn leftovers_of_a_dead_run_are_removed_in_this_namespace_only() {
    let store = Store::default();
    store.put(Kind::Lease, theirs("n", ""));
    let (here, there) = (fault(&store, "n"), fault(&store, "m"));
    let locks = Locks::new(store.cluster());
    locks.wait("n", &holder("b"), Instant::now() + Duration::from_secs(100)).await.unwrap();
    assert_eq!(store.get(&here), None);
    assert!(store.get(&there).is_some(), "the other namespace's lock was not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_stale_lease_of_a_run_that_is_alive_elsewhere_is_not_taken() {
    let store = Store::default();
    // Forged, or left by the run in a namespace that it can no longer reach.
    store.put(Kind::Lease, theirs("n", ""));
    store.put(Kind::Lease, theirs("m", ""));
    let (here, there) = (fault(&store, "n"), fault(&store, "m"));
    let _alive = renewing(&store, "m");
    let locks = Locks::new(store.cluster());
    let error = locks.wait("n", &holder("b"), Instant::now() + Duration::from_secs(100)).await.unwrap_err().to_string();
    assert!(error.contains("it is alive, because it renews its lock"), "{error}");
    assert!(store.get(&here).is_some() && store.get(&there).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_renews_right_before_the_delete_keeps_its_lock() {
    let store = Store::default();
    store.put(Kind::Lease, theirs("n", ""));
    let renewed = Cell::new(false);
    store.script(move |store, asked| {
        if asked.starts_with("DELETE") && !renewed.replace(true) {
            store.change(&path("n"), |lease| lease["spec"]["leaseTransitions"] = json!(0));
        }
        shakedown_cluster::testing::store::Fate::Answered
    });
    let locks = Locks::new(store.cluster());
    let error = locks.wait("n", &holder("b"), Instant::now() + Duration::from_secs(31)).await;
    assert!(matches!(error, Err(LockError::Held { .. })), "{error:?}");
    assert!(store.get(&path("n")).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_foreign_lease_is_left_alone() {
    for (name, holder_identity, labelled) in
        [("another program's", "x", false), ("free", "", false), ("with our own run in it", "b", true)]
    {
        let store = Store::default();
        let mut lease = theirs("n", "");
        lease["spec"]["holderIdentity"] = json!(holder_identity);
        if !labelled {
            lease["metadata"]["labels"] = json!({});
        }
        let made = store.put(Kind::Lease, lease);
        let locks = Locks::new(store.cluster());
        let answer = locks.wait("n", &holder("b"), Instant::now() + Duration::from_secs(100)).await;
        assert!(matches!(answer, Err(LockError::Foreign { .. })), "{name}: {answer:?}");
        assert_eq!(store.get(&path("n")), Some(made), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn leftovers_that_cannot_be_removed_block_the_next_run() {
    let store = Store::default();
    store.put(Kind::Lease, theirs("n", ""));
    let policy = fault(&store, "n");
    store.change(&policy, |policy| policy["metadata"]["finalizers"] = json!(["example.org/stuck"]));
    let locks = Locks::new(store.cluster());
    let error = locks.wait("n", &holder("b"), Instant::now() + Duration::from_secs(100)).await.unwrap_err().to_string();
    assert!(error.contains("networkpolicy/cut in namespace n"), "{error}");
    assert!(store.get(&path("n")).is_some(), "the lock goes last");
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_held_by_its_uid_and_released() {
    for stolen in [false, true] {
        let store = Store::default();
        let (cluster, events) = recorded(store.cluster());
        let mut locks = Locks::new(cluster.clone());
        let me = holder("b");
        locks.wait("n", &me, Instant::now()).await.unwrap();
        locks.take("n", &me, &Fuses::default()).await.unwrap();
        tokio::time::sleep(RENEWAL * 4).await;
        assert!(locks.lost().borrow().is_none(), "{:?}", events.lock().unwrap());
        if stolen {
            // Deleted, and recreated by another client with our run's id.
            let mut forged = store.remove(&path("n")).unwrap();
            forged["spec"]["acquireTime"] = json!("then");
            store.put(Kind::Lease, forged);
            tokio::time::sleep(RENEWAL * 2).await;
            assert!(locks.lost().borrow().is_some(), "it is not the lock that we took");
        }
        assert!(locks.release(&cluster, &me).await.is_empty());
        assert_eq!(store.get(&path("n")).is_some(), stolen);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_another_run_took_over_is_not_removed() {
    let store = Store::default();
    let cluster = store.cluster();
    let mut locks = Locks::new(cluster.clone());
    let me = holder("b");
    locks.take("n", &me, &Fuses::default()).await.unwrap();
    store.change(&path("n"), |lease| lease["spec"]["holderIdentity"] = json!("c"));
    assert!(locks.release(&cluster, &me).await.is_empty());
    assert_eq!(
        cluster.look_again(0).await.unwrap(),
        [],
        "the Lease has the UID that we were given, and another holder"
    );
    let left = vec![("b".to_owned(), Item::Object(key("n")))];
    assert_eq!(leftovers::existing(&cluster, left).await.unwrap(), [], "the journal's entry does not make it ours");
    assert!(store.get(&path("n")).is_some());
}

#[tokio::test(start_paused = true)]
async fn cleanup_takes_a_run_for_dead_only_when_it_renews_nothing_with_any_clock() {
    for (name, clock) in clocks() {
        for lives in [false, true] {
            let turn = Cell::new(0_i32);
            let begun = Instant::now();
            let live = live_runs(|| {
                turn.set(turn.get() + 1);
                let mut lease = theirs("n", &clock);
                lease["metadata"]["uid"] = json!("u");
                lease["metadata"]["resourceVersion"] = json!(if lives { turn.get() / 5 } else { 0 }.to_string());
                async move { Ok(vec![lease]) }
            });
            let live = live.await.unwrap();
            assert_eq!(live.contains("a"), lives, "{name}");
            assert!(lives || begun.elapsed() == DURATION, "{name}: {:?}", begun.elapsed());
        }
    }
}
