//! The program of witnesses and canaries (`shakedown pod probe`): connects to endpoints repeatedly and prints one line
//! of JSON per round with the reachable ones.
//!
//! A round begins every [`INTERVAL`], also while earlier ones still wait for answers, so that a cut shows as soon as one round's
//! patience is over. Rounds are printed in their order. A line that names only a number says that this round has begun.
//!
//! In addition, it keeps one connection per endpoint open, with TCP keepalive. A plugin that cuts established
//! connections drops the keepalive probes. With a plugin that leaves them open, the probes are answered. No data is
//! sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesOrdered;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The time between the beginnings of two rounds.
const INTERVAL: Duration = Duration::from_millis(150);
/// The timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// The interval of keepalive probes, and the idle time before the first.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(1);
/// The number of unanswered keepalive probes that ends a connection.
const KEEPALIVE_PROBES: u32 = 3;
/// The maximum number of accepted connections that are kept. Further ones are dropped.
const MAX_ACCEPTED: usize = 64;
/// The time after a cut until an established connection is detected as lost.
pub const LOST_AFTER: Duration = Duration::from_secs(4);

/// How a probe reaches the network: the host's own, or a modelled one.
pub trait Network: Sync {
    /// An open connection.
    type Stream: AsyncRead + Unpin + Send + 'static;
    /// A socket that accepts connections.
    type Listener: Sync;

    /// Opens a connection to a name or an address.
    ///
    /// # Errors
    /// If the name has no address, or the connection fails.
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Listens on a port of every address of this host or pod.
    ///
    /// # Errors
    /// If the port cannot be bound.
    fn listen(&self, port: u16) -> impl Future<Output = io::Result<Self::Listener>> + Send;

    /// Waits for the next connection.
    ///
    /// # Errors
    /// If the socket fails.
    fn accept(&self, listener: &Self::Listener) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// True if the links are modelled, so that the kernel's keepalive does not test them.
    fn is_modelled(&self) -> bool {
        false
    }
}

/// The network of this machine, or of the real pod that the probe runs in.
#[derive(Debug, Clone, Copy)]
pub struct Host;

impl Network for Host {
    type Stream = TcpStream;
    type Listener = TcpListener;

    async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    async fn listen(&self, port: u16) -> io::Result<TcpListener> {
        match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            // A machine without IPv6.
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        }
    }

    async fn accept(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        Ok(listener.accept().await?.0)
    }
}

/// The settings of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProbeConfig {
    /// The endpoints to connect to, as `host:port`, separated by commas.
    pub to: String,
    /// The port to accept connections on. 0 for none.
    pub listen: u16,
}

/// The result of one round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Its number, from 1.
    pub round: u64,
    /// The endpoints that accepted a connection.
    pub open: BTreeSet<String>,
    /// The endpoints that did not.
    pub closed: BTreeSet<String>,
    /// The connections that are kept open, by endpoint.
    #[serde(default)]
    pub held: BTreeMap<String, Held>,
}

/// The line that is printed when a round begins: a reader tells by it which rounds began before something else happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// The round's number.
    pub begun: u64,
}

/// The lines of a probe's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The rounds that have ended, in their order.
    pub rounds: Vec<Round>,
    /// The last round that has begun; 0 for none.
    pub begun: u64,
}

impl Log {
    /// Reads the lines of a probe. Other lines are ignored.
    pub fn read(text: &str) -> Self {
        let mut log = Self::default();
        for line in text.lines() {
            if let Ok(round) = serde_json::from_str::<Round>(line) {
                log.begun = log.begun.max(round.round);
                log.rounds.push(round);
            } else if let Ok(Begun { begun }) = serde_json::from_str(line) {
                log.begun = log.begun.max(begun);
            }
        }
        log
    }
}

/// The state of a connection that is kept open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// It is open, as far as known.
    Alive,
    /// Its keepalive probes were not answered.
    Lost {
        /// The round in which that was detected.
        round: u64,
    },
    /// The other end closed it.
    Ended {
        /// The round in which that was detected.
        round: u64,
    },
    /// It ended with another error, which proves nothing.
    Broken,
}

#[derive(Debug, Default)]
struct Holding {
    round: u64,
    held: BTreeMap<String, Held>,
}

type Shared = Arc<Mutex<Holding>>;

/// Probes until `stop` is cancelled, and passes the line of each round to `print`.
///
/// # Errors
/// If it cannot listen, or an endpoint is invalid.
pub async fn run(
    net: impl Network,
    config: ProbeConfig,
    print: impl Fn(String) + Send,
    stop: CancellationToken,
) -> io::Result<()> {
    let listener = if config.listen == 0 { None } else { Some(net.listen(config.listen).await?) };
    let endpoints = config
        .to
        .split(',')
        .filter(|text| !text.is_empty())
        .map(|text| {
            let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            let (host, port) = parts.ok_or_else(|| io::Error::other(format!("`{text}` is not host:port")))?;
            Ok((text.to_owned(), host.trim_matches(['[', ']']).to_owned(), port))
        })
        .collect::<io::Result<Vec<_>>>()?;
    let accept = async {
        match &listener {
            // Accepted connections are kept until the other end closes them, because probes check established
            // connections as well.
            Some(listener) => {
                let mut kept = tokio::task::JoinSet::new();
                loop {
                    tokio::select! {
                        accepted = net.accept(listener) => if let Ok(mut stream) = accepted && kept.len() < MAX_ACCEPTED {
                            kept.spawn(async move {
                                let mut buffer = [0; 256];
                                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
                            });
                        },
                        Some(_) = kept.join_next() => {}
                    }
                }
            }
            None => std::future::pending::<()>().await,
        }
    };
    let rounds = async {
        let shared = Shared::default();
        let mut holding = tokio::task::JoinSet::new();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut under_way = FuturesOrdered::new();
        let mut number = 0;
        loop {
            tokio::select! {
                biased;
                Some(round) = under_way.next() => {
                    let mut round: Round = round;
                    // A connection is reported before it is opened again, so its end is visible in at least one round.
                    round.held = lock(&shared).held.clone();
                    print(serde_json::to_string(&round).unwrap_or_default());
                    if net.is_modelled() {
                        continue;
                    }
                    for (text, host, port) in endpoints.iter().filter(|(text, ..)| round.open.contains(text)) {
                        if !matches!(lock(&shared).held.get(text), Some(Held::Alive)) {
                            lock(&shared).held.insert(text.clone(), Held::Alive);
                            holding.spawn(hold(shared.clone(), text.clone(), host.clone(), *port));
                        }
                    }
                }
                _ = ticks.tick() => {
                    number += 1;
                    lock(&shared).round = number;
                    print(serde_json::to_string(&Begun { begun: number }).unwrap_or_default());
                    under_way.push_back(attempt(&net, &endpoints, number));
                }
            }
        }
    };
    tokio::select! {
        () = accept => {}
        () = rounds => {}
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// Tries all endpoints at once.
async fn attempt(net: &impl Network, endpoints: &[(String, String, u16)], number: u64) -> Round {
    let tries = endpoints.iter().map(|(_, host, port)| tokio::time::timeout(CONNECT_TIMEOUT, net.connect(host, *port)));
    let mut round = Round { round: number, open: BTreeSet::new(), closed: BTreeSet::new(), held: BTreeMap::new() };
    for (tried, (text, ..)) in futures::future::join_all(tries).await.into_iter().zip(endpoints) {
        let side = if matches!(tried, Ok(Ok(_))) { &mut round.open } else { &mut round.closed };
        side.insert(text.clone());
    }
    round
}

/// Keeps a connection open until it ends, and records how it ended.
async fn hold(shared: Shared, text: String, host: String, port: u16) {
    let ended = async {
        let mut stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port)))
            .await
            .map_err(io::Error::other)??;
        keep_alive(&stream)?;
        let mut buffer = [0; 1024];
        while stream.read(&mut buffer).await? > 0 {}
        Ok::<(), io::Error>(())
    }
    .await;
    let mut holding = lock(&shared);
    let round = holding.round;
    let state = match ended {
        Ok(()) => Held::Ended { round },
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Held::Lost { round },
        Err(_) => Held::Broken,
    };
    holding.held.insert(text, state);
}

fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_PROBES)?;
    Ok(())
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, Holding> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;

    use super::*;

    /// A probe of these ports on loopback, and its rounds.
    fn probe(ports: &[u16]) -> (mpsc::UnboundedReceiver<Round>, CancellationToken) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let to: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let config = ProbeConfig { to: to.join(","), listen: 0 };
        let print = move |line: String| Log::read(&line).rounds.into_iter().for_each(|round| _ = sender.send(round));
        tokio::spawn(run(Host, config, print, stop.clone()));
        (receiver, stop)
    }

    /// The next round that meets a condition.
    async fn round(rounds: &mut mpsc::UnboundedReceiver<Round>, condition: impl Fn(&Round) -> bool) -> Round {
        let found = async {
            loop {
                let round = rounds.recv().await.expect("a round");
                if condition(&round) {
                    return round;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), found).await.expect("such a round")
    }

    #[tokio::test]
    async fn rounds_report_open_and_closed_endpoints_and_the_end_of_a_kept_connection() {
        let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = open.local_addr().unwrap().port();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let name = format!("127.0.0.1:{port}");
        let (mut rounds, stop) = probe(&[port, closed]);
        let first = round(&mut rounds, |round| round.held.contains_key(&name)).await;
        assert!(first.open.contains(&name) && first.closed.contains(&format!("127.0.0.1:{closed}")), "{first:?}");
        assert_eq!(first.held[&name], Held::Alive);
        // The listener closes, including connections that it has not accepted.
        drop(open);
        let last = round(&mut rounds, |round| round.open.is_empty() && round.held[&name] != Held::Alive).await;
        assert!(matches!(last.held[&name], Held::Ended { .. } | Held::Broken), "{last:?}");
        stop.cancel();
    }

    /// A network that answers nothing: each attempt lasts until its patience is over.
    struct Silent;

    impl Network for Silent {
        type Stream = TcpStream;
        type Listener = TcpListener;

        async fn connect(&self, _: &str, _: u16) -> io::Result<TcpStream> {
            std::future::pending().await
        }

        async fn listen(&self, port: u16) -> io::Result<TcpListener> {
            Host.listen(port).await
        }

        async fn accept(&self, listener: &TcpListener) -> io::Result<TcpStream> {
            Host.accept(listener).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rounds_without_an_answer_overlap_and_come_in_their_order() {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let config = ProbeConfig { to: "10.0.0.1:80".into(), listen: 0 };
        tokio::spawn(run(Silent, config, move |line| _ = sender.send(line), CancellationToken::new()));
        let begun = tokio::time::Instant::now();
        let mut text = String::new();
        while Log::read(&text).rounds.len() < 3 {
            text.push_str(&lines.recv().await.unwrap());
            text.push('\n');
        }
        // Three in a row would take three times the patience.
        assert_eq!(begun.elapsed(), CONNECT_TIMEOUT + INTERVAL * 2);
        let log = Log::read(&text);
        assert_eq!(log.rounds.iter().map(|round| round.round).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(log.rounds.iter().all(|round| round.open.is_empty() && round.closed.len() == 1));
        assert_eq!(log.begun, 6, "{text}");
    }

    #[tokio::test]
    async fn a_close_by_the_other_end_is_reported_with_its_round() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let name = format!("127.0.0.1:{port}");
        let (mut rounds, _stop) = probe(&[port]);
        tokio::spawn(async move {
            while let Ok((stream, _)) = server.accept().await {
                drop(stream);
            }
        });
        let ended = round(&mut rounds, |round| matches!(round.held.get(&name), Some(Held::Ended { .. }))).await;
        let Held::Ended { round } = ended.held[&name] else { panic!("{ended:?}") };
        assert!(round <= ended.round);
    }

    #[tokio::test]
    async fn an_invalid_endpoint_is_refused() {
        let config = ProbeConfig { to: "nats".into(), listen: 0 };
        let error = run(Host, config, |_| {}, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains("`nats` is not host:port"), "{error}");
    }
}
