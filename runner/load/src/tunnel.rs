//! Connections that another part of the program makes, such as through a port-forward. Making one costs time that is not the
//! service's: it is measured apart from the latency, and its failure is not a failure of the service.

use std::fmt::Debug;
use std::net::TcpStream;

use futures::future::BoxFuture;

/// The words for a request that waits for a tunnel.
pub(super) const OPENING: &str = "the port-forward is not open";

/// Opens connections to a service.
pub trait Tunnel: Debug + Send + Sync {
    /// Opens one connection. It is called on the engine's threads and must not do its work there.
    fn open(&self) -> BoxFuture<'static, Result<TcpStream, NoTunnel>>;
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoTunnel {
    /// The service has no endpoint that could accept it: a failure of the service, in words.
    Refused(String),
    /// The tunnel failed, in words. This says nothing about the service.
    Failed(String),
}
