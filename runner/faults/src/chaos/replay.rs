//! Recordings of a real Chaos Mesh are the contract: the driver is fed their watch events, in order, in other orders, cut off
//! and restarted. What it says is in golden files; `INSTA_UPDATE=always cargo test -p shakedown-faults replay` records them
//! anew.

mod ending;
mod stage;
mod usage;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::Value;
use shakedown_cluster::testing::store::Store;
use shakedown_cluster::{Kind, labels};
use shakedown_fakes::recordings::{self, Recorded, Trace};
use shakedown_schemas::scenario::{Fault, FaultInfo};
use tokio::time::Instant;

use self::stage::{Case, Stage, events, is_chaos, kind, mixed, turn};
use super::half_done::half_done;
use super::{Going, Recording, contract, go};
use crate::{FaultDriver, FaultError, Finding};

const PODS: &str = "pods: {labels: {app: edge}}";
/// How long an undo may take: `--undo-timeout`.
const UNDO: Duration = Duration::from_secs(30);
/// How many other orders of the kinds are played as whole runs.
const ORDERS: u64 = 4;

const CASES: [Case; 16] = [
    Case { name: "delay", fault: "netem: {PODS, to: [{service: backend-0}], delay: 100ms, jitter: 50ms}" },
    Case { name: "loss", fault: "netem: {PODS, to: [{service: backend-0}], loss: 20%}" },
    Case { name: "bandwidth", fault: "netem: {PODS, to: [{service: backend-0}], bandwidth: 100kbit/s}" },
    Case {
        name: "combined",
        fault: "netem: {PODS, to: [{service: backend-0}], delay: 60ms, jitter: 20ms, loss: 10%, corrupt: 1%, duplicate: 5%}",
    },
    Case { name: "reorder", fault: "netem: {PODS, to: [{service: backend-0}], delay: 50ms, reorder: 50%}" },
    Case { name: "graceful", fault: "netem: {PODS, delay: 40ms}" },
    Case { name: "cut", fault: "partition: {engine: chaos-mesh, PODS, from: [{service: backend-0}]}" },
    Case { name: "fail", fault: "pod_failure: {PODS}" },
    Case { name: "ckill", fault: "container_kill: {PODS, containers: [nginx]}" },
    Case { name: "stress", fault: "stress: {PODS, cpu: {workers: 2, load: 80%}}" },
    Case { name: "memory", fault: "stress: {PODS, memory: {workers: 1, size: 128MB}}" },
    Case { name: "memoom", fault: "stress: {PODS, memory: {workers: 1, size: 400MB}}" },
    Case { name: "skew", fault: "time: {PODS, offset: -10m}" },
    Case { name: "hostnode", fault: "netem: {PODS, delay: 40ms}" },
    Case { name: "http503", fault: "http: {PODS, port: 8080, status: 503}" },
    Case { name: "httpstuck", fault: "http: {PODS, port: 8080, status: 503}" },
];

fn cases() -> impl Iterator<Item = Case> {
    CASES.into_iter().map(|case| Case { fault: case.fault.replace("PODS", PODS).leak(), ..case })
}

fn case(name: &str) -> Case {
    cases().find(|case| case.name == name).expect("a recording")
}

/// Whether nothing but the engine's word says that a proven fault acts.
fn word(case: Case, findings: &[Finding]) -> &'static str {
    let fault: Fault = serde_saphyr::from_str(case.fault).expect("a fault");
    let claimed = FaultInfo::of(fault.kind()).is_some_and(FaultInfo::is_claimed);
    match findings.iter().all(|finding| finding.holds) {
        false => "not proven",
        true if claimed && !findings.iter().any(|it| it.shows.is_effect()) => "claimed",
        true => "proven",
    }
}

fn lines(log: &mut String, findings: &[Finding]) {
    for finding in findings {
        writeln!(log, "  {}: {}", if finding.holds { "holds" } else { "does not hold" }, finding.detail).unwrap();
    }
}

/// A whole run against a recording, as the timeline drives it: its states and sentences.
async fn run(case: Case, events: &[Recorded], cut: Option<usize>) -> String {
    run_until(case, events, turn(events), cut).await
}

/// The same, where the events from `turn` on follow from the removal.
async fn run_until(case: Case, events: &[Recorded], turn: usize, cut: Option<usize>) -> String {
    run_on(&mut Stage::new(case, events), case, events, turn, cut).await
}

/// The same on a stage that exists.
async fn run_on(stage: &mut Stage, case: Case, events: &[Recorded], turn: usize, cut: Option<usize>) -> String {
    let mut log = String::new();
    stage.fault.prepare().await.unwrap();
    stage.fault.inject().await.unwrap();
    let playing = tokio::spawn(stage.player().play(events.to_vec(), turn, cut));
    match stage.fault.become_active().await {
        Ok(()) => {
            // A proof is looked for again and again, as the timeline does it.
            let mut findings = stage.fault.prove().await;
            for _ in 0..20 {
                if matches!(&findings, Ok(findings) if findings.iter().all(|finding| finding.holds)) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(250)).await;
                findings = stage.fault.prove().await;
            }
            let findings = findings.unwrap();
            writeln!(log, "{}", word(case, &findings)).unwrap();
            lines(&mut log, &findings);
            tokio::time::sleep(Duration::from_secs(5)).await;
            let settled = stage.fault.settle().await.unwrap();
            lines(&mut log, &settled);
        }
        Err(error) => writeln!(log, "not injected: {error}").unwrap(),
    }
    let deadline = Instant::now() + UNDO;
    let mut problem = None;
    loop {
        let undone = tokio::time::timeout_at(deadline, async {
            stage.fault.undo().await?;
            stage.fault.prove_undone().await
        });
        match undone.await {
            Ok(Ok(findings)) => {
                writeln!(log, "undone").unwrap();
                lines(&mut log, &findings);
                break;
            }
            Ok(Err(FaultError::Dirty(text))) => {
                writeln!(log, "left: {text}").unwrap();
                break;
            }
            Ok(Err(error)) => problem = Some(error.to_string()),
            Err(_) => {
                writeln!(log, "left: {}", problem.unwrap_or_default()).unwrap();
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for left in stage.fault.leftovers() {
        writeln!(log, "leftover: {}\n  {}", left.what, left.command).unwrap();
    }
    playing.abort();
    log
}

/// The log without what depends on the moment: for verdicts that have to agree.
fn verdict(log: &str) -> String {
    log.lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split(':').next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join(", ")
}

#[tokio::test(start_paused = true)]
async fn each_recording_gives_its_verdict() {
    let mut all = String::new();
    for case in cases() {
        let events = events(case);
        writeln!(all, "== {}\n{}", case.name, run(case, &events, None).await).unwrap();
    }
    insta::assert_snapshot!("verdicts", all);
}

/// The recordings `http503` and `httpstuck` are rebuilt from Events; this one is whole.
#[tokio::test(start_paused = true)]
async fn an_http_fault_goes_as_it_was_recorded() {
    let case = Case { name: "http", fault: "http: {pods: {labels: {shard: '0'}}, port: 8080, status: 503}" };
    let events = events(case);
    for cut in (0..events.len()).map(Some).chain([None]) {
        assert_eq!(verdict(&run(case, &events, cut).await), "claimed, undone", "cut off at event {cut:?}");
    }
}

const DNS: Case = Case { name: "dns", fault: "dns: {pods: {labels: {app: named}}, answer: error}" };
/// A container with a shell and without `sed`: chaos-dns-server had the rule, and every name failed until it was restarted.
const DNS_HALF: Case = Case { name: "dnshalf", ..DNS };

#[tokio::test(start_paused = true)]
async fn a_dns_fault_goes_as_it_was_recorded() {
    assert_eq!(verdict(&run(DNS, &events(DNS), None).await), "claimed, undone");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_was_given_and_never_recovered_is_left() {
    let events = events(DNS_HALF);
    let begun = Instant::now();
    let log = run(DNS_HALF, &events, None).await;
    assert_eq!(verdict(&log), "not injected, help, left, leftover", "{log}");
    assert!(log.contains("sh: sed: not found") && log.contains("needs sh, cp, ls, cat, sed and rm"), "{log}");
    let left = "leftover: rule shakedown-20261130-161422-c27h9-0-1-f-dns in chaos-dns-server\n  kubectl -n chaos-mesh rollout \
                restart deployment chaos-dns-server\n";
    assert!(log.ends_with(left), "{log}");
    assert!(begun.elapsed() < Duration::from_secs(20), "no retry mends it");
    let mut last = events.iter().rev().find(|event| is_chaos(event)).unwrap().object.clone();
    assert!(contract::recovered(&last).is_ok() && half_done(&last).is_some());
    // A later attempt that was recovered has taken the rule back.
    let record = last["status"]["experiment"]["containerRecords"][0]["events"].as_array_mut().unwrap();
    record.push(serde_json::json!({"operation": "Apply", "type": "Succeeded"}));
    assert!(half_done(&last).is_some(), "without a recovery");
    let record = last["status"]["experiment"]["containerRecords"][0]["events"].as_array_mut().unwrap();
    record.push(serde_json::json!({"operation": "Recover", "type": "Succeeded"}));
    assert_eq!(half_done(&last), None);
}

/// What `--record` writes of a run is replayed as what was recorded of a real one: the same trace, and the same verdict.
#[tokio::test(start_paused = true)]
async fn a_recording_of_ours_is_replayed_as_a_real_one() {
    for name in ["delay", "cut", "fail", "hostnode"] {
        let (case, events) = (case(name), events(case(name)));
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Stage::new(case, &events);
        let recording = Recording::start(&stage.cluster(), &stage.scope(), folder.path(), Box::new(|it| it)).await;
        let log = run_on(&mut stage, case, &events, turn(&events), None).await;
        assert_eq!(recording.expect("a fault of Chaos Mesh").finish().await, Vec::<String>::new());
        let ours = recordings::folder(folder.path());
        let resource = &recordings::first(&events).expect("a resource").name;
        let (ours_trace, trace) = (Trace::of(&ours, resource), Trace::of(&events, resource));
        if name == "hostnode" {
            // The driver takes the rules out in the end, which it did not when this was recorded.
            assert_eq!((&ours_trace.milestones[..5], &ours_trace.events), (&trace.milestones[..5], &trace.events));
        } else {
            assert_eq!(
                format!("{:#?}", ours_trace.since_the_fault()),
                format!("{:#?}", trace.since_the_fault()),
                "{name}"
            );
        }
        assert_eq!(verdict(&run(case, &ours, None).await), verdict(&log), "{name}");
    }
}

/// A user's recording has other names than ours: the namespace, the pods, the container and the fault.
#[tokio::test(start_paused = true)]
async fn a_recording_of_another_namespace_is_replayed() {
    for name in ["delay", "cut", "stress", "ckill"] {
        let (case, events) = (case(name), events(case(name)));
        let log = run(case, &events, None).await;
        let renamed = |text: &str| {
            let text = text.replace("-0-1-f-", "-3-12-slow-link-").replace("edge-7b76bbc7d8", "web-5d4f");
            text.replace("\"shop\"", "\"prod\"").replace("shop/", "prod/").replace("nginx", "server")
        };
        let elsewhere: Vec<Recorded> = events
            .iter()
            .map(|event| Recorded {
                name: renamed(&event.name),
                object: serde_json::from_str(&renamed(&event.object.to_string())).unwrap(),
                ..event.clone()
            })
            .collect();
        let fault = Case { fault: renamed(case.fault).leak(), ..case };
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Stage::new(fault, &elsewhere);
        let recording = Recording::start(&stage.cluster(), &stage.scope(), folder.path(), Box::new(|it| it)).await;
        assert_eq!(verdict(&run_on(&mut stage, fault, &elsewhere, turn(&elsewhere), None).await), verdict(&log));
        assert_eq!(recording.expect("a fault of Chaos Mesh").finish().await, Vec::<String>::new());
        let sent = stage::of_first_fault(recordings::folder(folder.path()));
        assert!(sent.iter().all(|event| event.object["metadata"]["namespace"] == "prod"), "{name}");
        assert_eq!(stage::fault_name(&sent).as_deref(), Some("slow-link"));
        let again = run(fault, &sent, None).await;
        assert_eq!((verdict(&again), again.lines().count()), (verdict(&log), log.lines().count()), "{name}: {again}");
    }
}

/// Recordings as they were sent to us, each in a folder with its scenario: those of `SHAKEDOWN_RECORDINGS`, or the ones of which
/// `tests/recordings` is the short form.
#[tokio::test(start_paused = true)]
#[ignore = "needs recordings"]
async fn recordings_that_were_sent_are_replayed() {
    let root = std::env::var("SHAKEDOWN_RECORDINGS");
    let root =
        root.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/chaos-mesh/recordings").into());
    let mut folders: Vec<_> = std::fs::read_dir(&root).expect("recordings").map(|it| it.unwrap().path()).collect();
    folders.retain(|folder| folder.join("scenario.yaml").is_file());
    folders.sort();
    assert!(!folders.is_empty(), "no recording in {root}");
    for folder in folders {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let scenario = std::fs::read(folder.join("scenario.yaml")).expect("a scenario");
        let scenario = shakedown_schemas::parse("scenario.yaml", &scenario, &Default::default()).expect("a scenario");
        let mut faults = scenario.scenario.phases.iter().flat_map(|phase| &phase.faults);
        if faults.clone().any(|(_, fault)| fault.kind() == "manifest") {
            println!("== {name}\nnot replayed: another driver acts for a manifest\n");
            continue;
        }
        let events = stage::of_first_fault(stage::whole(recordings::folder(&folder)));
        let named = stage::fault_name(&events).expect("a resource of a run");
        let (_, fault) = faults.find(|(name, _)| labels::name_part(name) == named).expect("the fault");
        let sent = Case { name: name.clone().leak(), fault: serde_json::to_string(fault).expect("JSON").leak() };
        let log = run(sent, &events, None).await;
        println!("== {name}\n{log}");
        if let Some(short) = cases().find(|case| case.name == name) {
            assert_eq!(verdict(&log), verdict(&run(short, &stage::events(short), None).await), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_driver_makes_the_resources_that_were_recorded() {
    for case in cases().filter(|case| !case.name.starts_with("http")) {
        let events = events(case);
        let mut stage = Stage::new(case, &events);
        stage.fault.inject().await.unwrap();
        for first in events.iter().filter(|event| is_chaos(event) && event.change == "ADDED") {
            let made = stage.store.get(&Store::path(kind(&first.kind), "shop", &first.name));
            let made = made.unwrap_or_else(|| panic!("{}: no {} among {:?}", case.name, first.name, stage.made()));
            let mut made = made["spec"].clone();
            let mut recorded = first.object["spec"].clone();
            for spec in [&mut made, &mut recorded] {
                // Chaos Mesh's webhook fills these in.
                for block in ["delay", "loss", "corrupt", "duplicate"] {
                    if let Some(block) = spec[block].as_object_mut() {
                        block.remove("correlation");
                        block.remove("jitter");
                    }
                }
                spec.as_object_mut().unwrap().remove("rootKernelConfig");
            }
            assert_eq!(made, recorded, "{}", case.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_order_between_kinds_changes_no_verdict() {
    for case in cases() {
        let events = events(case);
        let (before, after) = events.split_at(turn(&events));
        let begun = before.iter().take_while(|event| !is_chaos(event)).count();
        let expected = verdict(&run(case, &events, None).await);
        for seed in 1..=ORDERS {
            let mut all = before[..begun].to_vec();
            all.extend(mixed(&before[begun..], seed));
            all.extend(mixed(after, seed));
            let log = run_until(case, &all, before.len(), None).await;
            assert_eq!(verdict(&log), expected, "{}, order {seed}", case.name);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_lost_at_any_event_changes_no_verdict() {
    for name in ["cut", "fail", "stress", "http503"] {
        let (case, events) = (case(name), events(case(name)));
        let expected = verdict(&run(case, &events, None).await);
        for cut in 0..events.len() {
            assert_eq!(verdict(&run(case, &events, Some(cut)).await), expected, "{name}, cut off at event {cut}");
        }
    }
}

/// A runner that is killed after any event: its cleanup takes over from what the server has.
#[tokio::test(start_paused = true)]
async fn a_cleanup_takes_over_at_any_event() {
    let mut log = String::new();
    for case in cases() {
        let events = events(case);
        let mut ends: Vec<(usize, usize, String)> = Vec::new();
        for at in 0..=turn(&events) {
            let mut stage = Stage::new(case, &events);
            stage.fault.inject().await.unwrap();
            let made = stage.made();
            let (cluster, player) = (stage.cluster(), stage.player());
            for event in &events[..at] {
                player.show(event);
            }
            drop(stage);
            let playing = tokio::spawn(player.play(events[at..].to_vec(), turn(&events) - at, None));
            let going = futures::future::join_all(
                made.iter().map(async |key| go(&cluster, key, Duration::from_secs(20), &mut None).await),
            )
            .await;
            let ends_of = going.into_iter().map(|going| match going.unwrap() {
                Going::Gone(Some(last)) if contract::recovered(&last).is_ok() => "gone, recovered".to_owned(),
                Going::Gone(Some(last)) => format!("gone: {}", contract::recovered(&last).unwrap_err().text()),
                Going::Gone(None) => "gone".to_owned(),
                Going::There(object) => format!("hangs: {}", contract::stuck(&object)),
            });
            let mut ends_of: Vec<String> = ends_of.collect();
            ends_of.dedup();
            let end = ends_of.join("; ");
            playing.abort();
            match ends.last_mut() {
                Some((_, to, known)) if *known == end => *to = at,
                _ => ends.push((at, at, end)),
            }
        }
        writeln!(log, "== {}", case.name).unwrap();
        for (from, to, end) in ends {
            writeln!(log, "killed after event {from} to {to}: {end}").unwrap();
        }
    }
    insta::assert_snapshot!("restarts", log);
}

/// The fault of a recording, injected. Its first events were shown to the driver, as many as `shown` says.
async fn injected(name: &str, shown: impl Fn(&[Recorded]) -> usize) -> Stage {
    let case = case(name);
    let events = events(case);
    let mut stage = Stage::new(case, &events);
    stage.fault.inject().await.unwrap();
    for event in &events[..shown(&events)] {
        stage.player().show(event);
    }
    stage
}

/// The manager was stopped while the fault acted (`kill -STOP`): no object changes after the deletion.
#[tokio::test(start_paused = true)]
async fn a_manager_that_does_not_react_is_told() {
    let mut stage = injected("delay", turn).await;
    let error = stage.fault.undo().await.unwrap_err().to_string();
    for part in
        ["is `Injected`: Chaos Mesh has not started its deletion (chaos-controller-manager", "deleted once it works"]
    {
        assert!(error.contains(part), "{error}");
    }
}

/// What no retry mends is not waited for until the end of `--inject-timeout`; what may pass is.
#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_given_up_early() {
    const SAID: &str = "unable to set tcs for pod backend-2-6548cfb857-r4n8m";
    for (words, lasts) in [
        ("error code: exit status 2, msg: Error: Specified qdisc kind is unknown.", true),
        // Kubernetes 1.20.
        ("failed to get restmapping: no matches for kind `EndpointSliceList` in version `discovery.k8s.io/v1`", true),
        (SAID, false),
        ("rpc error: code = Unavailable desc = connection refused", false),
    ] {
        let case = case("hostnode");
        let events = events(case);
        let mut stage = Stage::new(case, &events);
        stage.fault.inject().await.unwrap();
        for event in &events[..turn(&events)] {
            let mut event = event.clone();
            let text = event.object.to_string().replace(SAID, words);
            event.object = serde_json::from_str(&text).unwrap();
            stage.player().show(&event);
        }
        let begun = Instant::now();
        let error = stage.fault.become_active().await.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        let expected = if lasts { 10..12 } else { 60..62 };
        assert!(expected.contains(&begun.elapsed().as_secs()), "{words}: {:?}", begun.elapsed());
    }
}

/// Whether the objects, whichever of them is ahead, say that the fault acts: the conditions, and an answer of the daemon for
/// the rules that are there.
fn acts(store: &Store, chaos: &[(Kind, String)], networks: &[String]) -> bool {
    let injected = chaos.iter().all(|(kind, name)| {
        store.get(&Store::path(*kind, "shop", name)).is_some_and(|object| {
            let conditions = object["status"]["conditions"].as_array();
            let is = |condition: &&Value| condition["type"] == "AllInjected" && condition["status"] == "True";
            let records = object["status"]["experiment"]["containerRecords"].as_array();
            object["metadata"]["deletionTimestamp"].is_null()
                && conditions.is_some_and(|all| all.iter().any(|it| is(&it)))
                && records.is_some_and(|all| all.iter().all(|record| record["phase"] == "Injected"))
        })
    });
    injected
        && networks.iter().all(|name| {
            store.get(&Store::path(Kind::PodNetworkChaos, "shop", name)).is_some_and(|object| {
                object["spec"] != serde_json::json!({})
                    && object["status"]["observedGeneration"] == object["metadata"]["generation"]
                    && object["status"]["failedMessage"].as_str().unwrap_or_default().is_empty()
            })
        })
}

/// Every interleaving passes through states in which one kind is some events ahead of the other. The driver is asked in each of
/// them.
#[tokio::test(start_paused = true)]
async fn every_state_between_two_kinds_is_judged_by_both() {
    let mut log = String::new();
    for name in ["delay", "cut", "graceful", "hostnode"] {
        let (case, events) = (case(name), events(case(name)));
        let (chaos, rest): (Vec<&Recorded>, Vec<&Recorded>) =
            events.iter().filter(|event| event.kind != "Event").partition(|event| is_chaos(event));
        let networks: Vec<&Recorded> = rest.into_iter().filter(|event| event.kind == "PodNetworkChaos").collect();
        let mut stage = Stage::new(case, &events);
        stage.fault.inject().await.unwrap();
        let player = stage.player();
        let keys: Vec<(Kind, String)> = stage.made().into_iter().map(|key| (key.kind, key.name)).collect();
        let mut shaped: Vec<String> =
            networks.iter().filter(|it| it.object["spec"] != serde_json::json!({})).map(|it| it.name.clone()).collect();
        shaped.sort();
        shaped.dedup();
        let mut sentences: BTreeMap<String, usize> = BTreeMap::new();
        for ahead in 0..=chaos.len() {
            if ahead > 0 {
                player.show(chaos[ahead - 1]);
            }
            for name in &shaped {
                stage.store.remove(&Store::path(Kind::PodNetworkChaos, "shop", name));
            }
            for behind in 0..=networks.len() {
                if behind > 0 {
                    player.show(networks[behind - 1]);
                }
                let (holds, sentence) = match stage.fault.prove().await {
                    Ok(findings) if findings.iter().all(|finding| finding.holds) => (true, "proven".to_owned()),
                    Ok(findings) => {
                        let missing = findings.iter().find(|finding| !finding.holds).expect("one");
                        (false, missing.detail.clone())
                    }
                    Err(error) => (false, error.to_string()),
                };
                assert_eq!(holds, acts(&stage.store, &keys, &shaped), "{name}: {ahead}/{behind}: {sentence}");
                *sentences.entry(sentence).or_default() += 1;
            }
        }
        writeln!(log, "== {name}").unwrap();
        for (sentence, states) in sentences {
            writeln!(log, "in {states} states: {sentence}").unwrap();
        }
    }
    insta::assert_snapshot!("states", log);
}
