//! A program's access to the network: real TCP. On a real host it is unrestricted; in the sandbox it passes through links
//! that the sandbox controls.
//!
//! In scope: opening and accepting connections, resolving a service's address, and the gate for every connection between
//! pods of the sandbox (`links`). Out of scope: which links are open (the sandbox derives that from its NetworkPolicy and
//! NetworkChaos objects) and the protocols on top (`inference`).
//!
//! In the sandbox, every pod has its own address in 127.0.0.0/8. A client socket is bound to its pod's address before it
//! connects, so that the other end knows the client. Both ends of a connection hold the same [`Link`], which is named after
//! the client. Each end gates its *reads*: bytes sent into a blocked link wait, as they would wait in a sender's buffer for a
//! retransmission.

mod ailments;
mod files;
mod line;
mod links;
mod machine;
mod shaper;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod timer;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until};

pub use ailments::{Ailment, Ailments, FileRule, HttpRule};
pub use links::{Carry, Judge, Link, Links};
pub use shaper::{Bucket, Chance, Netem, Shaper, ShaperChain};
pub use stream::Stream;

use files::Files;
use links::{End, Gate};

use super::mesh::units::glob;

/// The number of tries to bind a client socket, if the port that the kernel chose is already taken.
const BIND_TRIES: u32 = 16;
/// The length of the accept queue.
const BACKLOG: u32 = 1024;
/// The time without an answer after which the first packet of a connection is retransmitted (RFC 6298).
const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// The retransmissions before that time begins to double: `tcp_syn_linear_timeouts` of Linux since 6.5.
const LINEAR_RETRIES: u32 = 4;
/// The further retransmissions after which the connect fails: `tcp_syn_retries` of Linux.
const CONNECT_RETRIES: u32 = 6;
/// The bytes of such a packet on Ethernet.
const CONNECT_BYTES: usize = 74;

/// Resolves a host name for a pod, as kube-dns and kube-proxy do together.
pub trait Resolve: Send + Sync {
    /// The ready endpoints (with their own ports) behind `port` of the service `host`, as seen from `namespace`. `host` is
    /// the program's text: `nats`, `nats.dynamo`, `nats.dynamo.svc.cluster.local` or an address. `None` if no service
    /// has this name; an empty list if it has no ready endpoint.
    fn resolve(&self, host: &str, port: u16, namespace: &str) -> Option<Vec<SocketAddr>>;

    /// The service's own address and port behind this name; `None` if the service has none.
    fn service(&self, _host: &str, _port: u16, _namespace: &str) -> Option<SocketAddr> {
        None
    }
}

impl<F> Resolve for F
where
    F: Fn(&str, u16, &str) -> Option<Vec<SocketAddr>> + Send + Sync,
{
    fn resolve(&self, host: &str, port: u16, namespace: &str) -> Option<Vec<SocketAddr>> {
        self(host, port, namespace)
    }
}

/// A program's access to the network, and to its machine's clock and files. Cheap to clone.
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
    files: Files,
}

impl Net {
    /// The network of this machine or real pod: names are resolved by the system and nothing is gated.
    pub fn host() -> Self {
        Self { place: Place::Host }
    }

    fn pod(address: IpAddr, namespace: String, links: Links, resolver: Arc<dyn Resolve>) -> Self {
        let (turn, files) = Default::default();
        let pod = Pod { address, namespace, links, resolver, turn, files };
        Self { place: Place::Pod(Arc::new(pod)) }
    }

    /// The pod's address in the sandbox; `None` on a real host, which may have several.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.place {
            Place::Host => None,
            Place::Pod(pod) => Some(pod.address),
        }
    }

    /// The factor by which work is slowed down: 1 on an idle processor, more while others use it.
    pub fn busy(&self) -> f64 {
        let factor = |ailment: &Ailment| if let Ailment::Busy(factor) = ailment { *factor } else { 1.0 };
        self.ailments().iter().map(factor).product()
    }

    fn ailments(&self) -> Vec<Ailment> {
        match &self.place {
            Place::Host => Vec::new(),
            Place::Pod(pod) => pod.links.ailments().of(pod.address),
        }
    }

    /// Opens a connection to `host`, which is a name or an address.
    ///
    /// While the link is blocked, the first packet is sent again and again, as Linux does. Callers need a timeout.
    ///
    /// # Errors
    /// The kernel's error; `NotFound` for an unknown name in the sandbox, and `ConnectionRefused` for a service without a
    /// ready endpoint, as kube-proxy answers.
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
    /// The kernel's error, with the address in its message.
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

impl Links {
    /// The network of a process outside the cluster: it has the address 127.0.0.1 and resolves no services.
    pub fn outside(&self) -> Net {
        self.pod(Ipv4Addr::LOCALHOST.into(), "", Arc::new(|_: &str, _: u16, _: &str| None))
    }

    /// The network of a pod with this address, in 127.0.0.0/8 but not 127.0.0.1, which represents the outside.
    pub fn pod(&self, address: IpAddr, namespace: impl Into<String>, resolver: Arc<dyn Resolve>) -> Net {
        Net::pod(address, namespace.into(), self.clone(), resolver)
    }
}

impl shakedown_probe::Network for Net {
    type Stream = Stream;
    type Listener = Listener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        Self::connect(self, host, port).await
    }

    async fn listen(&self, port: u16) -> io::Result<Listener> {
        Self::listen(self, port).await
    }

    async fn accept(&self, listener: &Listener) -> io::Result<Stream> {
        Ok(listener.accept().await?.0)
    }

    fn is_modelled(&self) -> bool {
        self.address().is_some()
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
        let to = self.endpoint(host, port).await?;
        let via = self.resolver.service(host, port, &self.namespace);
        let link = Link { source: self.address, destination: to.ip(), port: to.port(), via };
        let mut gate = Gate::new(&self.links, link, End::Opener);
        shake_hands(&mut gate).await?;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.dial(to, &mut gate).await {
                Ok(tcp) => return Stream::new(tcp, Some(gate)),
                Err(error) if tries < BIND_TRIES && port_was_taken(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Applies DNS faults: waits or fails.
    async fn look_up(&self, host: &str) -> io::Result<()> {
        if host.parse::<IpAddr>().is_ok() {
            return Ok(());
        }
        let full = match host.matches('.').count() {
            0 => format!("{host}.{}.svc.cluster.local", self.namespace),
            1 => format!("{host}.svc.cluster.local"),
            _ => host.to_owned(),
        };
        for ailment in self.links.ailments().of(self.address) {
            let Ailment::Names { patterns, random } = ailment else { continue };
            let hit = |pattern: &String| glob(pattern, &full) || glob(pattern, host);
            if !patterns.is_empty() && !patterns.iter().any(hit) {
                continue;
            }
            if random {
                // The address is not in use: packets to it are lost.
                std::future::pending::<()>().await;
            }
            let message = format!("`{full}` does not resolve: temporary failure in name resolution");
            return Err(io::Error::new(io::ErrorKind::NotFound, message));
        }
        Ok(())
    }

    async fn dial(&self, to: SocketAddr, gate: &mut Gate) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // Without this, ports of connections that ended within the last minute could not be used again, and a pod that
        // opens a connection for every request would run out of them.
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::new(self.address, 0))?;
        gate.call(socket.local_addr()?);
        socket.connect(to).await
    }

    async fn endpoint(&self, host: &str, port: u16) -> io::Result<SocketAddr> {
        self.look_up(host).await?;
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

/// Waits for the first two packets of a connection, and fails when they do not get through. The stream handles all later
/// packets.
async fn shake_hands(gate: &mut Gate) -> io::Result<()> {
    for retry in 0..=LINEAR_RETRIES + CONNECT_RETRIES {
        gate.look();
        let (back, there) = gate.ways();
        let now = Instant::now();
        match there.send(now, CONNECT_BYTES).and_then(|at| back.send(at, CONNECT_BYTES)) {
            Some(answered) => {
                sleep_until(answered).await;
                return Ok(());
            }
            None => sleep_until(timer::fires(now, FIRST_TIMEOUT * (1 << retry.saturating_sub(LINEAR_RETRIES)))).await,
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "the other end does not answer"))
}

/// The pause after an error of the kernel, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// The kernel's error, such as too many open files. The listener stays usable.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (tcp, from) = self.tcp.accept().await?;
        // A client without a pod's address is outside of the cluster (the load generator, a probe, a browser) and has
        // the address 127.0.0.1, which the rules know.
        let gate = match &self.links {
            Some(links) => {
                let (own, via) = (tcp.local_addr()?, links.called(from));
                let link = Link { source: from.ip(), destination: own.ip(), port: own.port(), via };
                Some(Gate::new(links, link, End::Acceptor))
            }
            None => None,
        };
        Ok((Stream::new(tcp, gate)?, from))
    }

    /// The next connection and who opened it. An error of the kernel is logged, and the next try is after a pause.
    pub async fn next(&self) -> (Stream, SocketAddr) {
        loop {
            match self.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The current ailments of requests here.
    pub fn http_rules(&self) -> Vec<HttpRule> {
        let (Some(links), Ok(own)) = (&self.links, self.tcp.local_addr()) else { return Vec::new() };
        let rule = |ailment| if let Ailment::Http(rule) = ailment { Some(rule) } else { None };
        links.ailments().of(own.ip()).into_iter().filter_map(rule).filter(|rule| rule.port == own.port()).collect()
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The kernel's error.
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
