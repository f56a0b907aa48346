//! The embedded cluster: a Kubernetes API on loopback, controllers, and pods that are tasks with real sockets.
//!
//! What belongs here: starting and stopping the whole. What does not: anything about scenarios; the rest of the runner
//! reaches the sandbox as it reaches any cluster, through its kubeconfig.

mod addresses;
mod admission;
mod api;
mod clock;
mod controllers;
mod error;
pub mod inference;
pub mod net;
mod object;
mod patch;
mod registry;
mod resource;
mod selector;
mod store;
mod typed;
mod validate;

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use addresses::Addresses;
use clock::Clock;
use controllers::{garbage, jobs, namespaces};
use registry::{Registry, WriteOptions};
use resource::NAMESPACES;
use store::Store;

/// A running cluster. Dropping it ends everything in it.
#[derive(Debug)]
pub struct Sandbox {
    server: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests look at objects directly"))]
    registry: Arc<Registry>,
    tasks: JoinSet<()>,
}

impl Sandbox {
    /// Starts a cluster.
    ///
    /// # Errors
    /// When no loopback address or port can be had.
    pub async fn start() -> anyhow::Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no port for the sandbox's API server")?;
        let server = format!("http://{}", listener.local_addr()?);
        let registry = Arc::new(Registry { store: Store::new(Clock::new()), addresses: Addresses::claim()? });
        for name in ["default", "kube-system", "kube-public", "kube-node-lease", "dynamo"] {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            registry.create(&NAMESPACES, "", namespace, WriteOptions::default())?;
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(api::serve(listener, registry.clone()));
        tasks.spawn(controllers::run(registry.clone(), namespaces::reconcile));
        tasks.spawn(controllers::run(registry.clone(), garbage::reconcile));
        tasks.spawn(controllers::run(registry.clone(), jobs::reconcile));
        Ok(Self { server, registry, tasks })
    }

    /// Where the API answers: `http://127.0.0.1:<port>`.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A kubeconfig (YAML) for this cluster, as kubectl and kube take it. Its current namespace is `dynamo`.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: sandbox\n  cluster:\n    server: {}\nusers:\n- name: sandbox\n  \
             user: {{}}\ncontexts:\n- name: sandbox\n  context:\n    cluster: sandbox\n    user: sandbox\n    namespace: dynamo\n\
             current-context: sandbox\n",
            self.server
        )
    }

    /// Ends everything, and returns when it has ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
