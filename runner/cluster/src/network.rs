//! The network of a cluster, read as plain data for `policy`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Cluster, ClusterError, Kind};
use shakedown_policy::{self as policy, Cidr, Labels};

/// The network's facts. Parts that this account may not read are missing.
pub struct Network {
    /// Pods, namespaces and the policies of the namespaces that were asked for.
    pub cluster: policy::Cluster,
    /// The policies themselves.
    pub policies: Vec<NetworkPolicy>,
    /// The blocks from which pods get their addresses; empty when unknown.
    pub pod_cidrs: Vec<Cidr>,
    /// The nodes' addresses.
    pub nodes: Vec<IpAddr>,
    /// True when only the given namespaces could be read.
    pub partial: bool,
}

impl Cluster {
    /// Reads the whole cluster's pods, namespaces, policies and nodes; where the account may not, those of the given
    /// namespaces.
    ///
    /// # Errors
    /// When even the given namespaces cannot be read, or the server does not answer.
    pub async fn network(&self, namespaces: &BTreeSet<String>) -> Result<Network, ClusterError> {
        let (pods, pods_partial) = self.everywhere_or(Kind::Pod, namespaces).await?;
        let (policies, policies_partial) = self.everywhere_or(Kind::NetworkPolicy, namespaces).await?;
        let namespace_labels = self.namespace_labels(namespaces).await?;
        let nodes = match self.raw("list nodes", "/api/v1/nodes").await {
            Ok(list) => list["items"].as_array().cloned().unwrap_or_default(),
            Err(ClusterError::Forbidden { .. } | ClusterError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let policies: Vec<NetworkPolicy> = typed(policies);
        let pods = typed::<core::Pod>(pods).iter().filter_map(policy::Pod::from_kubernetes).collect();
        Ok(Network {
            cluster: policy::Cluster::new(pods, namespace_labels, &policies),
            policies,
            pod_cidrs: pod_cidrs(&nodes),
            nodes: node_addresses(&nodes),
            partial: pods_partial || policies_partial,
        })
    }

    async fn everywhere_or(
        &self,
        kind: Kind,
        namespaces: &BTreeSet<String>,
    ) -> Result<(Vec<Value>, bool), ClusterError> {
        match self.list(kind, "", None).await {
            Err(ClusterError::Forbidden { .. }) => {}
            other => return other.map(|items| (items, false)),
        }
        let mut items = Vec::new();
        for namespace in namespaces {
            items.extend(self.list(kind, namespace, None).await?);
        }
        Ok((items, true))
    }

    async fn namespace_labels(&self, wanted: &BTreeSet<String>) -> Result<BTreeMap<String, Labels>, ClusterError> {
        let objects = match self.list(Kind::Namespace, "", None).await {
            // From Kubernetes 1.21 on every namespace carries its own name as a label.
            Err(ClusterError::Forbidden { .. }) => {
                let label = |name: &String| Labels::from([("kubernetes.io/metadata.name".to_owned(), name.clone())]);
                return Ok(wanted.iter().map(|name| (name.clone(), label(name))).collect());
            }
            other => other?,
        };
        Ok(objects
            .iter()
            .filter_map(|object| {
                let name = object["metadata"]["name"].as_str()?.to_owned();
                let labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
                Some((name, labels))
            })
            .collect())
    }

    /// A Service; none when it is not there.
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

    /// A Service, and its endpoints where no selector of its own says which pods are behind it; none when it is not there.
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
        let pods = typed::<core::Pod>(self.list(Kind::Pod, namespace, None).await?);
        let pods = pods.iter().filter_map(policy::Pod::from_kubernetes).collect();
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

fn typed<T: DeserializeOwned>(objects: Vec<Value>) -> Vec<T> {
    objects.into_iter().filter_map(|object| serde_json::from_value(object).ok()).collect()
}

fn pod_cidrs(nodes: &[Value]) -> Vec<Cidr> {
    let mut found: Vec<Cidr> = Vec::new();
    for node in nodes {
        let many = node["spec"]["podCIDRs"].as_array().into_iter().flatten();
        for text in many.chain([&node["spec"]["podCIDR"]]) {
            if let Some(cidr) = text.as_str().and_then(|text| text.parse().ok())
                && !found.contains(&cidr)
            {
                found.push(cidr);
            }
        }
    }
    found
}

fn node_addresses(nodes: &[Value]) -> Vec<IpAddr> {
    nodes
        .iter()
        .flat_map(|node| node["status"]["addresses"].as_array().into_iter().flatten())
        .filter_map(|address| address["address"].as_str()?.parse().ok())
        .collect()
}
