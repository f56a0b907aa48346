//! The common parts of the faults that need the Kubernetes API alone.

use shakedown_schemas::result::PodRef;

use super::FaultDriver;
use shakedown_cluster::{Cluster, ObjectKey};

/// The spec of a driver that needs the Kubernetes API alone: plain data.
pub trait KubernetesSpec {
    /// The driver of this spec.
    fn driver(&self, cluster: &Cluster, targets: &[PodRef]) -> Box<dyn FaultDriver>;

    /// The objects other than targets that it reads or changes. Its permissions are limited to their names, and a
    /// recording of Chaos Mesh contains those of its kinds.
    fn objects(&self) -> Vec<&ObjectKey> {
        Vec::new()
    }
}

/// The list of all kinds. Defines the type of their specs.
macro_rules! kubernetes_kinds {
    ($($(#[doc = $summary:literal])+ $variant:ident($spec:ty),)*) => {
        /// The spec of a fault that needs the Kubernetes API alone, by kind.
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ByKubernetes {
            $($(#[doc = $summary])+ $variant(Box<$spec>),)*
        }

        impl ByKubernetes {
            /// The spec, whatever its kind.
            pub fn spec(&self) -> &dyn $crate::kubernetes::KubernetesSpec {
                match self { $(Self::$variant(it) => &**it,)* }
            }
        }

        $(impl From<$spec> for ByKubernetes {
            fn from(spec: $spec) -> Self {
                Self::$variant(Box::new(spec))
            }
        })*
    };
}
