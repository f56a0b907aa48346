//! Fuses on paused time: which clusters are refused and why, and how pushes keep a fuse alive.

use super::*;
use crate::lock::{Holder, Locks};
use shakedown_cluster::testing::store::{Fate, Store, Unanswered};

const LIFE: Duration = Duration::from_secs(30);
const PATH: &str = "/apis/batch/v1/namespaces/n/jobs/shakedown-fuse-r-0";

fn fuse_job() -> Value {
    job("r", 0, "n", LIFE, None)
}

/// A server with a Job controller that completes the fuse. The test decides all other answers.
fn server(mut fate: impl FnMut(&Store, &str) -> Fate + Send + 'static) -> (Store, Cluster) {
    let store = Store::default();
    store.script(move |store, asked| {
        if asked.contains("accessreviews") {
            return Fate::Refused(404);
        }
        if asked == format!("GET {PATH}") && store.get(PATH).is_some_and(|job| job["status"].is_null()) {
            let complete = json!({"type": "Complete", "status": "True"});
            store.change(PATH, |job| job["status"] = json!({"conditions": [complete]}));
        }
        fate(store, asked)
    });
    let cluster = store.cluster();
    (store, cluster)
}

async fn lit(cluster: &Cluster) -> Fuses {
    let mut fuses = Fuses::default();
    fuses.light(cluster, &fuse_job()).await.unwrap();
    fuses
}

fn ttl(store: &Store) -> u64 {
    store.get(PATH).unwrap()["spec"]["ttlSecondsAfterFinished"].as_u64().unwrap()
}

#[test]
fn a_dropped_or_changed_field_is_detected() {
    let sent = job("r", 0, "n", Duration::from_millis(6200), Some("registry.example/any"));
    assert_eq!(sent["spec"]["ttlSecondsAfterFinished"], 7);
    assert_eq!(sent["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example/any");
    let mut defaulted = sent.clone();
    (defaulted["spec"]["suspend"], defaulted["spec"]["completionMode"]) = (json!(false), json!("NonIndexed"));
    assert_eq!(dropped(&sent, &defaulted), None);
    for (field, value, part) in [
        ("ttlSecondsAfterFinished", Value::Null, "TTLAfterFinished"),
        ("ttlSecondsAfterFinished", json!(600), "webhook changes it"),
        ("completions", json!(1), "webhook changes it"),
        ("managedBy", json!("example.org/queue"), "webhook changes it"),
        ("suspend", json!(true), "Kueue"),
    ] {
        let mut kept = sent.clone();
        kept["spec"][field] = value;
        assert!(dropped(&sent, &kept).is_some_and(|why| why.contains(part)), "{field}: {kept}");
    }
}

#[test]
fn the_reason_of_an_incomplete_job_is_reported() {
    let event = |kind: &str, message: &str| json!({"type": kind, "reason": "FailedCreate", "message": message});
    let with = |kind: &str| {
        let condition = json!({"type": kind, "status": "True", "reason": "R", "message": "because"});
        json!({"status": {"startTime": "2026-03-01T12:00:00Z", "conditions": [condition]}})
    };
    let quota = event("Warning", "exceeded quota: small");
    let events = [event("Warning", "first"), quota, event("Normal", "last")];
    for (job, events, says) in [
        (json!({}), &[][..], "was not completed by any Job controller within 15 s"),
        (json!({"status": {"startTime": "2026-03-01T12:00:00Z"}}), &[], "was started and did not complete within 15 s"),
        (json!({}), &events, "did not complete: exceeded quota: small (FailedCreate)"),
        (with("Suspended"), &events, "did not complete: because (R)"),
        (with("Failed"), &[], "did not complete: because (R)"),
    ] {
        assert_eq!(incomplete_reason(&job, events), says);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_admission_keeps_its_message_and_has_its_own_help() {
    // A webhook, and a ValidatingAdmissionPolicy.
    for status in [403, 422] {
        let (_, cluster) = server(move |_, asked| match asked.starts_with("POST") {
            true => Fate::Refused(status),
            false => Fate::Answered,
        });
        let error = Fuses::default().light(&cluster, &fuse_job()).await.unwrap_err().to_string();
        assert!(error.contains("refused by the test") && error.contains("--fuse-image"), "{status}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fuse_stays_one_life_ahead_of_a_live_runner_only() {
    let (store, cluster) = server(|_, _| Fate::Answered);
    let begun = Instant::now();
    let mut fuses = lit(&cluster).await;
    fuses.keep(&cluster);
    for minutes in [1, 10, 360] {
        tokio::time::sleep_until(begun + Duration::from_secs(60 * minutes)).await;
        let ahead = ttl(&store) as f64 - begun.elapsed().as_secs_f64();
        assert!((26.9..=31.0).contains(&ahead), "{minutes} min: {ahead}");
    }
    assert!(fuses.burned().borrow().is_none());
    // Like a killed runner: no more pushes.
    drop(fuses);
    let last = ttl(&store);
    tokio::time::sleep(LIFE * 4).await;
    assert_eq!(ttl(&store), last);
}

#[tokio::test(start_paused = true)]
async fn a_fuse_survives_an_outage_shorter_than_its_life_and_burns_in_a_longer_one() {
    for (how, name) in [(None, "refused"), (Some(Unanswered::Reset), "reset"), (Some(Unanswered::Silence), "silence")] {
        for (away, burns) in [(5, false), (15, false), (24, false), (31, true), (60, true)] {
            let begun = Instant::now();
            let (gone, back) = (begun + LIFE * 2, begun + LIFE * 2 + Duration::from_secs(away));
            let (store, cluster) = server(move |_, asked| match how {
                _ if Instant::now() < gone || Instant::now() >= back || !asked.starts_with("PATCH") => Fate::Answered,
                None => Fate::Refused(503),
                // Never carried out.
                Some(how) => Fate::Late(how, LIFE * 1000),
            });
            let mut fuses = lit(&cluster).await;
            fuses.keep(&cluster);
            let mut burned = fuses.burned();
            let end = tokio::time::timeout_at(back + LIFE, burned.wait_for(Option::is_some)).await;
            match end {
                Ok(reason) => {
                    let reason = reason.unwrap().clone().unwrap();
                    assert!(burns, "{name} {away} s: {reason}");
                    assert!(reason.contains("could not push it for 30 s"), "{reason}");
                    let after = begun.elapsed().as_secs_f64() - 60.0;
                    assert!((26.9..=30.0).contains(&after), "{name}: {after} s after the last sign of life");
                }
                Err(_) => {
                    assert!(!burns, "{name} {away} s");
                    let ahead = ttl(&store) as f64 - begun.elapsed().as_secs_f64();
                    assert!((26.9..=31.0).contains(&ahead), "{name} {away} s: {ahead}");
                }
            }
        }
    }
}

/// A server may carry out a request up to a minute after the client gave up.
#[tokio::test(start_paused = true)]
async fn a_delayed_push_does_not_undo_a_later_one() {
    let begun = Instant::now();
    let mut late = true;
    let (store, cluster) = server(move |_, asked| {
        let is_push = asked.starts_with("PATCH");
        if is_push && std::mem::take(&mut late) {
            return Fate::Late(Unanswered::Silence, LIFE * 2);
        }
        Fate::Answered
    });
    let mut fuses = lit(&cluster).await;
    fuses.keep(&cluster);
    for second in 10..100 {
        tokio::time::sleep_until(begun + Duration::from_secs(second)).await;
        let ahead = ttl(&store) as f64 - begun.elapsed().as_secs_f64();
        assert!((26.9..=31.0).contains(&ahead), "{second} s: {ahead}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_client_that_changes_the_fuse_does_not_stop_it() {
    let begun = Instant::now();
    let (store, cluster) = server(|_, _| Fate::Answered);
    let mut fuses = lit(&cluster).await;
    fuses.keep(&cluster);
    for second in 1..60 {
        tokio::time::sleep_until(begun + Duration::from_secs(second)).await;
        store.change(PATH, |job| job["metadata"]["annotations"]["seen"] = json!(second.to_string()));
    }
    let ahead = ttl(&store) as f64 - begun.elapsed().as_secs_f64();
    assert!((26.9..=31.0).contains(&ahead), "{ahead}");
    assert!(fuses.burned().borrow().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_fuse_is_detected_at_the_next_push_and_its_lock_reports_nothing() {
    for what in ["gone", "going", "another"] {
        let (store, cluster) = server(|_, _| Fate::Answered);
        let mut fuses = lit(&cluster).await;
        fuses.keep(&cluster);
        let me = Holder { run: "r".into(), host: "h".into(), ci_job_url: None };
        let mut locks = Locks::new(cluster.clone());
        locks.take("n", &me, &fuses).await.unwrap();
        let lease = Store::path(Kind::Lease, "n", "shakedown-lock");
        assert_eq!(
            store.get(&lease).unwrap()["metadata"]["ownerReferences"][0]["uid"],
            store.get(PATH).unwrap()["metadata"]["uid"]
        );
        tokio::time::sleep(LIFE).await;
        let begun = Instant::now();
        match what {
            "gone" => _ = store.remove(PATH),
            "going" => store.change(PATH, |job| job["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z")),
            _ => {
                let job = store.remove(PATH).unwrap();
                store.put(Kind::Job, job);
            }
        }
        store.remove(&lease);
        let mut burned = fuses.burned();
        let reason = burned.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        assert!(
            reason.contains("was deleted by another client, or by the cluster before its time"),
            "{what}: {reason}"
        );
        assert!(begun.elapsed() <= LIFE / 10, "{what}: {:?}", begun.elapsed());
        tokio::time::sleep(LIFE).await;
        assert!(locks.lost().borrow().is_none(), "{what}: {:?}", locks.lost().borrow());
    }
}

/// Only the lock is deleted, so the lock reports it.
#[tokio::test(start_paused = true)]
async fn a_lock_that_another_client_deletes_is_lost_although_the_fuse_burns() {
    let (store, cluster) = server(|_, _| Fate::Answered);
    let mut fuses = lit(&cluster).await;
    fuses.keep(&cluster);
    let me = Holder { run: "r".into(), host: "h".into(), ci_job_url: None };
    let mut locks = Locks::new(cluster.clone());
    locks.take("n", &me, &fuses).await.unwrap();
    store.remove(&Store::path(Kind::Lease, "n", "shakedown-lock"));
    let mut lost = locks.lost();
    let reason = lost.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(reason.contains("another client deleted it"), "{reason}");
    assert!(fuses.burned().borrow().is_none());
}

/// When the cluster is unreachable, the fuse ends the run before the lock does.
#[tokio::test(start_paused = true)]
async fn a_silent_server_burns_the_fuse_before_the_lock_is_lost() {
    let begun = Instant::now();
    let (_, cluster) = server(move |_, _| match begun.elapsed() < LIFE {
        true => Fate::Answered,
        false => Fate::Late(Unanswered::Silence, LIFE * 1000),
    });
    let mut fuses = lit(&cluster).await;
    fuses.keep(&cluster);
    let me = Holder { run: "r".into(), host: "h".into(), ci_job_url: None };
    let mut locks = Locks::new(cluster.clone());
    locks.take("n", &me, &fuses).await.unwrap();
    let (mut burned, mut lost) = (fuses.burned(), locks.lost());
    tokio::select! {
        biased;
        reason = lost.wait_for(Option::is_some) => panic!("{:?}", *reason.unwrap()),
        reason = burned.wait_for(Option::is_some) => assert!(reason.unwrap().is_some()),
    }
    // If only the lock's requests fail, the lock reports it later.
    let reason = lost.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    assert!(reason.contains("could not be renewed for"), "{reason}");
}
