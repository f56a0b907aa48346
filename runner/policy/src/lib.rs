//! NetworkPolicy as pure functions: evaluating policies, and building the ones that cut exactly some links.
//!
//! What belongs here: what a set of policies allows ([`Cluster`]), the policies that a partition needs ([`build`],
//! [`combine`]), and whether standing policies get in their way ([`standing()`]). What does not: a kube client, sockets, the clock, and
//! who labels which pod.

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
mod ports;
#[cfg(test)]
mod property;
mod service;
mod standing;
mod terms;
mod way;

pub use build::build;
pub use cluster::{Cluster, Connection, Decision, Endpoint, Side, Why};
pub use combine::{Group, Part, combine};
pub use cut::{Block, BuildError, Built, Cut, Facts, Front, Limit, MAX_TERMS, NamespaceLabel, OtherPorts, Peer};
pub use explain::explain;
pub use labels::{Labels, Selector};
pub use net::{Cidr, CidrError};
pub use pod::{ContainerPort, Pod, PolicyName};
pub use ports::{PortSet, Protocol};
pub use service::{ServiceError, ServicePeer, ServicePort, Target, endpoints_behind};
pub use standing::{Conflict, ConflictKind, standing};
pub use way::Way;
