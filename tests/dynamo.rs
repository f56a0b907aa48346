//! NVIDIA Dynamo 1.6.1 on the real cluster. The tests are ignored by default: they need the cluster, and `../shared/dynamo`,
//! whose `deploy.sh` brings Dynamo up from PyPI.

mod probe;
mod table;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use shakedown_schemas::result::ReachedBy;

use crate::support::deployment::{FRONTEND, TestCluster};
use crate::support::kubectl::Kubectl;
use crate::support::process::run;
use crate::support::shakedown::Shakedown;

/// How long the deployment may take. The first time on a machine it installs Dynamo.
const DEPLOYING: Duration = Duration::from_secs(600);
/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(400);
/// The namespace of `deploy.sh`.
const NAMESPACE: &str = "dynamo-oviya";

/// The deployment. It goes with this value.
struct Dynamo {
    kubectl: Kubectl,
}

impl Dynamo {
    #[track_caller]
    fn deploy(settings: &[&str]) -> Self {
        let kubectl = TestCluster::get().kubectl.clone();
        let script = folder().join("deploy.sh");
        assert!(script.is_file(), "this test needs {}", script.display());
        run(Command::new(script).args(settings).env("KUBECONFIG", kubectl.kubeconfig()), DEPLOYING).expect_code(0);
        Self { kubectl }
    }

    /// Where the frontend answers.
    #[track_caller]
    fn address(&self) -> String {
        let address = ["get", "service", FRONTEND, "-o", "jsonpath={.spec.clusterIP}:8000"];
        self.kubectl.run(&[&["-n", NAMESPACE], &address[..]].concat())
    }
}

impl Drop for Dynamo {
    fn drop(&mut self) {
        self.kubectl.try_run(&["delete", "namespace", NAMESPACE, "--wait=true"]);
    }
}

fn folder() -> PathBuf {
    crate::support::root().join("../shared/dynamo")
}

#[test]
#[ignore = "needs a cluster and Dynamo"]
fn a_port_forward_to_it_opens_connections_at_the_same_time_and_is_not_blamed_on_it() {
    let dynamo = Dynamo::deploy(&["tcp"]);
    let shakedown = Shakedown::undisturbed();
    let text = format!(
        "version: 1
name: forward
namespace: {NAMESPACE}
load:
  completions:
    openai:
      service: '{FRONTEND}:8000'
      reach: port-forward
      model: Qwen/Qwen3-0.6B
      prompt: Say hello.
      max_tokens: 10
      stream: true
    # A connection for each request: each one is a stream of its own through the API server.
    connections: per_request
    rate: 20/s
    timeout: 10s
phases:
  - name: only
    duration: 20s
    expect:
      - success_rate: {{min: 99%}}
"
    );
    shakedown.file("forward.yaml", text);
    let kubeconfig = dynamo.kubectl.kubeconfig();
    let finished = shakedown.start(&["run", "--out", "out", "--kubeconfig", kubeconfig, "forward.yaml"]).finish(LIMIT);
    let finished = finished.expect_code(0);
    let reports = shakedown.reports("out");
    let load = &reports.scenario().loads[0];
    assert_eq!(load.reach, ReachedBy::PortForward, "{finished}");
    let rate = reports.expectation("only", "success_rate");
    assert_eq!((rate.observed, rate.samples >= 380), (Some(1.0), true), "{}", reports.found());
}
