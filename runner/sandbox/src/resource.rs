//! The kinds that the sandbox serves, as one table.
//!
//! In scope: names, scopes and properties of kinds. Out of scope: checking and completing objects (`validate`,
//! `admission`), and their consequences (`controllers`).

/// One kind of object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The name in URLs: `pods`.
    pub plural: &'static str,
    /// The name that kubectl also takes: `pod`.
    pub singular: &'static str,
    /// The kind in objects: `Pod`.
    pub kind: &'static str,
    /// Abbreviations that kubectl takes.
    pub short: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Parts that have a URL of their own: `status`, `scale`.
    pub subresources: &'static [&'static str],
    /// Whether `metadata.generation` counts the changes of `spec`.
    pub generation: bool,
}

impl Resource {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The name in error messages: `pods`, `jobs.batch`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.plural.to_string() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The kind in error messages: `Pod`, `Job.batch`.
    pub fn qualified_kind(&self) -> String {
        if self.group.is_empty() { self.kind.to_string() } else { format!("{}.{}", self.kind, self.group) }
    }

    /// Whether it has the subresource.
    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.contains(&subresource)
    }
}

macro_rules! resources {
    ($($name:ident = $group:literal $version:literal $plural:literal $singular:literal $kind:literal $short:expr, $namespaced:expr, $sub:expr, $generation:expr;)*) => {
        $(pub(crate) static $name: Resource = Resource {
            group: $group, version: $version, plural: $plural, singular: $singular, kind: $kind,
            short: &$short, namespaced: $namespaced, subresources: &$sub, generation: $generation,
        };)*
        /// Every kind that is served and stored.
        pub(crate) static RESOURCES: &[&Resource] = &[$(&$name),*];
    };
}

resources! {
    CONFIGMAPS = "" "v1" "configmaps" "configmap" "ConfigMap" ["cm"], true, [], false;
    ENDPOINTS = "" "v1" "endpoints" "endpoints" "Endpoints" ["ep"], true, [], false;
    EVENTS = "" "v1" "events" "event" "Event" ["ev"], true, [], false;
    NAMESPACES = "" "v1" "namespaces" "namespace" "Namespace" ["ns"], false, ["status", "finalize"], false;
    NODES = "" "v1" "nodes" "node" "Node" ["no"], false, ["status"], false;
    PODS = "" "v1" "pods" "pod" "Pod" ["po"], true, ["status", "log", "eviction"], true;
    SECRETS = "" "v1" "secrets" "secret" "Secret" [], true, [], false;
    SERVICE_ACCOUNTS = "" "v1" "serviceaccounts" "serviceaccount" "ServiceAccount" ["sa"], true, [], false;
    SERVICES = "" "v1" "services" "service" "Service" ["svc"], true, ["status"], false;
    DEPLOYMENTS = "apps" "v1" "deployments" "deployment" "Deployment" ["deploy"], true, ["status", "scale"], true;
    REPLICA_SETS = "apps" "v1" "replicasets" "replicaset" "ReplicaSet" ["rs"], true, ["status", "scale"], true;
    STATEFUL_SETS = "apps" "v1" "statefulsets" "statefulset" "StatefulSet" ["sts"], true, ["status", "scale"], true;
    JOBS = "batch" "v1" "jobs" "job" "Job" [], true, ["status"], true;
    LEASES = "coordination.k8s.io" "v1" "leases" "lease" "Lease" [], true, [], false;
    ENDPOINT_SLICES = "discovery.k8s.io" "v1" "endpointslices" "endpointslice" "EndpointSlice" [], true, [], true;
    NETWORK_POLICIES = "networking.k8s.io" "v1" "networkpolicies" "networkpolicy" "NetworkPolicy" ["netpol"], true, [], true;
    POD_DISRUPTION_BUDGETS = "policy" "v1" "poddisruptionbudgets" "poddisruptionbudget" "PodDisruptionBudget" ["pdb"], true, ["status"], true;
    DEFINITIONS = "apiextensions.k8s.io" "v1" "customresourcedefinitions" "customresourcedefinition" "CustomResourceDefinition" ["crd", "crds"], false, ["status"], true;
    NETWORK_CHAOS = "chaos-mesh.org" "v1alpha1" "networkchaos" "networkchaos" "NetworkChaos" [], true, [], true;
    POD_CHAOS = "chaos-mesh.org" "v1alpha1" "podchaos" "podchaos" "PodChaos" [], true, [], true;
    POD_NETWORK_CHAOS = "chaos-mesh.org" "v1alpha1" "podnetworkchaos" "podnetworkchaos" "PodNetworkChaos" [], true, ["status"], true;
    STRESS_CHAOS = "chaos-mesh.org" "v1alpha1" "stresschaos" "stresschaos" "StressChaos" [], true, [], true;
    HTTP_CHAOS = "chaos-mesh.org" "v1alpha1" "httpchaos" "httpchaos" "HTTPChaos" [], true, [], true;
    DNS_CHAOS = "chaos-mesh.org" "v1alpha1" "dnschaos" "dnschaos" "DNSChaos" [], true, [], true;
    IO_CHAOS = "chaos-mesh.org" "v1alpha1" "iochaos" "iochaos" "IOChaos" [], true, [], true;
    TIME_CHAOS = "chaos-mesh.org" "v1alpha1" "timechaos" "timechaos" "TimeChaos" [], true, [], true;
}

/// The served kind with this group, version and plural name.
pub(crate) fn find(group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().copied().find(|r| r.group == group && r.version == version && r.plural == plural)
}

/// The served kind that objects with this `apiVersion` and `kind` have.
pub(crate) fn find_kind(api_version: &str, kind: &str) -> Option<&'static Resource> {
    RESOURCES.iter().copied().find(|r| r.kind == kind && r.api_version() == api_version)
}
