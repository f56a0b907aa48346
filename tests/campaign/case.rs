//! One case: a namespace of its own, a run of the scenario through a proxy of its own, and what is left of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::proxy::{Call, Deed, Proxy};
use super::server::Server;
use crate::support::shakedown::BINARY;

/// The phases' length: what is planned, to which the fuse's margin is added.
pub const PLANNED: Duration = Duration::from_millis(1900);
/// What a fault may outlive its fuse's deadline: the controllers' own time.
pub const GRACE: Duration = Duration::from_secs(10);
/// No run may take longer, whatever the server does.
const LIMIT: Duration = Duration::from_secs(150);
/// How often the server is asked what is left.
const POLL: Duration = Duration::from_millis(200);

/// Two partitions that overlap, on pods of their own.
const SCENARIO: &str = r#"version: 1
name: campaign
namespace: NAMESPACE
load:
  requests: {http: {url: "URL"}, rate: 20/s, timeout: 2s}
phases:
  - name: before
    duration: 300ms
  - name: cut
    duration: 1600ms
    faults:
      first:
        partition: {pods: {name: one}, from: [{pods: {labels: {app: peer}}}], for: 1200ms, prove: applied}
      second:
        partition: {pods: {name: two}, from: [{cidr: 203.0.113.0/24}], after: 500ms, prove: applied}
    expect:
      - success_rate: {min: 50%}
"#;

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
    server: Server,
    namespace: String,
    folder: TempDir,
    margin: Duration,
    child: Child,
}

/// How a run ended.
pub struct Ended {
    /// Its exit code; none when it was killed.
    pub code: Option<i32>,
    /// Its verdict, where it wrote a result.
    pub verdict: Option<String>,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Case {
    /// Starts a run in a new namespace.
    pub async fn start(
        place: &Place,
        name: &str,
        margin: Duration,
        script: impl Fn(&Call) -> Deed + Send + Sync + 'static,
    ) -> Self {
        let namespace = format!("{}-{name}", place.tag);
        place.server.namespace(&namespace, &["one", "two", "peer"]).await;
        let proxy = Proxy::start(&place.server, script).await;
        let folder = TempDir::with_prefix("shakedown-campaign-").expect("a temporary folder");
        proxy.write_kubeconfig(&folder.path().join("kubeconfig"));
        let scenario = SCENARIO.replace("NAMESPACE", &namespace).replace("URL", &place.url);
        std::fs::write(folder.path().join("scenario.yaml"), scenario).expect("a file");
        let margin_text = format!("{}ms", margin.as_millis());
        let child = command(&folder)
            .args(["run", "scenario.yaml", "--kubeconfig", "kubeconfig", "--out", "out", "--undo-timeout", "15s"])
            .args(["--fuse-margin", &margin_text])
            .spawn()
            .expect("a process");
        Self { proxy, server: place.server.clone(), namespace, folder, margin, child }
    }

    /// Ends the process at once.
    pub async fn kill(&mut self) {
        _ = self.child.start_kill();
        _ = self.child.wait().await;
    }

    /// Whether the run is over already.
    pub fn is_over(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits for the run's own end; the problem when it does not come.
    pub async fn ended(&mut self) -> Result<Ended, String> {
        let status = match tokio::time::timeout(LIMIT, self.child.wait()).await {
            Ok(status) => status.map_err(|error| error.to_string())?,
            Err(_) => {
                self.kill().await;
                return Err(format!("the run did not end within {LIMIT:?}: {}", self.stderr().await));
            }
        };
        let result = std::fs::read(self.folder.path().join("out/result.json")).ok();
        let result: Option<serde_json::Value> = result.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Ended {
            code: status.code(),
            verdict: result.and_then(|result| result["verdict"].as_str().map(str::to_owned)),
            stderr: self.stderr().await,
        })
    }

    async fn stderr(&mut self) -> String {
        let mut text = String::new();
        if let Some(stream) = &mut self.child.stderr {
            _ = tokio::io::AsyncReadExt::read_to_string(stream, &mut text).await;
        }
        text
    }

    /// What is in the namespace now, but the marks.
    pub async fn left(&self) -> Vec<String> {
        self.server.left(&self.namespace).await
    }

    /// Waits until the cluster itself has removed everything: how long that took, or what is there too late.
    pub async fn gone(&self) -> Result<Duration, Vec<String>> {
        let begun = Instant::now();
        // The fuse was lit before this moment, and counts whole seconds.
        let limit = PLANNED + self.margin + Duration::from_secs(1) + GRACE;
        loop {
            let left = self.left().await;
            if left.is_empty() {
                return Ok(begun.elapsed());
            }
            if begun.elapsed() > limit {
                return Err(left);
            }
            tokio::time::sleep(POLL).await;
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
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}
