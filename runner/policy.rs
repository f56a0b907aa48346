//! NetworkPolicy as pure functions: evaluating policies, and building the ones that cut exactly some links.
//!
//! What belongs here: what a set of policies allows ([`Cluster`]), the policies that a partition needs, and whether
//! standing policies get in their way. What does not: a kube client, sockets, the clock, and who labels which pod.

mod cluster;
mod compiled;
mod labels;
mod net;
mod ports;

pub use cluster::{Cluster, Connection, ContainerPort, Decision, Endpoint, Pod, PolicyName, Side, Why};
pub use labels::{Labels, Selector};
pub use net::{Cidr, CidrError};
pub use ports::{PortSet, Protocol};
