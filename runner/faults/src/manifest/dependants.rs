//! What a Schedule or a Workflow of Chaos Mesh has made. Its objects act, not itself, and it goes on making them while it is
//! being deleted: a deletion that waits for its dependants ends with a new one that is there.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};

const VERSION: &str = "chaos-mesh.org/v1alpha1";
/// The labels with which Chaos Mesh names the Schedule, or the Workflow, that has made an object.
const MAKERS: [&str; 2] = ["managed-by", "chaos-mesh.org/workflow"];

/// The annotation that pauses a Schedule and what it has made.
const PAUSE: &str = "experiment.chaos-mesh.org/pause";

/// What a Schedule or a Workflow has made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependants {
    /// The objects that still exist.
    pub left: Vec<ObjectKey>,
    /// The kinds that the account may not list: of those it is not known.
    pub unlisted: Vec<Kind>,
}

impl Dependants {
    /// Why it is not proven that what `key` has made is gone; `None` when that is proven.
    pub fn unproven(&self, key: &ObjectKey) -> Option<String> {
        if self.unlisted.is_empty() {
            return self.left.first().map(|left| format!("{key} is gone, and {left}, which it has made, is not yet"));
        }
        let (kinds, namespace) = (self.unlisted_kinds(), &key.namespace);
        Some(format!(
            "{key} is gone, but it is unknown whether the objects that it created are: this account may not list {kinds} in \
             namespace {namespace}\nhelp: grant it the verb `list` on these, and look with `kubectl -n {namespace} get {kinds}`"
        ))
    }

    /// The label with which Chaos Mesh names a maker of this kind.
    pub fn label(maker: Kind) -> &'static str {
        MAKERS[usize::from(maker.name() == "Workflow")]
    }

    /// The kinds that the account may not list, as kubectl takes them.
    pub fn unlisted_kinds(&self) -> String {
        self.unlisted.iter().map(|kind| kind.kubectl()).collect::<Vec<_>>().join(",")
    }
}

/// The kinds of the objects that an object of this kind makes: none but for a Schedule and a Workflow.
pub fn kinds_of_dependants(kind: Kind) -> Vec<Kind> {
    match kind.is_chaos() && matches!(kind.name(), "Schedule" | "Workflow") {
        // Workflows first: what they have made is named after them.
        true => [Kind::other(VERSION, "Workflow", "workflows")].into_iter().chain(Kind::CHAOS).collect(),
        false => Vec::new(),
    }
}

/// The objects that a Schedule or a Workflow has made and that still exist, also by way of a Workflow; none for another kind.
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

/// Stops a Schedule from making more, before its deletion. While one that it has made cannot go, it is being deleted and still
/// makes another at each of its times. For other kinds, and where the account may not change it, nothing is done.
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

/// Whether an object belongs to another maker that has the name of this one.
fn is_of_another(object: &Value, key: &ObjectKey) -> bool {
    let owners = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let is_namesake = |owner: &Value| owner["kind"] == key.kind.name() && owner["name"] == key.name.as_str();
    key.uid.as_deref().is_some_and(|uid| owners.into_iter().any(|owner| is_namesake(owner) && owner["uid"] != uid))
}
