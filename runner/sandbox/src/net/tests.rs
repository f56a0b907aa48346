//! Real sockets on loopback addresses of their own, through links that the tests open and block.

mod shaped;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;

/// Long enough for anything on loopback to happen that is going to happen.
const MOMENT: Duration = Duration::from_millis(150);
/// How soon a link that opens wakes who waits for it; less than `LIMIT`, at which a sleeper would wake by itself.
const SOON: Duration = Duration::from_secs(3);
/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

/// An address that no other test has.
pub(crate) fn address() -> IpAddr {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(rand::random()));
    loop {
        let [third, fourth] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        if (1..=254).contains(&fourth) {
            return IpAddr::V4(Ipv4Addr::new(127, 200, third, fourth));
        }
    }
}

/// Links that are blocked by hand.
#[derive(Clone, Default)]
pub(crate) struct Cuts {
    pub(crate) links: Links,
    cut: Arc<Mutex<HashSet<(IpAddr, IpAddr)>>>,
}

impl Cuts {
    /// Blocks what `source` opens to `destination`.
    pub(crate) fn cut(&self, source: IpAddr, destination: IpAddr) {
        self.cut.lock().unwrap().insert((source, destination));
        self.apply();
    }

    /// Opens every link.
    pub(crate) fn heal(&self) {
        self.cut.lock().unwrap().clear();
        self.apply();
    }

    fn apply(&self) {
        let cut = self.cut.lock().unwrap().clone();
        self.links.update(Arc::new(move |link: Link| {
            if cut.contains(&(link.source, link.destination)) { Carry::blocked() } else { Carry::open() }
        }));
    }

    fn pod(&self) -> Net {
        self.links.pod(address(), "test", Arc::new(|_: &str, _: u16, _: &str| None))
    }
}

/// Two pods with a connection from the first to the second.
struct Pair {
    cuts: Cuts,
    from: IpAddr,
    to: IpAddr,
    client: Stream,
    server: Stream,
}

async fn pair() -> Pair {
    let cuts = Cuts::default();
    let (one, two) = (cuts.pod(), cuts.pod());
    let (from, to) = (one.address().unwrap(), two.address().unwrap());
    let listener = two.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = one.connect(&to.to_string(), port).await.unwrap();
    let (server, peer) = listener.accept().await.unwrap();
    assert_eq!(peer.ip(), from, "the other end sees who called");
    Pair { cuts, from, to, client, server }
}

async fn expect(stream: &mut Stream, text: &str) {
    let mut buf = vec![0; text.len()];
    timeout(LIMIT, stream.read_exact(&mut buf)).await.expect("nothing came").unwrap();
    assert_eq!(String::from_utf8(buf).unwrap(), text);
}

async fn expect_nothing(stream: &mut Stream) {
    let read = timeout(MOMENT, stream.read_u8()).await;
    assert!(read.is_err(), "something came through: {read:?}");
}

#[tokio::test]
async fn a_connect_through_a_blocked_link_hangs_and_succeeds_when_it_opens() {
    let cuts = Cuts::default();
    let (one, two) = (cuts.pod(), cuts.pod());
    let to = two.address().unwrap();
    let port = two.listen(0).await.unwrap().local_addr().unwrap().port();
    cuts.cut(one.address().unwrap(), to);
    // Connection refused, which is not visible behind a blocked link.
    assert!(timeout(MOMENT, one.connect(&to.to_string(), port)).await.is_err());

    let listener = two.listen(port).await.unwrap();
    let connecting = tokio::spawn({
        let one = one.clone();
        async move { one.connect(&to.to_string(), port).await }
    });
    assert!(timeout(MOMENT, listener.accept()).await.is_err());
    cuts.heal();
    timeout(SOON, connecting).await.expect("it still hangs").unwrap().unwrap();
    timeout(LIMIT, listener.accept()).await.expect("a connection").unwrap();
}

#[tokio::test]
async fn an_established_stream_falls_silent_both_ways_and_resumes() {
    let Pair { cuts, from, to, mut client, mut server } = pair().await;
    client.write_all(b"one").await.unwrap();
    expect(&mut server, "one").await;
    // Both ends are notified, whichever reads at that moment.
    let reading = tokio::spawn(async move {
        expect(&mut server, "two").await;
        server
    });
    cuts.cut(from, to);
    client.write_all(b"two").await.unwrap();
    expect_nothing(&mut client).await;
    assert!(!reading.is_finished());
    cuts.heal();
    let mut server = timeout(SOON, reading).await.expect("it does not resume").unwrap();

    cuts.cut(from, to);
    server.write_all(b"three").await.unwrap();
    expect_nothing(&mut client).await;
    cuts.heal();
    expect(&mut client, "three").await;
}

#[tokio::test]
async fn the_link_of_a_connection_is_that_of_who_opened_it() {
    let Pair { cuts, from, to, mut client, mut server } = pair().await;
    cuts.cut(to, from);
    server.write_all(b"answer").await.unwrap();
    expect(&mut client, "answer").await;
    client.write_all(b"question").await.unwrap();
    expect(&mut server, "question").await;
}

#[tokio::test]
async fn the_end_of_a_stream_does_not_pass_a_blocked_link_either() {
    let Pair { cuts, from, to, client, mut server } = pair().await;
    cuts.cut(from, to);
    drop(client);
    expect_nothing(&mut server).await;
    // The kernel knows that the other end is gone; a program behind a real cut would not.
    for _ in 0..3 {
        match timeout(MOMENT, server.write_all(b"hello?")).await {
            Ok(written) => written.unwrap(),
            Err(_) => break,
        }
    }
    cuts.heal();
    let end = timeout(LIMIT, server.read_u8()).await.expect("the end never comes");
    assert!(end.is_err());
}

#[tokio::test]
async fn a_stream_resumes_with_a_retransmission_so_the_later_the_longer_it_was_blocked() {
    for (blocked, resumes) in [(100, 200), (1600, 3000)] {
        let Pair { cuts, from, to, mut client, mut server } = pair().await;
        cuts.cut(from, to);
        // It is sent again after 0.2, 0.6, 1.4 and 3.0 s.
        let sent = Instant::now();
        client.write_all(b"x").await.unwrap();
        let opened = tokio::spawn(async move {
            tokio::time::sleep_until(sent + Duration::from_millis(blocked)).await;
            cuts.heal();
        });
        expect(&mut server, "x").await;
        opened.await.unwrap();
        let took = sent.elapsed();
        let expected = Duration::from_millis(resumes);
        assert!(took >= expected - Duration::from_millis(20) && took < expected + MOMENT * 3, "{took:?}");
    }
}

#[tokio::test]
async fn a_writer_does_not_know_sooner_than_a_packet_tells_it_that_the_other_end_is_gone() {
    let Pair { cuts, from, to, mut client, server } = pair().await;
    cuts.cut(from, to);
    let reading = tokio::spawn(async move {
        let mut server = server;
        let begun = Instant::now();
        // The end of the stream is lost, and sent again after 0.2 and 0.6 s.
        assert!(server.read_u8().await.is_err());
        (begun.elapsed(), server.write_all(b"x").await)
    });
    client.shutdown().await.unwrap();
    drop(client);
    tokio::time::sleep(Duration::from_millis(300)).await;
    cuts.heal();
    let (took, _) = timeout(SOON, reading).await.expect("the end never comes").unwrap();
    assert!(took >= Duration::from_millis(500), "{took:?}");
}

#[tokio::test]
async fn a_writer_into_a_blocked_link_waits_once_the_buffers_are_full() {
    let Pair { cuts, from, to, mut client, mut server } = pair().await;
    cuts.cut(from, to);
    let size = 64 << 20;
    let writing = tokio::spawn(async move {
        client.write_all(&vec![7; size]).await.unwrap();
        client
    });
    expect_nothing(&mut server).await;
    assert!(!writing.is_finished());
    cuts.heal();
    let mut received = vec![0; size];
    timeout(LIMIT, server.read_exact(&mut received)).await.expect("it does not resume").unwrap();
    assert!(received.iter().all(|byte| *byte == 7));
    writing.await.unwrap();
}

#[tokio::test]
async fn the_world_outside_has_an_address_of_its_own_and_a_pod_reaches_itself() {
    let links = Links::new();
    let world = IpAddr::V4(Ipv4Addr::LOCALHOST);
    links.update(Arc::new(move |link: Link| if link.source == world { Carry::open() } else { Carry::blocked() }));
    let pod = links.pod(address(), "test", Arc::new(|_: &str, _: u16, _: &str| None));
    let listener = pod.listen(0).await.unwrap();
    let to = listener.local_addr().unwrap();
    let mut client = Net::host().connect(&to.ip().to_string(), to.port()).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    expect(&mut server, "hello").await;
    // No judge is asked about a pod that talks to itself.
    let mut own = timeout(LIMIT, pod.connect(&to.ip().to_string(), to.port())).await.expect("it hangs").unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    own.write_all(b"hello").await.unwrap();
    expect(&mut server, "hello").await;
}

#[tokio::test]
async fn names_resolve_to_endpoints_in_turn() {
    let cuts = Cuts::default();
    let (first, second) = (cuts.pod(), cuts.pod());
    let listeners = [first.listen(0).await.unwrap(), second.listen(0).await.unwrap()];
    let endpoints: Vec<SocketAddr> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let known = endpoints.clone();
    let resolver = Arc::new(move |host: &str, port: u16, namespace: &str| match (host, port, namespace) {
        ("shop", 80, "test") => Some(known.clone()),
        ("empty", 80, "test") => Some(Vec::new()),
        _ => None,
    });
    let client = cuts.links.pod(address(), "test", resolver);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(client.connect("shop", 80).await.unwrap().peer_addr().unwrap());
    }
    assert_eq!(seen, [endpoints[0], endpoints[1], endpoints[0], endpoints[1]]);
    assert_eq!(client.connect("empty", 80).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(client.connect("nobody", 80).await.unwrap_err().kind(), io::ErrorKind::NotFound);

    let elsewhere = cuts.links.pod(address(), "elsewhere", Arc::new(|_: &str, _: u16, _: &str| None));
    assert_eq!(elsewhere.connect("shop", 80).await.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let pod = Cuts::default().pod();
    let listener = pod.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = pod.listen(port).await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot listen on {}:{port}", pod.address().unwrap())), "{error}");
}

#[tokio::test]
async fn on_a_host_the_system_resolves() {
    let host = Net::host();
    let listener = host.listen(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut client = host.connect("localhost", port).await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"hello").await.unwrap();
    expect(&mut server, "hello").await;
}
