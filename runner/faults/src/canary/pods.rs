//! The objects of canaries: short-lived pods that run under a fuse, and the objects that act on them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shakedown_schemas::Explained;
use tokio::time::Instant;

use crate::witness::{pod, pod_trouble};
use shakedown_cluster::labels;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey, WitnessImage};
use shakedown_guard::fuse::FuseError;
use shakedown_probe::ProbeConfig;

/// The interval of the checks.
pub const PAUSE: Duration = Duration::from_millis(250);
/// The label with the role of a canary's object.
pub const ROLE: &str = "shakedown.dev/canary";
/// The port on which a pod listens.
pub const PORT: u16 = 18_099;

/// A canary could not run.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.explained())]
pub enum CanaryError {
    /// The cluster refused or did not answer.
    Cluster(#[from] ClusterError),
    /// Its fuse could not be lit.
    Fuse(#[from] FuseError),
    /// Its pods do not run or do not connect.
    Silent(Explained),
}

impl CanaryError {
    /// The message and the next step.
    pub fn explained(&self) -> Explained {
        match self {
            Self::Cluster(error) => error.explained(),
            Self::Fuse(error) => error.explained(),
            Self::Silent(what) => what.clone(),
        }
    }
}

/// The properties that all objects of a canary share.
#[derive(Clone)]
pub struct Pods<'a> {
    /// Where they are created.
    pub cluster: &'a Cluster,
    /// The run's id.
    pub run: &'a str,
    /// Their namespace.
    pub namespace: &'a str,
    /// The image that the pods run.
    pub image: &'a WitnessImage,
    /// The fuse that owns them.
    pub owner: Option<Value>,
}

impl Pods<'_> {
    /// The key of the object with this role.
    pub fn key(&self, kind: Kind, role: &str) -> ObjectKey {
        ObjectKey {
            kind,
            namespace: self.namespace.to_owned(),
            name: format!("shakedown-{}-canary-{role}", self.run),
            uid: None,
        }
    }

    /// Its labels.
    pub fn labels(&self, role: &str) -> BTreeMap<String, String> {
        [(labels::MANAGED_BY, labels::MANAGER), (labels::RUN, self.run), (ROLE, role)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into()
    }

    /// The pod with this role. With a node it is bound to that node, whatever its taints are.
    pub fn pod(&self, role: &str, node: Option<&str>, probe: &ProbeConfig) -> Value {
        let name = self.key(Kind::Pod, role).name;
        let mut made = pod(&name, self.namespace, self.labels(role), self.image, probe);
        if let Some(node) = node {
            made["spec"]["nodeName"] = json!(node);
            made["spec"]["tolerations"] = json!([{"operator": "Exists"}]);
        }
        made
    }

    /// Creates an object under the fuse.
    ///
    /// # Errors
    /// When the cluster refuses or does not answer.
    pub async fn create(&self, kind: Kind, mut object: Value) -> Result<Value, ClusterError> {
        if let Some(owner) = &self.owner {
            object["metadata"]["ownerReferences"] = json!([owner]);
        }
        self.cluster.create(kind, self.namespace, &object).await
    }

    /// Waits until a pod runs and has an address. Returns the pod.
    ///
    /// # Errors
    /// With `problem`, when it cannot run or does not run in time.
    pub async fn running(&self, key: &ObjectKey, deadline: Instant, problem: &str) -> Result<Value, CanaryError> {
        loop {
            let pod = self.cluster.own(key).await?.unwrap_or_default();
            if pod["status"]["phase"] == "Running" && pod["status"]["podIP"].is_string() {
                return Ok(pod);
            }
            self.check(&pod, deadline, problem)?;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Checks that a pod may still become ready.
    ///
    /// # Errors
    /// With `problem`, when it cannot run or the time is over.
    pub fn check(&self, pod: &Value, deadline: Instant, problem: &str) -> Result<(), CanaryError> {
        let trouble = pod_trouble(pod);
        let hopeless = trouble.as_ref().is_some_and(|(_, hopeless)| *hopeless);
        if !hopeless && Instant::now() < deadline {
            return Ok(());
        }
        let why = trouble.map(|(why, _)| format!(": {why}")).unwrap_or_default();
        Err(CanaryError::Silent(Explained::new(
            format!("{problem}{why} (image {})", self.image.image),
            "--canary-image names an image of this program that the nodes can run",
        )))
    }
}
