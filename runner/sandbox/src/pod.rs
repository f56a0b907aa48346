//! Reads a pod's status.

use serde_json::Value;

use super::object;

/// Whether the pod has ended or is being deleted.
pub(crate) fn is_over(pod: &Value) -> bool {
    object::is_terminating(pod) || matches!(object::text(pod, "/status/phase"), "Succeeded" | "Failed")
}

/// Whether the pod is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    !is_over(pod) && object::condition(pod, "Ready") == Some("True")
}
