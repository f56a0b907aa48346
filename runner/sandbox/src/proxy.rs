//! Service addresses for clients outside the cluster: each ClusterIP listens, and forwards connections to ready pods.
//!
//! Pods do not use this proxy. Like kube-proxy, their network resolves a service to a pod's address before it connects, so
//! that policies see both ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::dns::ready_endpoints;
use super::net::Net;
use super::object;
use super::registry::Registry;
use super::resource::SERVICES;

/// How long to wait before an address is tried again that could not be listened on.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps one listener per port of each service.
#[derive(Debug)]
pub(crate) struct Proxies {
    /// The network of the world outside.
    net: Net,
    ports: BTreeMap<SocketAddr, (watch::Sender<Vec<SocketAddr>>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Proxies {
    /// No listeners yet.
    pub fn new(net: Net) -> Self {
        Self { net, ports: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Starts, updates and ends listeners as the services and their endpoints say.
    pub fn reconcile(&mut self, registry: &Registry) -> Option<Duration> {
        let mut wanted = BTreeMap::new();
        for service in registry.store.list(&SERVICES, "") {
            let Ok(ip) = object::text(&service, "/spec/clusterIP").parse() else { continue };
            for port in object::list(&service, "/spec/ports").iter().filter(|p| p["protocol"] == "TCP") {
                let Some(port) = port["port"].as_u64().and_then(|p| u16::try_from(p).ok()) else { continue };
                wanted.insert(SocketAddr::new(ip, port), ready_endpoints(registry, &service, port));
            }
        }
        self.ports.retain(|address, (_, task)| {
            let keep = wanted.contains_key(address);
            if !keep {
                task.abort();
            }
            keep
        });
        for (address, endpoints) in wanted {
            match self.ports.get(&address) {
                Some((sender, _)) => {
                    sender.send_if_modified(|current| {
                        let changed = *current != endpoints;
                        *current = endpoints;
                        changed
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(endpoints);
                    let task = self.tasks.spawn(forward(address, self.net.clone(), receiver));
                    self.ports.insert(address, (sender, task));
                }
            }
        }
        while self.tasks.try_join_next().is_some() {}
        None
    }
}

/// Listens while there are endpoints: without any, connections are refused, as kube-proxy does it.
async fn forward(address: SocketAddr, net: Net, mut endpoints: watch::Receiver<Vec<SocketAddr>>) {
    let mut connections = JoinSet::new();
    let mut listener: Option<TcpListener> = None;
    loop {
        let is_served = !endpoints.borrow_and_update().is_empty();
        if !is_served {
            listener = None;
        } else if listener.is_none() {
            match TcpListener::bind(address).await {
                Ok(bound) => listener = Some(bound),
                Err(error) => {
                    tracing::warn!(%address, %error, "a service's address cannot be listened on");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
        }
        let accepted = async {
            match &listener {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = endpoints.changed() => if changed.is_err() { return },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accepted => match accepted {
                Ok((client, _)) => {
                    let chosen = choose(&endpoints.borrow());
                    if let Some(to) = chosen {
                        connections.spawn(relay(client, net.clone(), to));
                    }
                }
                Err(error) => {
                    tracing::warn!(%address, %error, "a service's address cannot accept a connection");
                    tokio::time::sleep(RETRY).await;
                }
            },
        }
    }
}

fn choose(endpoints: &[SocketAddr]) -> Option<SocketAddr> {
    (!endpoints.is_empty()).then(|| endpoints[rand::random_range(0..endpoints.len())])
}

async fn relay(mut client: TcpStream, net: Net, to: SocketAddr) {
    // Small writes must not be delayed: the load must measure the latency of the pods.
    let _ = client.set_nodelay(true);
    match net.connect(&to.ip().to_string(), to.port()).await {
        Ok(mut server) => {
            // The two ends report their errors themselves.
            let _ = copy_bidirectional(&mut client, &mut server).await;
        }
        Err(error) => {
            tracing::debug!(%to, %error, "the chosen endpoint does not answer");
            // Dropping a connection with linger 0 resets it, as a refused connection would be.
            let _ = client.set_zero_linger();
        }
    }
}

/// Runs the proxies of a cluster until dropped.
pub(crate) async fn run(registry: Arc<Registry>, net: Net) {
    let mut proxies = Proxies::new(net);
    super::controllers::run(registry, move |registry| proxies.reconcile(registry)).await;
}
