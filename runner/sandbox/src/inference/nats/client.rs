//! A NATS client that detects a dead bus quickly and reconnects.
//!
//! In scope: one connection at a time, kept alive and replaced; subscriptions that outlive it. Out of scope:
//! the meaning of messages.
//!
//! A cut link shows in no error for many minutes, because TCP keeps retransmitting, at ever longer intervals. So the
//! client asks PING often, gives up a connection that answers nothing for [`ClientConfig::dead_after`], and opens fresh
//! ones until one answers. Nothing is kept to be sent later: a heartbeat from before a cut would be a lie after it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use tracing::warn;

use super::subject;
use super::wire::{self, Connect, Info, Op};
use crate::log::Log;
use crate::net::{Net, Stream};

/// The length of the queues: operations to write, and messages of one subscription.
const QUEUE: usize = 1024;
/// The most bytes in the write buffer. Beyond it, operations wait in the queue.
const MAX_OUT: usize = 1 << 20;
/// Among consecutive failed connection attempts, the first and then every n-th are logged.
const LOG_EVERY: u32 = 25;
/// The largest message that is accepted from a server that does not say its own limit, bytes.
const MAX_PAYLOAD: usize = 1 << 20;

/// The address of the bus, and the timeouts.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `host:port`; `nats://host:port` is understood as well.
    pub bus: String,
    /// The name that the bus shows for this client.
    pub name: String,
    /// The interval of PINGs.
    pub ping_interval: Duration,
    /// A connection without input for this long is dead.
    pub dead_after: Duration,
    /// How long connecting may take, up to the first answer to a PING.
    pub connect_timeout: Duration,
    /// The pause after a failed connection attempt. It doubles each time.
    pub retry: Duration,
    /// The longest pause after a failed connection attempt.
    pub max_retry: Duration,
    /// The pause after a lost connection.
    pub reconnect_after: Duration,
    /// The log for the state of the connection.
    pub log: Log,
}

impl ClientConfig {
    /// The same with another time without input after which a connection is dead.
    #[must_use]
    pub fn dead_after(self, dead_after: Duration) -> Self {
        Self { ping_interval: dead_after / 4, dead_after, ..self }
    }

    /// The default timeouts: a dead bus is detected within 2 s.
    pub fn new(bus: impl Into<String>, name: impl Into<String>, log: Log) -> Self {
        Self {
            bus: bus.into(),
            name: name.into(),
            ping_interval: Duration::from_millis(500),
            dead_after: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            retry: Duration::from_millis(300),
            max_retry: Duration::from_millis(300),
            reconnect_after: Duration::from_millis(300),
            log,
        }
    }
}

/// Why a message was not handed to the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection to the bus now.
    #[error("there is no connection to the bus")]
    Disconnected,
    /// Too many messages wait to be written.
    #[error("too many messages wait for the bus")]
    Busy,
    /// The message is larger than the bus accepts.
    #[error("the message is larger than the bus allows")]
    TooLarge,
    /// The subject is empty, has wildcards or white space.
    #[error("messages cannot be published to this subject")]
    Subject,
}

/// The current state of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusState {
    /// This end's address, while there is a connection.
    pub connected: Option<SocketAddr>,
    /// The number of connections so far.
    pub connections: u64,
}

/// A handle to the client. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    subscriptions: Mutex<BTreeMap<u64, Entry>>,
    next_sid: AtomicU64,
    max_payload: AtomicU64,
    commands: mpsc::Sender<Command>,
    state: watch::Sender<BusState>,
}

/// A command of the handle to the connection task.
enum Command {
    Send(Op),
    /// Confirm when all earlier operations have been written to the kernel.
    Flush(oneshot::Sender<()>),
}

struct Entry {
    subject: String,
    queue: Option<String>,
    messages: mpsc::Sender<Message>,
}

/// A message that a subscription received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The subject that it was published to.
    pub subject: String,
    /// The subject for an answer.
    pub reply: Option<String>,
    /// The message.
    pub payload: Bytes,
}

/// A subscription, which ends when this is dropped.
pub struct Subscription {
    sid: u64,
    messages: mpsc::Receiver<Message>,
    shared: Arc<Shared>,
}

/// A client, and the future that does its work: the client is connected only while that is polled.
pub fn client(net: Net, config: ClientConfig) -> (Client, impl Future<Output = ()> + Send) {
    let (commands, queued) = mpsc::channel(QUEUE);
    let shared = Arc::new(Shared {
        subscriptions: Mutex::default(),
        next_sid: AtomicU64::new(1),
        max_payload: AtomicU64::new(MAX_PAYLOAD as u64),
        commands,
        state: watch::Sender::new(BusState::default()),
    });
    let client = Client { shared: Arc::clone(&shared) };
    (client, drive(net, config, shared, queued))
}

impl Client {
    /// Sends a message to the bus, without waiting.
    ///
    /// # Errors
    /// See [`PublishError`]. Success only means that the message was queued for a connection that seemed alive.
    pub fn publish(&self, subject: &str, reply: Option<&str>, payload: Bytes) -> Result<(), PublishError> {
        if !subject::is_literal(subject) || reply.is_some_and(|reply| !subject::is_literal(reply)) {
            return Err(PublishError::Subject);
        }
        if payload.len() as u64 > self.shared.max_payload.load(Ordering::Relaxed) {
            return Err(PublishError::TooLarge);
        }
        if !self.is_connected() {
            return Err(PublishError::Disconnected);
        }
        let op = Op::Pub { subject: subject.to_owned(), reply: reply.map(str::to_owned), payload };
        self.shared.commands.try_send(Command::Send(op)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::Busy,
            mpsc::error::TrySendError::Closed(_) => PublishError::Disconnected,
        })
    }

    /// Returns when all earlier messages have been written or can no longer be written.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.is_connected() && self.shared.commands.send(Command::Flush(done)).await.is_ok() {
            // An error means that the connection was lost, and the messages with it.
            let _ = flushed.await;
        }
    }

    /// Listens to what is published to `subject`, which may have wildcards, on this connection and all later ones. Of
    /// the subscribers with the same `queue` only one gets each message. `None` if the subject is not valid.
    pub fn subscribe(&self, subject: &str, queue: Option<&str>) -> Option<Subscription> {
        if !subject::is_pattern(subject) || queue.is_some_and(|queue| !subject::is_literal(queue)) {
            return None;
        }
        let sid = self.shared.next_sid.fetch_add(1, Ordering::Relaxed);
        let (sender, messages) = mpsc::channel(QUEUE);
        let entry = Entry { subject: subject.to_owned(), queue: queue.map(str::to_owned), messages: sender };
        let op = entry.op(sid);
        self.shared.subscriptions().insert(sid, entry);
        // A new connection subscribes to everything in the table *after* it shows in `state`, so this one is sent at
        // least once; servers ignore the repetition.
        if self.is_connected() {
            self.shared.command(op);
        }
        Some(Subscription { sid, messages, shared: Arc::clone(&self.shared) })
    }

    /// Whether there is a connection that seemed alive until now.
    pub fn is_connected(&self) -> bool {
        self.shared.state.borrow().connected.is_some()
    }

    /// The connection's state, to look at or to wait for.
    pub fn state(&self) -> watch::Receiver<BusState> {
        self.shared.state.subscribe()
    }
}

impl Subscription {
    /// The next message. Never ends by itself: while there is no bus, there is just nothing to receive.
    pub async fn next(&mut self) -> Option<Message> {
        self.messages.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.subscriptions().remove(&self.sid);
        if self.shared.state.borrow().connected.is_some() {
            self.shared.command(Op::Unsub { sid: self.sid.to_string(), max: None });
        }
    }
}

impl Entry {
    fn op(&self, sid: u64) -> Op {
        Op::Sub { subject: self.subject.clone(), queue: self.queue.clone(), sid: sid.to_string() }
    }
}

impl Shared {
    fn subscriptions(&self) -> MutexGuard<'_, BTreeMap<u64, Entry>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, op: Op) {
        if self.commands.try_send(Command::Send(op)).is_err() {
            warn!("too many operations wait for the bus: one was dropped");
        }
    }

    fn deliver(&self, sid: &str, message: Message) {
        let Ok(sid) = sid.parse::<u64>() else { return };
        if let Some(entry) = self.subscriptions().get(&sid)
            && entry.messages.try_send(message).is_err()
        {
            warn!(subject = entry.subject, "a subscriber is too slow: a message was dropped");
        }
    }
}

async fn drive(net: Net, config: ClientConfig, shared: Arc<Shared>, mut commands: mpsc::Receiver<Command>) {
    let (log, bus) = (&config.log, &config.bus);
    let mut failed = 0_u32;
    let mut lost: Option<Instant> = None;
    loop {
        let opened = timeout(config.connect_timeout, Connection::open(&net, &config)).await;
        match opened.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"))) {
            Ok(mut connection) => {
                // Discard operations that were queued for the previous connection.
                while commands.try_recv().is_ok() {}
                shared.max_payload.store(connection.max_payload as u64, Ordering::Relaxed);
                shared.state.send_modify(|state| {
                    state.connected = Some(connection.local);
                    state.connections += 1;
                });
                for (sid, entry) in shared.subscriptions().iter() {
                    wire::write(&entry.op(*sid), &mut connection.out);
                }
                match lost.take() {
                    Some(since) => log.info(format_args!(
                        "reconnected to the bus {bus} after {:.1} s and {failed} failed tries",
                        since.elapsed().as_secs_f64()
                    )),
                    None => log.info(format_args!("connected to the bus {bus}")),
                }
                failed = 0;
                let error = connection.run(&config, &shared, &mut commands).await;
                shared.state.send_modify(|state| state.connected = None);
                log.warn(format_args!("lost the bus {bus}: {error}"));
                lost = Some(Instant::now());
                sleep(config.reconnect_after).await;
            }
            Err(error) => {
                failed += 1;
                // There are several attempts per second: one line for each would hide everything else.
                if failed == 1 || failed.is_multiple_of(LOG_EVERY) {
                    log.warn(format_args!("cannot connect to the bus {bus}, try {failed}: {error}"));
                }
                sleep((config.retry * (1 << (failed - 1).min(16))).min(config.max_retry)).await;
            }
        }
    }
}

struct Connection {
    reader: ReadHalf<Stream>,
    writer: WriteHalf<Stream>,
    local: SocketAddr,
    max_payload: usize,
    input: BytesMut,
    out: BytesMut,
}

impl Connection {
    /// Connects, exchanges INFO and CONNECT, and waits for the answer to a first PING.
    async fn open(net: &Net, config: &ClientConfig) -> io::Result<Self> {
        let (host, port) = split_address(&config.bus)?;
        let stream = net.connect(host, port).await?;
        let local = stream.local_addr()?;
        let (reader, writer) = tokio::io::split(stream);
        let (input, out) = (BytesMut::new(), BytesMut::new());
        let mut connection = Self { reader, writer, local, max_payload: MAX_PAYLOAD, input, out };
        let Op::Info(info) = connection.receive().await? else {
            return Err(broken("it does not greet as a NATS server does"));
        };
        connection.greeted(&info)?;
        let connect = Connect {
            verbose: false,
            name: config.name.clone(),
            lang: "rust".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            protocol: 1,
            ..Connect::default()
        };
        wire::write(&Op::Connect(Box::new(connect)), &mut connection.out);
        wire::write(&Op::Ping, &mut connection.out);
        connection.writer.write_all_buf(&mut connection.out).await?;
        loop {
            match connection.receive().await? {
                Op::Pong => return Ok(connection),
                Op::Err(message) => return Err(io::Error::other(format!("it refuses: {message}"))),
                Op::Info(info) => connection.greeted(&info)?,
                _ => {}
            }
        }
    }

    fn greeted(&mut self, info: &Info) -> io::Result<()> {
        if info.tls_required || info.auth_required {
            return Err(io::Error::other("it wants TLS or a password, and this client has neither"));
        }
        self.max_payload = info.max_payload;
        Ok(())
    }

    async fn receive(&mut self) -> io::Result<Op> {
        loop {
            if let Some(op) = wire::read(&mut self.input, self.max_payload).map_err(|error| broken(error.0))? {
                return Ok(op);
            }
            if self.reader.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Serves a connection until it is dead, and returns the reason.
    async fn run(
        &mut self,
        config: &ClientConfig,
        shared: &Shared,
        commands: &mut mpsc::Receiver<Command>,
    ) -> io::Error {
        let mut heard = Instant::now();
        let mut ping = interval(config.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut flushes: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            if self.out.is_empty() {
                for done in flushes.drain(..) {
                    // An error means that the receiver is gone.
                    let _ = done.send(());
                }
            }
            tokio::select! {
                read = self.reader.read_buf(&mut self.input) => match read {
                    Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                    Err(error) => return error,
                    Ok(_) => {
                        heard = Instant::now();
                        if let Err(error) = self.handle(shared) {
                            return error;
                        }
                    }
                },
                written = self.writer.write(&self.out), if !self.out.is_empty() => match written {
                    Ok(bytes) => self.out.advance(bytes),
                    Err(error) => return error,
                },
                Some(command) = commands.recv(), if self.out.len() < MAX_OUT => match command {
                    Command::Send(op) => wire::write(&op, &mut self.out),
                    Command::Flush(done) => flushes.push(done),
                },
                _ = ping.tick(), if self.out.len() < MAX_OUT => wire::write(&Op::Ping, &mut self.out),
                () = sleep_until(heard + config.dead_after) => {
                    return io::Error::new(io::ErrorKind::TimedOut, "it answers no PING");
                }
            }
        }
    }

    fn handle(&mut self, shared: &Shared) -> io::Result<()> {
        while let Some(op) = wire::read(&mut self.input, self.max_payload).map_err(|error| broken(error.0))? {
            match op {
                Op::Msg { subject, sid, reply, payload } => shared.deliver(&sid, Message { subject, reply, payload }),
                Op::Ping => wire::write(&Op::Pong, &mut self.out),
                // If it was fatal, the server closes the connection.
                Op::Err(message) => warn!(message, "the bus reports an error"),
                Op::Info(info) => self.greeted(&info)?,
                Op::Pong | Op::Ok => {}
                _ => return Err(broken("it sent what only clients send")),
            }
        }
        Ok(())
    }
}

fn broken(message: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

/// The two parts of `host:port`.
///
/// # Errors
/// Text of another form.
pub fn split_address(bus: &str) -> io::Result<(&str, u16)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{bus}` is not `host:port`"));
    let (host, port) = bus.trim_start_matches("nats://").rsplit_once(':').ok_or_else(bad)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok((host, port.parse().map_err(|_| bad())?))
}
