//! Ending pods.

use std::sync::atomic::{AtomicBool, Ordering};

use http::{Request, header};
use kube::api::{DeleteParams, Preconditions};
use serde_json::{Value, json};

use tokio::time::Instant;

use super::{Cluster, ClusterError, Kind, LATEST, ObjectKey};
use crate::journal::Outcome;
use crate::keys::ObjectAction;

/// The maximum number of conflicts while ending one pod: a live pod is updated a few times a minute.
const CONFLICTS: u32 = 10;

/// How the end of a pod went.
#[derive(Debug)]
pub enum PodEnd {
    /// This run ended it.
    Ended,
    /// Another client ended it first.
    ByAnother,
    /// It is not known: the server did not answer, and may still carry the request out.
    Unclear(ClusterError),
}

impl Cluster {
    /// Deletes a pod with this grace period in seconds, or with the pod's own. The server deletes only the version that was read,
    /// which was not being deleted.
    ///
    /// # Errors
    /// When the server refuses, or nothing was sent.
    pub async fn kill(&self, key: &ObjectKey, grace: Option<u32>) -> Result<PodEnd, ClusterError> {
        self.end(key, grace, false).await
    }

    /// Evicts a pod: the same, unless a PodDisruptionBudget forbids it. It is sent again only without an answer, because the
    /// server forbids an eviction by asking for another attempt.
    ///
    /// # Errors
    /// When a budget forbids it, the server refuses, or nothing was sent.
    pub async fn evict(&self, key: &ObjectKey, grace: Option<u32>) -> Result<PodEnd, ClusterError> {
        self.end(key, grace, true).await
    }

    async fn end(&self, key: &ObjectKey, grace: Option<u32>, evict: bool) -> Result<PodEnd, ClusterError> {
        let action = format!("{} {key}", if evict { "evict" } else { "delete" });
        let entry = self.intend(&action, &ObjectAction::Delete(key.clone()))?;
        // Before the request: this future can be dropped in the middle of it.
        self.ledger().unclear_end(self.part, key.clone(), entry, Instant::now() + LATEST);
        let (mut conflicts, mut again) = (0, false);
        // Whether one of our requests had no answer: it may have ended the pod.
        let unclear = AtomicBool::new(false);
        let answer = loop {
            let pod = match self.get(key).await {
                Ok(Some(pod)) if pod["metadata"]["deletionTimestamp"].is_null() => pod,
                Ok(_) => break Ok(unclear.load(Ordering::Relaxed)),
                Err(error) => break Err(error),
            };
            let version = pod["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            let ended = match evict {
                true => {
                    let preconditions = json!({"uid": key.uid, "resourceVersion": version});
                    self.eviction(key, json!({"gracePeriodSeconds": grace, "preconditions": preconditions})).await
                }
                false => self.delete_pod(key, &action, grace, version, &unclear).await,
            };
            match ended {
                Ok(()) => break Ok(true),
                Err(ClusterError::NotFound(_)) => break Ok(unclear.load(Ordering::Relaxed)),
                Err(ClusterError::Conflict { .. }) if conflicts < CONFLICTS => conflicts += 1,
                // Read it back. The version in the request makes a repetition harmless.
                Err(error) if evict && error.is_unclear() && !again => {
                    unclear.store(true, Ordering::Relaxed);
                    again = true;
                }
                Err(_) if unclear.load(Ordering::Relaxed) && matches!(self.ends(key).await, Ok(true)) => {
                    break Ok(true);
                }
                Err(error) => break Err(error),
            }
        };
        self.ledger().ended(key);
        let answer = match answer {
            Ok(true) => Ok(PodEnd::Ended),
            Ok(false) => Ok(PodEnd::ByAnother),
            Err(error) if unclear.into_inner() => {
                self.ledger().unclear_end(self.part, key.clone(), entry, Instant::now() + LATEST);
                Ok(PodEnd::Unclear(error))
            }
            Err(error) => Err(error),
        };
        match (&answer, &self.journal, entry) {
            (Ok(PodEnd::Unclear(error)), Some(journal), Some(entry)) => {
                journal.settle(entry, Outcome::Unclear(error.to_string()));
            }
            _ => self.settle(entry, &answer),
        }
        answer
    }

    /// Whether a pod is gone or being deleted.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn ends(&self, key: &ObjectKey) -> Result<bool, ClusterError> {
        let there = self.get(key).await?;
        Ok(there.is_none_or(|pod| !pod["metadata"]["deletionTimestamp"].is_null()))
    }

    /// Looks again at the pods of which it is not known whether this run ended them. Those that have ended are forgotten. What
    /// was seen, in words.
    pub async fn look_at_unclear_ends(&self) -> Vec<(ObjectKey, String)> {
        let unclear = self.ledger().unclear_ends(self.part);
        let mut seen = Vec::new();
        for (key, entry) in unclear {
            let uid = key.uid.as_deref().unwrap_or_default();
            let what = match self.ends(&key).await {
                Ok(true) => {
                    self.ledger().ended(&key);
                    if let (Some(journal), Some(entry)) = (&self.journal, entry) {
                        journal.settle(entry, Outcome::Gone);
                    }
                    "it is gone or being deleted now"
                }
                Ok(false) => "it still exists",
                Err(_) => "it could not be read back",
            };
            let text = format!(
                "it is not known whether this run ended {key} (uid {uid}), because the server did not answer: {what}"
            );
            seen.push((key, text));
        }
        seen
    }

    /// Deletes this version of a pod.
    async fn delete_pod(
        &self,
        key: &ObjectKey,
        action: &str,
        grace: Option<u32>,
        version: String,
        unclear: &AtomicBool,
    ) -> Result<(), ClusterError> {
        let api = self.api(Kind::Pod, &key.namespace);
        let preconditions = Preconditions { uid: key.uid.clone(), resource_version: Some(version) };
        let parameters = DeleteParams { grace_period_seconds: grace, ..DeleteParams::background() };
        let parameters = parameters.preconditions(preconditions);
        let note = |error: &ClusterError| _ = unclear.fetch_or(error.is_unclear(), Ordering::Relaxed);
        self.tried(action, || api.delete(&key.name, &parameters), note).await.map(|_| ())
    }

    /// Whether a PodDisruptionBudget would forbid an eviction now; nothing is changed.
    ///
    /// # Errors
    /// When a budget forbids it, or the server refuses or does not answer.
    pub async fn dry_run_eviction(&self, key: &ObjectKey) -> Result<(), ClusterError> {
        self.eviction(key, json!({"dryRun": ["All"], "preconditions": {"uid": key.uid}})).await
    }

    async fn eviction(&self, key: &ObjectKey, options: Value) -> Result<(), ClusterError> {
        let action = format!("evict {key}");
        // 1.22 added `policy/v1`, and 1.25 removed `v1beta1`.
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
        self.once(&action, request).await.map(|_| ())
    }
}
