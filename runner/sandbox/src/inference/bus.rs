//! The bus: a NATS server with the features that the deployment needs. It has no authentication, headers, clustering or
//! storage.
//!
//! In scope: client connections. Out of scope: who gets a message (`hub`) and the protocol's text (`nats`).

mod hub;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use self::hub::{Hub, Outbox};
use super::BusConfig;
use super::nats::wire::{self, Info, Op};
use crate::log::Log;
use crate::net::{Net, Stream};

/// How long a rejected or dropped client may take to read the reason.
const FAREWELL: Duration = Duration::from_millis(100);
/// The most characters of a client's name that are kept.
const NAME: usize = 100;
/// Runs a bus until `stop` is cancelled.
///
/// # Errors
/// If a setting is not valid, or its port cannot be listened on.
pub async fn bus(net: Net, config: BusConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    config.check()?;
    let listener = net.listen(config.port).await?;
    log.info(format_args!("the bus listens on port {}", config.port));
    let config = Arc::new(config);
    let hub = Arc::new(Hub::new(config.max_pending));
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            Some(_) = clients.join_next() => {}
            (mut stream, from) = listener.next() => if clients.len() < config.max_clients {
                clients.spawn(serve(stream, from, Arc::clone(&config), Arc::clone(&hub), log.clone()));
            } else {
                log.warn(format_args!("too many clients: {from} is refused"));
                let farewell = stream.write_all(b"-ERR 'maximum connections exceeded'\r\n");
                let _ = timeout(FAREWELL, farewell).await;
            },
        }
    }
}

/// Serves one client until it disconnects or is dropped.
async fn serve(stream: Stream, from: SocketAddr, config: Arc<BusConfig>, hub: Arc<Hub>, log: Log) {
    let outbox = hub.join();
    let out = BytesMut::new();
    let mut client = Client {
        hub: &hub,
        config: &config,
        outbox: &outbox,
        out,
        verbose: true,
        unanswered: 0,
        unheard: 0,
        full_since: None,
        name: None,
    };
    let (mut reader, mut writer) = tokio::io::split(stream);
    let ended =
        client.run(&mut reader, &mut writer, &|name| log.info(format_args!("client {name} of {from} connected"))).await;
    let name = client.name.take().unwrap_or_else(|| "without a name".to_owned());
    match ended {
        Ok(()) => log.info(format_args!("client {name} of {from} left")),
        Err(error) => {
            log.warn(format_args!("client {name} of {from} is dropped: {error}"));
            // The error follows all earlier output, so that it does not end up within a message.
            let mut last = client.out;
            last.unsplit(outbox.rest().0);
            wire::write(&Op::Err(error.to_string()), &mut last);
            let _ = timeout(FAREWELL, writer.write_all_buf(&mut last)).await;
        }
    }
    hub.leave(&outbox);
}

struct Client<'a> {
    hub: &'a Hub,
    config: &'a BusConfig,
    outbox: &'a Outbox,
    /// The output that is being written.
    out: BytesMut,
    verbose: bool,
    /// The number of PINGs since the last answer.
    unanswered: u32,
    /// The messages to it since it last said something.
    unheard: usize,
    /// When the kernel had no room for a further one.
    full_since: Option<tokio::time::Instant>,
    /// Its name.
    name: Option<String>,
}

impl Client<'_> {
    async fn run(
        &mut self,
        reader: &mut (impl AsyncReadExt + Unpin),
        writer: &mut (impl AsyncWriteExt + Unpin),
        connected: &(impl Fn(&str) + Sync),
    ) -> io::Result<()> {
        let info = Info {
            server_id: format!("SHAKEDOWN{:016X}", rand::random::<u64>()),
            version: env!("CARGO_PKG_VERSION").into(),
            max_payload: self.config.max_payload,
            ..Info::default()
        };
        let mut input = BytesMut::new();
        wire::write(&Op::Info(Box::new(info)), &mut self.out);
        let period = self.config.ping_interval.get();
        let mut ping = interval_at(tokio::time::Instant::now() + period, period);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let late_at = self.full_since.map(|since| since + self.config.write_deadline.get());
            let late = async {
                match late_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = reader.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.unanswered = 0;
                    (self.unheard, self.full_since) = (0, None);
                    while let Some(op) = wire::read(&mut input, self.config.max_payload).map_err(io::Error::other)? {
                        let known = self.name.is_some();
                        self.handle(op)?;
                        if let Some(name) = self.name.as_deref().filter(|_| !known) {
                            connected(name);
                        }
                    }
                }
                written = writer.write(&self.out), if !self.out.is_empty() => self.out.advance(written?),
                waiting = self.outbox.take(), if self.out.is_empty() => {
                    let messages;
                    (self.out, messages) = waiting;
                    self.unheard += messages;
                    if self.config.socket_buffer.is_some_and(|room| self.unheard > room) {
                        self.full_since.get_or_insert_with(tokio::time::Instant::now);
                    }
                }
                () = late => return Err(io::Error::other("Slow Consumer")),
                () = self.outbox.overflowed() => return Err(io::Error::other("Slow Consumer")),
                _ = ping.tick() => {
                    if self.unanswered >= 2 {
                        return Err(io::Error::other("Stale Connection"));
                    }
                    self.unanswered += 1;
                    self.outbox.push(&Op::Ping);
                }
            }
        }
    }

    fn handle(&mut self, op: Op) -> io::Result<()> {
        let answer = match op {
            Op::Connect(connect) => {
                self.verbose = connect.verbose;
                self.name = Some(connect.name.chars().filter(|c| !c.is_control()).take(NAME).collect());
                self.hub.echo(self.outbox, connect.echo);
                Op::Ok
            }
            Op::Ping => {
                self.outbox.push(&Op::Pong);
                return Ok(());
            }
            Op::Pong => return Ok(()),
            Op::Pub { subject, reply, payload } => answer(self.hub.publish(self.outbox, &subject, reply, payload)),
            Op::Sub { subject, queue, sid } => answer(self.hub.subscribe(self.outbox, subject, queue, sid)),
            Op::Unsub { sid, max } => {
                self.hub.unsubscribe(self.outbox, &sid, max);
                Op::Ok
            }
            Op::Info(_) | Op::Ok | Op::Err(_) | Op::Msg { .. } => {
                return Err(io::Error::other("Unknown Protocol Operation"));
            }
        };
        if self.verbose || answer != Op::Ok {
            self.outbox.push(&answer);
        }
        Ok(())
    }
}

fn answer(result: Result<(), &'static str>) -> Op {
    match result {
        Ok(()) => Op::Ok,
        Err(message) => Op::Err(message.to_owned()),
    }
}
