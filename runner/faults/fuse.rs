//! The fuse: a Job in the cluster that removes a run's faults when nobody else does.
//!
//! Its one pod names a scheduler that nobody serves, so no image is pulled and nothing runs; the Job only ages. At
//! `activeDeadlineSeconds` the Job controller fails it, `ttlSecondsAfterFinished: 0` has it deleted, and garbage
//! collection deletes everything that names it as its owner. All of that happens in the cluster, with no runner alive.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use shakedown_schemas::result::{Leftover, ObjectRecord};

use crate::cluster::{Cluster, ClusterError, Kind, ObjectKey};
use crate::labels;

/// The scheduler that nobody serves.
const NO_SCHEDULER: &str = "shakedown-fuse";

/// The fuses of one scenario, one per namespace.
#[derive(Debug, Clone, Default)]
pub struct Fuses {
    made: BTreeMap<String, (ObjectKey, Value)>,
}

/// The Job that is a namespace's fuse. `serial` tells the scenarios of a run apart.
pub fn job(run: &str, serial: usize, namespace: &str, deadline: Duration) -> Value {
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": format!("shakedown-fuse-{run}-{serial}"),
            "namespace": namespace,
            "labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: run},
        },
        "spec": {
            "activeDeadlineSeconds": deadline.as_secs_f64().ceil().max(1.0) as u64,
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            "parallelism": 1,
            "completions": 1,
            "template": {
                "metadata": {"labels": {labels::MANAGED_BY: labels::MANAGER, labels::RUN: run}},
                "spec": {
                    "schedulerName": NO_SCHEDULER,
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "containers": [{"name": "fuse", "image": "shakedown.invalid/never-pulled"}],
                },
            },
        },
    })
}

/// The fuse as a plan or a report shows it.
pub fn record(job: &Value) -> ObjectRecord {
    ObjectRecord {
        api_version: "batch/v1".into(),
        kind: "Job".into(),
        namespace: job["metadata"]["namespace"].as_str().unwrap_or_default().into(),
        name: job["metadata"]["name"].as_str().unwrap_or_default().into(),
        manifest: job.clone(),
    }
}

impl Fuses {
    /// Lights a namespace's fuse.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn light(&mut self, cluster: &Cluster, job: &Value) -> Result<(), ClusterError> {
        let record = record(job);
        let mut key = ObjectKey { kind: Kind::Job, namespace: record.namespace.clone(), name: record.name, uid: None };
        // Noted before it is sent: an answer that never comes back may still have created it.
        self.made.insert(record.namespace.clone(), (key.clone(), Value::Null));
        let created = cluster.create(Kind::Job, &record.namespace, job).await?;
        key.uid = created["metadata"]["uid"].as_str().map(str::to_owned);
        let owner = json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": key.name,
            "uid": key.uid,
            "blockOwnerDeletion": false,
            "controller": false,
        });
        self.made.insert(record.namespace, (key, owner));
        Ok(())
    }

    /// The owner reference for what is created in a namespace, where a fuse burns there.
    pub fn owner(&self, namespace: &str) -> Option<&Value> {
        self.made.get(namespace).map(|(_, owner)| owner).filter(|owner| !owner.is_null())
    }

    /// Removes all fuses, and with them whatever they still own. Each is tried, whatever happens to the others.
    pub async fn remove(&mut self, cluster: &Cluster) -> Vec<Leftover> {
        let mut left = Vec::new();
        let mut remaining = BTreeMap::new();
        for (namespace, (key, owner)) in std::mem::take(&mut self.made) {
            if let Err(error) = cluster.delete(&key).await {
                left.push(Leftover { what: key.to_string(), command: key.delete_command(), error: error.to_string() });
                remaining.insert(namespace, (key, owner));
            }
        }
        self.made = remaining;
        left
    }
}
