//! `plan` against a large cluster: the server is in this process, the program in one of its own. The benchmark `plan` uses this
//! file as well.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shakedown_fakes::kubernetes::{VERSION, json_answer, kubeconfig};
use shakedown_fakes::{HttpServer, LargeCluster, Request};

/// A scenario with a partition of half of the pods of a Deployment from a service, in both directions.
const SCENARIO: &str = "version: 1
name: large
namespace: team-0
load: {aside: {http: {url: 'URL'}, rate: 5/s}}
phases:
  - {name: before, duration: 10s}
  - name: cut
    duration: 10s
    faults:
      no-bus:
        partition: {pods: {owner: deployment/web, percent: 50%}, from: [{service: bus}]}
    expect: [{requests: {min: 1}}]
";

/// What a plan took.
#[derive(Debug)]
pub struct Planned {
    /// From the program's start to its end.
    pub took: Duration,
    /// The largest resident size of the program, in MiB.
    pub peak_mib: f64,
    /// What it asked the server.
    pub requests: Vec<Request>,
    /// The plan as it was printed.
    pub plan: Value,
}

impl Planned {
    /// The partition's NetworkPolicy.
    pub fn policy(&self) -> &Value {
        &self.plan["plans"][0]["faults"][0]["objects"][0]["manifest"]
    }

    /// The address blocks of the policy, exceptions included.
    pub fn blocks(&self) -> usize {
        let rules = ["egress", "ingress"].into_iter().flat_map(|way| self.policy()["spec"][way].as_array());
        let peers = rules.flatten().flat_map(|rule| rule["to"].as_array().or_else(|| rule["from"].as_array()));
        let blocks = peers.flatten().filter(|peer| peer["ipBlock"].is_object());
        blocks.map(|peer| 1 + peer["ipBlock"]["except"].as_array().map_or(0, Vec::len)).sum()
    }
}

/// Plans the partition with this program, in this folder.
///
/// # Panics
/// When the program does not start, or does not end with a plan.
pub fn plan(program: &Path, folder: &Path, cluster: LargeCluster) -> Planned {
    let server = HttpServer::start(move |request| match request.target() {
        "/version" => json_answer(200, VERSION),
        _ => cluster.answer(request),
    });
    let target = HttpServer::start(|_| 200.into());
    std::fs::write(folder.join("large.yaml"), SCENARIO.replace("URL", &target.url())).expect("a file");
    std::fs::write(folder.join("kubeconfig"), kubeconfig(&server.url(), &json!({}))).expect("a file");
    let begun = Instant::now();
    let mut child = Command::new(program)
        .args(["plan", "large.yaml", "--kubeconfig", "kubeconfig", "--output", "json"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let read = |mut stream: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            stream.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        })
    };
    let stdout = read(Box::new(child.stdout.take().expect("its output")));
    let stderr = read(Box::new(child.stderr.take().expect("its errors")));
    // The high-water mark only rises: what is missed are the last two milliseconds, after the plan has been printed.
    let mut peak_mib = 0.0;
    let status = loop {
        peak_mib = high_water_mib(child.id()).unwrap_or(peak_mib);
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let took = begun.elapsed();
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    assert!(status.success(), "{status}\n{stderr}");
    let plan = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    Planned { took, peak_mib, requests: server.requests(), plan }
}

fn high_water_mib(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))?;
    Some(kib.parse::<f64>().ok()? / 1024.0)
}
