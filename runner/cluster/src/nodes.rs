//! Nodes, as far as a fault has to know what runs on them.

use serde::Deserialize;

use super::lists::Listed;
use super::{Cluster, ClusterError, Kind};

/// A node, with what the kubelet says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its container runtime with the version, such as `containerd://2.0.4`.
    pub runtime: Option<String>,
    /// The kind of its processor, such as `amd64`.
    pub architecture: Option<String>,
}

#[derive(Deserialize)]
struct ApiNode {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    node_info: Info,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    container_runtime_version: Option<String>,
    architecture: Option<String>,
}

impl Cluster {
    /// The nodes; none where this account may not read them.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn nodes(&self) -> Result<Vec<Node>, ClusterError> {
        let keep = |all: &mut Vec<Node>, node: ApiNode| {
            let Info { container_runtime_version: runtime, architecture } = node.status.node_info;
            all.push(Node { name: node.metadata.name, runtime, architecture });
        };
        match self.gather(Kind::other("v1", "Node", "nodes"), Listed::default(), keep).await {
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => Ok(Vec::new()),
            nodes => nodes,
        }
    }
}
