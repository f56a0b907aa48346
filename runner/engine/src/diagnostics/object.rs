//! Helpers for reading objects of the cluster.

use serde_json::Value;

use shakedown_cluster::labels;

/// The most characters of a pod's message and of a log line.
const LINE: usize = 400;

/// The UID of an object.
pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// Whether this program created the object, such as a witness.
pub(super) fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][labels::MANAGED_BY] == labels::MANAGER
}

/// The text, cut to [`LINE`] characters.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LINE).collect()
}
