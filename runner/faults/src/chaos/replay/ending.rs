//! The way out of what never took effect, against the recordings: what is ended, what Chaos Mesh ends, and what stays.

use std::time::Duration;

use serde_json::Value;
use shakedown_cluster::Kind;
use shakedown_cluster::testing::store::Store;
use shakedown_fakes::recordings::Recorded;
use tokio::time::Instant;

use super::stage::{self, Case, Stage, events, is_chaos, turn};
use super::{case, contract, injected};
use crate::chaos::diagnose::{CHAINS, NO_DISCOVERY};
use crate::{FaultDriver, FaultError, Finding};

/// The fault of the recording `noiptables`.
const NO_IPTABLES: &str = "netem: {pods: {labels: {app: edge}}, to: [{service: backend-0}], delay: 50ms, reorder: 50%}";
/// Lets a daemon answer for what is written into the pods' rules: without the rules that it cannot put in place it does not
/// fail any more, as those of the other recordings. Or it fails with these words whatever the rules are.
fn daemon(store: Store, words: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(2)).await;
            for path in store.all().into_iter().filter(|path| path.contains("/podnetworkchaos/")) {
                let there = store.get(&path).unwrap();
                if there["spec"]["tcs"].is_null() && there["status"]["failedMessage"] != "" {
                    store.change(&path, |object| {
                        let generation = object["metadata"]["generation"].clone();
                        object["status"] =
                            serde_json::json!({"observedGeneration": generation, "failedMessage": words});
                    });
                }
            }
        }
    })
}

/// The recording of a node without netem: the resource neither injects nor goes.
async fn never_took_hold(answer: Option<&'static str>) -> (Stage, Result<(), FaultError>, Duration) {
    let mut stage = injected("hostnode", <[Recorded]>::len).await;
    // The rules of another fault, which stay.
    let path = Store::path(Kind::PodNetworkChaos, "shop", "backend-2-6548cfb857-r4n8m");
    stage.store.change(&path, |network| {
        network["spec"]["ipsets"] = serde_json::json!([{"name": "x", "ipsetType": "list:set", "source": "shop/other"}]);
    });
    let daemon = answer.map(|words| daemon(stage.store.clone(), words));
    let begun = Instant::now();
    let undone = stage.fault.undo().await;
    let took = begun.elapsed();
    if let Some(daemon) = daemon {
        daemon.abort();
    }
    (stage, undone, took)
}

#[tokio::test(start_paused = true)]
async fn what_never_took_hold_is_ended_once_the_daemon_has_answered() {
    let (mut stage, undone, took) = never_took_hold(Some("")).await;
    undone.unwrap();
    let findings = stage.fault.prove_undone().await.unwrap();
    assert!(findings.iter().all(|finding| finding.holds), "{findings:?}");
    for part in ["never took effect", "were removed from the PodNetworkChaos", "(generation ", "finalizer was removed"]
    {
        assert!(findings[0].detail.contains(part), "`{part}` is missing: {}", findings[0].detail);
    }
    assert_eq!(
        (stage.fault.leftovers(), stage.store.all().iter().any(|path| path.contains("/networkchaos/"))),
        (vec![], false)
    );
    let path = Store::path(Kind::PodNetworkChaos, "shop", "backend-2-6548cfb857-r4n8m");
    let network = stage.store.get(&path).unwrap();
    assert_eq!(
        (&network["spec"]["ipsets"][0]["source"], &network["spec"]["tcs"]),
        (&"shop/other".into(), &Value::Null)
    );
    assert!(took < Duration::from_secs(12), "{took:?}");
}

/// As seen on Chaos Mesh 2.8.3: once the daemon has answered, it counts the resource as injected, recovers it and lets it go.
#[tokio::test(start_paused = true)]
async fn what_goes_by_itself_once_the_daemon_has_answered_is_told() {
    let mut stage = injected("hostnode", <[Recorded]>::len).await;
    let store = stage.store.clone();
    let manager = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let path = Store::path(Kind::PodNetworkChaos, "shop", "backend-2-6548cfb857-r4n8m");
            if store.get(&path).is_some_and(|network| network["spec"]["tcs"].is_null()) {
                store.change(&path, |object| object["status"] = serde_json::json!({"observedGeneration": 2}));
                for made in store.all().iter().filter(|path| path.contains("/networkchaos/")) {
                    store.remove(made);
                }
            }
        }
    });
    stage.fault.undo().await.unwrap();
    manager.abort();
    let findings = stage.fault.prove_undone().await.unwrap();
    assert!(findings.iter().all(|finding| finding.holds), "{findings:?}");
    assert!(findings[0].detail.contains("never took effect, and went once its rules were removed"), "{findings:?}");
    assert_eq!(stage.fault.leftovers(), []);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_certain_to_be_gone_keeps_its_finalizer_and_is_told_with_a_command() {
    for answer in [None, Some("unable to flush ip sets")] {
        let (mut stage, undone, _) = never_took_hold(answer).await;
        assert!(undone.is_err());
        // The next try finds its rules taken out, and still no answer.
        let undone = stage.fault.undo().await;
        let error = undone.unwrap_err().to_string();
        let command = "`shakedown cleanup --run 20261128-200150-vpz2c --force-cleanup`";
        assert!(error.contains(command), "{error}");
        assert!(stage.store.all().iter().any(|path| path.contains("/networkchaos/")));
        let left = stage.fault.leftovers();
        assert_eq!((left.len(), format!("`{}`", left[0].command)), (1, command.to_owned()));
    }
}

/// On a node without the legacy tables of iptables the daemon fails with an empty set of rules as well, and on Kubernetes before
/// 1.21 Chaos Mesh does not find the daemon, so that it never lets go. Where an attempt failed at a later step, something of it may be in the pod.
#[tokio::test(start_paused = true)]
async fn what_never_got_as_far_as_a_rule_is_ended_although_the_daemon_fails_on() {
    for (words, other_step) in [(CHAINS, false), (NO_DISCOVERY, false), ("unable to set tcs", true)] {
        let case = Case { name: "noiptables", fault: NO_IPTABLES };
        let events = events(case);
        // Here the runner has taken the rules out.
        let written = |event: &Recorded| event.kind == "PodNetworkChaos" && event.object["metadata"]["generation"] == 2;
        let written = events.iter().position(written).expect("a write");
        let mut stage = Stage::new(case, &events);
        stage.fault.inject().await.unwrap();
        for event in &events[..written] {
            let mut event = event.clone();
            if is_chaos(&event) {
                let text = event.object.to_string().replace(CHAINS, words);
                event.object = serde_json::from_str(&text).unwrap();
            }
            stage.player().show(&event);
        }
        let daemon = daemon(stage.store.clone(), if other_step { CHAINS } else { words });
        let undone = stage.fault.undo().await;
        daemon.abort();
        let is_left = stage.store.all().iter().any(|path| path.contains("/networkchaos/"));
        assert_eq!((undone.is_err(), is_left), (other_step, other_step), "{undone:?}");
        if !other_step {
            let findings = stage.fault.prove_undone().await.unwrap();
            let told = |finding: &Finding| finding.holds && finding.detail.contains("reached a rule");
            assert!(findings.len() == 2 && findings.iter().all(told), "{findings:?}");
            assert_eq!(stage.fault.leftovers(), []);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_took_hold_anywhere_is_not_ended_for_chaos_mesh() {
    // One end is injected, the other one waits; then the removal begins and nothing moves any more.
    let is_half = |event: &Recorded| event.object["status"]["experiment"]["containerRecords"][0]["phase"] == "Injected";
    let mut stage = injected("cut", |events| events.iter().position(is_half).unwrap() + 1).await;
    let daemon = daemon(stage.store.clone(), "");
    let error = stage.fault.undo().await.unwrap_err().to_string();
    daemon.abort();
    assert!(error.contains("is being deleted but still exists"), "{error}");
    let path = Store::path(Kind::PodNetworkChaos, "shop", "edge-7b76bbc7d8-lldt6");
    assert_ne!(stage.store.get(&path).unwrap()["spec"], serde_json::json!({}));
}

/// Chaos Mesh takes the rules of an injected end out of its PodNetworkChaos, and the daemon there never answers: the rules may
/// still be in the pod.
#[tokio::test(start_paused = true)]
async fn rules_that_no_daemon_has_removed_keep_the_finalizer() {
    for is_answered in [false, true] {
        let mut stage = injected("hostnode", <[Recorded]>::len).await;
        // Another end of the same resource was injected before, and is being recovered.
        let all = stage.store.all();
        let chaos = all.iter().find(|path| path.contains("/networkchaos/")).unwrap();
        stage.store.change(chaos, |object| {
            let records = object["status"]["experiment"]["containerRecords"].as_array_mut().unwrap();
            let mut other = records[0].clone();
            other["id"] = "shop/injected".into();
            other["phase"] = "Injected/Wait".into();
            records.push(other);
        });
        let network = all.iter().find(|path| path.contains("/podnetworkchaos/")).unwrap();
        let mut other = stage.store.get(network).unwrap();
        other["metadata"]["name"] = "injected".into();
        other["metadata"]["generation"] = 3.into();
        other["spec"] = serde_json::json!({});
        let observed = if is_answered { 3 } else { 2 };
        other["status"] = serde_json::json!({"observedGeneration": observed, "failedMessage": ""});
        stage.store.set(Kind::PodNetworkChaos, other);
        let daemon = daemon(stage.store.clone(), "");
        _ = stage.fault.undo().await;
        daemon.abort();
        let is_there = stage.store.all().iter().any(|path| path == chaos);
        assert_eq!(is_there, !is_answered, "answered: {is_answered}");
    }
}

/// Undoes as the timeline does: again, for as long as Chaos Mesh is at it. Returns what it said of that as well.
async fn undo(stage: &mut Stage) -> (Vec<String>, Result<(), FaultError>) {
    let mut told = Vec::new();
    loop {
        match stage.fault.undo().await {
            Err(FaultError::Recovering(text)) => told.push(text.to_string()),
            done => return (told, done),
        }
    }
}

/// A slow node: the daemons have answered for the rules without those of the fault, or are still at it, and Chaos Mesh writes
/// its records some seconds later. The finalizer is left to Chaos Mesh, and the fault did take hold.
#[tokio::test(start_paused = true)]
async fn a_slow_recovery_is_left_to_chaos_mesh() {
    for (name, phase) in [("delay", "Injected/Wait"), ("stress", "Injected"), ("skew", "Injected")] {
        slow(case(name), phase).await;
    }
}

async fn slow(case: Case, phase: &str) {
    let events = events(case);
    let (before, after) = events.split_at(turn(&events));
    let mut stage = Stage::new(case, &events);
    stage.fault.inject().await.unwrap();
    let player = stage.player();
    for event in before {
        player.show(event);
    }
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for event in after {
        let is_recovered = event.change == "DELETED"
            || contract::pods(&event.object).next().is_some() && contract::recovered(&event.object).is_ok();
        if is_recovered { late.push(event.clone()) } else { early.push(event.clone()) }
    }
    assert!(late.len() >= 2 && !early.is_empty());
    let made = stage.made();
    let playing = tokio::spawn({
        let (player, made, store) = (player.clone(), made.clone(), stage.store.clone());
        async move {
            player.clone().play(early, 0, None).await;
            tokio::time::sleep(Duration::from_secs(8)).await;
            for key in made {
                let there = store.get(&Store::path(key.kind, "shop", &key.name));
                let there = there.expect("the resource is still Chaos Mesh's to release");
                assert_eq!(there["metadata"]["finalizers"], serde_json::json!(["chaos-mesh/records"]));
            }
            player.play(late, 0, None).await;
        }
    });
    // It is no failure: Chaos Mesh is at it.
    let (told, undone) = undo(&mut stage).await;
    undone.unwrap();
    assert!(!told.is_empty() && told.iter().all(|text| text.contains(&format!("is `{phase}`"))), "{told:?}");
    playing.await.unwrap();
    let findings = stage.fault.prove_undone().await.unwrap();
    for finding in findings {
        assert!(finding.holds, "{finding:?}");
        assert!(finding.detail.contains("was recovered and is gone"), "{finding:?}");
    }
}

/// A real Chaos Mesh answers the runner's write: it counts the injection without rules as a success, recovers it, and takes
/// its finalizer off itself.
#[tokio::test(start_paused = true)]
async fn what_never_took_hold_goes_as_it_was_recorded() {
    let case = Case { name: "hostended", fault: "netem: {pods: {labels: {app: edge}}, delay: 40ms}" };
    let events = events(case);
    let mut stage = Stage::new(case, &events);
    stage.fault.inject().await.unwrap();
    let written = |event: &Recorded| event.kind == "PodNetworkChaos" && event.object["metadata"]["generation"] == 4;
    let written = events.iter().position(written).unwrap();
    assert!(written > turn(&events));
    for event in &events[..written] {
        stage.player().show(event);
    }
    let path = Store::path(Kind::PodNetworkChaos, "shop", &events[written].name);
    let (player, store, rest) = (stage.player(), stage.store.clone(), events[written..].to_vec());
    let playing = tokio::spawn(async move {
        while !store.get(&path).unwrap()["spec"]["tcs"].is_null() {
            tokio::time::sleep(stage::STEP).await;
        }
        player.play(rest, 0, None).await;
    });
    while stage.fault.undo().await.is_err() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    playing.await.unwrap();
    let findings = stage.fault.prove_undone().await.unwrap();
    assert!(findings.iter().all(|finding| finding.holds), "{findings:?}");
    let is_left = stage.store.all().iter().any(|path| path.contains("/networkchaos/"));
    assert_eq!((stage.fault.leftovers(), is_left), (vec![], false));
}
