//! When a started sandbox is ready for its first request.
//!
//! In scope: waiting for the pods and services of the topology. Out of scope: running them (`controllers`, `node`).

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::object;
use super::program::Program;
use super::registry::Registry;
use super::resource::{PODS, SERVICES};
use super::topology::{Topology, Workload};

/// How long all pods may take to become ready.
const PODS_LIMIT: Duration = Duration::from_secs(30);
/// How long services and frontends may take after that.
const SERVICES_LIMIT: Duration = Duration::from_secs(10);
/// The interval at which a service is probed.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until all pods are ready, services answer, and frontends know their workers.
pub(super) async fn wait(registry: &Registry, topology: &Topology) -> anyhow::Result<()> {
    pods(registry, topology).await?;
    let deadline = Instant::now() + SERVICES_LIMIT;
    for workload in topology.workloads.iter().filter(|w| w.service && w.replicas > 0) {
        let reached = timeout_at(deadline, service(registry, topology, workload)).await;
        reached.with_context(|| format!("service `{}` of the sandbox does not answer", workload.name))?;
    }
    Ok(())
}

async fn pods(registry: &Registry, topology: &Topology) -> anyhow::Result<()> {
    let deadline = Instant::now() + PODS_LIMIT;
    let wanted: usize = topology.workloads.iter().map(|w| w.replicas as usize).sum();
    let mut latest = registry.store.subscribe();
    loop {
        latest.borrow_and_update();
        let pods = registry.store.list(&PODS, "");
        let (ready, late): (Vec<_>, Vec<_>) =
            pods.iter().partition(|pod| object::condition(pod, "Ready") == Some("True"));
        if ready.len() >= wanted {
            return Ok(());
        }
        if timeout_at(deadline, latest.changed()).await.is_err() {
            let state = |pod: &&std::sync::Arc<Value>| {
                format!("{}: {}", object::name(pod), pod["status"]["containerStatuses"][0]["state"])
            };
            let late: Vec<String> = late.iter().map(state).collect();
            bail!(
                "{} of {wanted} pods of the sandbox are ready after {PODS_LIMIT:?}; not: {}",
                ready.len(),
                late.join(", ")
            );
        }
    }
}

/// Returns when the service's address answers. A frontend must also know its workers.
async fn service(registry: &Registry, topology: &Topology, workload: &Workload) {
    let namespace = topology.namespace_of(workload);
    loop {
        let found = registry.store.get(&SERVICES, namespace, &workload.name);
        let ip = found.map(|service| object::text(&service, "/spec/clusterIP").to_string()).unwrap_or_default();
        let ready = match &workload.program {
            Program::Frontend(config) => {
                known_workers(&ip, config.port).await.is_some_and(|known| known >= workers(topology, workload))
            }
            program => match program.port() {
                Some(port) => TcpStream::connect((ip.as_str(), port)).await.is_ok(),
                None => true,
            },
        };
        if ready {
            return;
        }
        sleep(PAUSE).await;
    }
}

/// The number of workers that share the frontend's bus and model.
fn workers(topology: &Topology, frontend: &Workload) -> usize {
    let Program::Frontend(front) = &frontend.program else { return 0 };
    let shares = |w: &&Workload| match &w.program {
        Program::Worker(worker) => {
            worker.bus == front.bus
                && worker.model == front.model
                && topology.namespace_of(w) == topology.namespace_of(frontend)
        }
        _ => false,
    };
    topology.workloads.iter().filter(shares).map(|w| w.replicas as usize).sum()
}

/// The number of workers that a frontend reports.
async fn known_workers(ip: &str, port: u16) -> Option<usize> {
    let asked = async {
        let mut stream = TcpStream::connect((ip, port)).await.ok()?;
        let request = format!("GET /health HTTP/1.1\r\nHost: {ip}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let health: Value = serde_json::from_str(body).ok()?;
        health["workers"].as_array().map(Vec::len)
    };
    timeout(Duration::from_secs(1), asked).await.ok().flatten()
}
