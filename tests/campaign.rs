//! The campaigns behind the promise that undo does not depend on the runner being alive.
//!
//! Each case is a run in a namespace of its own, with faults of several kinds: a partition with a witness, a degradation by Chaos
//! Mesh, an object that the scenario writes out, and a kill. The real control plane has no Chaos Mesh, so a controller of the tests
//! keeps its contract there. Three checks follow, by plain HTTP and without the program's own code: that the faults of a run that
//! passed acted (`history`), that nothing of ours is left, and that no object of another client has changed.
//!
//! `kill`: a run is killed with SIGKILL right before and right after each of its actions on the cluster (each entry of its journal),
//! and at random moments. With no process of ours alive, everything must be gone within the fuse's deadline and ten seconds, and
//! `cleanup --check` must agree.
//!
//! `trouble`: each of its API calls in turn is answered with an error, a reset, a delay or silence, or is the last one
//! that is answered at all. It must end, never pass with something left, and never exit 0 with something left; and after
//! its fuse, `cleanup --check` finds nothing.
//!
//! `adversary`: scenarios are drawn from a seed. Right before one of its calls, another actor creates, deletes or changes an object;
//! or the run's wall clock is wrong while a second run and a `cleanup --all` come, or a second run takes over what it left; or the
//! process is stopped for longer than its fuse lives.
//!
//! They are ignored by default: they take minutes, and some need a cluster. `SHAKEDOWN_CAMPAIGN` is `short` (the default, as in
//! `.ci/run`: a kill at every act, a sample of the adversary, and one kind of trouble for every call, or on the real control plane
//! for every act and a fourth of the other calls) or `full` (fifty random moments in addition, every kind of trouble for every
//! call, and the adversary at every call).
//! `SHAKEDOWN_CAMPAIGN_SEED` draws others:
//!
//!     SHAKEDOWN_CAMPAIGN=full cargo test --test integration campaign:: -- --ignored --nocapture

/// The text of a scenario from its name, the rate of its load and its phases. `Case` puts a namespace and an address in the place
/// of `NAMESPACE` and `URL`.
macro_rules! scenario {
    ($name:literal, $rate:literal, $phases:literal) => {
        concat!(
            "version: 1\nname: ",
            $name,
            "\nnamespace: NAMESPACE\nload:\n  requests: {http: {url: \"URL\"}, rate: ",
            $rate,
            ", timeout: 2s}\nphases:\n",
            $phases
        )
    };
}
pub(crate) use scenario;

mod actor;
mod adversary;
pub mod case;
mod clock;
mod history;
mod mix;
pub mod proxy;
pub mod server;
mod table;
mod trouble;

use std::env::VarError;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;

use crate::support;
use crate::support::process::Running;
use crate::support::shakedown::Shakedown;
use case::Place;
use server::Server;
use table::Shown;

/// The number of concurrent cases. They mostly wait.
const AT_ONCE: usize = 12;
/// A fuse that burns down soon after a runner's last sign of life, for those that are killed.
const SHORT_FUSE: Duration = Duration::from_secs(8);
/// A fuse that leaves a run time to fight with its server.
const LONG_FUSE: Duration = Duration::from_secs(60);

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

/// The seed of everything that is drawn.
pub fn seed() -> u64 {
    std::env::var("SHAKEDOWN_CAMPAIGN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Runs the cases, some at once, prints the table, and fails with all problems.
async fn campaign(title: &str, cases: Vec<Future>) {
    let begun = std::time::Instant::now();
    let shown: Vec<Shown> = futures::stream::iter(cases).buffer_unordered(AT_ONCE).collect().await;
    // Past the capture of a passing test's output: the figures are the point.
    _ = std::io::stderr().write_all(table::table(title, begun.elapsed(), &shown).as_bytes());
    support::none_of(&shown.iter().flat_map(Shown::all_problems).collect::<Vec<_>>());
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
        let process = shakedown.start(&["sandbox", "--topology", "quick", "--write-kubeconfig", path]);
        process.stderr_line("the sandbox listens on", Duration::from_secs(60));
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

/// Runs cases against a sandbox of their own, which takes its turn among the tests as `shakedown` does.
pub fn on_a_sandbox(shakedown: &Shakedown, cases: impl AsyncFnOnce(&Place)) {
    let sandbox = Sandbox::start(shakedown);
    run(&sandbox.server(), cases);
}

/// The real control plane. A test fails here where there is none.
#[track_caller]
pub fn control_plane() -> Server {
    let kubectl = support::deployment::start(&["--control-plane"]);
    let kubectl = kubectl.unwrap_or_else(|why| panic!("this test needs a cluster: {why}"));
    support::stage::define(&kubectl);
    Server::of("real control plane", std::path::Path::new(kubectl.kubeconfig()))
}

#[test]
#[ignore = "takes minutes"]
fn on_the_sandbox_a_killed_run_leaves_nothing() {
    on_a_sandbox(&Shakedown::undisturbed(), trouble::kill_campaign);
}

#[test]
#[ignore = "takes minutes"]
fn on_the_sandbox_no_trouble_leaves_anything() {
    on_a_sandbox(&Shakedown::undisturbed(), trouble::trouble_campaign);
}

#[test]
#[ignore = "needs a cluster, takes minutes"]
fn on_the_control_plane_a_killed_run_leaves_nothing() {
    run(&control_plane(), trouble::kill_campaign);
}

#[test]
#[ignore = "needs a cluster, takes minutes"]
fn on_the_control_plane_no_trouble_leaves_anything() {
    run(&control_plane(), trouble::trouble_campaign);
}

#[test]
#[ignore = "takes minutes"]
fn on_the_sandbox_no_adversary_makes_it_lie() {
    on_a_sandbox(&Shakedown::undisturbed(), adversary::campaign);
}

#[test]
#[ignore = "needs a cluster, takes minutes"]
fn on_the_control_plane_no_adversary_makes_it_lie() {
    run(&control_plane(), adversary::campaign);
}
