//! The kinds of objects that the runner handles: a fixed list of known kinds, and the kinds that a scenario's manifests name.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use kube::core::ApiResource;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shakedown_schemas::scenario::{FaultInfo, Resource};

/// The kinds of objects that the runner handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// networking.k8s.io/v1 NetworkPolicy
    NetworkPolicy,
    /// batch/v1 Job
    Job,
    /// coordination.k8s.io/v1 Lease
    Lease,
    /// v1 Pod
    Pod,
    /// v1 Namespace
    Namespace,
    /// v1 Endpoints
    Endpoints,
    /// apps/v1 ReplicaSet
    ReplicaSet,
    /// chaos-mesh.org/v1alpha1 NetworkChaos
    NetworkChaos,
    /// chaos-mesh.org/v1alpha1 PodChaos
    PodChaos,
    /// chaos-mesh.org/v1alpha1 StressChaos
    StressChaos,
    /// chaos-mesh.org/v1alpha1 HTTPChaos
    HttpChaos,
    /// chaos-mesh.org/v1alpha1 DNSChaos
    DnsChaos,
    /// chaos-mesh.org/v1alpha1 IOChaos
    IoChaos,
    /// chaos-mesh.org/v1alpha1 TimeChaos
    TimeChaos,
    /// chaos-mesh.org/v1alpha1 PodNetworkChaos: the network faults of Chaos Mesh in one pod
    PodNetworkChaos,
    /// chaos-mesh.org/v1alpha1 PodHttpChaos: the proxy of Chaos Mesh in one pod
    PodHttpChaos,
    /// chaos-mesh.org/v1alpha1 PodIOChaos: the file faults of Chaos Mesh in one pod
    PodIoChaos,
    /// v1 Event
    Event,
    /// v1 Service
    Service,
    /// v1 Node
    Node,
    /// A kind that a manifest names.
    Other(OtherKind),
}

/// A kind that is not in the list, identified by its API version and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OtherKind(&'static Parts);

/// The API path of a kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Parts {
    group: String,
    version: String,
    kind: String,
    plural: String,
}

/// The kinds that manifests have named so far. They live as long as the program, so that a kind is a plain value. Their
/// number is limited by the manifests.
static OTHERS: Mutex<BTreeSet<&'static Parts>> = Mutex::new(BTreeSet::new());

impl OtherKind {
    fn of(parts: Parts) -> Self {
        let mut known = OTHERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(parts) = known.get(&parts) {
            return Self(parts);
        }
        let parts: &'static Parts = Box::leak(Box::new(parts));
        known.insert(parts);
        Self(parts)
    }
}

impl Serialize for OtherKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OtherKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer).map(Self::of)
    }
}

impl From<Resource> for Kind {
    fn from(it: Resource) -> Self {
        let api_version =
            if it.group.is_empty() { it.version.to_owned() } else { format!("{}/{}", it.group, it.version) };
        Self::other(&api_version, it.kind, it.plural)
    }
}

/// The API group of Chaos Mesh.
pub const CHAOS_GROUP: &str = "chaos-mesh.org";

impl Kind {
    /// The kinds of Kubernetes' own that every run may create in namespaces, in the order in which they are removed.
    pub const CREATED: [Self; 4] = [Self::NetworkPolicy, Self::Pod, Self::Lease, Self::Job];

    /// The kinds of Kubernetes' own that a run creates in namespaces, with those of its faults. Faults come first.
    pub fn created() -> impl Iterator<Item = Self> {
        FaultInfo::created().map(Self::from).chain(Self::CREATED)
    }

    /// The kinds of Chaos Mesh that a run creates in namespaces. They come before all others when a run is removed.
    pub const CHAOS: [Self; 7] = [
        Self::NetworkChaos,
        Self::PodChaos,
        Self::StressChaos,
        Self::HttpChaos,
        Self::DnsChaos,
        Self::IoChaos,
        Self::TimeChaos,
    ];

    /// Kinds of Kubernetes' own that a run only reads, and that manifests may name.
    const READ: [Self; 3] = [Self::Event, Self::Service, Self::Node];

    /// A kind by its API version and its names.
    pub fn other(api_version: &str, kind: &str, plural: &str) -> Self {
        let children = Self::CHAOS.iter().filter_map(|kind| kind.child());
        let known = Self::CREATED.into_iter().chain(Self::CHAOS).chain(children).chain(Self::READ);
        let same = |it: &Self| it.name() == kind && it.api_version() == api_version;
        known.into_iter().find(same).unwrap_or_else(|| {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let text = str::to_owned;
            let parts = Parts { group: text(group), version: text(version), kind: text(kind), plural: text(plural) };
            Self::Other(OtherKind::of(parts))
        })
    }

    /// The kind of the per-pod objects that Chaos Mesh creates for this kind. None if there is none.
    pub const fn child(self) -> Option<Self> {
        match self {
            Self::NetworkChaos => Some(Self::PodNetworkChaos),
            Self::HttpChaos => Some(Self::PodHttpChaos),
            Self::IoChaos => Some(Self::PodIoChaos),
            Self::PodChaos | Self::StressChaos | Self::DnsChaos | Self::TimeChaos => None,
            Self::NetworkPolicy | Self::Job | Self::Lease | Self::Pod | Self::Namespace | Self::Endpoints => None,
            Self::ReplicaSet | Self::Event | Self::Service | Self::Node => None,
            Self::PodNetworkChaos | Self::PodHttpChaos | Self::PodIoChaos | Self::Other(_) => None,
        }
    }

    /// Whether Chaos Mesh's controllers act on it.
    pub fn is_chaos(self) -> bool {
        self.parts().0 == CHAOS_GROUP
    }

    const fn parts(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Lease => ("coordination.k8s.io", "v1", "Lease", "leases"),
            Self::Pod => ("", "v1", "Pod", "pods"),
            Self::Namespace => ("", "v1", "Namespace", "namespaces"),
            Self::Endpoints => ("", "v1", "Endpoints", "endpoints"),
            Self::ReplicaSet => ("apps", "v1", "ReplicaSet", "replicasets"),
            Self::NetworkChaos => (CHAOS_GROUP, "v1alpha1", "NetworkChaos", "networkchaos"),
            Self::PodChaos => (CHAOS_GROUP, "v1alpha1", "PodChaos", "podchaos"),
            Self::StressChaos => (CHAOS_GROUP, "v1alpha1", "StressChaos", "stresschaos"),
            Self::HttpChaos => (CHAOS_GROUP, "v1alpha1", "HTTPChaos", "httpchaos"),
            Self::DnsChaos => (CHAOS_GROUP, "v1alpha1", "DNSChaos", "dnschaos"),
            Self::IoChaos => (CHAOS_GROUP, "v1alpha1", "IOChaos", "iochaos"),
            Self::TimeChaos => (CHAOS_GROUP, "v1alpha1", "TimeChaos", "timechaos"),
            Self::PodNetworkChaos => (CHAOS_GROUP, "v1alpha1", "PodNetworkChaos", "podnetworkchaos"),
            Self::PodHttpChaos => (CHAOS_GROUP, "v1alpha1", "PodHttpChaos", "podhttpchaos"),
            Self::PodIoChaos => (CHAOS_GROUP, "v1alpha1", "PodIOChaos", "podiochaos"),
            Self::Event => ("", "v1", "Event", "events"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Node => ("", "v1", "Node", "nodes"),
            Self::Other(other) => {
                let Parts { group, version, kind, plural } = other.0;
                (group.as_str(), version.as_str(), kind.as_str(), plural.as_str())
            }
        }
    }

    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.parts();
        ApiResource::from_gvk_with_plural(&kube::core::GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        self.parts().0
    }

    /// The API version, such as `networking.k8s.io/v1`.
    pub fn api_version(self) -> String {
        let (group, version, ..) = self.parts();
        if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
    }

    /// The kind's name, such as `NetworkPolicy`.
    pub const fn name(self) -> &'static str {
        self.parts().2
    }

    /// The resource's name in the API, such as `networkpolicies`.
    pub const fn plural(self) -> &'static str {
        self.parts().3
    }

    /// The resource as kubectl names it, such as `networkpolicy`; with its group where another may have that name.
    pub fn kubectl(self) -> String {
        match self {
            Self::Other(other) if !other.0.group.is_empty() => format!("{}.{}", other.0.plural, other.0.group),
            _ => self.name().to_ascii_lowercase(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_manifests_are_plain_values_that_read_back() {
        let one = Kind::other("chaos-mesh.org/v1alpha1", "KernelChaos", "kernelchaos");
        let same = Kind::other("chaos-mesh.org/v1alpha1", "KernelChaos", "kernelchaos");
        assert_eq!(one, same);
        assert_eq!((one.kubectl().as_str(), one.is_chaos()), ("kernelchaos.chaos-mesh.org", true));
        let written = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Kind>(&written).unwrap(), one);
        assert_eq!(Kind::other("chaos-mesh.org/v1alpha1", "PodChaos", "podchaos"), Kind::PodChaos);
        assert_eq!(Kind::other("v1", "ConfigMap", "configmaps").api_version(), "v1");
        assert_eq!(serde_json::to_string(&Kind::Pod).unwrap(), "\"Pod\"");
    }
}
