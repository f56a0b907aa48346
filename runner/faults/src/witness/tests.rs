use super::*;
use shakedown_cluster::testing::store::{Fate, Store};

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn round(number: u64, open: &[&str]) -> Round {
    Round { round: number, open: set(open), closed: BTreeSet::new(), held: BTreeMap::new() }
}

#[test]
fn two_whole_rounds_without_what_was_open_are_a_cut() {
    let before = set(&["a:1", "b:2"]);
    let seen = |rounds: &[Round]| Seen::new(&before, 10, rounds);
    assert!(matches!(seen(&[round(10, &[]), round(11, &[])]), Seen::Unknown(_)), "one round of its own is too few");
    assert_eq!(seen(&[round(10, &["a:1"]), round(11, &[]), round(12, &[])]), Seen::Cut);
    assert_eq!(seen(&[round(11, &["a:1"]), round(12, &[]), round(13, &["c:3"])]), Seen::Cut, "others do not count");
    assert_eq!(seen(&[round(11, &[]), round(12, &["b:2"])]), Seen::Open(set(&["b:2"])));
}

/// The log of a witness of `a:1` with these rounds from the first on: whether each could connect.
fn log(rounds: &[bool]) -> Log {
    let rounds = rounds.iter().zip(1..).map(|(open, number)| round(number, if *open { &["a:1"] } else { &[] }));
    let rounds: Vec<Round> = rounds.collect();
    Log { begun: rounds.len() as u64, rounds }
}

/// The lines of a log, without the first ones.
fn lines(log: &Log, skip: usize) -> String {
    log.rounds.iter().skip(skip).map(|round| serde_json::to_string(round).unwrap() + "\n").collect()
}

/// A witness that could connect in ten rounds and has proven the cut by two more.
fn proven() -> (Store, Witness) {
    let store = Store::default();
    let pod = store.put(Kind::Pod, json!({"metadata": {"namespace": "n", "name": "w"}}));
    let uid = pod["metadata"]["uid"].as_str().map(str::to_owned);
    let key = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "w".into(), uid };
    let mut witness = Witness::new(store.cluster(), WitnessSpec { key, manifest: json!({}) });
    (witness.before, witness.cut_after, witness.cut_at) = (set(&["a:1"]), 10, Some(Instant::now()));
    witness.watched = Some(Watched::new(&log(&[[true; 10].as_slice(), &[false; 2]].concat()), Instant::now()));
    (store, witness)
}

/// Ten open rounds, and then these.
fn after_ten(rounds: &[&[bool]]) -> Log {
    log(&[[true; 10].as_slice(), rounds.concat().as_slice()].concat())
}

/// An empty log was "not cut", and one that could not be read was "cut".
#[tokio::test(start_paused = true)]
async fn a_log_that_shows_nothing_new_at_the_end_is_unknown() {
    let told = async |text: &str, is_refused: bool| {
        let (store, mut witness) = proven();
        store.set_log("n", "w", text.to_owned());
        store.script(
            move |_, asked| if is_refused && asked.ends_with("/log") { Fate::Refused(500) } else { Fate::Answered },
        );
        match witness.conclude().await {
            Err(FaultError::Unknown(why)) => why.message,
            other => panic!("{other:?}"),
        }
    };
    let rounds = |count| lines(&after_ten(&[&[false; 9][..count]]), 0);
    assert!(told("", false).await.ends_with(": its log is empty"));
    assert!(told(&rounds(9), true).await.contains(": its log could not be read ("));
    assert!(told(&rounds(2), false).await.ends_with(": it has not tried to connect since the last look"));
    assert!(told(&rounds(3), false).await.ends_with(": it has tried to connect only once since the last look"));
}

#[tokio::test(start_paused = true)]
async fn the_last_look_waits_for_fresh_rounds() {
    let (store, mut witness) = proven();
    let mut asked_before = 0;
    store.script(move |store, asked| {
        if !asked.ends_with("/log") {
            return Fate::Answered;
        }
        asked_before += 1;
        let text = if asked_before == 1 { String::new() } else { lines(&after_ten(&[&[false; 4]]), 0) };
        store.set_log("n", "w", text);
        if asked_before == 2 { Fate::Refused(500) } else { Fate::Answered }
    });
    let found = witness.conclude().await.unwrap();
    assert!(found[0].holds && found[0].shows == Proof::Enforced, "{found:?}");
    assert!(witness.unproven().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_open_link_at_the_end_refutes_the_cut() {
    let (store, mut witness) = proven();
    store.set_log("n", "w", lines(&after_ten(&[&[false; 4], &[true; 2]]), 0));
    let found = witness.conclude().await.unwrap();
    assert!(!found[0].holds && found[0].detail.contains("can still connect to a:1"), "{found:?}");
}

const OPEN: &str = "the witness could connect to a:1";

/// Only the last two rounds counted.
#[tokio::test(start_paused = true)]
async fn a_time_in_the_middle_in_which_it_could_connect_is_a_stretch_without_proof() {
    let (store, mut witness) = proven();
    // Twenty rounds in three seconds: open from the eighth to the twelfth after the proof.
    let shut_again = after_ten(&[&[false; 9], &[true; 5], &[false; 8]]);
    store.set_log("n", "w", lines(&shut_again, 0));
    let begun = Instant::now();
    assert!(tokio::time::timeout(SAMPLE * 3 / 2, witness.sample()).await.is_err(), "it never ends");
    let [stretch] = witness.unproven() else { panic!("{:?}", witness.unproven()) };
    assert_eq!(stretch.why, OPEN);
    let seconds = |at: Instant| (at - begun).as_secs_f64();
    let (from_s, to_s) = (seconds(stretch.from), seconds(stretch.to.unwrap()));
    assert!((from_s - 1.2).abs() < 0.01 && (to_s - 1.95).abs() < 0.01, "{from_s} to {to_s}");

    // Rounds that the log has lost, and one that is open.
    store.set_log("n", "w", lines(&after_ten(&[&[false; 40], &[true], &[false; 2]]), 40));
    assert!(witness.conclude().await.unwrap()[0].holds);
    let [_, lost, open] = witness.unproven() else { panic!("{:?}", witness.unproven()) };
    assert_eq!((lost.why.as_str(), open.why.as_str()), ("the witness was not seen to try", OPEN));
    assert!(lost.to <= Some(open.from) && open.to.is_some());
}

/// Rounds that stand still for long show nothing of that time.
#[tokio::test(start_paused = true)]
async fn a_witness_that_stood_still_is_a_stretch_without_proof() {
    let (store, mut witness) = proven();
    tokio::time::advance(Duration::from_secs(20)).await;
    store.set_log("n", "w", lines(&after_ten(&[&[false; 8]]), 0));
    assert!(witness.conclude().await.unwrap()[0].holds);
    let [stretch] = witness.unproven() else { panic!("{:?}", witness.unproven()) };
    assert_eq!(stretch.why, "the witness was not seen to try");
    assert!(stretch.to.unwrap() - stretch.from >= Duration::from_secs(20));
}

/// The same errors counted as "reached no peer" before the cut, and as "not known yet" right after it.
#[tokio::test(start_paused = true)]
async fn a_log_that_shows_nothing_is_unknown_right_before_and_after_the_cut() {
    for is_refused in [true, false] {
        let (store, mut witness) = proven();
        let mut left = 2;
        store.script(move |store, asked| {
            if !asked.ends_with("/log") {
                return Fate::Answered;
            }
            let is_there = left == 0;
            left = if is_there { 2 } else { left - 1 };
            store.set_log("n", "w", if is_there { lines(&log(&[true; 10]), 0) } else { String::new() });
            if is_refused && !is_there { Fate::Refused(500) } else { Fate::Answered }
        });
        assert_eq!(witness.before().await, Ok(()));
        witness.cut_now().await;
        assert_eq!(witness.cut_after, u64::MAX);
        store.script(
            move |_, asked| if is_refused && asked.ends_with("/log") { Fate::Refused(500) } else { Fate::Answered },
        );
        store.set_log("n", "w", String::new());
        let why = witness.before().await.unwrap_err();
        assert!(why.starts_with("its log "), "{why}");
        assert!(matches!(witness.look().await, Err(FaultError::Unknown(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_reached_no_peer_before_proves_nothing() {
    let (store, mut witness) = proven();
    store.set_log("n", "w", lines(&log(&[false; 4]), 0));
    assert_eq!(witness.before().await, Err("it could not connect to any peer".to_owned()));
    assert!(matches!(witness.look().await, Ok(None)), "neither that it acts nor that it does not");
    assert!(witness.conclude().await.unwrap().is_empty());
}

#[test]
fn established_connections_are_reported_as_surviving_or_lost() {
    let rounds = |held: Held| {
        let mut last = round(30, &[]);
        last.held.insert("a:1".to_owned(), held);
        vec![last]
    };
    let shows = |held, seconds| established(&rounds(held), 10, Duration::from_secs(seconds)).map(|it| it.shows);
    assert_eq!(shows(Held::Alive, 60), Some(Proof::ConnectionsKept));
    assert_eq!(shows(Held::Alive, 2), None, "too early to tell");
    assert_eq!(shows(Held::Ended { round: 20 }, 2), Some(Proof::ConnectionsKept), "its end came through the cut");
    assert_eq!(shows(Held::Ended { round: 9 }, 60), None, "it ended before");
    assert_eq!(shows(Held::Lost { round: 20 }, 60), Some(Proof::ConnectionsCut));
    assert_eq!(shows(Held::Broken, 60), None);
    assert!(LOST_AFTER < KEPT_AFTER);
}

#[test]
fn a_witness_is_selected_by_the_policy_and_by_nothing_else() {
    let near =
        PodRef { namespace: "shop".into(), name: "w-0".into(), uid: "u".into(), node: Some("node-1".into()), ip: None };
    let pod = manifest(WitnessRequest {
        run: "20260301-105959-abcde",
        serial: 0,
        part: 1,
        fault: "cut",
        label: ("mark.shakedown.dev/x".into(), "20260301-105959-abcde".into()),
        near: &near,
        endpoints: vec!["10.0.0.4:4222".into()],
        image: &WitnessImage::named("example.org/shakedown:1"),
    });
    let labels = pod["metadata"]["labels"].as_object().unwrap();
    assert_eq!(labels["mark.shakedown.dev/x"], "20260301-105959-abcde");
    let refuses_sidecars = |key: &str| NO_SIDECARS.iter().any(|(label, _)| *label == key);
    let is_ours = |key: &str| key.contains("shakedown") || key == labels::MANAGED_BY || refuses_sidecars(key);
    assert!(labels.keys().all(|key| is_ours(key)), "{labels:?}");
    assert_eq!(pod["spec"]["readinessGates"][0]["conditionType"], "shakedown.dev/never");
    assert_eq!(pod["spec"]["nodeName"], "node-1");
    let args: Vec<&str> =
        pod["spec"]["containers"][0]["args"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(args[..3], ["pod", "probe", "--config"]);
    assert_eq!(
        serde_json::from_str::<ProbeConfig>(args[3]).unwrap(),
        ProbeConfig { to: "10.0.0.4:4222".into(), listen: 0 }
    );
}

#[test]
fn the_reason_why_a_pod_does_not_run_is_reported() {
    let state =
        |name: &str, reason: &str| json!({"name": name, "state": {"waiting": {"reason": reason, "message": "m"}}});
    let waiting = |reason: &str| {
        let statuses = [json!({"name": "istio-proxy", "state": {"running": {}}}), state(CONTAINER, reason)];
        json!({"status": {"phase": "Pending", "containerStatuses": statuses}})
    };
    assert_eq!(pod_trouble(&waiting("ImagePullBackOff")), Some(("ImagePullBackOff (m)".into(), true)));
    assert_eq!(pod_trouble(&waiting("ContainerCreating")), Some(("ContainerCreating (m)".into(), false)));
    let failed = json!({"status": {"phase": "Failed", "reason": "OutOfcpu"}});
    assert_eq!(pod_trouble(&failed), Some(("OutOfcpu".into(), true)));
    assert_eq!(pod_trouble(&json!({"status": {"phase": "Running"}})), None);
    let mut held_up = waiting("PodInitializing");
    held_up["status"]["initContainerStatuses"] = json!([state("istio-init", "ErrImagePull")]);
    assert_eq!(pod_trouble(&held_up), Some(("ErrImagePull (m)".into(), true)));
}

/// What Pod Security `restricted` asks of every pod, what quotas and limit ranges ask, and what meshes look at.
#[test]
fn a_pod_of_ours_is_admitted_and_left_alone() {
    let image = WitnessImage::named("example.org/shakedown:1");
    let pod = pod("p", "n", BTreeMap::new(), &image, &ProbeConfig { to: String::new(), listen: 1 });
    let container = &pod["spec"]["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["runAsNonRoot"], true);
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
    for list in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            assert!(container["resources"][list][resource].is_string(), "{list} {resource}");
        }
    }
    for (key, value) in [
        ("sidecar.istio.io/inject", "false"),
        ("linkerd.io/inject", "disabled"),
        ("vault.hashicorp.com/agent-inject", "false"),
    ] {
        assert_eq!(pod["metadata"]["annotations"][key], value);
    }
    assert_eq!(pod["metadata"]["labels"]["sidecar.istio.io/inject"], "false");
}

/// A local proxy accepts what a policy forbids to everybody else.
#[tokio::test]
async fn a_witness_with_another_container_never_shows_missing_enforcement() {
    let (_, mut witness) = proven();
    let open = || Seen::Open(set(&["a:1"]));
    assert!(witness.finding(open()).unwrap().detail.contains("nothing enforces the policy"));
    for list in ["containers", "initContainers"] {
        let mut pod = json!({"spec": {"containers": [{"name": CONTAINER}]}});
        assert_eq!(injected(&pod), None);
        pod["spec"][list] = json!([{"name": CONTAINER}, {"name": "istio-proxy"}]);
        witness.injected = injected(&pod);
        let found = witness.finding(open()).unwrap();
        assert!(
            !found.holds && found.detail.contains("is not conclusive") && found.detail.contains("istio-proxy"),
            "{found:?}"
        );
        assert!(
            witness.finding(Seen::Cut).unwrap().holds,
            "what it cannot reach any more is cut, with or without a proxy"
        );
    }
}
