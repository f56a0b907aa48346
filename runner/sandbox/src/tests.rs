//! Whole sandboxes, with real sockets, through the ordinary client.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Namespace, Pod, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use shakedown_schemas::units;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::program::Program;
use super::{Sandbox, Topology};

const FRONTEND: &str = "vllm-agg-0-frontend";
const WORKER: &str = "vllm-agg-0-vllmdecodeworker";

/// The quick topology with quicker starts and short heartbeats.
fn quick(workers: u32) -> Topology {
    let mut topology = Topology::built_in("quick").unwrap();
    for workload in &mut topology.workloads {
        workload.start = units::Duration::from_millis(20);
        match &mut workload.program {
            Program::Worker(config) => {
                workload.replicas = workers;
                config.heartbeat = units::Duration::from_millis(50);
            }
            Program::Frontend(config) => config.heartbeat_timeout = units::Duration::from_millis(400),
            _ => {}
        }
    }
    topology
}

async fn client(sandbox: &Sandbox) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(&sandbox.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// Asks again until it is so.
async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "never happened: {what}");
}

/// The address of a service's port as the world outside sees it.
async fn address(client: &Client, service: &str, port: u16) -> SocketAddr {
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let ip = services.get(service).await.unwrap().spec.unwrap().cluster_ip.unwrap();
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// The body of an answer.
async fn http(to: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(to).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default())
}

/// The workers that the frontend knows.
async fn workers(client: &Client) -> BTreeSet<String> {
    let frontend = address(client, FRONTEND, 8000).await;
    let body = http(frontend, "GET", "/health", "").await.unwrap_or_default();
    let health: Value = serde_json::from_str(&body).unwrap_or_default();
    health["workers"].as_array().into_iter().flatten().map(|w| w["id"].as_str().unwrap().to_string()).collect()
}

async fn worker_pods(client: &Client) -> Vec<Pod> {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    pods.list(&ListParams::default().labels(&format!("app={WORKER}"))).await.unwrap().items
}

/// Cuts pods with the label from everything that they would open.
fn cut(name: &str, label: &str) -> NetworkPolicy {
    let policy = json!({"metadata": {"name": name}, "spec": {"podSelector": {"matchLabels": {label: "yes"}},
        "policyTypes": ["Egress"], "egress": []}});
    serde_json::from_value(policy).unwrap()
}

#[tokio::test]
async fn a_started_sandbox_serves_and_looks_like_a_cluster() {
    let sandbox = Sandbox::start(quick(3)).await.unwrap();
    let client = client(&sandbox).await;
    assert_eq!(client.default_namespace(), "dynamo");
    assert!(client.apiserver_version().await.unwrap().git_version.contains("shakedown-sandbox"));
    let pods = worker_pods(&client).await;
    assert_eq!(workers(&client).await, pods.iter().map(ResourceExt::name_any).collect());
    let body = json!({"model": "Qwen/Qwen3-0.6B", "prompt": "hello", "max_tokens": 3}).to_string();
    let answer = http(address(&client, FRONTEND, 8000).await, "POST", "/v1/completions", &body).await.unwrap();
    assert!(answer.contains("\"completion_tokens\":3"), "{answer}");

    let set: Api<ReplicaSet> = Api::default_namespaced(client.clone());
    let set = set.get(&pods[0].owner_references()[0].name).await.unwrap();
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let deployment = deployments.get(WORKER).await.unwrap();
    assert_eq!(set.owner_references()[0].uid, deployment.uid().unwrap());
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for namespace in namespaces.list(&ListParams::default()).await.unwrap() {
        assert_eq!(namespace.labels()["kubernetes.io/metadata.name"], namespace.name_any());
    }
    let nats: Api<Pod> = Api::default_namespaced(client.clone());
    let nats = nats.get("nats-0").await.unwrap();
    assert_eq!(nats.labels()["app.kubernetes.io/name"], "nats");
    let ip = nats.status.unwrap().pod_ip.unwrap();
    assert!(TcpStream::connect((ip.as_str(), 4222)).await.is_ok(), "the bus listens on its pod's address");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_policy_cuts_the_pods_that_it_selects_until_it_is_gone() {
    let sandbox = Sandbox::start(quick(3)).await.unwrap();
    let client = client(&sandbox).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let policies: Api<NetworkPolicy> = Api::default_namespaced(client.clone());
    policies.create(&PostParams::default(), &cut("cut", "cut")).await.unwrap();
    let all = workers(&client).await;
    assert_eq!(all.len(), 3, "a policy that selects no pod cuts none off");
    let chosen = all.first().unwrap().clone();
    let label = |value: Option<&str>| Patch::Merge(json!({"metadata": {"labels": {"cut": value}}}));
    pods.patch(&chosen, &PatchParams::default(), &label(Some("yes"))).await.unwrap();
    let others: BTreeSet<String> = all.iter().filter(|name| **name != chosen).cloned().collect();
    until("the frontend drops the chosen worker only", || async { workers(&client).await == others }).await;
    pods.patch(&chosen, &PatchParams::default(), &label(None)).await.unwrap();
    until("the worker is back", || async { workers(&client).await == all }).await;
    pods.patch(&chosen, &PatchParams::default(), &label(Some("yes"))).await.unwrap();
    until("the worker is dropped again", || async { workers(&client).await == others }).await;
    policies.delete("cut", &DeleteParams::default()).await.unwrap();
    until("the worker is back again", || async { workers(&client).await == all }).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn deleted_pods_are_replaced_and_serve() {
    let sandbox = Sandbox::start(quick(1)).await.unwrap();
    let client = client(&sandbox).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let old = worker_pods(&client).await.remove(0);
    let old_bus = pods.get("nats-0").await.unwrap();
    pods.delete(&old.name_any(), &DeleteParams::default()).await.unwrap();
    pods.delete("nats-0", &DeleteParams::default().grace_period(0)).await.unwrap();
    until("another worker is known", || async {
        let known = workers(&client).await;
        known.len() == 1 && !known.contains(&old.name_any())
    })
    .await;
    let new = worker_pods(&client).await.remove(0);
    assert_ne!(new.uid(), old.uid());
    let ip = |pod: &Pod| pod.status.as_ref().and_then(|s| s.pod_ip.clone()).unwrap();
    assert_ne!(ip(&new), ip(&old));
    let new_bus = pods.get("nats-0").await.unwrap();
    assert_ne!(new_bus.uid(), old_bus.uid());
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_deleted_takes_leave_at_once() {
    let mut topology = quick(2);
    for workload in &mut topology.workloads {
        if let Program::Frontend(config) = &mut workload.program {
            // Longer than the test: only a farewell can make the frontend drop the worker.
            config.heartbeat_timeout = units::Duration::from_secs(600);
        }
    }
    let sandbox = Sandbox::start(topology).await.unwrap();
    let client = client(&sandbox).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let leaving = worker_pods(&client).await.remove(0).name_any();
    pods.delete(&leaving, &DeleteParams::default()).await.unwrap();
    until("the worker has taken leave", || async { !workers(&client).await.contains(&leaving) }).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_service_without_ready_pods_refuses_connections() {
    let sandbox = Sandbox::start(quick(0)).await.unwrap();
    let client = client(&sandbox).await;
    let frontend = address(&client, FRONTEND, 8000).await;
    assert!(TcpStream::connect(frontend).await.is_ok());
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    let none = Patch::Merge(json!({"spec": {"replicas": 0}}));
    deployments.patch_scale(FRONTEND, &PatchParams::default(), &none).await.unwrap();
    until("connections are refused", || async {
        TcpStream::connect(frontend).await.is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused)
    })
    .await;
    let one = Patch::Merge(json!({"spec": {"replicas": 1}}));
    deployments.patch_scale(FRONTEND, &PatchParams::default(), &one).await.unwrap();
    until("connections are accepted again", || async { TcpStream::connect(frontend).await.is_ok() }).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn pods_of_users_run_known_programs_and_others_say_why_not() {
    let sandbox = Sandbox::start(quick(0)).await.unwrap();
    let client = client(&sandbox).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pod = |name: &str, spec: Value| {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap();
        pod
    };
    let mine = pod(
        "mine",
        json!({"containers": [{"name": "c", "image": "shakedown:latest",
        "command": ["shakedown", "pod"], "args": ["worker", "--config", "{\"id\":\"mine\",\"heartbeat\":\"50ms\"}"]}]}),
    );
    let other = pod("other", json!({"containers": [{"name": "c", "image": "nginx"}]}));
    let nobody = pod("nobody", json!({"schedulerName": "nobody", "containers": [{"name": "c", "image": "x"}]}));
    for pod in [&mine, &other, &nobody] {
        pods.create(&PostParams::default(), pod).await.unwrap();
    }
    until("the user's worker is known", || async { workers(&client).await.contains("mine") }).await;
    let events: Api<Event> = Api::default_namespaced(client.clone());
    until("the other pod says why it waits", || async {
        let about = ListParams::default().fields("involvedObject.name=other,reason=Failed");
        let said = events.list(&about).await.unwrap().items;
        said.iter().any(|e| e.message.as_ref().is_some_and(|m| m.contains("runs only its own programs")))
    })
    .await;
    let phase = |pod: Pod| pod.status.and_then(|s| s.phase);
    assert_eq!(phase(pods.get("other").await.unwrap()).as_deref(), Some("Pending"));
    let nobody = pods.get("nobody").await.unwrap();
    assert_eq!(nobody.spec.as_ref().unwrap().node_name, None);
    assert_eq!(phase(nobody).as_deref(), Some("Pending"));
    for name in ["mine", "other", "nobody"] {
        pods.delete(name, &DeleteParams::default()).await.unwrap();
    }
    until("all of them are gone", || async { pods.list(&ListParams::default()).await.unwrap().items.len() == 2 }).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn two_sandboxes_do_not_meet() {
    let (one, two) = tokio::join!(Sandbox::start(quick(1)), Sandbox::start(quick(1)));
    let (one, two) = (one.unwrap(), two.unwrap());
    let (client_one, client_two) = (client(&one).await, client(&two).await);
    assert_ne!(one.server(), two.server());
    assert_ne!(address(&client_one, FRONTEND, 8000).await.ip(), address(&client_two, FRONTEND, 8000).await.ip());
    let policies: Api<NetworkPolicy> = Api::default_namespaced(client_one.clone());
    let everything =
        json!({"metadata": {"name": "deny"}, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}});
    policies.create(&PostParams::default(), &serde_json::from_value(everything).unwrap()).await.unwrap();
    until("the first loses its worker", || async { workers(&client_one).await.is_empty() }).await;
    assert_eq!(workers(&client_two).await.len(), 1);
    one.stop().await;
    assert_eq!(workers(&client_two).await.len(), 1);
    two.stop().await;
}

#[tokio::test]
async fn nothing_listens_after_the_end() {
    let sandbox = Sandbox::start(quick(1)).await.unwrap();
    let client = client(&sandbox).await;
    let frontend = address(&client, FRONTEND, 8000).await;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let bus = pods.get("nats-0").await.unwrap().status.unwrap().pod_ip.unwrap();
    let server = sandbox.server().trim_start_matches("https://").to_string();
    sandbox.stop().await;
    for address in [frontend.to_string(), format!("{bus}:4222"), server] {
        let free = TcpListener::bind(&address).await;
        assert!(free.is_ok(), "{address}: {free:?}");
    }
}

#[tokio::test]
async fn nothing_is_served_without_the_token() {
    let sandbox = Sandbox::start(quick(1)).await.unwrap();
    let mut kubeconfig = Kubeconfig::from_yaml(&sandbox.kubeconfig()).unwrap();
    assert_eq!(client(&sandbox).await.apiserver_version().await.unwrap().major, "1");
    kubeconfig.auth_infos[0].auth_info = None;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    let refused = Client::try_from(config).unwrap().apiserver_version().await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 401), "{refused}");
    sandbox.stop().await;
}

#[tokio::test]
async fn a_topology_that_cannot_run_is_refused() {
    let mut topology = Topology::built_in("quick").unwrap();
    topology.workloads[0].replicas = 500;
    let error = Sandbox::start(topology).await.unwrap_err().to_string();
    assert!(error.contains("more than the 100"), "{error}");
}
