//! How a program reaches the network: real TCP, on a real host as it is, and in the sandbox through links that the
//! sandbox rules.
//!
//! What belongs here: opening and accepting connections, finding a service's address, and the gate that every
//! connection between pods of the sandbox passes (`links`). What does not: which links are open (the sandbox judges
//! that from its NetworkPolicy and NetworkChaos objects) and what travels over them (`inference`).
//!
//! In the sandbox every pod has an address of its own in 127.0.0.0/8. A client socket is bound to its pod's address
//! before it connects, so the other end knows who called. Both ends of a connection hold the same [`Link`], named after
//! who opened it, and each end gates what it *reads*: bytes that were sent into a blocked link wait in the kernel, as
//! they would wait in a sender's buffer for a retransmission.

mod links;
mod stream;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub use links::{Carry, Judge, Link, Links};
pub use stream::Stream;

use links::Gate;

/// How often a client socket is bound anew when the kernel gave it a port that turned out to be taken.
const BIND_TRIES: u32 = 16;
/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// What a host name means for a pod, as kube-dns and kube-proxy together would answer.
pub trait Resolve: Send + Sync {
    /// The ready endpoints (with their own ports) behind `port` of the service that `host` names for a pod of
    /// `namespace`. `host` is what the program wrote: `nats`, `nats.dynamo`, `nats.dynamo.svc.cluster.local` or an
    /// address. `None` where no service has that name; an empty list where it has no ready endpoint.
    fn resolve(&self, host: &str, port: u16, namespace: &str) -> Option<Vec<SocketAddr>>;
}

impl<F> Resolve for F
where
    F: Fn(&str, u16, &str) -> Option<Vec<SocketAddr>> + Send + Sync,
{
    fn resolve(&self, host: &str, port: u16, namespace: &str) -> Option<Vec<SocketAddr>> {
        self(host, port, namespace)
    }
}

/// A program's access to the network. Cheap to clone.
#[derive(Clone)]
pub struct Net {
    place: Place,
}

#[derive(Clone)]
enum Place {
    Host,
    Pod(Arc<Pod>),
}

struct Pod {
    address: IpAddr,
    namespace: String,
    links: Links,
    resolver: Arc<dyn Resolve>,
    /// Counts connections, so that they rotate over a service's endpoints.
    turn: AtomicUsize,
}

impl Net {
    /// The network of this machine or real pod: names are resolved by the system and nothing is gated.
    pub fn host() -> Self {
        Self { place: Place::Host }
    }

    fn pod(address: IpAddr, namespace: String, links: Links, resolver: Arc<dyn Resolve>) -> Self {
        let pod = Pod { address, namespace, links, resolver, turn: AtomicUsize::new(0) };
        Self { place: Place::Pod(Arc::new(pod)) }
    }

    /// The pod's address in the sandbox; `None` on a real host, which may have several.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.place {
            Place::Host => None,
            Place::Pod(pod) => Some(pod.address),
        }
    }

    /// Opens a connection to `host`, which is a name or an address.
    ///
    /// Waits as long as the link is blocked, like a connect whose packets are dropped: give it a timeout.
    ///
    /// # Errors
    /// What the kernel says of the connection; `NotFound` for a name that means nothing in the sandbox, and
    /// `ConnectionRefused` for a service without a ready endpoint, as kube-proxy answers.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        match &self.place {
            Place::Host => {
                let tcp = TcpStream::connect((host, port)).await?;
                Stream::new(tcp, None)
            }
            Place::Pod(pod) => pod.connect(host, port).await,
        }
    }

    /// Accepts connections on `port` of the pod's address, or of every address of a real host. Port 0 takes a free one.
    ///
    /// # Errors
    /// What the kernel says; the message names the address.
    pub async fn listen(&self, port: u16) -> io::Result<Listener> {
        let (tcp, links) = match &self.place {
            Place::Host => match bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
                Ok(tcp) => (tcp, None),
                // A machine without IPv6.
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    (bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))?, None)
                }
                Err(error) => return Err(error),
            },
            Place::Pod(pod) => (bind(SocketAddr::new(pod.address, port))?, Some(pod.links.clone())),
        };
        Ok(Listener { tcp, links })
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.address() {
            Some(address) => write!(f, "Net({address})"),
            None => f.write_str("Net(host)"),
        }
    }
}

impl Pod {
    async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        let to = self.endpoint(host, port)?;
        let link = Link { source: self.address, destination: to.ip(), port: to.port() };
        let mut gate = Gate::new(&self.links, link);
        gate.open().await;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.dial(to).await {
                Ok(tcp) => return Stream::new(tcp, Some(gate)),
                Err(error) if tries < BIND_TRIES && port_was_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn dial(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Without this, ports of connections that ended within the last minute could not be used again, and a pod that
        // opens a connection for every request would run out of them.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(self.address, 0))?;
        socket.connect(to).await
    }

    fn endpoint(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        let Some(endpoints) = self.resolver.resolve(host, port, &self.namespace) else {
            let address: IpAddr = host.parse().map_err(|_| {
                let message = format!("no service is called `{host}` in namespace `{}`", self.namespace);
                io::Error::new(io::ErrorKind::NotFound, message)
            })?;
            return Ok(SocketAddr::new(address, port));
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        endpoints.get(turn % endpoints.len().max(1)).copied().ok_or_else(|| {
            let message = format!("service `{host}` has no ready endpoint for port {port}");
            io::Error::new(io::ErrorKind::ConnectionRefused, message)
        })
    }
}

/// Accepts connections.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    links: Option<Links>,
}

impl Listener {
    /// The next connection and who opened it.
    ///
    /// # Errors
    /// What the kernel says, for example that the process has too many files open; the listener stays usable.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (tcp, from) = self.tcp.accept().await?;
        let gate = match &self.links {
            // Whoever did not bind a pod's address is outside of the cluster: the load generator, a probe, a browser.
            Some(links) if from.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) => {
                let own = tcp.local_addr()?;
                Some(Gate::new(links, Link { source: from.ip(), destination: own.ip(), port: own.port() }))
            }
            _ => None,
        };
        Ok((Stream::new(tcp, gate)?, from))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    let bound = socket.set_reuseaddr(true).and_then(|()| socket.bind(address)).and_then(|()| socket.listen(BACKLOG));
    bound.map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))
}

fn port_was_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}
