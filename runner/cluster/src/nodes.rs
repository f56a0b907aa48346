//! The facts about nodes that faults depend on.

use serde::Deserialize;

use super::lists::Listed;
use super::{Cluster, ClusterError, Kind};
use shakedown_schemas::units::quantity;

/// A node, as its kubelet reports it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its container runtime with the version, such as `containerd://2.0.4`.
    pub runtime: Option<String>,
    /// The kind of its processor, such as `amd64`.
    pub architecture: Option<String>,
    /// The release of its kernel, such as `6.1.0-32-amd64`.
    pub kernel: Option<String>,
    /// The CPU time that its pods may use, in cores.
    pub cpu: Option<f64>,
    /// The memory that its pods may use, in bytes.
    pub memory: Option<f64>,
}

/// The fields of a node that planning reads.
#[derive(Deserialize)]
pub(super) struct ApiNode {
    metadata: Metadata,
    #[serde(default)]
    pub spec: Spec,
    #[serde(default)]
    pub status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Spec {
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Status {
    pub addresses: Option<Vec<Address>>,
    node_info: Info,
    allocatable: Option<Allocatable>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Allocatable {
    cpu: Option<String>,
    memory: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Address {
    pub address: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    container_runtime_version: Option<String>,
    architecture: Option<String>,
    kernel_version: Option<String>,
}

impl Cluster {
    /// The nodes; none where this account may not read them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let keep = |all: &mut Vec<Node>, node: ApiNode| {
            let Info { container_runtime_version: runtime, architecture, kernel_version: kernel } =
                node.status.node_info;
            let Allocatable { cpu, memory } = node.status.allocatable.unwrap_or_default();
            let amount = |text: Option<String>| text.as_deref().and_then(quantity);
            let (cpu, memory) = (amount(cpu), amount(memory));
            all.push(Node { name: node.metadata.name, runtime, architecture, kernel, cpu, memory });
        };
        self.gather_nodes(keep).await
    }

    /// Collects the needed fields of each node. Nothing if this account may not read them.
    pub(super) async fn gather_nodes<C: Default>(&self, keep: impl Fn(&mut C, ApiNode)) -> Result<C, ClusterError> {
        match self.fetch_all(Kind::Node, Listed::default(), keep).await {
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => Ok(C::default()),
            nodes => nodes,
        }
    }
}
