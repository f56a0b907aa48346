//! The embedded cluster: a Kubernetes API on loopback, controllers, and pods that are tasks with real sockets.
//!
//! In scope: starting and stopping the cluster. Out of scope: scenarios. The rest of the runner uses the sandbox like any
//! cluster, through its kubeconfig.

mod addresses;
mod admission;
mod api;
mod budgets;
mod clock;
mod controllers;
mod custom;
mod dns;
mod error;
pub mod inference;
mod kills;
mod log;
mod logs;
mod mesh;
pub mod net;
mod node;
mod object;
mod patch;
mod pod;
pub mod program;
mod proxy;
mod ready;
mod registry;
mod resource;
mod selector;
pub mod shop;
mod store;
pub mod topology;
mod typed;
mod uid;
mod usage;
mod validate;
mod web;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use base64::Engine as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use addresses::Addresses;
use api::Access;
use clock::Clock;
#[cfg(any(test, feature = "testing"))]
pub use controllers::chaos::{ChaosMesh, Request};
use controllers::{chaos, deployments, disruptions, endpoints, garbage, jobs, links, namespaces, stateful_sets};
use kills::Kills;
use logs::Logs;
#[cfg(any(test, feature = "testing"))]
pub use mesh::asked;
use registry::{Registry, WriteOptions};
use resource::{DEFINITIONS, NAMESPACES};
use store::{Key, Store};
pub use topology::Topology;

/// A running cluster. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Sandbox {
    server: String,
    namespace: String,
    access: Arc<Access>,
    registry: Arc<Registry>,
    tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts a cluster on a free port, and returns when all pods of the topology are ready and the frontends know their
    /// workers.
    ///
    /// # Errors
    /// A topology that could not run, no free port or loopback addresses, or pods that are not ready in time.
    pub async fn start(topology: Topology) -> anyhow::Result<Self> {
        Self::start_on(topology, 0).await
    }

    /// Like [`Sandbox::start`], with the API server on this port; 0 takes a free one.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    pub async fn start_on(topology: Topology, port: u16) -> anyhow::Result<Self> {
        Self::start_with(topology, port, true).await
    }

    /// Like [`Sandbox::start`], without its network: nothing acts on NetworkPolicies and on the objects of Chaos Mesh, so that a
    /// test can play that part.
    ///
    /// # Errors
    /// As [`Sandbox::start`].
    #[cfg(any(test, feature = "testing"))]
    pub async fn start_without_network(topology: Topology) -> anyhow::Result<Self> {
        Self::start_with(topology, 0, false).await
    }

    async fn start_with(topology: Topology, port: u16, has_network: bool) -> anyhow::Result<Self> {
        topology.check()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("the sandbox's API server cannot listen on 127.0.0.1:{port}"))?;
        let address = listener.local_addr().context("the sandbox's API server has no address")?;
        let registry = Arc::new(Registry {
            store: Store::new(Clock::new()),
            addresses: Addresses::claim()?,
            logs: Logs::default(),
            kills: Kills::default(),
            starting: AtomicBool::new(true),
        });
        let mut sandbox = Self {
            server: format!("https://{address}"),
            namespace: topology.namespace.clone(),
            access: Arc::new(Access::new(address)?),
            registry: registry.clone(),
            tasks: JoinSet::new(),
        };
        node::Node::register(&registry)?;
        for namespace in topology.namespace_objects() {
            registry.create(&NAMESPACES, "", namespace, WriteOptions::default())?;
        }
        for definition in custom::objects(&registry.store.clock.stamp()) {
            registry.store.lock().put(Key::of(&DEFINITIONS, &definition), definition);
        }
        sandbox.run(listener, has_network);
        for object in topology.objects() {
            let kind = resource::find_kind(object::text(&object, "/apiVersion"), object::text(&object, "/kind"));
            let kind = kind.context("the topology made an object of a kind that is not served")?;
            let namespace = object::namespace(&object).to_string();
            registry.create(kind, &namespace, object, WriteOptions::default())?;
        }
        ready::wait(&registry, &topology).await?;
        registry.starting.store(false, Ordering::Relaxed);
        Ok(sandbox)
    }

    fn run(&mut self, listener: TcpListener, has_network: bool) {
        let registry = &self.registry;
        let ruled = net::Links::new();
        let mut plugin = links::Plugin::new(ruled.clone());
        let dns = Arc::new(dns::Dns(registry.clone()));
        let mut mesh = chaos::Controller::new(Some(ruled.ailments().clone()), dns.clone());
        if has_network {
            self.tasks.spawn(controllers::run(registry.clone(), move |registry| mesh.reconcile(registry)));
            self.tasks.spawn(controllers::run(registry.clone(), move |registry| plugin.reconcile(registry)));
        }
        self.tasks.spawn(proxy::run(registry.clone(), ruled.outside()));
        self.tasks.spawn(api::serve(listener, registry.clone(), self.access.clone()));
        self.tasks.spawn(node::run(registry.clone(), ruled, dns));
        for reconcile in [
            namespaces::reconcile,
            garbage::reconcile,
            jobs::reconcile,
            disruptions::reconcile,
            deployments::reconcile,
            stateful_sets::reconcile,
            endpoints::reconcile,
        ] {
            self.tasks.spawn(controllers::run(registry.clone(), reconcile));
        }
    }

    /// The URL of the API: `https://127.0.0.1:<port>`. Clients need the kubeconfig's token and certificate.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A kubeconfig (YAML) for this cluster, for kubectl and kube. It contains the token that every request needs. Its current
    /// namespace is the topology's.
    pub fn kubeconfig(&self) -> String {
        let (server, namespace, token) = (self.server(), &self.namespace, &self.access.token);
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.access.certificate);
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: sandbox\n\
             clusters:\n- name: sandbox\n  cluster:\n    server: {server}\n    certificate-authority-data: {authority}\n\
             users:\n- name: sandbox\n  user:\n    token: {token}\n\
             contexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\n    namespace: \
             {namespace}\n"
        )
    }

    /// Ends everything, and returns when it has ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests;
