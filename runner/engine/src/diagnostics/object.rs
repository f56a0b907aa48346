//! What is read of any object of the cluster.

use serde_json::Value;

use shakedown_cluster::labels;

/// The most characters of what is said of a pod, and of a line that it wrote.
const LINE: usize = 400;

/// The UID of an object.
pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// True for what this program made itself: a fuse's pod, a witness.
pub(super) fn is_ours(object: &Value) -> bool {
    object["metadata"]["labels"][labels::MANAGED_BY] == labels::MANAGER
}

/// The beginning of what is said of a pod.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LINE).collect()
}
