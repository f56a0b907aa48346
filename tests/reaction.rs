//! How long a fault takes to act and to go, compared with what the cluster itself needs for the same acts: one run with a fault of
//! each means in turn, and the same acts by plain HTTP in the same minute. It prints a table:
//!
//!     cargo test --test integration -- --ignored --nocapture reaction::

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::campaign::server::Server;
use crate::support::chaos_mesh::{ChaosMesh, Manner};
use crate::support::deployment::TestCluster;
use crate::support::reports::Reports;
use crate::support::server::serve;
use crate::support::shakedown::Shakedown;
use crate::support::shop::{PORTS, Shop};
use crate::support::stage::define;

/// How long the run may take.
const LIMIT: Duration = Duration::from_secs(300);
/// How often each fault is injected.
const TIMES: usize = 5;
/// How long an attempt to connect waits before it counts as failed, as in a witness: without an answer, nothing shows a cut
/// earlier than that.
const PATIENCE: Duration = Duration::from_millis(500);
/// The most that a fault may take in addition to what the cluster needs. The table is the point; this is for regressions.
const MOST: Duration = Duration::from_millis(2500);
const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const LABEL: &str = "shakedown-test/cut";

/// The names of the faults, with their means.
const FAULTS: [(&str, &str); 5] = [
    ("partition with a witness", "{partition: {pods: {owner: deployment/client}, from: [{service: server}]}}"),
    (
        "partition, applied only",
        "{partition: {pods: {owner: deployment/client}, from: [{service: server}], prove: applied}}",
    ),
    ("netem by Chaos Mesh's contract", "{netem: {pods: {prefix: client}, to: [{service: server}], delay: 10ms}}"),
    (
        "manifest of a ConfigMap",
        "{manifest: {object: {apiVersion: v1, kind: ConfigMap, data: {a: b}}, active_when: [{field: data.a, exists: true}], \
         pods: {prefix: server}}}",
    ),
    ("pod_kill", "{pod_kill: {pods: {prefix: spare, count: 1}, grace_period: 0s}}"),
];

/// What something took, of all its times.
#[derive(Default)]
struct Took {
    /// Until the last requests of the phase before were answered, and the injection began.
    waited: Vec<f64>,
    /// From the order until it was there, or until that was proven.
    to_act: Vec<f64>,
    /// The same until it was gone.
    to_go: Vec<f64>,
}

fn scenario(shop: &Shop) -> String {
    let mut phases = String::from("  - {name: before, duration: 2s}\n");
    for time in 0..TIMES {
        for (number, (_, fault)) in FAULTS.iter().enumerate() {
            // A pod that was killed has a replacement by the next time, and is another target.
            let fault = fault.replace("prefix: spare", &format!("prefix: spare-{time}"));
            phases.push_str(&format!(
                "  - name: p{number}-{time}\n    duration: 4s\n    faults: {{f{number}-{time}: {fault}}}\n    expect: [{{requests: \
                 {{min: 1}}}}]\n  - {{name: calm{number}-{time}, duration: 1s}}\n"
            ));
        }
    }
    format!(
        "version: 1\nname: reaction\nnamespace: {}\nblast_radius: {{max_percent: 100%}}\nload: {{aside: {{http: {{url: '{}'}}, \
         rate: 5/s}}}}\nphases:\n{phases}",
        shop.namespace,
        serve(200)
    )
}

/// What the run's own faults took: from the moment at which each phase began, and from the one at which its undo was due.
fn of_the_run(reports: &Reports) -> BTreeMap<usize, Took> {
    let mut all = BTreeMap::<usize, Took>::new();
    for fault in &reports.scenario().faults {
        let number: usize = fault.name[1..].split('-').next().and_then(|it| it.parse().ok()).expect("a number");
        let phase = reports.phase(&fault.name.replacen('f', "p", 1));
        let took = all.entry(number).or_default();
        took.waited.push(fault.injecting_s.expect("injected") - phase.start_s);
        took.to_act.push(fault.claimed_s.or(fault.proven_s).expect("in place") - phase.start_s);
        took.to_go.push(fault.undone_s.expect("undone") - phase.judged_to_s);
    }
    all
}

/// Asks every few milliseconds until the answer is as it should be; returns the seconds since `begun`.
async fn until(server: &Server, path: &str, begun: Instant, holds: impl Fn(StatusCode, &Value) -> bool) -> f64 {
    loop {
        let (status, object) = server.ask(Method::GET, path, None).await;
        if holds(status, &object) {
            return begun.elapsed().as_secs_f64();
        }
        assert!(begun.elapsed() < LIMIT, "{path}: {status} {object}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn must(server: &Server, method: Method, path: &str, body: Option<(&str, Value)>) -> Value {
    let (status, answer) = server.ask(method.clone(), path, body).await;
    assert!(status.is_success(), "{method} {path}: {status} {answer}");
    answer
}

/// Creates an object and deletes it, as `kubectl` would, and waits for what shows each.
async fn object(server: &Server, collection: &str, object: &Value, acts: impl Fn(&Value) -> bool) -> (f64, f64) {
    let path = format!("{collection}/{}", object["metadata"]["name"].as_str().expect("a name"));
    let begun = Instant::now();
    must(server, Method::POST, collection, Some((JSON, object.clone()))).await;
    let to_act = until(server, &path, begun, |_, object| acts(object)).await;
    let begun = Instant::now();
    must(server, Method::DELETE, &path, None).await;
    (to_act, until(server, &path, begun, |status, _| status == StatusCode::NOT_FOUND).await)
}

/// Attempts to connect from inside a pod, many each second. Each prints its beginning when it comes about, in seconds since the
/// machine's start.
struct Attempts {
    ends: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<String>,
}

impl Attempts {
    fn start(shop: &Shop, pod: &str, address: &str, port: u16) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        // It ends with the file.
        let script = format!(
            "cd /dev/shm; touch go; while [ -e go ]; do read t rest < /proc/uptime; (nc -w 1 {address} {port} </dev/null >/dev/null \
             2>&1 && echo $t) & usleep 40000; done; wait"
        );
        let (kubectl, namespace, pod) = (shop.cluster.kubectl.clone(), shop.namespace.clone(), pod.to_owned());
        let thread = std::thread::spawn(move || {
            kubectl.run(&["-n", &namespace, "exec", &pod, "--", "/bin/busybox", "sh", "-c", &script])
        });
        Self { ends, thread }
    }

    /// The beginnings of those that came about.
    fn end(self, shop: &Shop, pod: &str) -> Vec<f64> {
        self.ends.store(true, Ordering::SeqCst);
        shop.kubectl(&["exec", pod, "--", "/bin/busybox", "rm", "/dev/shm/go"]);
        let text = self.thread.join().expect("the attempts");
        let mut all: Vec<f64> = text.lines().filter_map(|line| line.trim().parse().ok()).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").expect("Linux");
    text.split(' ').next().and_then(|it| it.parse().ok()).expect("seconds")
}

/// A label and a policy that selects it, by plain HTTP: until no connection comes about any more, and until the objects are gone
/// again.
async fn policy(server: &Server, shop: &Shop) -> Took {
    let namespace = &shop.namespace;
    let (client, _) = shop.pods("client").remove(0);
    let attempts = Attempts::start(shop, &client, &shop.address("server"), PORTS[0]);
    let pod = format!("/api/v1/namespaces/{namespace}/pods/{client}");
    let policies = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
    let cut = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "bare"},
        "spec": {"podSelector": {"matchLabels": {LABEL: "yes"}}, "policyTypes": ["Egress"]},
    });
    let label = |value: Value| Some((MERGE, json!({"metadata": {"labels": {LABEL: value}}})));
    let (mut moments, mut to_go) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        tokio::time::sleep(Duration::from_secs(1)).await;
        moments.push(uptime());
        must(server, Method::PATCH, &pod, label(json!("yes"))).await;
        must(server, Method::POST, &policies, Some((JSON, cut.clone()))).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        must(server, Method::DELETE, &format!("{policies}/bare"), None).await;
        until(server, &format!("{policies}/bare"), begun, |status, _| status == StatusCode::NOT_FOUND).await;
        must(server, Method::PATCH, &pod, label(Value::Null)).await;
        to_go.push(until(server, &pod, begun, |_, pod| pod["metadata"]["labels"][LABEL].is_null()).await);
    }
    let came_about = attempts.end(shop, &client);
    // The first attempt without a connection began at most one interval after the last one with one.
    let last = |moment: f64| came_about.iter().rev().find(|at| **at < moment + 1.5).copied().unwrap_or(moment);
    let to_act = moments.iter().map(|moment| (last(*moment) - moment).max(0.0) + PATIENCE.as_secs_f64()).collect();
    Took { to_act, to_go, ..Took::default() }
}

/// What the same acts take by plain HTTP, by the fault's number.
async fn bare(server: &Server, shop: &Shop) -> BTreeMap<usize, Took> {
    let namespace = &shop.namespace;
    let (client, _) = shop.pods("client").remove(0);
    let mut all = BTreeMap::from([(0, policy(server, shop).await)]);
    for _ in 0..TIMES {
        let mut note = |number: usize, (to_act, to_go): (f64, f64)| {
            let took = all.entry(number).or_default();
            took.to_act.push(to_act);
            took.to_go.push(to_go);
        };
        // A policy that no one enforces: the label, the policy, and reading both back.
        let pod = format!("/api/v1/namespaces/{namespace}/pods/{client}");
        let label = |value: Value| Some((MERGE, json!({"metadata": {"labels": {LABEL: value}}})));
        let collection = format!("/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies");
        let policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "unread"},
            "spec": {"podSelector": {"matchLabels": {"no": "pod"}}, "policyTypes": ["Egress"]},
        });
        let begun = Instant::now();
        must(server, Method::PATCH, &pod, label(json!("yes"))).await;
        let labelled = begun.elapsed().as_secs_f64();
        let (to_act, to_go) = object(server, &collection, &policy, |it| !it["spec"].is_null()).await;
        let begun = Instant::now();
        must(server, Method::PATCH, &pod, label(Value::Null)).await;
        note(1, (labelled + to_act, begun.elapsed().as_secs_f64() + to_go));

        let chaos = json!({
            "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "NetworkChaos", "metadata": {"name": "bare"},
            "spec": {"action": "delay", "mode": "all", "selector": {"pods": {namespace: [client]}}, "direction": "to",
                "delay": {"latency": "10ms"}},
        });
        let collection = format!("/apis/chaos-mesh.org/v1alpha1/namespaces/{namespace}/networkchaos");
        let injected = |it: &Value| {
            let conditions = it["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|it| it["type"] == "AllInjected" && it["status"] == "True"))
        };
        note(2, object(server, &collection, &chaos, injected).await);

        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bare"}, "data": {"a": "b"}});
        let collection = format!("/api/v1/namespaces/{namespace}/configmaps");
        note(3, object(server, &collection, &map, |it| it["data"]["a"] == "b").await);

        let (spare, _) = shop.pods("spare-0").remove(0);
        let path = format!("/api/v1/namespaces/{namespace}/pods/{spare}");
        let begun = Instant::now();
        let now = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        must(server, Method::DELETE, &path, Some((JSON, now))).await;
        let going = |status: StatusCode, it: &Value| {
            status == StatusCode::NOT_FOUND || !it["metadata"]["deletionTimestamp"].is_null()
        };
        note(4, (until(server, &path, begun, going).await, 0.0));
        shop.wait_for("spare-0");
    }
    all
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2])
}

#[test]
#[ignore = "needs a cluster"]
fn faults_act_and_go_nearly_as_fast_as_the_cluster_can() {
    let cluster = TestCluster::get();
    define(&cluster.kubectl);
    let spares: Vec<String> = (0..TIMES).map(|time| format!("spare-{time}")).collect();
    let workloads = [("client", 1), ("server", 1)].into_iter().chain(spares.iter().map(|name| (name.as_str(), 1)));
    let shop = Shop::new(cluster, &workloads.collect::<Vec<_>>());
    let _mesh = ChaosMesh::play(cluster.kubectl.kubeconfig().as_ref(), &shop.namespace, Manner::Well);
    let server = Server::of("real cluster", cluster.kubectl.kubeconfig().as_ref());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let bare = runtime.block_on(bare(&server, &shop));

    let shakedown = Shakedown::undisturbed();
    let file = shakedown.file("reaction.yaml", scenario(&shop));
    let options = ["--kubeconfig", cluster.kubectl.kubeconfig(), "--witness-image", &cluster.program, "--no-canary"];
    let finished =
        shakedown.start(&[&["run", "--out", "out"], &options[..], &[&file]].concat()).finish(LIMIT).expect_code(0);
    let reports = shakedown.reports("out");
    reports.expect_injected_and_undone();
    let ours = of_the_run(&reports);

    println!(
        "| fault | to injecting | to proven | the cluster alone | ratio | to undone | the cluster alone | ratio |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    let mut slow = Vec::new();
    for (number, (name, _)) in FAULTS.iter().enumerate() {
        let (ours, bare) = (&ours[&number], &bare[&number]);
        let row = [(&ours.to_act, &bare.to_act), (&ours.to_go, &bare.to_go)].map(|(ours, bare)| {
            let (ours, bare) = (median(ours), median(bare));
            if ours > bare + MOST.as_secs_f64() {
                slow.push(format!("{name}: {ours:.2} s, and the cluster alone {bare:.2} s"));
            }
            let ratio = if bare > 0.0 { format!("{:.1}", ours / bare) } else { "-".to_owned() };
            format!("{:.0} ms | {:.0} ms | {ratio}", ours * 1000.0, bare * 1000.0)
        });
        println!("| {name} | {:.0} ms | {} |", median(&ours.waited) * 1000.0, row.join(" | "));
    }
    crate::support::none_of(&slow);
    drop(finished);
}
