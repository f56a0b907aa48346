use super::*;

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn round(number: u64, open: &[&str]) -> Round {
    Round { round: number, open: set(open), closed: BTreeSet::new(), held: BTreeMap::new() }
}

#[test]
fn two_whole_rounds_without_what_was_open_are_a_cut() {
    let before = set(&["a:1", "b:2"]);
    let judged = |rounds: &[Round]| judge(&before, 10, rounds).unwrap();
    assert!(!judged(&[round(10, &[]), round(11, &[])]).holds, "one round of its own is too few");
    assert!(judged(&[round(10, &["a:1"]), round(11, &[]), round(12, &[])]).holds);
    assert!(judged(&[round(11, &["a:1"]), round(12, &[]), round(13, &["c:3"])]).holds, "others do not count");
    let leaky = judged(&[round(11, &[]), round(12, &["b:2"])]);
    assert!(!leaky.holds && leaky.detail.contains("b:2") && !leaky.detail.contains("a:1"), "{}", leaky.detail);
}

#[test]
fn a_witness_that_reached_no_peer_before_proves_nothing() {
    for rounds in [&[round(3, &[]), round(4, &[])], &[round(3, &["a:1"]), round(4, &["a:1"])]] {
        assert!(judge(&BTreeSet::new(), 1, rounds).is_none(), "neither that it acts nor that it does not");
    }
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
    let store = shakedown_cluster::testing::store::Store::default();
    let key = ObjectKey { kind: Kind::Pod, namespace: "n".into(), name: "w".into(), uid: None };
    let mut witness = Witness::new(store.cluster(), WitnessSpec { key, manifest: json!({}) });
    (witness.before, witness.cut_after) = (set(&["a:1"]), 10);
    let (open, closed) = ([round(11, &["a:1"]), round(12, &["a:1"])], [round(11, &[]), round(12, &[])]);
    assert!(witness.judge(&open).unwrap().detail.contains("nothing enforces the policy"));
    for list in ["containers", "initContainers"] {
        let mut pod = json!({"spec": {"containers": [{"name": CONTAINER}]}});
        assert_eq!(injected(&pod), None);
        pod["spec"][list] = json!([{"name": CONTAINER}, {"name": "istio-proxy"}]);
        witness.injected = injected(&pod);
        let judged = witness.judge(&open).unwrap();
        assert!(
            !judged.holds && judged.detail.contains("is not conclusive") && judged.detail.contains("istio-proxy"),
            "{judged:?}"
        );
        assert!(witness.judge(&closed).unwrap().holds, "what it cannot reach any more is cut, with or without a proxy");
    }
}
