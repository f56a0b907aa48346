//! The program of witnesses and canaries (`shakedown pod probe`): connects to endpoints repeatedly and prints one line
//! of JSON per round with the reachable ones.
//!
//! In addition, it keeps one connection per endpoint open, with TCP keepalive. A plugin that cuts established
//! connections drops the keepalive probes. With a plugin that leaves them open, the probes are answered. No data is
//! sent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// The time between two rounds.
const INTERVAL: Duration = Duration::from_millis(200);
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
        for number in 1.. {
            ticks.tick().await;
            lock(&shared).round = number;
            let tries = endpoints.iter().map(|(text, host, port)| {
                let connect = tokio::time::timeout(CONNECT_TIMEOUT, net.connect(host, *port));
                async move { (text.clone(), matches!(connect.await, Ok(Ok(_)))) }
            });
            let mut round =
                Round { round: number, open: BTreeSet::new(), closed: BTreeSet::new(), held: BTreeMap::new() };
            for (text, open) in futures::future::join_all(tries).await {
                if open {
                    round.open.insert(text)
                } else {
                    round.closed.insert(text)
                };
            }
            // A connection is reported before it is opened again, so its end is visible in at least one round.
            round.held = lock(&shared).held.clone();
            print(serde_json::to_string(&round).unwrap_or_default());
            if !net.is_modelled() {
                for (text, host, port) in endpoints.iter().filter(|(text, ..)| round.open.contains(text)) {
                    if !matches!(lock(&shared).held.get(text), Some(Held::Alive)) {
                        lock(&shared).held.insert(text.clone(), Held::Alive);
                        holding.spawn(hold(shared.clone(), text.clone(), host.clone(), *port));
                    }
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
        let print = move |line: String| _ = sender.send(serde_json::from_str(&line).unwrap());
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
