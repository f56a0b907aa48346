//! Looking for what a run may have left in a cluster, with kubectl and without shakedown's own code.

use serde_json::Value;

use super::kubectl::Kubectl;

/// What the runner puts on everything that it creates.
pub const MANAGED: &str = "app.kubernetes.io/managed-by=shakedown";
/// The label with the run's id.
pub const RUN: &str = "shakedown.dev/run";
/// Everything that it may create, and what its Jobs create.
const KINDS: &str = "networkpolicies,jobs,pods,leases";
/// The beginning of the labels that it puts on objects of others.
const MARK: &str = "mark.shakedown.dev/";

/// Everything of ours in a namespace, and of this run in the whole cluster. Empty is as it should be.
#[track_caller]
pub fn find(kubectl: &Kubectl, namespace: &str, run: &str) -> Vec<String> {
    let of_run = format!("{RUN}={run}");
    let mut found = Vec::new();
    found.extend(kubectl.items(&[KINDS, "-n", namespace, "-l", MANAGED]));
    found.extend(kubectl.items(&[KINDS, "-A", "-l", &of_run]));
    let mut left: Vec<String> = found.iter().map(shown).collect();
    let marked = [kubectl.items(&["pods", "-A"]), kubectl.items(&["namespaces"])].concat();
    left.extend(
        marked
            .iter()
            .filter(|object| {
                let here = object["metadata"]["namespace"] == namespace || object["metadata"]["name"] == namespace;
                marks(object).any(|mark| here || mark.contains(run))
            })
            .map(|object| format!("a mark on {}", shown(object))),
    );
    left
}

/// The labels that a fault puts on an object.
pub fn marks(object: &Value) -> impl Iterator<Item = &String> {
    let labels = object["metadata"]["labels"].as_object();
    labels.into_iter().flat_map(|labels| labels.keys()).filter(|key| key.starts_with(MARK))
}

fn shown(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!("{} {}/{}", text(&object["kind"]), text(&metadata["namespace"]), text(&metadata["name"]))
}
