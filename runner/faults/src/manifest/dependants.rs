//! What a Schedule or a Workflow of Chaos Mesh has made. Its objects act, not itself, and it goes on making them while it is
//! being deleted: a deletion that waits for its dependants ends with a new one that is there.

use std::collections::BTreeSet;

use serde_json::Value;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

const VERSION: &str = "chaos-mesh.org/v1alpha1";
/// The labels with which Chaos Mesh names the Schedule, or the Workflow, that has made an object.
const MAKERS: [&str; 2] = ["managed-by", "chaos-mesh.org/workflow"];

/// The kinds of the objects that an object of this kind makes: none but for a Schedule and a Workflow.
pub fn kinds_of_dependants(kind: Kind) -> Vec<Kind> {
    match kind.is_chaos() && !Kind::CHAOS.contains(&kind) {
        // Workflows first: what they have made is named after them.
        true => [Kind::other(VERSION, "Workflow", "workflows")].into_iter().chain(Kind::CHAOS).collect(),
        false => Vec::new(),
    }
}

/// The objects that a Schedule or a Workflow has made and that still exist, also by way of a Workflow; none for another kind.
/// Kinds that the account may not list are left out.
///
/// # Errors
/// When the cluster does not answer.
pub async fn dependants(cluster: &Cluster, key: &ObjectKey) -> Result<Vec<ObjectKey>, ClusterError> {
    let mut makers = BTreeSet::from([key.name.clone()]);
    let mut left = Vec::new();
    for kind in kinds_of_dependants(key.kind) {
        let objects = match cluster.list(kind, &key.namespace, None).await {
            Ok(objects) => objects,
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        };
        let made = objects.iter().filter(|object| is_made_by(object, &makers)).map(|object| {
            let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
            let (name, namespace) = (text("name").unwrap_or_default(), key.namespace.clone());
            ObjectKey { kind, namespace, name, uid: text("uid") }
        });
        let made: Vec<ObjectKey> = made.collect();
        makers.extend(made.iter().map(|key| key.name.clone()));
        left.extend(made);
    }
    Ok(left)
}

fn is_made_by(object: &Value, makers: &BTreeSet<String>) -> bool {
    let labels = &object["metadata"]["labels"];
    MAKERS.iter().any(|label| labels[*label].as_str().is_some_and(|maker| makers.contains(maker)))
}
