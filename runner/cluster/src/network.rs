//! The network of a cluster, read as plain data for `policy`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lists::Listed;
use super::nodes::ApiNode;
use super::{Cluster, ClusterError, Kind};
use shakedown_policy::{self as policy, ApiPod, Cidr, Labels};

/// The network's facts. Parts that this account may not read are missing.
pub struct Network {
    /// Pods, namespaces and the policies of the targets' namespaces.
    pub cluster: policy::Cluster,
    /// The blocks from which pods get their addresses, merged; empty when unknown.
    pub pod_cidrs: Vec<Cidr>,
    /// The nodes' addresses.
    pub nodes: Vec<IpAddr>,
}

/// A namespace's name and labels.
#[derive(Deserialize)]
struct ApiNamespace {
    metadata: NamespaceMetadata,
}

#[derive(Deserialize)]
struct NamespaceMetadata {
    name: String,
    labels: Option<Labels>,
}

/// What nodes say about addresses.
#[derive(Default)]
struct NodeFacts {
    pod_cidrs: Vec<Cidr>,
    addresses: Vec<IpAddr>,
}

impl NodeFacts {
    fn add(&mut self, node: ApiNode) {
        let cidrs = node.spec.pod_cidrs.into_iter().flatten().chain(node.spec.pod_cidr);
        self.pod_cidrs.extend(cidrs.filter_map(|text| text.parse::<Cidr>().ok()));
        let addresses = node.status.addresses.into_iter().flatten();
        self.addresses.extend(addresses.filter_map(|it| it.address.parse::<IpAddr>().ok()));
    }
}

fn add_pod(pods: &mut Vec<policy::Pod>, object: ApiPod) {
    pods.extend(policy::Pod::from_kubernetes(object));
}

impl Cluster {
    /// Reads the whole cluster's pods, namespaces and nodes, and the policies in the namespaces of the targets, which no
    /// other policies select. Where the account may not read all pods, those of `namespaces`, which are the targets' and
    /// the peers'.
    ///
    /// # Errors
    /// When even these namespaces cannot be read, or the server does not answer.
    pub async fn network(
        &self,
        targets: &BTreeSet<String>,
        namespaces: &BTreeSet<String>,
    ) -> Result<Network, ClusterError> {
        let pods = self.pods_everywhere_or_in(namespaces).await?;
        let mut policies: Vec<NetworkPolicy> = Vec::new();
        for namespace in targets {
            policies.extend(self.fetch_all(Kind::NetworkPolicy, Listed::of(namespace), Vec::push).await?);
        }
        let namespace_labels = self.namespace_labels(namespaces).await?;
        let nodes = self.gather_nodes(NodeFacts::add).await?;
        Ok(Network {
            cluster: policy::Cluster::new(pods, namespace_labels, &policies),
            pod_cidrs: Cidr::merged(nodes.pod_cidrs),
            nodes: nodes.addresses,
        })
    }

    async fn pods_everywhere_or_in(&self, namespaces: &BTreeSet<String>) -> Result<Vec<policy::Pod>, ClusterError> {
        match self.fetch_all(Kind::Pod, Listed::default(), add_pod).await {
            Err(ClusterError::Forbidden { .. }) => {}
            pods => return pods,
        }
        let mut pods = Vec::new();
        for namespace in namespaces {
            pods.extend(self.fetch_all(Kind::Pod, Listed::of(namespace), add_pod).await?);
        }
        Ok(pods)
    }

    pub(super) async fn namespace_labels(
        &self,
        wanted: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Labels>, ClusterError> {
        let listed = Listed { only_metadata: true, ..Listed::default() };
        let keep = |all: &mut BTreeMap<String, Labels>, namespace: ApiNamespace| {
            all.insert(namespace.metadata.name, namespace.metadata.labels.unwrap_or_default());
        };
        match self.fetch_all(Kind::Namespace, listed, keep).await {
            // Since Kubernetes 1.21, every namespace has its own name as a label. On an older server it needs a mark.
            Err(ClusterError::Forbidden { .. }) => {
                let is_old = self.version().is_some_and(|version| version < (1, 21));
                let named = |name: &String| Labels::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
                let label = |name: &String| if is_old { Labels::new() } else { named(name) };
                Ok(wanted.iter().map(|name| (name.clone(), label(name))).collect())
            }
            namespaces => namespaces,
        }
    }

    /// A Service. None if it does not exist.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn service(&self, namespace: &str, name: &str) -> Result<Option<Value>, ClusterError> {
        match self
            .raw(&format!("read service {name}"), &format!("/api/v1/namespaces/{namespace}/services/{name}"))
            .await
        {
            Ok(service) => Ok(Some(service)),
            Err(ClusterError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A Service, with its endpoints if it has no selector. None if it does not exist.
    ///
    /// # Errors
    /// When the server refuses, does not answer, or answers with another object.
    pub async fn service_and_endpoints(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<Option<(core::Service, Option<core::Endpoints>)>, ClusterError> {
        let Some(object) = self.service(namespace, name).await? else { return Ok(None) };
        let service: core::Service = read(&format!("service {name}"), object)?;
        let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        if selector.is_some_and(|labels| !labels.is_empty()) {
            return Ok(Some((service, None)));
        }
        let (what, path) =
            (format!("the endpoints of service {name}"), format!("/api/v1/namespaces/{namespace}/endpoints/{name}"));
        let endpoints = match self.raw(&format!("read {what}"), &path).await {
            Err(ClusterError::NotFound(_)) => None,
            other => Some(read(&what, other?)?),
        };
        Ok(Some((service, endpoints)))
    }

    /// The pods of a namespace, without its policies.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn pods_of(&self, namespace: &str) -> Result<policy::Cluster, ClusterError> {
        let pods = self.fetch_all(Kind::Pod, Listed::of(namespace), add_pod).await?;
        Ok(policy::Cluster::new(pods, BTreeMap::new(), &[]))
    }
}

fn read<T: DeserializeOwned>(what: &str, object: Value) -> Result<T, ClusterError> {
    serde_json::from_value(object).map_err(|error| ClusterError::Other {
        action: format!("read {what}"),
        message: error.to_string(),
        transient: false,
    })
}
