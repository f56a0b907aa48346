//! The objects that a Schedule or a Workflow of Chaos Mesh creates. These objects act, not the Schedule itself, and it
//! continues to create them while it is being deleted: when a deletion that waits for dependants ends, a new one may exist.

use shakedown_schemas::Explained;
use std::collections::BTreeSet;

use serde_json::{Value, json};
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

const VERSION: &str = "chaos-mesh.org/v1alpha1";
/// The labels by which Chaos Mesh names the Schedule or the Workflow that created an object.
const MAKERS: [&str; 2] = ["managed-by", "chaos-mesh.org/workflow"];

/// The annotation that pauses a Schedule and its objects.
const PAUSE: &str = "experiment.chaos-mesh.org/pause";

/// The objects of a Schedule or a Workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependants {
    /// The objects that still exist.
    pub left: Vec<ObjectKey>,
    /// The kinds that the account may not list, whose objects are unknown.
    pub unlisted: Vec<Kind>,
}

impl Dependants {
    /// Why the objects of `key` are not proven to be gone. `None` if they are.
    pub fn unproven(&self, key: &ObjectKey) -> Option<String> {
        if self.unlisted.is_empty() {
            return self.left.first().map(|left| format!("{key} is gone, but {left}, which it created, still exists"));
        }
        let (kinds, namespace) = (self.unlisted_kinds(), &key.namespace);
        Some(
            Explained::new(
                format!(
                    "{key} is gone, but it is unknown whether the objects that it created are: this account \
         may not list {kinds} in \
             namespace {namespace}"
                ),
                format!("grant it the verb `list` on these, and look with `kubectl -n {namespace} get {kinds}`"),
            )
            .to_string(),
        )
    }

    /// The label by which Chaos Mesh names an owner of this kind.
    pub fn label(maker: Kind) -> &'static str {
        MAKERS[usize::from(maker.name() == "Workflow")]
    }

    /// The kinds that the account may not list, in kubectl's notation.
    pub fn unlisted_kinds(&self) -> String {
        self.unlisted.iter().map(|kind| kind.kubectl()).collect::<Vec<_>>().join(",")
    }
}

/// The kinds of the objects that an object of this kind creates. Empty except for a Schedule and a Workflow.
pub fn kinds_of_dependants(kind: Kind) -> Vec<Kind> {
    match kind.is_chaos() && matches!(kind.name(), "Schedule" | "Workflow") {
        // Workflows first: their objects are named after them.
        true => [Kind::other(VERSION, "Workflow", "workflows")].into_iter().chain(Kind::CHAOS).collect(),
        false => Vec::new(),
    }
}

/// The existing objects that a Schedule or a Workflow created, directly or through a Workflow. None for another kind.
/// A kind that is not installed has none.
///
/// # Errors
/// When the cluster does not answer.
pub async fn dependants(cluster: &Cluster, key: &ObjectKey) -> Result<Dependants, ClusterError> {
    let mut makers = BTreeSet::from([key.name.clone()]);
    let mut found = Dependants::default();
    for kind in kinds_of_dependants(key.kind) {
        let objects = match cluster.list(kind, &key.namespace, None).await {
            Ok(objects) => objects,
            Err(ClusterError::NotFound(_)) => continue,
            Err(ClusterError::Forbidden { .. }) => {
                found.unlisted.push(kind);
                continue;
            }
            Err(error) => return Err(error),
        };
        let made =
            objects.iter().filter(|object| is_made_by(object, &makers) && !is_of_another(object, key)).map(|object| {
                let text = |field: &str| object["metadata"][field].as_str().map(str::to_owned);
                let (name, namespace) = (text("name").unwrap_or_default(), key.namespace.clone());
                ObjectKey { kind, namespace, name, uid: text("uid") }
            });
        let made: Vec<ObjectKey> = made.collect();
        makers.extend(made.iter().map(|key| key.name.clone()));
        found.left.extend(made);
    }
    Ok(found)
}

/// Pauses a Schedule before its deletion. Otherwise, while the deletion waits for one of its objects, it would still create
/// new ones on schedule. Does nothing for other kinds, or if the account may not change it.
///
/// # Errors
/// When the cluster does not answer.
pub async fn pause(cluster: &Cluster, key: &ObjectKey) -> Result<(), ClusterError> {
    if !(key.kind.is_chaos() && key.kind.name() == "Schedule") {
        return Ok(());
    }
    match cluster.patch(key, &json!({"metadata": {"annotations": {PAUSE: "true"}}})).await {
        Ok(_) | Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_made_by(object: &Value, makers: &BTreeSet<String>) -> bool {
    let labels = &object["metadata"]["labels"];
    MAKERS.iter().any(|label| labels[*label].as_str().is_some_and(|maker| makers.contains(maker)))
}

/// Whether an object belongs to another owner of the same name.
fn is_of_another(object: &Value, key: &ObjectKey) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let is_namesake = |owner: &Value| owner["kind"] == key.kind.name() && owner["name"] == key.name.as_str();
    key.uid.as_deref().is_some_and(|uid| owners.into_iter().any(|owner| is_namesake(owner) && owner["uid"] != uid))
}
