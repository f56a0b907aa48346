//! Which objects the manifests of a scenario create, to find two of the same.

use serde_json::Value;

use crate::scenario::Fault;

/// Which object a fault creates, as far as its scenario says it. Versions of a kind are views of the same objects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Written {
    group: String,
    pub kind: String,
    /// Empty for the namespace of the run.
    namespace: String,
    pub name: String,
}

/// The object that a fault creates under a name of the scenario's choice.
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
