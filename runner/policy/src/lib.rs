//! NetworkPolicy as pure functions: evaluates policies and builds those that cut exactly the given links.
//!
//! In scope: the links that a set of policies allows ([`Cluster`]), the policies that a partition needs ([`build`],
//! [`combine`]), and whether standing policies get in their way ([`standing()`]). Out of scope: a kube client, sockets,
//! the clock, and the labels of pods.

mod api;
mod blocks;
mod build;
mod cluster;
mod combine;
mod compiled;
mod cut;
mod explain;
mod labels;
mod net;
mod pod;
mod policy_type;
mod ports;
#[cfg(test)]
mod property;
mod service;
mod standing;
mod terms;

pub use api::ApiPod;
pub use build::build;
pub use cluster::{Cluster, Connection, Decision, Endpoint, Side, Why};
pub use combine::{Group, Isolation, combine};
pub use cut::{Block, BuildError, Built, Cut, Facts, Front, Limit, MAX_TERMS, NamespaceLabel, OtherPorts, Peer};
pub use explain::explain;
pub use labels::{Labels, Selector};
pub use net::{Cidr, CidrError};
pub use pod::{ContainerPort, Pod, PolicyName};
pub use policy_type::PolicyType;
pub use ports::{PortSet, Protocol};
pub use service::{ServiceError, ServicePeer, ServicePort, Target, endpoints_behind};
pub use standing::{Conflict, ConflictKind, standing};
