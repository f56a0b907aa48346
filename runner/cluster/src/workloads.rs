//! Which running pods belong together: those of one workload.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::pods::runs;
use super::{Cluster, ClusterError, Kind};

/// The running pods of one workload, by UID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its name for people, such as `deployment/worker`.
    pub name: String,
    /// Its running pods.
    pub pods: BTreeSet<String>,
}

impl Cluster {
    /// The workloads of a namespace with their running pods. A pod without a controller belongs to no workload. If this
    /// account may not read ReplicaSets, each of them counts as a separate workload.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn workloads(&self, namespace: &str) -> Result<Vec<Workload>, ClusterError> {
        let pods = self.list(Kind::Pod, namespace, None).await?;
        let sets = match self.list(Kind::ReplicaSet, namespace, None).await {
            Err(ClusterError::Forbidden { .. }) => Vec::new(),
            sets => sets?,
        };
        let deployments: BTreeMap<&str, (&str, String)> =
            sets.iter().filter_map(|set| Some((set["metadata"]["uid"].as_str()?, controller(set)?))).collect();
        let mut workloads: BTreeMap<&str, Workload> = BTreeMap::new();
        for pod in pods.iter().filter(|pod| runs(pod)) {
            let Some((uid, name)) = controller(pod) else { continue };
            let (uid, name) = deployments.get(uid).cloned().unwrap_or((uid, name));
            let workload = workloads.entry(uid).or_insert_with(|| Workload { name, pods: BTreeSet::new() });
            workload.pods.extend(pod["metadata"]["uid"].as_str().map(str::to_owned));
        }
        Ok(workloads.into_values().collect())
    }
}

/// The UID and the name of the object that keeps another one.
fn controller(object: &Value) -> Option<(&str, String)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let kind = owner["kind"].as_str()?.to_ascii_lowercase();
    Some((owner["uid"].as_str()?, format!("{kind}/{}", owner["name"].as_str()?)))
}
