//! What a Lease says, on paused time: who holds it, when it has run out, and when its holder is dead.

use std::cell::Cell;

use super::*;

fn me(run: &str) -> Holder {
    Holder { run: run.into(), host: "h".into(), ci_job_url: Some("https://ci/1".into()) }
}

/// A Lease of run `a` as a server keeps it, renewed so many seconds ago.
fn renewed(ago: i64, version: &str) -> Value {
    let mut lease = lease("n", &me("a"), None);
    lease["spec"]["renewTime"] = json!(micro(Timestamp::now() - jiff::SignedDuration::from_secs(ago)));
    lease["metadata"]["resourceVersion"] = json!(version);
    lease["metadata"]["uid"] = json!("u");
    lease
}

#[test]
fn a_lock_is_held_until_it_runs_out() {
    let theirs = lease("n", &me("a"), None);
    let now = Timestamp::now();
    assert_eq!(state(&theirs, &me("a"), now), State::Ours);
    assert_eq!(state(&theirs, &me("b"), now), State::Held(me("a")));
    let after = |seconds| now + jiff::SignedDuration::from_secs(seconds);
    assert_eq!(state(&theirs, &me("b"), after(31)), State::RunOut);
    assert_eq!(state(&theirs, &me("b"), after(400)), State::RunOut);
    assert_eq!(state(&json!({"spec": {}}), &me("b"), now), State::Free);
}

#[tokio::test(start_paused = true)]
async fn a_holder_whose_clock_is_behind_is_not_taken_for_dead() {
    let mut seen = Seen::default();
    for version in ["1", "2", "3"] {
        assert!(!seen.is_dead(&renewed(60, version), Timestamp::now()), "{version}");
        tokio::time::sleep(RENEWAL).await;
    }
    tokio::time::sleep(OBSERVATION).await;
    assert!(seen.is_dead(&renewed(60, "3"), Timestamp::now()), "it was watched and stayed as it was");
    assert!(Seen::default().is_dead(&renewed(600, "1"), Timestamp::now()), "no clock is that wrong");
    assert!(!Seen::default().is_dead(&renewed(1, "1"), Timestamp::now()), "it has not run out");
}

#[tokio::test(start_paused = true)]
async fn a_run_lives_when_its_lock_is_renewed_under_our_eyes() {
    let turn = Cell::new(0);
    let live = live_runs(|| {
        turn.set(turn.get() + 1);
        // Its clock is a minute behind, and it renews every five seconds.
        let version = (turn.get() / 5).to_string();
        async move { Ok(vec![renewed(60, &version)]) }
    });
    assert_eq!(live.await.unwrap(), BTreeSet::from(["a".to_owned()]));
    let begun = Instant::now();
    let dead = live_runs(|| async { Ok(vec![renewed(60, "1")]) }).await.unwrap();
    assert_eq!((dead, begun.elapsed()), (BTreeSet::new(), OBSERVATION));
}
