//! Port-forwards: connections through the API server to a ready pod of a service. Connections are opened concurrently, on the
//! runtime of the cluster's client. If a pod goes away, the next connection uses another pod.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The timeout of a connection to a pod.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// The number of pods that a search tries concurrently.
const AT_ONCE: usize = 3;

/// How long a connection to a closed port stays open, until the kubelet's error arrives.
const CLOSED_PORT: Duration = Duration::from_millis(500);

/// A connection through the API server.
pub(crate) trait Carried: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Carried for S {}

/// The pods behind a service.
pub(crate) trait Pods: Send + Sync + 'static {
    /// A connection to a pod.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The ready pods, with the number of the service's port there.
    fn ready(&self) -> impl Future<Output = Result<Vec<(String, u16)>, String>> + Send;

    /// Opens a connection to a port of a pod.
    fn open(&self, pod: &str, port: u16) -> impl Future<Output = Result<Self::Stream, String>> + Send;

    /// The current pod no longer accepts connections.
    fn lost(&self, pod: &str);
}

/// Why a port-forward could not open a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotForwarded {
    /// The service has no ready pod.
    Refused(String),
    /// The API server or the kubelet failed. This says nothing about the service.
    Failed(String),
}

/// A port-forward. Dropping it closes its connections.
pub struct PortForward {
    /// The number of searches for another pod.
    pub reconnects: Arc<AtomicU64>,
    opener: Opener,
    _end: DropGuard,
}

/// Opens connections through a port-forward, from any thread.
#[derive(Clone)]
pub struct Opener {
    runtime: Handle,
    opens: Arc<dyn Opens>,
    end: CancellationToken,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Opener")
    }
}

impl PortForward {
    /// A port-forward on the current runtime.
    pub(crate) fn new<P: Pods>(forwarder: Arc<Forwarder<P>>) -> Self {
        let end = CancellationToken::new();
        let reconnects = Arc::clone(&forwarder.reconnects);
        let opener = Opener { runtime: Handle::current(), opens: forwarder, end: end.clone() };
        Self { reconnects, opener, _end: end.drop_guard() }
    }

    /// Opens its connections.
    pub fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

impl Opener {
    /// Opens a connection: a local one, whose other end is the service. The work is done on the cluster's runtime.
    ///
    /// The future returns an error when there is no ready pod, or when the way to it fails.
    pub fn open(&self) -> BoxFuture<'static, Result<std::net::TcpStream, NotForwarded>> {
        let opening = self.runtime.spawn(Arc::clone(&self.opens).open(self.end.clone()));
        Box::pin(async move {
            opening.await.unwrap_or_else(|error| Err(NotForwarded::Failed(format!("the port-forward ended: {error}"))))
        })
    }
}

/// A forwarder, generic over the pods.
trait Opens: Send + Sync {
    fn open(self: Arc<Self>, end: CancellationToken) -> BoxFuture<'static, Result<std::net::TcpStream, NotForwarded>>;
}

impl<P: Pods> Opens for Forwarder<P> {
    fn open(self: Arc<Self>, end: CancellationToken) -> BoxFuture<'static, Result<std::net::TcpStream, NotForwarded>> {
        Box::pin(async move {
            let mut stream = self.connect().await?;
            let local = |error: io::Error| NotForwarded::Failed(format!("no local connection: {error}"));
            let (client, mut socket) = pair().await.map_err(local)?;
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut socket, &mut stream) => {}
                    () = end.cancelled() => {}
                }
            });
            client.into_std().map_err(local)
        })
    }
}

/// Two ends of a local connection.
async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    loop {
        let (socket, peer) = listener.accept().await?;
        // Another program may have connected first.
        if peer == client.local_addr()? {
            socket.set_nodelay(true)?;
            return Ok((client, socket));
        }
    }
}

/// Forwards connections to one pod while it accepts them.
pub(crate) struct Forwarder<P> {
    pods: P,
    reconnects: Arc<AtomicU64>,
    /// The pod that answered last, and the port's number there.
    pod: Mutex<Option<(String, u16)>>,
    /// Held during a search for another pod: one connection searches for all.
    looking: tokio::sync::Mutex<()>,
    /// The number of finished searches, and why the last one failed.
    searched: Mutex<(u64, Option<NotForwarded>)>,
}

impl<P: Pods> Forwarder<P> {
    pub(crate) fn new(pods: P) -> Self {
        Self {
            pods,
            reconnects: Arc::default(),
            pod: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            searched: Mutex::default(),
        }
    }

    /// True when a connection stays open: the kubelet closes it immediately if the port is closed. (An HTTP server
    /// waits for the request, so silence means success.)
    pub(crate) async fn answers(&self) -> bool {
        let Ok(mut stream) = self.connect().await else { return false };
        !matches!(timeout(CLOSED_PORT, stream.read_u8()).await, Ok(Err(_)))
    }

    /// A connection to the last pod that accepted one, otherwise to another ready one.
    async fn connect(&self) -> Result<P::Stream, NotForwarded> {
        let mut known = locked(&self.pod).clone();
        let _looking = loop {
            if let Some((pod, port)) = &known
                && let Ok(stream) = self.open_to(pod, *port).await
            {
                return Ok(stream);
            }
            let before = locked(&self.searched).0;
            let looking = self.looking.lock().await;
            // Another connection may have searched meanwhile. Its result is valid for all that waited for it.
            let (searches, failed) = locked(&self.searched).clone();
            if let Some(failed) = failed.filter(|_| searches > before) {
                return Err(failed);
            }
            let found = locked(&self.pod).clone().filter(|found| known.as_ref() != Some(found));
            if found.is_none() {
                break looking;
            }
            known = found;
        };
        if let Some((pod, _)) = locked(&self.pod).take() {
            self.reconnects.fetch_add(1, Ordering::Relaxed);
            self.pods.lost(&pod);
        }
        let found = self.search().await;
        let mut searched = locked(&self.searched);
        *searched = (searched.0 + 1, found.as_ref().err().cloned());
        drop(searched);
        let (pod, port, stream) = found?;
        *locked(&self.pod) = Some((pod, port));
        Ok(stream)
    }

    /// The first ready pod that accepts a connection.
    async fn search(&self) -> Result<(String, u16, P::Stream), NotForwarded> {
        let failed =
            |error: String| NotForwarded::Failed(format!("could not reach the service through port-forward: {error}"));
        let ready = timeout(OPEN_TIMEOUT, self.pods.ready()).await;
        let ready = ready.unwrap_or_else(|_| Err("the API server does not list the endpoints".to_owned()));
        let ready = ready.map_err(failed)?;
        if ready.is_empty() {
            return Err(NotForwarded::Refused("the service has no ready endpoint".to_owned()));
        }
        let attempts = ready.into_iter().map(|(pod, port)| async move {
            let opened = self.open_to(&pod, port).await;
            (pod, port, opened)
        });
        let mut attempts = stream::iter(attempts).buffer_unordered(AT_ONCE);
        let mut last = String::new();
        while let Some((pod, port, opened)) = attempts.next().await {
            match opened {
                Ok(stream) => return Ok((pod, port, stream)),
                Err(error) => last = format!("pod {pod}: {error}"),
            }
        }
        Err(failed(last))
    }

    async fn open_to(&self, pod: &str, port: u16) -> Result<P::Stream, String> {
        let opened = timeout(OPEN_TIMEOUT, self.pods.open(pod, port)).await;
        opened
            .unwrap_or_else(|_| Err(format!("the API server opened no connection within {} s", OPEN_TIMEOUT.as_secs())))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;
    use tokio::io::{AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    /// Pods that accept a connection late or not at all.
    struct Slow {
        takes: Duration,
        pods: Mutex<Vec<(&'static str, bool)>>,
        listed: AtomicU64,
    }

    impl Slow {
        fn new(takes_ms: u64, pods: &[(&'static str, bool)]) -> Self {
            Self { takes: Duration::from_millis(takes_ms), pods: Mutex::new(pods.to_vec()), listed: AtomicU64::new(0) }
        }
    }

    impl Pods for Slow {
        type Stream = DuplexStream;

        async fn ready(&self) -> Result<Vec<(String, u16)>, String> {
            self.listed.fetch_add(1, Ordering::Relaxed);
            Ok(locked(&self.pods).iter().map(|(pod, _)| ((*pod).to_owned(), 80)).collect())
        }

        async fn open(&self, pod: &str, _: u16) -> Result<DuplexStream, String> {
            tokio::time::sleep(self.takes).await;
            let accepts = locked(&self.pods).iter().any(|(known, accepts)| *known == pod && *accepts);
            if !accepts {
                return Err("the pod is gone".to_owned());
            }
            let (client, mut server) = tokio::io::duplex(1024);
            let name = pod.to_owned();
            tokio::spawn(async move {
                _ = server.write_all(name.as_bytes()).await;
                _ = server.read_u8().await;
            });
            Ok(client)
        }

        fn lost(&self, _: &str) {}
    }

    async fn says(mut stream: DuplexStream) -> String {
        let mut name = vec![0; 2];
        stream.read_exact(&mut name).await.unwrap();
        String::from_utf8(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_opened_at_the_same_time() {
        let forwarder = Forwarder::new(Slow::new(3_000, &[("p0", true), ("p1", true)]));
        says(forwarder.connect().await.unwrap()).await;
        let begun = Instant::now();
        let opened = join_all((0..50).map(|_| forwarder.connect())).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(3), "fifty at once take as long as one");
        assert!(opened.iter().all(Result::is_ok) && forwarder.pods.listed.load(Ordering::Relaxed) == 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_search_serves_all_that_wait_for_it() {
        let forwarder = Forwarder::new(Slow::new(1_000, &[("p0", true)]));
        says(forwarder.connect().await.unwrap()).await;
        *locked(&forwarder.pods.pods) = vec![("p1", true)];
        let begun = Instant::now();
        let opened = join_all((0..50).map(|_| forwarder.connect())).await;
        let names = join_all(opened.into_iter().map(|it| says(it.unwrap()))).await;
        assert!(names.iter().all(|name| name == "p1"));
        assert_eq!(
            (forwarder.reconnects.load(Ordering::Relaxed), forwarder.pods.listed.load(Ordering::Relaxed)),
            (1, 2)
        );
        assert_eq!(begun.elapsed(), Duration::from_secs(3), "the old pod fails, one finds another, all connect to it");
        // No pod accepts: all connections fail with the first search.
        *locked(&forwarder.pods.pods) = vec![("p1", false), ("p2", false)];
        let begun = Instant::now();
        let opened = join_all((0..50).map(|_| forwarder.connect())).await;
        assert!(
            opened.iter().all(|it| matches!(it, Err(NotForwarded::Failed(words)) if words.contains("the pod is gone")))
        );
        assert!(begun.elapsed() <= Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_without_pods_refuses_and_a_silent_server_fails() {
        let forwarder = Forwarder::new(Slow::new(1, &[]));
        assert!(matches!(forwarder.connect().await, Err(NotForwarded::Refused(_))));
        let forwarder = Forwarder::new(Slow::new(3_600_000, &[("p0", true)]));
        let begun = Instant::now();
        let error = forwarder.connect().await.err();
        assert!(matches!(&error, Some(NotForwarded::Failed(words)) if words.contains("within 5 s")), "{error:?}");
        assert_eq!(begun.elapsed(), OPEN_TIMEOUT);
    }

    #[tokio::test]
    async fn a_local_connection_is_carried_to_the_pod_until_the_port_forward_ends() {
        let forward = PortForward::new(Arc::new(Forwarder::new(Slow::new(0, &[("p0", true)]))));
        let opener = forward.opener();
        // From a separate thread, as the load engine does.
        let opening = tokio::task::spawn_blocking(move || futures::executor::block_on(opener.open()));
        let stream = opening.await.unwrap().unwrap();
        let mut stream = TcpStream::from_std(stream).unwrap();
        let mut name = vec![0; 2];
        stream.read_exact(&mut name).await.unwrap();
        assert_eq!(name, b"p0");
        drop(forward);
        assert_eq!(stream.read(&mut name).await.unwrap_or(0), 0, "it is closed");
    }
}
