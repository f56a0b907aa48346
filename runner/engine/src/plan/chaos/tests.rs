//! What scenarios become on the sandbox's deployment, and what is refused there: targets, peers, engines, volumes.

use serde_json::{Value, json};
use shakedown_schemas::result::PodRef;
use shakedown_schemas::{Document, Overrides};
use tokio::net::TcpListener;

use super::network::check_network;
use super::*;
use crate::plan::{self, Proof};
use shakedown_cluster::{self as cluster, ConnectOptions};
use shakedown_faults::enforcement::Enforcement;
use shakedown_sandbox::{Sandbox, Topology};

const WORKER: &str = "pods: {prefix: vllm-agg-0-vllmdecodeworker, count: 1}";
const WORKERS: &str = "pods: {prefix: vllm-agg-0-vllmdecodeworker}";

struct World {
    _sandbox: Sandbox,
    cluster: Cluster,
    load: TcpListener,
}

impl World {
    async fn new() -> Self {
        let sandbox = Sandbox::start(Topology::built_in("quick").unwrap()).await.unwrap();
        let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..ConnectOptions::default() };
        let cluster = cluster::connect(&options).await.unwrap();
        Self { _sandbox: sandbox, cluster, load: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    async fn plan(&self, fault: &str, enforcement: Option<Enforcement>) -> Result<FaultPlan, String> {
        let url = format!("http://{}", self.load.local_addr().unwrap());
        let fault = fault.replace("WORKERS", WORKERS).replace("WORKER", WORKER);
        let text = format!(
            "version: 1\nname: it\nnamespace: dynamo\nblast_radius: {{max_percent: 100%}}\n\
             load: {{aside: {{http: {{url: '{url}'}}, rate: 1/s}}}}\n\
             phases:\n  - name: fault\n    duration: 60s\n    faults: {{it: {{{fault}}}}}\n    expect: [{{requests: {{min: 1}}}}]\n"
        );
        let document: Document = shakedown_schemas::parse("it.yaml", text.as_bytes(), &Overrides::default())
            .unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
        let options = Options { proof: Proof { enforcement, ..Proof::default() }, ..Options::for_tests() };
        let made = plan::plan(&document, Some(&self.cluster), &options).await.map_err(|error| error.to_string())?;
        Ok(made.faults.into_iter().next().unwrap().plan)
    }

    async fn made(&self, fault: &str) -> FaultPlan {
        self.plan(fault, None).await.unwrap_or_else(|refusal| panic!("{fault}: {refusal}"))
    }

    async fn refused(&self, fault: &str, parts: &[&str]) {
        let refusal = self.plan(fault, None).await.err().unwrap_or_else(|| panic!("{fault} is planned"));
        for part in parts {
            assert!(refusal.contains(part), "{fault}: `{part}` is missing: {refusal}");
        }
    }

    /// Peers as they are read, whatever the scenario's own checks say of them.
    async fn ends(&self, peers: Value) -> Result<ends::Found, PlanError> {
        let peers: Vec<shakedown_schemas::scenario::Peer> = serde_json::from_value(peers).unwrap();
        let reader = ends::Reader { fault: "it", cluster: &self.cluster, namespace: "dynamo", targets: &[] };
        reader.ends(&peers).await
    }

    async fn address_of(&self, service: &str) -> String {
        let service = self.cluster.service("dynamo", service).await.unwrap().unwrap();
        service["spec"]["clusterIP"].as_str().unwrap().to_owned()
    }

    /// A service of other pods' labels, made for a test.
    async fn service(&self, name: &str, selector: Value) {
        self.service_with(name, selector, json!([{"port": 80}])).await;
    }

    async fn service_with(&self, name: &str, selector: Value, ports: Value) {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "dynamo"},
            "spec": {"selector": selector, "ports": ports}});
        self.cluster.create(Kind::Service, "dynamo", &service).await.unwrap();
    }
}

fn spec(plan: &FaultPlan, at: usize) -> &Value {
    &plan.objects[at].manifest["spec"]
}

#[tokio::test]
async fn peers_are_pods_and_the_addresses_of_services_in_front_of_them() {
    let world = World::new().await;
    let nats = world.address_of("nats").await;
    // Inside a pod a packet to a service carries the service's address: without it half of the link would be missed.
    let lossy = world.made("netem: {WORKER, to: [{service: nats}], loss: 50%}").await;
    assert_eq!(lossy.objects.len(), 2);
    assert_eq!(spec(&lossy, 0)["externalTargets"], json!([nats]));
    assert_eq!(spec(&lossy, 1)["selector"]["pods"], json!({"dynamo": ["nats-0"]}));
    assert!(lossy.description.contains("It consists of 2 resources"), "{}", lossy.description);
    // With ports, only packets to them are selected, through the service as well as past it.
    let by_port = world.made("netem: {WORKER, to: [{service: nats, ports: [4222]}], loss: 50%}").await;
    let through = json!(format!("{nats}:4222"));
    let external = spec(&by_port, 0)["externalTargets"].as_array().unwrap();
    assert!(external.len() == 2 && external.contains(&through) && by_port.objects.len() == 1, "{:?}", by_port.objects);
    // Pods that are named themselves are reached by their service as well.
    let by_pods = world.made("netem: {WORKER, to: [{pods: {name: nats-0}}], loss: 50%, direction: egress}").await;
    assert_eq!(spec(&by_pods, 0)["externalTargets"], json!([nats]));
    // One service for the peers and for others: its address cannot stand for the peers alone.
    world.service("both", json!({"app.kubernetes.io/part-of": "vllm-agg"})).await;
    world.service("workers", json!({"nvidia.com/dynamo-component-type": "worker"})).await;
    let all = world
        .made("netem: {pods: {name: nats-0}, to: [{pods: {prefix: vllm-agg-0-vllmdecodeworker}}], delay: 1ms}")
        .await;
    let workers = world.address_of("workers").await;
    assert_eq!(spec(&all, 0)["externalTargets"], json!([workers]), "{}", all.description);
    assert!(all.description.contains("through service both is unchanged"), "{}", all.description);
    // Both ends the same is no link, and an error to Chaos Mesh: the others are the peers.
    let others = world.made("netem: {WORKER, to: [{pods: {prefix: vllm-agg-0}}], loss: 1%}").await;
    let target = &others.targets[0].name;
    assert!(!spec(&others, 0)["target"].to_string().contains(target.as_str()), "{:?}", others.objects);
    world.refused("netem: {WORKERS, to: [{pods: {prefix: vllm-agg-0-vllm, labels: {matchLabels: {nvidia.com/dynamo-component-type: worker}}}}], loss: 1%}", &["the peers are the targets themselves"]).await;
    // Names are looked up here, so that the report has what they stood for; IPv6 alone would hit everything.
    let outside = world.ends(json!([{"host": "127.0.0.1"}])).await.unwrap();
    assert_eq!((outside.ends.addresses, outside.one_way), (["127.0.0.1".to_owned()].into(), true));
    assert_eq!(outside.described, ["host 127.0.0.1 (127.0.0.1)"]);
    assert!(world.ends(json!([{"host": "::1"}])).await.err().unwrap().to_string().contains("no IPv4 address"));
    let block = world.made("netem: {WORKER, to: [{cidr: 203.0.113.0/24, ports: [443]}], delay: 1s}").await;
    assert_eq!(spec(&block, 0)["externalTargets"], json!(["203.0.113.0/24:443"]));
    assert_eq!((block.objects.len(), &spec(&block, 0)["direction"]), (1, &json!("to")));
    world.refused("netem: {WORKER, to: [{cidr: 'fd00::/8'}], loss: 1%}", &["IPv6"]).await;
    world
        .refused("netem: {WORKER, to: [{pods: {name: nats-0}, ports: [53/udp]}], loss: 1%}", &["only TCP ports"])
        .await;
    world.refused("netem: {WORKER, to: [{pods: {name: nats-0}, ports: [1-1000]}], loss: 1%}", &["more than 32"]).await;
    world.refused("netem: {WORKER, to: [{service: nobody}], loss: 1%}", &["there is no service `nobody`"]).await;
}

/// The Service `front` offers the bus on port 80 (by name `bus`), where its pods have 4222.
#[tokio::test]
async fn ports_of_a_service_are_its_own_for_every_engine() {
    let world = World::new().await;
    let ports =
        json!([{"name": "bus", "port": 80, "targetPort": 4222}, {"name": "admin", "port": 81, "targetPort": 8222}]);
    world.service_with("front", json!({"app.kubernetes.io/name": "nats"}), ports).await;
    for port in ["80", "bus"] {
        let fault = format!(
            "partition: {{WORKER, direction: egress, engine: network-policy, from: [{{service: front, ports: ['{port}']}}]}}"
        );
        let cut = world.made(&fault).await;
        let policy = spec(&cut, 0)["egress"].to_string();
        // Around pod port 4222, and around port 80 of the cluster IP.
        for open in [r#""endPort":4221"#, r#""port":4223"#, r#""endPort":79"#, r#""port":81"#] {
            assert!(policy.contains(open), "{port}: `{open}` is missing: {policy}");
        }
        assert_eq!(cut.peers, [format!("port {port} of service front in namespace dynamo, ports 4222")]);
        let by_chaos = world
            .made(&format!("partition: {{WORKER, engine: chaos-mesh, from: [{{service: front, ports: ['{port}']}}]}}"))
            .await;
        let lossy =
            world.made(&format!("netem: {{WORKER, to: [{{service: front, ports: ['{port}']}}], loss: 50%}}")).await;
        let through = json!(format!("{}:80", world.address_of("front").await));
        for plan in [by_chaos, lossy] {
            let external = spec(&plan, 0)["externalTargets"].as_array().unwrap().clone();
            assert!(external.len() == 2 && external.contains(&through), "{external:?}");
            assert!(external.iter().any(|it| it.as_str().unwrap().ends_with(":4222")), "{external:?}");
        }
    }
    for fault in [
        "partition: {WORKER, from: [{service: front, ports: [4222]}]}",
        "netem: {WORKER, to: [{service: front, ports: [4222]}], loss: 1%}",
    ] {
        world
            .refused(
                fault,
                &["service `front` has no port `4222`; it has 80 (bus), 81 (admin)", "name the peer with `pods`"],
            )
            .await;
    }
    world
        .service_with("lost", json!({"app.kubernetes.io/name": "nats"}), json!([{"port": 80, "targetPort": "nobody"}]))
        .await;
    world
        .refused(
            "partition: {WORKER, from: [{service: lost, ports: [80]}]}",
            &["no pod behind it has a port named `nobody`"],
        )
        .await;
}

#[tokio::test]
async fn what_the_tools_below_do_otherwise_is_told() {
    let world = World::new().await;
    let slow = world.made("netem: {WORKER, delay: 1s, jitter: 1s}").await.description;
    assert!(slow.contains("Packets beyond 500 per second are lost"), "{slow}");
    let quick = world.made("netem: {WORKER, delay: 10ms}").await.description;
    assert!(!quick.contains("Packets beyond"), "{quick}");
    let small = world.made("netem: {WORKER, loss: 1%}").await.description;
    assert!(small.contains("Part of a loss below 5% has no effect"), "{small}");
    let thin = world.made("netem: {WORKER, to: [{service: nats}], bandwidth: 1Mbit/s, delay: 1ms}").await.description;
    assert!(thin.contains("(125000 bytes a second)") && thin.contains("Up to 1000 packets wait"), "{thin}");
    let proxied = world.made("http: {WORKER, port: 8000, abort: true}").await.description;
    assert!(proxied.contains("can break other connections") && proxied.contains("`recovery_time`"), "{proxied}");
    let busy = world.made("stress: {WORKER, cpu: {workers: 1}}").await.description;
    assert!(busy.contains("does not report stress that fails to end") && busy.contains("`recovery_time`"), "{busy}");
    assert!(busy.contains("It is neither throttled nor killed at a limit."), "{busy}");
    let throttled = world.made("stress: {WORKER, cpu: {workers: 2}}").await.description;
    assert!(
        throttled.contains("Throttled: it asks for 2 cores, more than the limit of container worker"),
        "{throttled}"
    );
}

#[tokio::test]
async fn a_partition_is_done_by_whoever_can_cut_it_whole_and_the_plan_says_why() {
    let world = World::new().await;
    let known = |keeps: bool| Some(Enforcement { keeps: Some(keeps), ..Enforcement::now(true, "a witness showed it") });
    let planned = async |fault: &str, keeps: bool| {
        let plan = world.plan(fault, known(keeps)).await.unwrap_or_else(|refusal| panic!("{fault}: {refusal}"));
        (plan.engine, plan.description)
    };
    let cut = "partition: {WORKER, from: [{service: nats}]}";
    let (engine, text) = planned(cut, false).await;
    assert!(
        engine == "network-policy" && text.contains("By NetworkPolicy, which can cut exactly these links"),
        "{text}"
    );
    let (engine, text) = planned(cut, true).await;
    assert!(
        engine == "chaos-mesh" && text.contains("leaves established connections open (a witness showed it"),
        "{text}"
    );
    // What Chaos Mesh would do otherwise, or not at all, stays as it is, and the plan says what that leaves.
    for other in [
        "partition: {WORKER, from: [{service: nats}], direction: egress}",
        "partition: {WORKER, from: [{pods: {name: nats-0}, ports: [53/udp]}]}",
        "partition: {WORKER, from: [{service: nats}], engine: network-policy}",
    ] {
        let (engine, text) = planned(other, true).await;
        assert!(engine == "network-policy" && text.contains("so those continue"), "{other}: {text}");
    }
    let none = Some(Enforcement::now(false, "a canary showed it"));
    let text = world.plan(cut, none).await.unwrap();
    assert!(text.engine == "chaos-mesh" && text.description.contains("nothing in this cluster enforces"), "{text:?}");
}

#[tokio::test]
async fn files_are_on_a_volume_that_is_mounted_there() {
    let world = World::new().await;
    let full = world.made("io: {WORKER, volume: /data/, error: ENOSPC}").await;
    assert_eq!(full.objects[0].kind, "IOChaos");
    world
        .refused(
            "io: {WORKER, volume: /data/deeper, error: EIO}",
            &["nothing is mounted at /data/deeper", "it has /data"],
        )
        .await;
    world
        .refused("io: {pods: {name: nats-0}, volume: /data, error: EIO}", &["container bus", "it has no volumes"])
        .await;
    world.refused("stress: {WORKER, cpu: {workers: 1}, containers: [sidecar]}", &["no container `sidecar`"]).await;
}

#[test]
fn pods_that_chaos_mesh_cannot_reach_are_refused_first() {
    let pod = |ip: Option<&str>| PodRef {
        namespace: "n".into(),
        name: "p".into(),
        uid: "u".into(),
        node: None,
        ip: ip.map(str::to_owned),
    };
    let check = |ip: Option<&str>, spec: Value| {
        check_network("it", "target", &pod(ip), &json!({"spec": spec})).map_err(|error| error.to_string())
    };
    assert_eq!(check(Some("10.0.0.1"), json!({})), Ok(()));
    assert!(check(Some("10.0.0.1"), json!({"hostNetwork": true})).unwrap_err().contains("uses its node's network"));
    assert!(check(Some("fd00::1"), json!({})).unwrap_err().contains("IPv6"));
    assert!(check(None, json!({})).unwrap_err().contains("no address yet"));
}
