//! Ending pods.

use http::{Request, header};
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};

use super::{Cluster, ClusterError, Kind, ObjectKey};
use crate::keys::ObjectAction;

impl Cluster {
    /// Deletes a pod; its containers get this many seconds, or the pod's grace period. One that is gone already is
    /// fine.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn kill(&self, key: &ObjectKey, grace: Option<u32>) -> Result<(), ClusterError> {
        let action = format!("delete {key}");
        let api = self.api(Kind::Pod, &key.namespace);
        let parameters = DeleteParams {
            grace_period_seconds: grace,
            preconditions: key.uid.clone().map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
            ..DeleteParams::background()
        };
        let entry = self.intend(&action, &ObjectAction::Delete(key.clone()))?;
        let answer = match self.repeated(&action, || api.delete(&key.name, &parameters)).await {
            Ok(_) => Ok(()),
            // Another pod has its name by now: ours is gone.
            Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        self.settle(entry, &answer);
        answer
    }

    /// Evicts a pod: the same, unless a PodDisruptionBudget forbids it. Sent once, because the server's way of forbidding
    /// is to ask for another try.
    ///
    /// # Errors
    /// When a budget forbids it, or the server refuses or does not answer.
    pub async fn evict(&self, key: &ObjectKey, grace: Option<u32>) -> Result<(), ClusterError> {
        let entry = self.intend(&format!("evict {key}"), &ObjectAction::Delete(key.clone()))?;
        let answer = self.eviction(key, json!({"gracePeriodSeconds": grace, "preconditions": {"uid": key.uid}})).await;
        self.settle(entry, &answer);
        answer
    }

    /// Whether a PodDisruptionBudget would forbid an eviction now; nothing is changed.
    ///
    /// # Errors
    /// When a budget forbids it, or the server refuses or does not answer.
    pub async fn rehearse_eviction(&self, key: &ObjectKey) -> Result<(), ClusterError> {
        self.eviction(key, json!({"dryRun": ["All"], "preconditions": {"uid": key.uid}})).await
    }

    async fn eviction(&self, key: &ObjectKey, options: Value) -> Result<(), ClusterError> {
        let action = format!("evict {key}");
        // `policy/v1` came with 1.22, and `v1beta1` went with 1.25.
        let version =
            if self.version().is_some_and(|version| version < (1, 22)) { "policy/v1beta1" } else { "policy/v1" };
        let body = json!({
            "apiVersion": version,
            "kind": "Eviction",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "deleteOptions": options,
        });
        let request = async {
            let request = Request::post(format!("/api/v1/namespaces/{}/pods/{}/eviction", key.namespace, key.name))
                .header(header::CONTENT_TYPE, "application/json")
                .body(body.to_string().into_bytes())
                .map_err(|error| kube::Error::BuildRequest(kube::core::request::Error::BuildRequest(error)))?;
            self.client.request::<Value>(request).await
        };
        match self.once(&action, request).await {
            Ok(_) | Err(ClusterError::NotFound(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
