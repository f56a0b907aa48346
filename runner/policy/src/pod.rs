//! Pods and policies, as far as the network is concerned.

use std::fmt;
use std::net::IpAddr;

use super::labels::Labels;
use super::ports::Protocol;

/// A pod, as far as the network is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses, one per family. The node's addresses if `host_network`.
    pub ips: Vec<IpAddr>,
    /// The ports that its containers declare.
    pub ports: Vec<ContainerPort>,
    /// True if it uses its node's network. No policy selects it, and other pods see the node's address.
    pub host_network: bool,
    /// Its node's addresses, if known. Connections from the node to the pod (probes) are always allowed.
    pub node_ips: Vec<IpAddr>,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Its number, 1 to 65535.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// A policy by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for PolicyName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)
    }
}
