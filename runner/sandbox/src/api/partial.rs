//! The form of an object that has only its metadata.

use serde_json::{Value, json};

/// The object's metadata alone.
pub(super) fn metadata(value: &Value) -> Value {
    let meta = value.get("metadata").cloned().unwrap_or(json!({}));
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": meta})
}
