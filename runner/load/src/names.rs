//! From a host name to a connection. A name is looked up once for all that wait for it. Its addresses are tried as every
//! client does, without waiting for one that does not answer (Happy Eyeballs, RFC 8305, sections 4 and 5). By hand, because the
//! connector of hyper-util looks a name up for each connection, and tries the addresses of one family one after the other.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use futures::future::{FutureExt, Shared};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

/// How long the addresses of a name are used before the next lookup, because they may change.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long one address is tried alone before the next one is tried in parallel.
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// The most addresses that are tried.
const MAX_ADDRESSES: usize = 16;

/// The source of addresses.
#[derive(Clone, Default)]
pub(super) enum Resolver {
    /// The system's resolver.
    #[default]
    System,
    /// A test's resolver.
    #[cfg(test)]
    Test(Arc<dyn Fn() -> io::Result<Vec<SocketAddr>> + Send + Sync>),
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Resolver")
    }
}

/// The result of a lookup. All that waited for it share its error.
type Found = Result<Arc<[SocketAddr]>, Arc<io::Error>>;
type Lookup = Shared<Pin<Box<dyn Future<Output = Found>>>>;

/// The addresses of one name at its last lookup.
#[derive(Default)]
pub(super) struct Names {
    known: Option<(Instant, Arc<[SocketAddr]>)>,
    /// The lookup that is running. There is never more than one, however long it takes, because each needs a thread.
    asking: Option<Lookup>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Names").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Names {
    /// The addresses, if they are fresh enough.
    pub(super) fn known(&self) -> Option<Arc<[SocketAddr]>> {
        self.known.as_ref().filter(|(at, _)| at.elapsed() < LOOK_AGAIN).map(|(_, addresses)| Arc::clone(addresses))
    }

    /// The running lookup, or a new one.
    pub(super) fn look_up(&mut self, resolver: &Resolver, host: &str, port: u16) -> Lookup {
        self.asking.get_or_insert_with(|| ask(resolver.clone(), host.to_owned(), port).boxed_local().shared()).clone()
    }

    /// Stores the result of a lookup.
    pub(super) fn learn(&mut self, found: &Found) {
        self.asking = None;
        if let Ok(addresses) = found {
            self.known = Some((Instant::now(), Arc::clone(addresses)));
        }
    }
}

async fn ask(resolver: Resolver, host: String, port: u16) -> Found {
    let found = match resolver {
        Resolver::System => tokio::net::lookup_host((host.as_str(), port))
            .await
            .map(|found| found.take(MAX_ADDRESSES).collect::<Vec<_>>()),
        #[cfg(test)]
        Resolver::Test(answer) => answer(),
    };
    match found {
        Ok(addresses) if addresses.is_empty() => Err(Arc::new(io::ErrorKind::NotFound.into())),
        Ok(addresses) => Ok(in_turn(addresses).into()),
        Err(error) => Err(Arc::new(error)),
    }
}

/// Alternates the address families, starting with that of the first address: the system knows which one it prefers.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut one, mut other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut turns = Vec::with_capacity(one.len() + other.len());
    while !(one.is_empty() && other.is_empty()) {
        turns.extend(one.pop_front());
        turns.extend(other.pop_front());
    }
    turns
}

/// The number of a name's addresses in the family that is tried first.
pub(super) fn preferred(addresses: &[SocketAddr]) -> usize {
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    addresses.iter().filter(|address| address.is_ipv6() == is_v6).count()
}

/// The addresses of a name in the order in which client number `turn` tries them. Each family starts with a different
/// address, so that the clients are spread over all of them. The system's preferred family stays first.
pub(super) fn from(addresses: &[SocketAddr], turn: usize) -> Vec<SocketAddr> {
    let (mut v4, mut v6): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4());
    let is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    for family in [&mut v4, &mut v6].into_iter().filter(|family| !family.is_empty()) {
        let by = turn % family.len();
        family.rotate_left(by);
    }
    in_turn(if is_v6 { [v6, v4] } else { [v4, v6] }.concat())
}

/// Connects to the first address that answers. The next address is tried when one fails or is slow.
///
/// # Errors
/// The error of the address that failed last.
pub(super) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut attempts = FuturesUnordered::new();
    let mut rest = addresses.iter();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if let Some(address) = rest.next() {
            attempts.push(TcpStream::connect(*address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        // Until one fails, or for a limited time if there are others.
        let attempt_timeout = async {
            match rest.len() {
                0 => std::future::pending().await,
                _ => sleep(NEXT_ADDRESS).await,
            }
        };
        tokio::select! {
            Some(made) = attempts.next() => match made {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = attempt_timeout => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let all = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(address).to_vec();
        assert_eq!(in_turn(all), ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"].map(address));
        assert_eq!(in_turn(vec![address("1.1.1.1:1")]), [address("1.1.1.1:1")]);
    }

    #[test]
    fn each_client_starts_with_a_different_address_of_the_preferred_family() {
        let all = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "1.1.1.3:1"].map(address);
        assert_eq!(preferred(&all), 2);
        let firsts: Vec<_> = (0..3).map(|turn| from(&all, turn)[0]).collect();
        assert_eq!(firsts, ["[::1]:1", "[::2]:1", "[::1]:1"].map(address));
        assert_eq!(from(&all, 1), ["[::2]:1", "1.1.1.2:1", "[::1]:1", "1.1.1.3:1", "1.1.1.1:1"].map(address));
        assert!(from(&[], 3).is_empty() && preferred(&[]) == 0);
    }

    /// An address that refuses connections.
    async fn closed(host: &str) -> SocketAddr {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        listener.local_addr().unwrap()
    }

    #[tokio::test]
    async fn skips_a_refusing_address_at_once() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // IPv6 first if available. If not, it fails as fast.
        let v6 = match TcpListener::bind("[::1]:0").await {
            Ok(listener) => listener.local_addr().unwrap(),
            Err(_) => address("[::1]:9"),
        };
        let begin = Instant::now();
        let made = connect(&[v6, closed("127.0.0.1").await, open.local_addr().unwrap()]).await.unwrap();
        assert_eq!(made.peer_addr().unwrap(), open.local_addr().unwrap());
        assert!(begin.elapsed() < NEXT_ADDRESS, "{:?}", begin.elapsed());
        let refused = connect(&[closed("127.0.0.1").await]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn does_not_wait_for_an_address_that_never_answers() {
        // A listener with a full queue: the kernel drops further connection attempts.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(address("127.0.0.1:0")).unwrap();
        let full = socket.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut queue = Vec::new();
        while let Ok(made) = tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(silent)).await {
            queue.push(made.unwrap());
        }
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let made = connect(&[silent, open.local_addr().unwrap()]).await.unwrap();
        assert_eq!(made.peer_addr().unwrap(), open.local_addr().unwrap());
    }

    #[tokio::test]
    async fn one_lookup_serves_all_waiting_and_expires() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let resolver = Resolver::Test(Arc::new(move || match counted.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![address("127.0.0.1:1")]),
            1 => Err(io::Error::other("no such name")),
            _ => Ok(vec![address("127.0.0.2:1")]),
        }));
        let mut names = Names::default();
        let both = [names.look_up(&resolver, "x", 1), names.look_up(&resolver, "x", 1)];
        for lookup in both {
            assert_eq!(&*lookup.await.unwrap(), [address("127.0.0.1:1")]);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        names.learn(&Ok(vec![address("127.0.0.1:1")].into()));
        assert_eq!(&*names.known().unwrap(), [address("127.0.0.1:1")]);
        names.known = names.known.map(|(at, addresses)| (at - LOOK_AGAIN, addresses));
        assert!(names.known().is_none());
        let found = names.look_up(&resolver, "x", 1).await;
        assert!(found.is_err());
        names.learn(&found);
        assert_eq!(&*names.look_up(&resolver, "x", 1).await.unwrap(), [address("127.0.0.2:1")]);
    }
}
