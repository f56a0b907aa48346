//! The registry of workers, apart from the bus: each worker holds a lease, and a frontend follows the list.
//!
//! In scope: the server, as etcd is used by a deployment of this kind, and its two clients. Its protocol is a line of JSON for
//! each message, since a deployment needs nothing of etcd but leases and a watch.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::DiscoveryConfig;
use super::nats::client::split_address;
use super::protocol::{Lines, Record, decode, encode, lines};
use crate::log::Log;
use crate::net::{Net, Stream};

/// The most connections.
const MAX_CLIENTS: usize = 1024;
/// The most records.
const MAX_RECORDS: usize = 1024;
/// The pause before a client connects again.
const RETRY: Duration = Duration::from_secs(1);
/// How long a client may take to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A lease is renewed this often within its time, as Dynamo 1.6.1 does: etcd's `timetolive` of a worker goes from 15 back to 30.
const RENEWALS: u32 = 2;

/// What a client says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    /// Hold a lease for this long, or renew it: `again`. The server answers with [`Answer::Held`] or [`Answer::Over`].
    Hold { record: Record, ttl_ms: u64, again: bool },
    /// Give up a lease.
    Leave { worker: String, life: u64 },
    /// Send the list now and after each change.
    Watch,
}

/// What the server says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Held,
    /// The lease that was to be renewed is over.
    Over,
    Workers(Vec<Record>),
}

type Leases = BTreeMap<(String, u64), (Record, Instant)>;

struct Shared {
    leases: Mutex<Leases>,
    changed: watch::Sender<()>,
}

impl Shared {
    fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holds(&self, record: &Record) -> bool {
        self.leases().contains_key(&(record.worker.clone(), record.life))
    }

    fn records(&self) -> Vec<Record> {
        self.leases().values().map(|(record, _)| record.clone()).collect()
    }
}

/// Runs a registry until `stop` is cancelled.
///
/// # Errors
/// If its port cannot be listened on.
pub async fn discovery(net: Net, config: DiscoveryConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    let listener = net.listen(config.port).await?;
    log.info(format_args!("the registry listens on port {}", config.port));
    let shared = Arc::new(Shared { leases: Mutex::default(), changed: watch::Sender::new(()) });
    let mut changes = shared.changed.subscribe();
    let mut clients = JoinSet::new();
    loop {
        let next = shared.leases().values().map(|(_, ends)| *ends).min();
        let expiry = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = clients.join_next() => {}
            // A renewal may have moved the next expiry.
            Ok(()) = changes.changed() => {}
            () = expiry => {
                let now = Instant::now();
                let mut over = Vec::new();
                shared.leases().retain(|(worker, _), (_, ends)| {
                    let lives = *ends > now;
                    if !lives {
                        over.push(worker.clone());
                    }
                    lives
                });
                over.iter().for_each(|worker| log.warn(format_args!("the lease of {worker} is over")));
                shared.changed.send_replace(());
            }
            (stream, _) = listener.next(), if clients.len() < MAX_CLIENTS => {
                clients.spawn(serve(stream, Arc::clone(&shared), log.clone()));
            }
        }
    }
}

async fn serve(stream: Stream, shared: Arc<Shared>, log: Log) {
    let mut lines = lines(stream);
    let mut changes = shared.changed.subscribe();
    let mut watches = false;
    loop {
        let answer = tokio::select! {
            line = lines.next() => {
                let Some(Ok(line)) = line else { return };
                match decode::<Call>(line.as_bytes()) {
                    Some(Call::Hold { record, again: true, .. }) if !shared.holds(&record) => Answer::Over,
                    Some(Call::Hold { record, ttl_ms, .. }) => {
                        hold(&shared, record, Duration::from_millis(ttl_ms), &log);
                        Answer::Held
                    }
                    Some(Call::Leave { worker, life }) => {
                        if shared.leases().remove(&(worker.clone(), life)).is_some() {
                            log.info(format_args!("{worker} left"));
                            shared.changed.send_replace(());
                        }
                        Answer::Held
                    }
                    Some(Call::Watch) => {
                        watches = true;
                        Answer::Workers(shared.records())
                    }
                    None => return,
                }
            }
            Ok(()) = changes.changed(), if watches => Answer::Workers(shared.records()),
        };
        if lines.send(encode(&answer)).await.is_err() {
            return;
        }
    }
}

fn hold(shared: &Shared, record: Record, ttl: Duration, log: &Log) {
    let key = (record.worker.clone(), record.life);
    let mut leases = shared.leases();
    if leases.len() >= MAX_RECORDS && !leases.contains_key(&key) {
        return;
    }
    if leases.insert(key, (record.clone(), Instant::now() + ttl)).is_none() {
        log.info(format_args!("{} registered", record.worker));
        drop(leases);
        shared.changed.send_replace(());
    }
}

async fn connect(net: &Net, server: &str) -> io::Result<Lines> {
    let (host, port) = split_address(server)?;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    Ok(lines(timeout(CONNECT_TIMEOUT, net.connect(host, port)).await.map_err(late)??))
}

async fn ask(lines: &mut Lines, call: &Call) -> io::Result<Answer> {
    lines.send(encode(call)).await.map_err(io::Error::other)?;
    let line = lines.next().await.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
    decode(line.as_bytes()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Holds a worker's lease. Returns when the registry says that the lease is over. A worker that does not reach the registry
/// keeps working, and learns this once it does.
pub(super) async fn hold_lease(net: &Net, server: &str, record: &Record, ttl: Duration, log: &Log) {
    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    let (mut again, mut is_told) = (false, false);
    loop {
        let held = async {
            let mut lines = connect(net, server).await?;
            let mut renewal = interval(ttl / RENEWALS);
            renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                renewal.tick().await;
                match ask(&mut lines, &Call::Hold { record: record.clone(), ttl_ms, again }).await? {
                    Answer::Over => return Ok::<_, io::Error>(()),
                    _ if !again => {
                        log.info(format_args!("registered as {} for model {}", record.worker, record.model));
                        (again, is_told) = (true, false);
                    }
                    _ => is_told = false,
                }
            }
        };
        match held.await {
            Ok(()) => return log.warn(format_args!("the lease in the registry {server} is over")),
            Err(error) if !is_told => {
                is_told = true;
                log.warn(format_args!("the registry {server} does not answer: {error}"));
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
    }
}

/// Gives up a worker's lease.
pub(super) async fn leave(net: &Net, server: &str, record: &Record) {
    let left = async {
        let mut lines = connect(net, server).await?;
        ask(&mut lines, &Call::Leave { worker: record.worker.clone(), life: record.life }).await
    };
    // Without an answer the lease ends by itself.
    _ = timeout(RETRY, left).await;
}

/// Follows the list of workers and hands over each version of it. While there is no connection, the last one stays.
pub(super) async fn follow(net: Net, server: String, log: Log, found: impl Fn(Vec<Record>)) {
    let mut is_lost = false;
    loop {
        let followed = async {
            let mut lines = connect(&net, &server).await?;
            let mut answer = ask(&mut lines, &Call::Watch).await?;
            loop {
                if let Answer::Workers(workers) = answer {
                    found(workers);
                }
                let line = lines.next().await.ok_or(io::ErrorKind::UnexpectedEof)?.map_err(io::Error::other)?;
                answer = decode(line.as_bytes()).ok_or(io::ErrorKind::InvalidData)?;
            }
        };
        let ended: io::Result<std::convert::Infallible> = followed.await;
        if let Err(error) = ended
            && !std::mem::replace(&mut is_lost, true)
        {
            log.warn(format_args!("lost the registry {server}: {error}"));
        }
        sleep(RETRY).await;
    }
}
