//! The fuse follows its runner: how long faults outlive a killed one, what an outage of the API server does, what a slow run
//! does to its own fuse, and clusters that refuse a part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::campaign::case::{Case, GRACE, Place};
use crate::campaign::proxy::{Call, Handling};
use crate::campaign::{control_plane, on_a_sandbox, run, scenario, seed};
use crate::support::deployment::{Inference, TestCluster, api};
use crate::support::scenario;
use crate::support::shakedown::Shakedown;
use crate::support::stage::{Stage, wait};

/// A fault that lasts for `LASTS`.
const LONG: &str = scenario!(
    "long",
    "5/s",
    r#"  - name: before
    duration: 1s
  - name: cut
    duration: LASTS
    faults:
      first:
        partition: {pods: {name: one}, from: [{pods: {labels: {app: peer}}}], prove: applied}
    expect:
      - success_rate: {min: 50%}
"#
);

/// Two faults, one after the other.
const TWO: &str = scenario!(
    "two",
    "40/s",
    r#"  - name: one
    duration: 1s
    faults:
      first:
        partition: {pods: {name: one}, from: [{pods: {labels: {app: peer}}}], prove: applied}
    expect: [success_rate: {min: 50%}]
  - name: two
    duration: 1s
    faults:
      second:
        partition: {pods: {name: two}, from: [{cidr: 203.0.113.0/24}], prove: applied}
    expect: [success_rate: {min: 50%}]
"#
);

const CLAIMED: &str = r#""fault":"first","state":"claimed""#;
/// The shortest fuse that can be asked for.
const SHORT: Duration = Duration::from_secs(5);
const SHORT_FUSE: [&str; 2] = ["--fuse-margin", "5s"];

/// How long the faults of the runs last that are killed.
const PLANS: [&str; 3] = ["1m", "10m", "6h"];

/// How much is measured.
struct Extent {
    runs: usize,
    /// Each run is killed at a random moment of its fault before this one.
    latest: Duration,
    /// The number of concurrent runs, each in a namespace of its own. They mostly wait.
    at_once: usize,
}

impl Extent {
    /// `SHAKEDOWN_CAMPAIGN=full` takes seven and a half minutes.
    fn asked() -> Self {
        match std::env::var("SHAKEDOWN_CAMPAIGN").as_deref() {
            Ok("full") => Self { runs: 50, latest: Duration::from_secs(90), at_once: 12 },
            _ => Self { runs: 6, latest: Duration::from_secs(25), at_once: 6 },
        }
    }
}

/// A run that was killed: after how long, and how long it took from then until nothing of it was left.
struct Killed {
    lasts: &'static str,
    after: Duration,
    gone: Result<Duration, Vec<String>>,
}

const LIFE: Duration = Duration::from_secs(30);

/// How often a run is started that ends by itself: dozens of them share this machine.
const STARTS: usize = 3;

async fn killed(place: Place, number: usize, lasts: &'static str, after: Duration) -> Killed {
    let scenario = LONG.replace("LASTS", lasts);
    for attempt in 1..=STARTS {
        let name = format!("killed-{number}-{attempt}");
        let mut case = Case::of(&place, &name, &scenario, &[], LIFE, |_: &Call| Handling::Forward).await;
        if case.comes_to("out/events.ndjson", CLAIMED).await {
            tokio::time::sleep(after).await;
            if !case.is_over() {
                case.kill().await;
                let gone = case.gone().await;
                case.close().await;
                return Killed { lasts, after, gone };
            }
        }
        let ended = case.ended().await.expect("an end");
        eprintln!("run {number} ended before it was killed: exit code {:?}\n{}", ended.code, ended.stderr);
        case.close().await;
    }
    panic!("run {number} ended by itself {STARTS} times");
}

/// Prints the times until everything was gone, of each plan and of all.
fn show(release: &str, killed: &[Killed]) {
    println!("| release | fault | runs | killed after | median time to clean | maximum |");
    println!("| --- | --- | ---: | --- | ---: | ---: |");
    for plan in PLANS.map(Some).into_iter().chain([None]) {
        let of = || killed.iter().filter(move |it| plan.is_none_or(|plan| it.lasts == plan));
        let mut gone: Vec<f64> = of().filter_map(|it| Some(it.gone.as_ref().ok()?.as_secs_f64())).collect();
        gone.sort_by(f64::total_cmp);
        let after = || of().map(|it| it.after.as_secs());
        let (Some(first), Some(last), Some(slowest)) = (after().min(), after().max(), gone.last()) else { continue };
        let median = f64::midpoint(gone[(gone.len() - 1) / 2], gone[gone.len() / 2]);
        let (name, runs) = (plan.unwrap_or("all"), gone.len());
        println!("| {release} | {name} | {runs} | {first} s to {last} s | {median:.1} s | {slowest:.1} s |");
    }
}

#[test]
#[ignore = "needs a cluster"]
fn a_killed_runner_is_undone_half_a_minute_later_whatever_was_planned() {
    let Extent { runs, latest, at_once } = Extent::asked();
    run(&control_plane(), async |place| {
        let mut random = StdRng::seed_from_u64(seed());
        let release = place.server.release().await;
        let cases = (0..runs).map(|number| {
            let lasts = PLANS[number % PLANS.len()];
            // The end of the fault is no longer the killed runner's: a margin is left for a busy machine.
            let planned = if lasts == "1m" { Duration::from_secs(50) } else { latest };
            let after = planned.min(latest).mul_f64(random.random_range(0.0..1.0));
            killed(place.clone(), number, lasts, after)
        });
        let cases: Vec<_> = cases.collect();
        let cases = futures::stream::iter(cases).map(tokio::spawn).buffered(at_once);
        let killed: Vec<Killed> = cases.try_collect().await.expect("no panic");
        show(&release, &killed);
        for Killed { lasts, after, gone } in killed {
            let gone =
                gone.unwrap_or_else(|left| panic!("a fault of {lasts}, killed after {after:.1?}: left {left:?}"));
            // The last push is at most 3 s old, and the clocks of Jobs count whole seconds.
            let fits = gone >= Duration::from_secs(25) && gone <= LIFE + Duration::from_secs(1) + GRACE;
            assert!(fits, "a fault of {lasts}, killed after {after:.1?}: {gone:?}");
        }
    });
}

/// The server is silent until the run says that its fuse burned down.
async fn an_outage_longer_than_the_fuse_ends_the_fault(place: &Place) {
    let silent = Arc::new(AtomicBool::new(false));
    let is_silent = silent.clone();
    let script = move |_: &Call| if is_silent.load(Ordering::SeqCst) { Handling::Silence } else { Handling::Forward };
    let scenario = LONG.replace("LASTS", "60s");
    let mut case = Case::of(place, "outage-long", &scenario, &SHORT_FUSE, SHORT, script).await;
    case.until("out/events.ndjson", CLAIMED).await;
    silent.store(true, Ordering::SeqCst);
    case.until("out/events.ndjson", "stopped: the fuse of namespace").await;
    case.gone().await.expect("the cluster removes the fault");
    silent.store(false, Ordering::SeqCst);
    let ended = case.ended().await.expect("an end");
    assert_eq!(ended.code, Some(4), "{}\n{:#}", ended.stderr, ended.result["scenarios"][0]["errors"]);
    let scenario = &ended.result["scenarios"][0];
    let fault = &scenario["faults"][0];
    assert_eq!((&fault["state"], &fault["injection"]), (&json!("undone"), &json!("inconclusive")), "{fault:#}");
    for text in [&fault["problem"], &scenario["reason"]] {
        let text = text.as_str().unwrap_or_default();
        assert!(text.contains("ended early by its fuse") && text.contains("could not push it for 5 s"), "{text}");
    }
    assert_eq!(case.marked().await, Vec::<String>::new());
    case.close().await;
}

/// Another client deletes the fuse, and the cluster everything that it owns.
async fn a_fuse_that_is_deleted_ends_the_fault(place: &Place) {
    let scenario = LONG.replace("LASTS", "60s");
    let mut case = Case::of(place, "deleted", &scenario, &SHORT_FUSE, SHORT, |_: &Call| Handling::Forward).await;
    case.until("out/events.ndjson", CLAIMED).await;
    let namespace = case.namespace();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/jobs/shakedown-fuse-{}-0", case.run_id());
    let (status, answer) = case.server().ask(reqwest::Method::DELETE, &path, None).await;
    assert!(status.is_success(), "{status} {answer}");
    let ended = case.ended().await.expect("an end");
    assert_eq!(ended.code, Some(4), "{}\n{:#}", ended.stderr, ended.result["scenarios"][0]["errors"]);
    let reason = ended.result["scenarios"][0]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("ended early by its fuse") && reason.contains("deleted by another client"), "{reason}");
    assert_eq!([case.left().await, case.marked().await].concat(), Vec::<String>::new());
    case.close().await;
}

/// Each injection takes longer than the fuse lives.
async fn a_slow_run_does_not_burn_its_own_fuse(place: &Place) {
    let script = |call: &Call| match call.what.starts_with("POST ") && call.what.ends_with("/networkpolicies") {
        true => Handling::Late(Duration::from_secs(6)),
        false => Handling::Forward,
    };
    let mut case = Case::of(place, "slow", TWO, &SHORT_FUSE, SHORT, script).await;
    let ended = case.ended().await.expect("an end");
    assert_eq!(ended.code, Some(0), "{}\n{:#}", ended.stderr, ended.result["scenarios"][0]);
    assert_eq!([case.left().await, case.marked().await].concat(), Vec::<String>::new());
    case.close().await;
}

async fn follows(place: &Place) {
    tokio::join!(
        an_outage_longer_than_the_fuse_ends_the_fault(place),
        a_fuse_that_is_deleted_ends_the_fault(place),
        a_slow_run_does_not_burn_its_own_fuse(place),
    );
}

#[test]
fn on_the_sandbox_the_fuse_follows_the_runner() {
    on_a_sandbox(&Shakedown::new(), follows);
}

#[test]
#[ignore = "needs a cluster"]
fn on_the_control_plane_the_fuse_follows_the_runner() {
    run(&control_plane(), follows);
}

// ---------------------------------------------------------------- clusters that refuse

const CUT: &str = "    cut: {partition: {pods: {prefix: worker}, from: [{service: bus}], prove: HOW}}";

/// A quota that leaves no room for a witness. It is named before any load is sent, and the fuse needs no room.
#[test]
#[ignore = "needs a cluster"]
fn a_quota_that_refuses_our_pod_is_named_before_load() {
    let stage = Stage::new(api());
    let shakedown = Shakedown::new();
    stage.kubectl.run(&["-n", &stage.namespace, "create", "quota", "no-room", "--hard=pods=3"]);
    let quota = || stage.kubectl.get(&["quota", "no-room", "-n", &stage.namespace]);
    wait("the quota", || quota()["status"]["used"]["pods"] == "3");
    let image = ["--witness-image", "shakedown.invalid/witness"];
    let refused = stage.run(&shakedown, &CUT.replace("HOW", "witness"), &image);
    let refused = refused.expect_code(3).expect_stderr(&["exceeded quota: no-room"]);
    assert!(!refused.stderr.contains("phase before"), "{refused}");
    stage.run(&shakedown, &CUT.replace("HOW", "applied"), &["--out", "applied"]).expect_code(0);
    stage.expect_clean();
}

/// A limit range that a witness is too small for. The fuse has no pod, so none is too small.
#[test]
#[ignore = "needs a cluster"]
fn a_limit_range_that_refuses_our_pod_is_named_before_load() {
    let stage = Stage::new(api());
    let shakedown = Shakedown::new();
    stage.kubectl.create(&json!({
        "apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "large", "namespace": stage.namespace},
        "spec": {"limits": [{"type": "Container", "min": {"memory": "128Mi"}}]},
    }));
    let image = ["--witness-image", "shakedown.invalid/witness"];
    let refused = stage.run(&shakedown, &CUT.replace("HOW", "witness"), &image);
    let refused = refused.expect_code(3).expect_stderr(&["minimum memory usage per Container is 128Mi"]);
    assert!(!refused.stderr.contains("phase before"), "{refused}");
    stage.run(&shakedown, &CUT.replace("HOW", "applied"), &["--out", "applied"]).expect_code(0);
    stage.expect_clean();
}

/// A policy that allows one registry. It looks at the templates of Jobs as well.
#[test]
#[ignore = "needs a cluster"]
fn an_allow_list_of_registries_is_named_and_satisfied_by_the_fuses_image() {
    let stage = Stage::new(api());
    let shakedown = Shakedown::new();
    let name = format!("{}-registries", stage.namespace);
    let rule = "object.spec.template.spec.containers.all(c, c.image.startsWith('registry.example/'))";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]},
            ]},
            "validations": [{"expression": rule, "message": "images come from registry.example"}],
        },
    });
    shakedown.file("policy.json", policy.to_string());
    let file = shakedown.path("policy.json");
    if stage.kubectl.try_run(&["create", "-f", file.to_str().expect("UTF-8")]).code() != 0 {
        println!("this release has no ValidatingAdmissionPolicy");
        return;
    }
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}});
    stage.kubectl.create(&json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}},
    }));
    let try_job = ["-n", &stage.namespace, "create", "job", "x", "--image=x", "--dry-run=server"];
    wait("the policy", || stage.kubectl.try_run(&try_job).code() != 0);
    let fault = CUT.replace("HOW", "applied");
    let refused = stage.run(&shakedown, &fault, &[]).expect_code(3);
    let refused = refused.expect_stderr(&[&name, "images come from registry.example", "--fuse-image"]);
    assert!(!refused.stderr.contains("phase before"), "{refused}");
    stage.run(&shakedown, &fault, &["--out", "named", "--fuse-image", "registry.example/any"]).expect_code(0);
    for kind in ["validatingadmissionpolicybinding", "validatingadmissionpolicy"] {
        stage.kubectl.run(&["delete", kind, &name]);
    }
}

/// A namespace that enforces Pod Security `restricted`: fuse, witness and canary start in it.
#[test]
#[ignore = "needs a cluster"]
fn everything_of_ours_starts_where_pod_security_is_restricted() {
    let inference = Inference::new(TestCluster::get(), 2);
    let (kubectl, namespace) = (&inference.cluster.kubectl, &inference.namespace);
    // The deployment's own pods are there already.
    kubectl.run(&["label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted"]);
    let shakedown = Shakedown::new();
    let image = inference.cluster.program.as_str();
    let at = ["--kubeconfig", kubectl.kubeconfig()];
    let doctor = [&["doctor", "--namespace", namespace, "--canary-image", image], &at[..]].concat();
    let doctor = shakedown.run(&doctor);
    assert!(doctor.stdout.contains("canary"), "{doctor}");
    let space = format!("namespace={namespace}");
    let short = ["--var", "rate=20/s", "--var", "baseline=8s", "--var", "fault=25s", "--var", "recovery=20s"];
    let args = ["run", &scenario("block-nats.yaml"), "--out", "out", "--witness-image", image, "--var", &space];
    let finished = shakedown.start(&[&args, &short[..], &at[..]].concat()).finish(Duration::from_secs(240));
    let reports = shakedown.reports("out");
    assert_eq!(finished.code(), 0, "{finished}\n{}", reports.found());
    reports.expect_proven_and_undone();
}
