//! Which running pods belong together: those of one workload.

use std::collections::{BTreeMap, BTreeSet};

use super::lists::Listed;
use super::pods::{ApiObject, ApiPod};
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
        let listed = Listed::of(namespace);
        let add_pod = |all: &mut BTreeMap<String, Workload>, pod: ApiPod| {
            let Some((uid, name)) = pod.metadata.controller().filter(|_| pod.runs()) else { return };
            let workload = all.entry(uid).or_insert_with(|| Workload { name, pods: BTreeSet::new() });
            workload.pods.extend(pod.metadata.uid);
        };
        let owners = self.fetch_all(Kind::Pod, listed, add_pod).await?;
        let add_set = |all: &mut BTreeMap<String, (String, String)>, set: ApiObject| {
            all.extend(set.metadata.uid.clone().zip(set.metadata.controller()));
        };
        let sets = self.fetch_all(Kind::ReplicaSet, Listed { only_metadata: true, ..listed }, add_set).await;
        let deployments = match sets {
            Err(ClusterError::Forbidden { .. }) => BTreeMap::new(),
            sets => sets?,
        };
        let mut workloads: BTreeMap<String, Workload> = BTreeMap::new();
        for (uid, owner) in owners {
            let (uid, name) = deployments.get(&uid).cloned().unwrap_or((uid, owner.name));
            workloads.entry(uid).or_insert_with(|| Workload { name, pods: BTreeSet::new() }).pods.extend(owner.pods);
        }
        Ok(workloads.into_values().collect())
    }
}
