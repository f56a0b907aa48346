//! The mark: the label that distinguishes a target from other pods.

use serde::Serialize;
use shakedown_schemas::result::PodRef;

use shakedown_cluster::{Kind, ObjectKey};

/// A label on an existing object while the fault lasts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mark {
    /// The object.
    pub object: ObjectKey,
    /// The label's key.
    pub label: String,
    /// The label's value.
    pub value: String,
}

/// The key of a pod, with its UID.
pub fn pod_key(pod: &PodRef) -> ObjectKey {
    ObjectKey { kind: Kind::Pod, namespace: pod.namespace.clone(), name: pod.name.clone(), uid: Some(pod.uid.clone()) }
}
