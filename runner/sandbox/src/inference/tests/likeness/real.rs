//! The real deployment, to record runs and to see whether the recording still holds: Dynamo's frontend, three mocker workers,
//! nats-server and etcd as processes in network namespaces. It needs root, `ip`, `iptables`, and in the folder `SHAKEDOWN_DYNAMO`
//! a virtual environment `venv` with Dynamo 1.6.1 and a `model`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{BEFORE, Case, FRONTEND_DIRECT, Fault, KILLED, NATS_20, Outcome, Recorded, STOPPED, Spans, probe, row};
use crate::inference::Plane;
use crate::inference::tests::harness::request_unlimited;

/// The namespaces, each with one address: 10.79.N.2, counted from 1.
const PLACES: [&str; 6] = ["nats", "etcd", "frontend", "w0", "w1", "w2"];
/// How long the deployment may take to be ready.
const STARTS: Duration = Duration::from_secs(120);
/// How long a stopped worker may take to end: then a kubelet kills it.
const GRACE: Duration = Duration::from_secs(2);

struct Real {
    processes: BTreeMap<String, Child>,
    /// The packets that are dropped: from, to.
    cuts: Vec<(String, String)>,
    dynamo: PathBuf,
    folder: TempDir,
}

impl Real {
    async fn start(case: &Case) -> Self {
        let dynamo = PathBuf::from(std::env::var_os("SHAKEDOWN_DYNAMO").expect("SHAKEDOWN_DYNAMO is Dynamo's folder"));
        let mut real =
            Self { processes: BTreeMap::new(), cuts: Vec::new(), dynamo, folder: tempfile::tempdir().unwrap() };
        real.take_down();
        for (index, place) in (1..).zip(PLACES) {
            let (space, link, subnet) = (space(place), format!("sd-{place}"), format!("10.79.{index}"));
            run(&format!("ip netns add {space}"));
            run(&format!("ip link add {link} type veth peer name eth0 netns {space}"));
            run(&format!("ip address add {subnet}.1/24 dev {link}"));
            run(&format!("ip link set {link} up"));
            for inside in
                [format!("address add {subnet}.2/24 dev eth0"), "link set eth0 up".into(), "link set lo up".into()]
            {
                run(&format!("ip -n {space} {inside}"));
            }
            run(&format!("ip -n {space} route add default via {subnet}.1"));
        }
        run("sysctl -q net.ipv4.ip_forward=1");
        let (nats, etcd) = (ip("nats"), ip("etcd"));
        let data = real.folder.path().join("etcd-data").display().to_string();
        let streams = real.folder.path().join("nats-streams").display().to_string();
        real.spawn(case, "nats", "nats-server", &format!("-js -sd {streams} -a {nats} -p 4222"));
        let clients = format!("--listen-client-urls http://{etcd}:2379 --advertise-client-urls http://{etcd}:2379");
        real.spawn(case, "etcd", "etcd", &format!("--data-dir {data} {clients}"));
        sleep(Duration::from_secs(2)).await;
        for worker in ["w0", "w1", "w2"] {
            real.worker(case, worker);
        }
        let python = real.python();
        let limit = case.migration_limit;
        real.spawn(
            case,
            "frontend",
            &python,
            &format!("-m dynamo.frontend --http-port 8000 --migration-limit {limit}"),
        );
        let ready = async {
            while !is_ready().await {
                sleep(Duration::from_millis(500)).await;
            }
        };
        let is_up = timeout(STARTS, ready).await.is_ok();
        assert!(is_up, "there are not three workers:\n{}", real.logs());
        real
    }

    fn python(&self) -> String {
        self.dynamo.join("venv/bin/python").display().to_string()
    }

    fn worker(&mut self, case: &Case, name: &str) {
        let (python, model) = (self.python(), self.dynamo.join("model").display().to_string());
        let arguments = "--model-name Qwen/Qwen3-0.6B --speedup-ratio 1.0";
        self.spawn(case, name, &python, &format!("-m dynamo.mocker --model-path {model} {arguments}"));
    }

    fn spawn(&mut self, case: &Case, place: &str, program: &str, arguments: &str) {
        let log = File::options().create(true).append(true).open(self.folder.path().join(place)).unwrap();
        let (plane, events) = if case.plane == Plane::Direct { ("tcp", "zmq") } else { ("nats", "nats") };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &space(place), program]).args(arguments.split(' '));
        command.env("NATS_SERVER", format!("nats://{}:4222", ip("nats")));
        command.env("ETCD_ENDPOINTS", format!("http://{}:2379", ip("etcd")));
        command.env("DYN_REQUEST_PLANE", plane).env("DYN_EVENT_PLANE", events);
        command.env("DYN_SYSTEM_PORT", if place.starts_with('w') { "9090" } else { "-1" });
        command.env("DYN_HEALTH_CHECK_ENABLED", "false").env("HF_HUB_OFFLINE", "1").env("HOME", self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.processes.insert(place.to_owned(), command.spawn().unwrap());
    }

    /// Drops the packets between two places.
    fn cut(&mut self, one: &str, other: &str) {
        for (from, to) in [(ip(one), ip(other)), (ip(other), ip(one))] {
            run(&format!("iptables -w -I FORWARD -s {from} -d {to} -j DROP"));
            self.cuts.push((from, to));
        }
    }

    fn heal(&mut self) {
        for (from, to) in self.cuts.drain(..) {
            run(&format!("iptables -w -D FORWARD -s {from} -d {to} -j DROP"));
        }
    }

    /// Ends a process: with SIGTERM, and SIGKILL if it is still there after a kubelet's grace, or at once.
    async fn end(&mut self, place: &str, at_once: bool) {
        let mut process = self.processes.remove(place).unwrap();
        if !at_once {
            run(&format!("kill -TERM {}", process.id()));
            let deadline = Instant::now() + GRACE;
            while process.try_wait().unwrap().is_none() && Instant::now() < deadline {
                sleep(Duration::from_millis(10)).await;
            }
        }
        // It may have ended.
        _ = process.kill();
        process.wait().unwrap();
    }

    /// The ends of the logs, since they go with the folder.
    fn logs(&self) -> String {
        let log = |place| {
            let log = std::fs::read_to_string(self.folder.path().join(place)).unwrap_or_default();
            let from = log.ceil_char_boundary(log.len().saturating_sub(1500));
            format!("--- {place}\n{}\n", &log[from..])
        };
        PLACES.map(log).concat()
    }

    fn take_down(&mut self) {
        self.heal();
        for (_, mut process) in std::mem::take(&mut self.processes) {
            _ = process.kill();
            _ = process.wait();
        }
        for place in PLACES {
            // There may be none. The link goes with its namespace.
            _ = Command::new("ip").args(["netns", "del", &space(place)]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        self.take_down();
    }
}

fn space(place: &str) -> String {
    format!("shakedown-{place}")
}

fn ip(place: &str) -> String {
    let index = PLACES.iter().position(|it| *it == place).expect("a place");
    format!("10.79.{}.2", index + 1)
}

fn run(line: &str) {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status();
    assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "`{line}`: {status:?}");
}

async fn is_ready() -> bool {
    let host = ip("frontend");
    if tokio::net::TcpStream::connect((host.as_str(), 8000)).await.is_err() {
        return false;
    }
    let answer = request_unlimited(&host, 8000, Method::GET, "/health", "").await;
    let body = answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&body).matches("\"endpoint\":\"generate\"").count() == 3
}

/// Runs a case, and writes the run in the form of the recording.
async fn record(case: &Case) -> Outcome {
    let mut real = Real::start(case).await;
    // The fault comes at any phase of the frontend's ticks and the renewals of leases.
    sleep(Duration::from_secs_f64(rand::random_range(3.0..18.0))).await;
    let (host, start) = (ip("frontend"), Instant::now() + Duration::from_millis(100));
    let count = (BEFORE.as_secs() + case.lasts + case.after) * 10;
    let probing = tokio::spawn(probe(host, start, count));
    let begins = start + BEFORE;
    sleep_until(begins).await;
    match case.fault {
        Fault::Cut(other) => {
            real.cut("w0", other);
            sleep_until(begins + Duration::from_secs(case.lasts)).await;
            real.heal();
        }
        Fault::Kill => {
            real.end("w0", true).await;
            sleep(Duration::from_secs(1)).await;
            real.worker(case, "w0");
        }
        Fault::Stop => {
            real.end("w0", false).await;
            real.worker(case, "w0");
        }
    }
    let seen = probing.await.unwrap();
    assert!(seen.iter().all(|it| it.due + it.took >= 0.0 || !it.failed()), "before the fault: {seen:?}");
    let tenths = |value: f64| (value * 10.0).round() / 10.0;
    let bad: Vec<(f64, u16, f64)> = seen
        .iter()
        .filter(|it| it.failed() || it.took > 1.0)
        .map(|it| (tenths(it.due), it.status, tenths(it.took)))
        .collect();
    let run = serde_json::json!({"case": case.name, "requests": count, "bad": bad});
    std::io::Write::write_all(&mut std::io::stderr(), format!("{run}\n").as_bytes()).unwrap();
    Outcome::of(&seen, case.lasts as f64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and Dynamo, and takes minutes"]
async fn the_real_dynamo_is_as_it_was_recorded() {
    for case in [KILLED, STOPPED, FRONTEND_DIRECT, NATS_20] {
        let recorded: Vec<Outcome> = Recorded::of(&case).iter().map(|run| run.outcome(&case)).collect();
        let now = [record(&case).await];
        let (before, after) = (Spans::of(&recorded), Spans::of(&now));
        let row = row(&case, recorded.len(), &before, &after);
        for ((name, before, margin, ..), (_, after, ..)) in
            before.measures(&case).into_iter().zip(after.measures(&case))
        {
            assert!(after.is_within(before, margin), "{name}, recorded and now: {row}\n{now:#?}");
        }
    }
}
