//! The campaigns behind the promise that undo does not depend on the runner being alive.
//!
//! `kill`: a run with two partitions, one of them with a witness (in the sandbox, where Chaos Mesh is at hand: a partition, a
//! degradation, an object of the scenario's own and a kill), is killed with SIGKILL right before and right after each
//! of its acts on the cluster (each entry of its journal), and at random moments. With no process of ours alive, everything
//! must be gone within the fuse's deadline and ten seconds, and `cleanup --check` must agree.
//!
//! `trouble`: each of its API calls in turn is answered with an error, a reset, a delay or silence, or is the last one
//! that is answered at all. It must end, never pass with something left, and never exit 0 with something left; and after
//! its fuse, `cleanup --check` finds nothing.
//!
//! They are ignored by default: they take minutes, and some need a cluster. `SHAKEDOWN_CAMPAIGN` is `short` (the default, as in
//! `.ci/run`: a kill at every act, and one kind of trouble for every call) or `full` (fifty random moments in addition, and
//! every kind of trouble for every call):
//!
//!     SHAKEDOWN_CAMPAIGN=full cargo test --test integration campaign:: -- --ignored --nocapture

pub mod case;
pub mod proxy;
pub mod server;

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use hyper::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support;
use crate::support::process::Running;
use crate::support::shakedown::Shakedown;
use case::{Case, Place};
use proxy::{Call, Deed};
use server::Server;

/// How many cases run at once. Most of their time they wait.
const AT_ONCE: usize = 12;
/// A fuse that burns down soon after a runner's last sign of life, for those that are killed.
const SHORT_FUSE: Duration = Duration::from_secs(8);
/// A fuse that leaves a run time to fight with its server.
const LONG_FUSE: Duration = Duration::from_secs(60);

/// What a case showed.
struct Shown {
    group: String,
    name: String,
    /// How long it took until nothing was left, where the cluster had to do it.
    gone: Option<Duration>,
    left: Vec<String>,
    problems: Vec<String>,
}

type Future = Pin<Box<dyn std::future::Future<Output = Shown> + Send>>;

/// How much of a campaign is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// Every act and every call once.
    Short,
    /// Everything.
    Full,
}

fn form() -> Form {
    match std::env::var("SHAKEDOWN_CAMPAIGN").as_deref() {
        Ok("full") => Form::Full,
        Ok("short") | Err(VarError::NotPresent) => Form::Short,
        other => panic!("SHAKEDOWN_CAMPAIGN is `short` or `full`, not {other:?}"),
    }
}

/// Runs the cases, some at once, prints the table, and fails with all problems.
async fn campaign(title: &str, cases: Vec<Future>) {
    let begun = std::time::Instant::now();
    let count = cases.len();
    let shown: Vec<Shown> = futures::stream::iter(cases).buffer_unordered(AT_ONCE).collect().await;
    let mut groups: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
    for it in &shown {
        groups.entry(&it.group).or_default().push(it);
    }
    let mut table = format!("\n{title}: {count} cases in {:.0} s\n", begun.elapsed().as_secs_f64());
    _ = writeln!(table, "  {:34} {:>5} {:>8} {:>9} {:>13}", "", "cases", "survived", "leftovers", "slowest gone");
    for (group, cases) in groups.iter().map(|(group, cases)| (*group, cases.as_slice())).chain([("all", [].as_slice())])
    {
        let all: Vec<&Shown> = shown.iter().collect();
        let cases = if group == "all" { &all } else { cases };
        let survived = cases.iter().filter(|it| it.problems.is_empty()).count();
        let left: usize = cases.iter().map(|it| it.left.len()).sum();
        let slowest = cases.iter().filter_map(|it| it.gone).max();
        let slowest = slowest.map_or_else(|| "-".to_owned(), |gone| format!("{:.1} s", gone.as_secs_f64()));
        _ = writeln!(table, "  {group:34} {:>5} {survived:>8} {left:>9} {slowest:>13}", cases.len());
    }
    // Past the capture of a passing test's output: the figures are the point.
    _ = std::io::stderr().write_all(table.as_bytes());
    let problems: Vec<String> = shown
        .into_iter()
        .flat_map(|it| it.problems.into_iter().map(move |problem| format!("{} {}: {problem}", it.group, it.name)))
        .collect();
    support::none_of(&problems);
}

/// The calls of a run that nothing happens to, and how long it takes from its start to its end.
async fn rehearse(place: &Place) -> (Vec<Call>, Duration) {
    let mut case = Case::start(place, "rehearsal", LONG_FUSE, |_| Deed::Forward).await;
    let begun = std::time::Instant::now();
    let ended = case.ended().await.expect("an end");
    let took = begun.elapsed();
    assert!(ended.code == Some(0), "exit code {:?}\n{}", ended.code, ended.stderr);
    assert_eq!(case.left().await, Vec::<String>::new());
    assert_eq!(case.marked().await, Vec::<String>::new());
    let calls = case.proxy.calls();
    case.close().await;
    (calls, took)
}

/// Kills a run when a call is held, or after a while, and looks at what becomes of its faults.
async fn killed(place: Place, group: String, name: String, at: Result<(usize, Deed), Duration>) -> Shown {
    let script = move |call: &Call| match at {
        Ok((act, deed)) if call.act == Some(act) => deed,
        _ => Deed::Forward,
    };
    let mut case = Case::start(&place, &name, SHORT_FUSE, script).await;
    let wait = async {
        match at {
            Ok(_) => case.proxy.held().await,
            Err(moment) => tokio::time::sleep(moment).await,
        }
    };
    // A run that is slower than its fuse ends by itself, on another way than the rehearsal's.
    _ = tokio::time::timeout(Duration::from_secs(40), wait).await;
    let over = case.is_over();
    case.kill().await;
    let mut shown = Shown { group, name, gone: None, left: Vec::new(), problems: Vec::new() };
    match case.gone().await {
        Ok(gone) if !over => shown.gone = Some(gone),
        Ok(_) => {}
        Err(left) => {
            shown.problems.push(format!("after the fuse's deadline and {:?}: {}", case::GRACE, left.join(", ")));
            shown.left = left;
        }
    }
    let by_labels = case.cleanup(&["--check", "--all", "--namespace", case.namespace()]).await;
    if by_labels.0 != Some(0) {
        shown.problems.push(format!("cleanup --check --all: {by_labels:?}"));
    }
    if case.journal().is_some() {
        // What no fuse removes does no harm, and cleanup takes it off; twice is as good as once.
        for args in [&["--check", "out"][..], &["out"], &["out"]] {
            let answer = case.cleanup(args).await;
            if answer.0 != Some(0) {
                shown.problems.push(format!("cleanup {args:?}: {answer:?}"));
            }
        }
        let marked = case.marked().await;
        if !marked.is_empty() {
            shown.problems.push(format!("marks after cleanup: {}", marked.join(", ")));
        }
    }
    case.close().await;
    shown
}

async fn kill_campaign(place: &Place) {
    let (calls, took) = rehearse(place).await;
    let mut cases: Vec<Future> = Vec::new();
    for call in &calls {
        let Some(act) = call.act else { continue };
        for (word, deed) in [("before", Deed::HoldBefore), ("after", Deed::HoldAfter)] {
            let group = format!("killed right {word} an act");
            cases.push(Box::pin(killed(place.clone(), group, format!("{word}-{act}"), Ok((act, deed)))));
        }
    }
    let acts = calls.iter().filter(|call| call.act.is_some()).count();
    assert!(acts >= 12, "the faults, a fuse and a lock are at least twelve acts: {calls:#?}");
    let seed = std::env::var("SHAKEDOWN_CAMPAIGN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = StdRng::seed_from_u64(seed);
    let moments = match form() {
        Form::Short => 6,
        Form::Full => 50,
    };
    for number in 0..moments {
        let moment = took.mul_f64(random.random_range(0.0..1.0));
        let group = format!("killed at a random moment (seed {seed})");
        cases.push(Box::pin(killed(place.clone(), group, format!("random-{number}"), Err(moment))));
    }
    campaign(&format!("SIGKILL, {}", place.server.name), cases).await;
}

/// Does something to some calls of a run, and looks at how it ends.
async fn troubled(
    place: Place,
    group: String,
    name: String,
    fuse: Duration,
    script: impl Fn(&Call) -> Deed + Send + Sync + 'static,
) -> Shown {
    let mut case = Case::start(&place, &name, fuse, script).await;
    let mut shown = Shown { group, name, gone: None, left: Vec::new(), problems: Vec::new() };
    match case.ended().await {
        Err(problem) => shown.problems.push(problem),
        Ok(ended) => {
            let left = [case.left().await, case.marked().await].concat();
            let passed = ended.code == Some(0) || ended.verdict.as_deref() == Some("pass");
            if passed && !left.is_empty() {
                shown.problems.push(format!("exit code {:?} with {} left", ended.code, left.join(", ")));
            } else if !left.is_empty() && ended.code != Some(6) {
                shown.problems.push(format!(
                    "exit code {:?} and not 6 with {} left\n{}",
                    ended.code,
                    left.join(", "),
                    ended.stderr
                ));
            }
            if !matches!(ended.code, Some(0 | 1 | 3 | 4 | 6)) {
                shown.problems.push(format!("exit code {:?}\n{}", ended.code, ended.stderr));
            }
        }
    }
    if !case.left().await.is_empty() {
        match case.gone().await {
            Ok(gone) => shown.gone = Some(gone),
            Err(left) => {
                shown.problems.push(format!("after the fuse's deadline and {:?}: {}", case::GRACE, left.join(", ")));
                shown.left = left;
            }
        }
    }
    let by_labels = case.cleanup(&["--check", "--all", "--namespace", case.namespace()]).await;
    if by_labels.0 != Some(0) {
        shown.problems.push(format!("cleanup --check --all: {by_labels:?}"));
    }
    case.close().await;
    shown
}

async fn trouble_campaign(place: &Place) {
    let kinds = [
        ("500", Deed::Refuse(StatusCode::INTERNAL_SERVER_ERROR)),
        ("503", Deed::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
        ("429 with Retry-After", Deed::Refuse(StatusCode::TOO_MANY_REQUESTS)),
        ("reset before the act", Deed::Reset),
        ("reset after the act", Deed::ResetAfter),
        ("12 s late", Deed::Late(Duration::from_secs(12))),
        ("silence", Deed::Silence),
    ];
    let (calls, _) = rehearse(place).await;
    let mut cases: Vec<Future> = Vec::new();
    for call in &calls {
        let number = call.number;
        for (kind, (word, deed)) in kinds.into_iter().enumerate() {
            let wanted = match form() {
                Form::Short => number % kinds.len() == kind,
                Form::Full => true,
            };
            if wanted {
                let script = move |call: &Call| if call.number == number { deed } else { Deed::Forward };
                let name = format!("kind{kind}-{number}");
                cases.push(Box::pin(troubled(place.clone(), format!("one call: {word}"), name, LONG_FUSE, script)));
            }
        }
        let every = match form() {
            Form::Short => 6,
            Form::Full => 1,
        };
        if number % every == every - 1 {
            let dead = move |call: &Call| {
                if call.number < number { Deed::Forward } else { Deed::Refuse(StatusCode::SERVICE_UNAVAILABLE) }
            };
            let group = "no call answered any more".to_owned();
            cases.push(Box::pin(troubled(place.clone(), group, format!("dead-{number}"), SHORT_FUSE, dead)));
        }
    }
    campaign(&format!("API trouble, {}", place.server.name), cases).await;
}

/// The sandbox in a process of its own, as an API server; it ends with this.
pub struct Sandbox {
    _process: Running,
    kubeconfig: PathBuf,
}

impl Sandbox {
    pub fn server(&self) -> Server {
        Server::of(server::SANDBOX, &self.kubeconfig)
    }

    pub fn start(shakedown: &Shakedown) -> Self {
        let kubeconfig = shakedown.path("kubeconfig");
        let path = kubeconfig.to_str().expect("a path in UTF-8");
        let process = shakedown.start(&["sandbox", "--write-kubeconfig", path]);
        process.stderr_line("the sandbox serves on", Duration::from_secs(60));
        Self { _process: process, kubeconfig }
    }
}

/// Runs a campaign in a runtime of its own.
pub fn run(server: &Server, campaign: impl AsyncFnOnce(&Place)) {
    let tag = format!("campaign-{:x}", rand::random::<u32>());
    let place = Place { server: server.clone(), url: support::server::serve(200), tag };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(campaign(&place));
}

pub fn provide_tls() {
    _ = rustls::crypto::ring::default_provider().install_default();
}

/// The real control plane. A test fails here where there is none.
#[track_caller]
pub fn control_plane() -> Server {
    let kubectl = support::deployment::start(&["--control-plane"]);
    let kubectl = kubectl.unwrap_or_else(|why| panic!("this test needs a cluster: {why}"));
    Server::of("real control plane", std::path::Path::new(kubectl.kubeconfig()))
}

#[test]
#[ignore = "takes minutes"]
fn on_the_sandbox_a_killed_run_leaves_nothing() {
    provide_tls();
    let shakedown = Shakedown::undisturbed();
    let sandbox = Sandbox::start(&shakedown);
    run(&sandbox.server(), kill_campaign);
}

#[test]
#[ignore = "takes minutes"]
fn on_the_sandbox_no_trouble_leaves_anything() {
    provide_tls();
    let shakedown = Shakedown::undisturbed();
    let sandbox = Sandbox::start(&shakedown);
    run(&sandbox.server(), trouble_campaign);
}

#[test]
#[ignore = "needs a cluster, takes minutes"]
fn on_the_control_plane_a_killed_run_leaves_nothing() {
    provide_tls();
    run(&control_plane(), kill_campaign);
}

#[test]
#[ignore = "needs a cluster, takes minutes"]
fn on_the_control_plane_no_trouble_leaves_anything() {
    provide_tls();
    run(&control_plane(), trouble_campaign);
}
