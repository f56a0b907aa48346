//! One case: a namespace of its own, a run of the scenario through a proxy of its own, and what is left of it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::actor::Actor;
use super::clock::Clock;
use super::history::History;
use super::mix::{Mix, PODS};
use super::proxy::{Call, Handling, Proxy};
use super::server::{Collection, Server};
use crate::support::chaos_mesh::{ChaosMesh, Manner};
use crate::support::shakedown::BINARY;

/// What a fault may outlive its fuse's deadline: the controllers' own time.
pub const GRACE: Duration = Duration::from_secs(10);
/// No run may take longer, whatever the server does.
const LIMIT: Duration = Duration::from_secs(150);
/// The run of a case.
const RUN: [&str; 6] = ["run", "scenario.yaml", "--kubeconfig", "kubeconfig", "--out", "out"];
/// How often the server is asked what is left.
const POLL: Duration = Duration::from_millis(200);
/// The same before the end of the fuse is near: dozens of cases ask one server at the same time.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// The image of witnesses. It does not exist: the proxy answers for them.
pub const IMAGE: &str = "nothing.invalid/nothing";

/// Where and how a case runs.
#[derive(Clone)]
pub struct Place {
    pub server: Server,
    /// The address of the service that the load goes to.
    pub url: String,
    /// Tells the namespaces of this test's run from those of others.
    pub tag: String,
}

/// A case that is under way.
pub struct Case {
    pub proxy: Proxy,
    /// The other client in its namespace, whose objects must stay as they are.
    pub actor: Arc<Actor>,
    /// What really was there, and when.
    pub history: History,
    server: Server,
    namespace: String,
    folder: TempDir,
    url: String,
    margin: Duration,
    child: Option<Child>,
    /// The controller for objects of Chaos Mesh, where the server has none.
    mesh: Option<ChaosMesh>,
}

/// How a run ended.
pub struct Ended {
    /// Its exit code; none when it was killed.
    pub code: Option<i32>,
    /// Its verdict, where it wrote a result.
    pub verdict: Option<String>,
    /// Its result; null where it wrote none.
    pub result: serde_json::Value,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Case {
    /// Starts a run of a mix of faults in a new namespace.
    pub async fn start(
        place: &Place,
        name: &str,
        mix: &Mix,
        margin: Duration,
        script: impl Fn(&Call) -> Handling + Send + Sync + 'static,
    ) -> Self {
        Self::with_clock(place, name, mix, margin, Clock::Right, script).await
    }

    /// The same of a run whose wall clock may be wrong.
    pub async fn with_clock(
        place: &Place,
        name: &str,
        mix: &Mix,
        margin: Duration,
        clock: Clock,
        script: impl Fn(&Call) -> Handling + Send + Sync + 'static,
    ) -> Self {
        let mut case = Self::prepare(place, name, &mix.scenario(), margin, script).await;
        if mix.needs_chaos_mesh() && !place.server.plays_chaos_mesh {
            case.mesh = Some(ChaosMesh::play(&place.server.kubeconfig, &case.namespace, Manner::Well));
        }
        let margin = format!("{}ms", margin.as_millis());
        let args = ["--undo-timeout", "15s", "--fuse-margin", &margin, "--no-canary", "--witness-image", IMAGE];
        case.child = Some(case.spawn_by(&[&RUN[..], &args].concat(), clock));
        case
    }

    /// Starts a run of another scenario, in which `NAMESPACE` and `URL` stand for those.
    pub async fn of(
        place: &Place,
        name: &str,
        scenario: &str,
        args: &[&str],
        margin: Duration,
        script: impl Fn(&Call) -> Handling + Send + Sync + 'static,
    ) -> Self {
        let mut case = Self::prepare(place, name, scenario, margin, script).await;
        case.child = Some(case.spawn(&[&RUN[..], args].concat()));
        case
    }

    async fn prepare(
        place: &Place,
        name: &str,
        scenario: &str,
        margin: Duration,
        script: impl Fn(&Call) -> Handling + Send + Sync + 'static,
    ) -> Self {
        let namespace = format!("{}-{name}", place.tag);
        place.server.namespace(&namespace, &PODS).await;
        let actor = Actor::move_in(&place.server, &namespace).await;
        let history = History::begin(&place.server, &namespace).await;
        let proxy = Proxy::start(&place.server, actor.clone(), script).await;
        let folder = TempDir::with_prefix("shakedown-campaign-").expect("a temporary folder");
        proxy.write_kubeconfig(&folder.path().join("kubeconfig"));
        let (server, url) = (place.server.clone(), place.url.clone());
        let case = Self { proxy, actor, history, server, namespace, folder, url, margin, child: None, mesh: None };
        case.scenario("scenario.yaml", scenario);
        case
    }

    /// Writes a scenario into the run's folder.
    pub fn scenario(&self, name: &str, text: &str) {
        let text = text.replace("NAMESPACE", &self.namespace).replace("URL", &self.url);
        std::fs::write(self.path(name), text).expect("a file");
    }

    /// A file in the run's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of the server itself.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Starts the program once more, in the same folder.
    pub fn spawn(&self, args: &[&str]) -> Child {
        self.spawn_by(args, Clock::Right)
    }

    /// The same by a wall clock that may be wrong.
    pub fn spawn_by(&self, args: &[&str], clock: Clock) -> Child {
        command(&self.folder).args(args).envs(clock.environment()).spawn().expect("a process")
    }

    /// Runs a command in a shell, with the program in the path.
    pub async fn shell(&self, line: &str) -> (Option<i32>, String) {
        let programs = Path::new(BINARY).parent().expect("a folder").display().to_string();
        let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir("/").env("PATH", path).env("HOME", self.folder.path()).kill_on_drop(true);
        let output = shell.output().await.expect("a shell");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    /// Sends a signal to the run.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.as_ref().and_then(Child::id).and_then(|id| Pid::from_raw(id as i32));
        kill_process(pid.expect("a run that is not over"), signal).expect("a signal");
    }

    /// Waits until a file of a run holds a text.
    pub async fn until(&self, file: &str, text: &str) {
        let wait = async {
            while !std::fs::read_to_string(self.path(file)).is_ok_and(|content| content.contains(text)) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let content = || std::fs::read_to_string(self.path(file)).unwrap_or_default();
        assert!(tokio::time::timeout(LIMIT, wait).await.is_ok(), "no `{text}` in {file}:\n{}", content());
    }

    /// The same; whether it did so before the run was over.
    pub async fn comes_to(&mut self, file: &str, text: &str) -> bool {
        loop {
            let is_over = self.is_over();
            let content = std::fs::read_to_string(self.path(file)).unwrap_or_default();
            if content.contains(text) || is_over {
                return !is_over;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The run's id, once it has one.
    pub fn run_id(&self) -> String {
        let events = std::fs::read_to_string(self.path("out/events.ndjson")).expect("events");
        let first: serde_json::Value = serde_json::from_str(events.lines().next().expect("an event")).expect("JSON");
        first["run"].as_str().expect("a run").to_owned()
    }

    /// Ends the process at once.
    pub async fn kill(&mut self) {
        if let Some(child) = &mut self.child {
            _ = child.start_kill();
            _ = child.wait().await;
        }
    }

    /// Waits until one of its calls is held or announced, or the run has ended.
    pub async fn held(&mut self) {
        while !self.is_over() {
            if tokio::time::timeout(POLL, self.proxy.held()).await.is_ok() {
                return;
            }
        }
    }

    /// Whether the run is over already.
    pub fn is_over(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }

    /// Waits for the run's own end; the problem when it does not come.
    pub async fn ended(&mut self) -> Result<Ended, String> {
        let child = self.child.take().expect("a run that was not waited for");
        self.end(child, "out").await
    }

    /// The same for another run in this folder, with its results there.
    pub async fn end(&self, mut child: Child, out: &str) -> Result<Ended, String> {
        let mut stderr = String::new();
        let stream = child.stderr.take();
        let waiting = async {
            if let Some(mut stream) = stream {
                _ = tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut stderr).await;
            }
            child.wait().await.map_err(|error| error.to_string())
        };
        let Ok(status) = tokio::time::timeout(LIMIT, waiting).await else {
            _ = child.kill().await;
            return Err(format!("the run did not end within {LIMIT:?}: {stderr}"));
        };
        let result = std::fs::read(self.path(out).join("result.json")).ok();
        let result: serde_json::Value =
            result.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Ok(Ended { code: status?.code(), verdict: result["verdict"].as_str().map(str::to_owned), result, stderr })
    }

    /// What is in the namespace now, but the marks.
    pub async fn left(&self) -> Vec<String> {
        self.server.left(&self.namespace, &self.history.ours()).await
    }

    /// Waits until the cluster itself has removed everything: how long that took, or what is there too late.
    pub async fn gone(&self) -> Result<Duration, Vec<String>> {
        let begun = Instant::now();
        // The fuse was pushed before this moment, and counts whole seconds.
        let limit = self.margin + Duration::from_secs(1) + GRACE;
        loop {
            let left = self.left().await;
            if left.is_empty() {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > limit {
                return Err(left);
            }
            let is_early = begun.elapsed() + SLOW_POLL * 4 < self.margin;
            tokio::time::sleep(if is_early { SLOW_POLL } else { POLL }).await;
        }
    }

    /// `shakedown cleanup` with these arguments, directly against the server: its exit code and its output.
    pub async fn cleanup(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = command(&self.folder)
            .arg("cleanup")
            .args(args)
            .arg("--kubeconfig")
            .arg(&self.server.kubeconfig)
            .output()
            .await
            .expect("a process");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The pods that still carry a mark.
    pub async fn marked(&self) -> Vec<String> {
        self.server.marked(&self.namespace).await
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The run's folder, if it came to have one with a journal.
    pub fn journal(&self) -> Option<PathBuf> {
        Some(self.folder.path().join("out/journal.ndjson")).filter(|path| path.is_file())
    }

    /// Tidies up after the test itself.
    pub async fn close(mut self) {
        self.kill().await;
        self.server.forget(&self.namespace).await;
        // A namespace waits for the finalizers in it, and no other controller takes these off.
        let there = || async { self.server.items(&Collection::ALL[0].path(&self.namespace)).await };
        let deadline = Instant::now() + GRACE;
        while self.mesh.is_some() && Instant::now() < deadline && !there().await.is_empty() {
            tokio::time::sleep(POLL).await;
        }
        if let Some(mesh) = self.mesh.take() {
            // It waits for a thread.
            _ = tokio::task::spawn_blocking(move || drop(mesh)).await;
        }
    }
}

fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(BINARY);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_lowercase();
        if text.starts_with("shakedown_") || text.starts_with("kube") || text.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder.path()).env("HOME", folder.path()).env("NO_COLOR", "1").kill_on_drop(true);
    command.env("CI_JOB_URL", "https://ci.example/job/7");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
