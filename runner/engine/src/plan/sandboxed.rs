//! Partitions in the sandbox, link by link: every pod tries to reach every workload all the time, and what a scenario
//! cuts must be cut, and nothing else, from its injection to its undo.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::scenario::FaultEngine;
use shakedown_schemas::{Document, Overrides};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::arm;
use crate::plan::{self, Options, PlanError, Proof};
use shakedown_cluster::{self as cluster, Cluster, ConnectOptions, Kind, ObjectKey, WitnessImage};
use shakedown_faults::{ArmedFault, FaultPlan};
use shakedown_guard::leftovers;
use shakedown_probe::Log;
use shakedown_sandbox::{Sandbox, Topology};

/// The workloads, as `name.namespace`. They all listen on the same port.
const ALL: [&str; 5] = ["client.one", "bystander.one", "server.one", "store.one", "server.two"];
const PORT: u16 = 8080;
/// How long a link may take to be as it should: rounds of half a second, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(30);

struct World {
    _sandbox: Sandbox,
    cluster: Cluster,
    /// The server that answers the scenario's load.
    load: TcpListener,
}

/// `a b` for a link from `a` to `b`.
type Links = BTreeSet<String>;

fn links(pairs: &[(&str, &str)]) -> Links {
    pairs.iter().map(|(from, to)| format!("{from} {to}")).collect()
}

impl World {
    async fn new() -> Self {
        let to: Vec<String> = ALL.iter().map(|name| format!("{name}:{PORT}")).collect();
        let workload = |name: &&str| {
            let (name, namespace) = name.split_once('.').unwrap();
            format!(
                "- {{name: {name}, namespace: {namespace}, start: 20ms, program: {{probe: {{to: '{}', listen: {PORT}}}}}}}\n",
                to.join(",")
            )
        };
        let text = format!(
            "namespace: one\nnamespaces: {{two: {{}}}}\nworkloads:\n{}",
            ALL.iter().map(workload).collect::<String>()
        );
        let sandbox = Sandbox::start(Topology::parse(&text).unwrap()).await.unwrap();
        let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
        let cluster = cluster::connect(&options).await.unwrap();
        let load = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = Self { _sandbox: sandbox, cluster, load };
        world.expect_cut(&[]).await;
        world
    }

    async fn pods(&self, workload: &str) -> Vec<Value> {
        let (name, namespace) = workload.split_once('.').unwrap();
        let pods = self.cluster.list(Kind::Pod, namespace, Some(&format!("app={name}"))).await.unwrap();
        pods.into_iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect()
    }

    /// The links that the pods' last rounds found cut.
    async fn cut(&self) -> Links {
        let mut cut = Links::new();
        for from in ALL {
            for pod in self.pods(from).await {
                let (namespace, name) = (&pod["metadata"]["namespace"], &pod["metadata"]["name"]);
                let container = pod["spec"]["containers"][0]["name"].as_str().unwrap();
                let (namespace, name) = (namespace.as_str().unwrap(), name.as_str().unwrap());
                let log = self.cluster.pod_log(namespace, name, container, 20, None).await.unwrap();
                let reached = Log::read(&log).rounds.pop().map(|round| round.open).unwrap_or_default();
                cut.extend(
                    ALL.iter().filter(|to| !reached.contains(&format!("{to}:{PORT}"))).map(|to| format!("{from} {to}")),
                );
            }
        }
        cut
    }

    /// Waits until exactly these links are cut, and looks that they stay so.
    async fn expect_cut(&self, pairs: &[(&str, &str)]) {
        let expected = links(pairs);
        let deadline = Instant::now() + LIMIT;
        let mut held = 0;
        while held < 3 {
            let cut = self.cut().await;
            held = if cut == expected { held + 1 } else { 0 };
            assert!(Instant::now() < deadline, "cut {cut:?}, and not {expected:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    async fn plan(&self, faults: &str) -> Result<Vec<ArmedFault>, PlanError> {
        let url = format!("http://{}", self.load.local_addr().unwrap());
        let text = format!(
            "version: 1\nname: links\nnamespace: one\nblast_radius: {{max_percent: 100%}}\n\
             load: {{aside: {{http: {{url: '{url}'}}, rate: 1/s}}}}\n\
             phases:\n  - name: cut\n    duration: 60s\n    faults: {{{faults}}}\n    expect: [{{requests: {{min: 1}}}}]\n"
        );
        let document: Document = shakedown_schemas::parse("links.yaml", text.as_bytes(), &Overrides::default())
            .unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
        let options = Options {
            proof: Proof { image: Some(WitnessImage::named("shakedown:latest")), ..Proof::default() },
            ..Options::for_tests()
        };
        let plan = plan::plan(&document, Some(&self.cluster), &options).await?;
        Ok(arm::arm(&plan, Some(&self.cluster)).await.unwrap().faults)
    }
}

/// Injects a fault and waits until it is proven.
async fn inject(fault: &mut ArmedFault) {
    let (plan, driver) = fault;
    driver.preflight().await.unwrap();
    driver.inject().await.unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        let findings = driver.prove().await.unwrap();
        if !findings.is_empty() && findings.iter().all(|finding| finding.holds) {
            return;
        }
        assert!(Instant::now() < deadline, "{} is not proven: {findings:?}", plan.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn undo(fault: &mut ArmedFault) {
    fault.1.undo().await.unwrap();
    let findings = fault.1.prove_undone().await.unwrap();
    assert!(findings.iter().all(|finding| finding.holds), "{findings:?}");
    assert!(fault.1.leftovers().is_empty(), "{:?}", fault.1.leftovers());
}

/// Nothing of ours is left on any object.
async fn expect_clean(world: &World) {
    let kinds = leftovers::Kinds::every(&world.cluster).await.unwrap();
    let left = leftovers::find(&world.cluster, None, "", &kinds).await.unwrap().found;
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_what_a_scenario_names_is_cut() {
    let world = World::new().await;
    for (faults, expected) in [
        ("{pods: {prefix: client}, from: [{service: server}], direction: egress}", &[("client.one", "server.one")][..]),
        (
            "{pods: {prefix: client}, from: [{service: server}], direction: ingress, prove: applied}",
            &[("server.one", "client.one")],
        ),
        (
            "{pods: {owner: deployment/client}, from: [{service: server, namespace: two}, {pods: {prefix: store}}]}",
            &[
                ("client.one", "server.two"),
                ("server.two", "client.one"),
                ("client.one", "store.one"),
                ("store.one", "client.one"),
            ],
        ),
        (
            "{pods: {labels: {app: client}}, from: [{pods: {labels: {matchExpressions: [{key: app, operator: NotIn, values: \
             [server, client]}]}}}]}",
            &[
                ("client.one", "bystander.one"),
                ("bystander.one", "client.one"),
                ("client.one", "store.one"),
                ("store.one", "client.one"),
            ],
        ),
        ("{pods: {prefix: client}, from: [{pods: {labels: {app: server}}, ports: [9999]}], prove: applied}", &[]),
        (
            "{pods: {prefix: client}, from: [{service: server, ports: [8000-9000]}], direction: egress}",
            &[("client.one", "server.one")],
        ),
    ] {
        let mut faults = world.plan(&format!("only: {{partition: {faults}}}")).await.unwrap();
        faults[0].1.prepare().await.unwrap();
        inject(&mut faults[0]).await;
        world.expect_cut(expected).await;
        let findings = faults[0].1.settle().await.unwrap();
        assert!(findings.iter().all(|finding| finding.holds), "{findings:?}");
        undo(&mut faults[0]).await;
        expect_clean(&world).await;
        world.expect_cut(&[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_share_a_pod_add_up_and_come_apart_in_any_order() {
    let world = World::new().await;
    let faults = "a: {partition: {pods: {prefix: client}, from: [{service: server}], direction: egress, prove: applied}}, \
                  b: {partition: {pods: {labels: {matchExpressions: [{key: app, operator: In, values: [client, bystander]}]}}, \
                      from: [{service: store}], direction: egress, prove: applied}}";
    let a = [("client.one", "server.one")];
    let b = [("client.one", "store.one"), ("bystander.one", "store.one")];
    let mut planned = world.plan(faults).await.unwrap();
    let [first, second] = &mut planned[..] else { panic!("two faults") };
    let names =
        |fault: &(FaultPlan, _)| fault.0.objects.iter().map(|object| object.name.clone()).collect::<BTreeSet<_>>();
    assert_eq!(names(first).intersection(&names(second)).count(), 1, "the pod that they share has one policy");
    inject(first).await;
    world.expect_cut(&a).await;
    inject(second).await;
    world.expect_cut(&[&a[..], &b].concat()).await;
    undo(first).await;
    world.expect_cut(&b).await;
    // The same driver can be asked again: nothing of the first time is in its way.
    inject(first).await;
    world.expect_cut(&[&a[..], &b].concat()).await;
    undo(second).await;
    world.expect_cut(&a).await;
    undo(first).await;
    world.expect_cut(&[]).await;
    expect_clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_peers_stay_cut_and_replaced_targets_are_followed() {
    let world = World::new().await;
    for follow in [true, false] {
        let fault = format!(
            "only: {{partition: {{pods: {{owner: deployment/client}}, from: [{{service: server}}, {{pods: {{prefix: store}}}}], \
             follow: {follow}, prove: applied}}}}"
        );
        let mut faults = world.plan(&fault).await.unwrap();
        inject(&mut faults[0]).await;
        let both = |peer: &'static str| [("client.one", peer), (peer, "client.one")];
        let cut = [both("server.one"), both("store.one")].concat();
        world.expect_cut(&cut).await;
        replace(&world, "server.one").await;
        replace(&world, "store.one").await;
        world.expect_cut(&cut).await;
        replace(&world, "client.one").await;
        world.expect_cut(if follow { &cut } else { &[] }).await;
        let findings = faults[0].1.settle().await.unwrap();
        let holds = findings.iter().all(|finding| finding.holds);
        assert_eq!(holds, follow, "{findings:?}");
        assert!(findings.iter().any(|finding| finding.detail.contains("has replaced target")), "{findings:?}");
        undo(&mut faults[0]).await;
        world.expect_cut(&[]).await;
        expect_clean(&world).await;
    }
}

async fn replace(world: &World, workload: &str) {
    let before: BTreeMap<String, Value> = by_uid(world.pods(workload).await);
    for (uid, pod) in &before {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = ObjectKey {
            kind: Kind::Pod,
            namespace: text(&pod["metadata"]["namespace"]),
            name: text(&pod["metadata"]["name"]),
            uid: Some(uid.clone()),
        };
        world.cluster.delete(&key).await.unwrap();
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = by_uid(world.pods(workload).await);
        let running = now.values().all(|pod| pod["status"]["phase"] == "Running");
        if now.len() == before.len() && running && now.keys().all(|uid| !before.contains_key(uid)) {
            return;
        }
        assert!(Instant::now() < deadline, "{workload} was not replaced");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn by_uid(pods: Vec<Value>) -> BTreeMap<String, Value> {
    pods.into_iter().map(|pod| (pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(), pod)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_else_does_to_the_policy_is_noticed() {
    let world = World::new().await;
    let fault = "only: {partition: {pods: {prefix: client}, from: [{service: server}], prove: applied}}";
    let mut faults = world.plan(fault).await.unwrap();
    inject(&mut faults[0]).await;
    let policies = world.cluster.list(Kind::NetworkPolicy, "one", None).await.unwrap();
    let key = ObjectKey {
        kind: Kind::NetworkPolicy,
        namespace: "one".into(),
        name: policies[0]["metadata"]["name"].as_str().unwrap().into(),
        uid: None,
    };
    let mut widened = policies[0].clone();
    widened["spec"]["egress"] = serde_json::json!([{}]);
    world.cluster.replace(&key, &widened).await.unwrap();
    let findings = faults[0].1.settle().await.unwrap();
    assert!(findings.iter().any(|it| !it.holds && it.detail.contains("not as it was sent")), "{findings:?}");
    world.cluster.delete(&key).await.unwrap();
    let findings = faults[0].1.settle().await.unwrap();
    assert!(findings.iter().any(|it| !it.holds && it.detail.contains("another client deleted it")), "{findings:?}");
    undo(&mut faults[0]).await;
    expect_clean(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standing_policies_are_refused_by_name() {
    let world = World::new().await;
    let policy = |name: &str, spec: Value| {
        serde_json::json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "one"},
            "spec": spec,
        })
    };
    let fault = "only: {partition: {pods: {prefix: client}, from: [{service: server}], engine: network-policy}}";
    let choice = fault.replace("network-policy", "auto");
    for (name, spec, part) in [
        (
            "deny-all",
            serde_json::json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
            "would open closed links",
        ),
        (
            "allow-all",
            serde_json::json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}),
            "would stay open",
        ),
    ] {
        world.cluster.create(Kind::NetworkPolicy, "one", &policy(name, spec)).await.unwrap();
        let refused = world.plan(fault).await.err().expect("a refusal").to_string();
        assert!([name, part, "Chaos Mesh"].iter().all(|part| refused.contains(part)), "{refused}");
        // Where the scenario leaves the choice, Chaos Mesh does it, and the plan says why.
        let (chosen, _) = world.plan(&choice).await.unwrap().remove(0);
        assert_eq!(chosen.engine, FaultEngine::ChaosMesh);
        assert!(
            chosen.description.contains("By Chaos Mesh, because") && chosen.description.contains(name),
            "{chosen:?}"
        );
        let key = ObjectKey { kind: Kind::NetworkPolicy, namespace: "one".into(), name: name.into(), uid: None };
        world.cluster.delete(&key).await.unwrap();
    }
    assert_eq!(world.plan(&choice).await.unwrap().remove(0).0.engine, FaultEngine::NetworkPolicy);
}
