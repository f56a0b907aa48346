//! The objects that the manifests of a scenario create, to find duplicates.

use serde_json::Value;

use crate::scenario::Fault;

/// The identity of an object that a fault creates, as far as the scenario specifies it. All versions of a kind share
/// their objects, so the version is not part of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Written {
    group: String,
    pub kind: String,
    /// Empty for the namespace of the run.
    namespace: String,
    pub name: String,
}

/// The object of a fault, if the scenario names it.
pub(super) fn written(fault: &Fault, namespace: Option<&str>) -> Option<Written> {
    let Fault::Manifest(manifest) = fault else { return None };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let metadata = manifest.object.get("metadata")?;
    let version = text(manifest.object.get("apiVersion")?)?;
    Some(Written {
        group: version.split_once('/').map_or("", |(group, _)| group).to_owned(),
        kind: text(manifest.object.get("kind")?)?,
        namespace: text(&metadata["namespace"]).or_else(|| namespace.map(str::to_owned)).unwrap_or_default(),
        name: text(&metadata["name"])?,
    })
}
