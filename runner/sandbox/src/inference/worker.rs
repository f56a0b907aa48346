//! A worker: it receives requests from the bus and returns generated tokens at the pace of a model.
//!
//! In scope: heartbeats, slots, answers, health. Out of scope: how messages look (`protocol`), how long things
//! take (`worker::pace`), and which prompts are worked out already (`worker::cache`).

mod cache;
mod direct;
mod pace;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use http::StatusCode;
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use self::cache::Cache;
use self::pace::{Pace, text};
use super::discovery::{self, hold_lease};
use super::nats::client::{Client, ClientConfig, Message, client, split_address};
use super::protocol::{
    Frame, Heartbeat, Lines, Record, Request, decode, encode, heartbeat_subject, lines, request_subject,
};
use super::{Plane, WorkerConfig, protocol};
use crate::log::Log;
use crate::net::Net;
use crate::web as server;

/// The paths that answer GET.
pub(crate) const GETS: &[&str] = &["/health", "/live", "/ready"];

/// The most concurrent refusals. Further requests are silently dropped.
const MAX_REFUSALS: usize = 64;
/// The interval at which a worker logs the number of answered requests.
const ACCOUNT: Duration = Duration::from_secs(5);
/// The most requests that wait to be taken.
const QUEUE: usize = 1024;
/// How long a stopped worker still takes requests: frontends learn a moment later that it leaves. Dynamo's ended 0.4 to 0.5 s
/// after SIGTERM in each of five recorded runs, and lost no request.
const TAKES_REQUESTS_AFTER_STOP: Duration = Duration::from_millis(400);
/// The most connections to the health port.
const MAX_HEALTH: usize = 64;

/// Runs a worker until `stop` is cancelled. It then deregisters, and finishes its requests within the configured time.
///
/// # Errors
/// If a setting is not valid, or its health port cannot be listened on.
pub async fn worker(net: Net, config: WorkerConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    config.check()?;
    let health = net.listen(config.health_port).await?;
    let bus = ClientConfig::new(&config.bus, &config.id, log.clone()).dead_after(config.bus_dead_after.get());
    let (reconnect_after, max_retry) = (config.reconnect_after.get(), config.reconnect_max.get());
    let (bus, driver) = client(net.clone(), ClientConfig { reconnect_after, max_retry, ..bus });
    let life = rand::random();
    let direct = match config.plane {
        Plane::Direct => Some(net.listen(config.request_port).await?),
        Plane::Bus => None,
    };
    let host = net.address().map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
    let address = direct.as_ref().and_then(|it| it.local_addr().ok()).map(|at| format!("{host}:{}", at.port()));
    let worker = Arc::new(Worker {
        record: Record {
            worker: config.id.clone(),
            life,
            model: config.model.clone(),
            subject: request_subject(&config.id, life),
            address,
        },
        slots: Semaphore::new(config.slots),
        taken: AtomicUsize::new(0),
        delivered: AtomicU64::new(0),
        undelivered: AtomicU64::new(0),
        cache: config.cache.as_deref().map(|folder| Cache::new(folder, net.clone(), log.clone())),
        net,
        bus,
        config,
        log,
    });
    let mut background = JoinSet::new();
    if config_uses_bus(&worker.config) {
        background.spawn(driver);
    }
    let (taken, mut given) = mpsc::channel(QUEUE);
    if let Some(direct) = direct {
        background.spawn(direct::accept(direct, taken));
    }
    let asked = Arc::clone(&worker);
    background.spawn(server::serve(health, MAX_HEALTH, move |request| {
        let answer = asked.health(request.uri().path());
        async move { answer }
    }));
    let (id, model, slots) = (&worker.config.id, &worker.config.model, worker.config.slots);
    worker.log.info(format_args!("worker {id} is up: model {model}, {slots} slots"));
    let Some(server) = &worker.config.discovery else {
        worker.work(&mut given, stop).await;
        return Ok(());
    };
    let held = hold_lease(&worker.net, server, &worker.record, worker.config.lease.get(), &worker.log);
    let lease = async {
        tokio::select! {
            () = held => {}
            // A worker that stops gives up its lease itself.
            () = stop.cancelled() => std::future::pending().await,
        }
    };
    tokio::select! {
        () = worker.work(&mut given, stop.clone()) => Ok(()),
        () = lease => Err(io::Error::other("the lease of this worker is over")),
    }
}

/// Whether a worker has any use for a bus.
fn config_uses_bus(config: &WorkerConfig) -> bool {
    config.plane == Plane::Bus || config.discovery.is_none()
}

struct Worker {
    record: Record,
    net: Net,
    bus: Client,
    config: WorkerConfig,
    log: Log,
    cache: Option<Cache>,
    slots: Semaphore,
    /// Requests that hold a slot or wait for one.
    taken: AtomicUsize,
    /// Completed answers.
    delivered: AtomicU64,
    /// Incomplete answers.
    undelivered: AtomicU64,
}

impl Worker {
    /// Works on requests from the bus and on those that were `given` directly.
    async fn work(self: &Arc<Self>, given: &mut mpsc::Receiver<Request>, stop: CancellationToken) {
        // The name was checked: this is a valid subject.
        let Some(mut requests) = self.bus.subscribe(&self.record.subject, None) else { return };
        let mut answers = JoinSet::new();
        let mut beat = interval(self.config.heartbeat.get());
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut account = interval_at(Instant::now() + ACCOUNT, ACCOUNT);
        account.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut bus = self.bus.state();
        let beats = self.config.discovery.is_none();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = beat.tick(), if beats => self.heartbeat(false),
                Ok(()) = bus.changed(), if beats => {
                    self.heartbeat(false);
                    if bus.borrow_and_update().connected.is_some() {
                        self.log.info(format_args!("registered as {} for model {}", self.config.id, self.config.model));
                    }
                }
                _ = account.tick() => self.account(),
                Some(_) = answers.join_next() => {}
                Some(request) = given.recv() => self.take(request, &mut answers),
                Some(message) = requests.next() => self.receive(&message, &mut answers),
            }
        }
        self.log.info("stopping: leaving the registry and finishing running requests");
        match &self.config.discovery {
            Some(server) => discovery::leave(&self.net, server, &self.record).await,
            None => self.heartbeat(true),
        }
        let _ = timeout(self.config.drain.get(), async {
            // Without this, an idle worker would end before its farewell is sent.
            self.bus.flush().await;
            let lingers = sleep(TAKES_REQUESTS_AFTER_STOP);
            tokio::pin!(lingers);
            loop {
                tokio::select! {
                    // A request that was sent before the worker was known to leave is answered like any other.
                    Some(message) = requests.next() => self.receive(&message, &mut answers),
                    Some(request) = given.recv() => self.take(request, &mut answers),
                    Some(_) = answers.join_next() => {}
                    () = &mut lingers => break,
                }
            }
            drop(requests);
            while answers.join_next().await.is_some() {}
        })
        .await;
    }

    /// Accepts a request from the bus.
    fn receive(self: &Arc<Self>, message: &Message, answers: &mut JoinSet<()>) {
        if let Some(reply) = &message.reply {
            // Without the bus, the frontend gives up this request.
            _ = self.bus.publish(reply, None, Bytes::from_static(b"accepted"));
        }
        match decode::<Request>(&message.payload) {
            Some(request) => self.take(request, answers),
            None => self.log.warn("a message on the request subject is no request"),
        }
    }

    /// Begins to answer a request, or refuses it.
    fn take(self: &Arc<Self>, request: Request, answers: &mut JoinSet<()>) {
        let worker = Arc::clone(self);
        if self.taken.load(Ordering::Relaxed) < self.config.slots + self.config.queue {
            self.taken.fetch_add(1, Ordering::Relaxed);
            answers.spawn(async move {
                worker.answer(request).await;
                worker.taken.fetch_sub(1, Ordering::Relaxed);
            });
        } else if answers.len() < self.config.slots + self.config.queue + MAX_REFUSALS {
            answers.spawn(async move { worker.refuse(request).await });
        } else {
            self.log.warn(format_args!("far too many requests: {} was dropped", request.id));
        }
    }

    /// Logs the answers since the last line. A worker without requests logs that once.
    fn account(&self) {
        let delivered = self.delivered.swap(0, Ordering::Relaxed);
        let undelivered = self.undelivered.swap(0, Ordering::Relaxed);
        let bus = if self.bus.is_connected() { "connected" } else { "no bus" };
        self.log.info(format_args!(
            "{delivered} answers delivered and {undelivered} not in the last {} s, {} requests here, {bus}",
            ACCOUNT.as_secs(),
            self.taken.load(Ordering::Relaxed)
        ));
        let failures = self.cache.as_ref().map_or(0, Cache::failures);
        if failures > 1 {
            self.log.warn(format_args!("the cache failed {failures} times in the last {} s", ACCOUNT.as_secs()));
        }
    }

    fn heartbeat(&self, leaving: bool) {
        let (record, at_ms) = (self.record.clone(), protocol::millis(self.net.now()));
        let heartbeat = Heartbeat { record, leaving, at_ms };
        let payload = Bytes::from(encode(&heartbeat));
        if let Err(error) = self.bus.publish(&heartbeat_subject(&self.config.id), None, payload) {
            debug!(id = self.config.id, %error, "no heartbeat");
        }
    }

    async fn call_back(&self, request: &Request) -> io::Result<Lines> {
        let (host, port) = split_address(&request.respond_to)?;
        let stream = timeout(self.config.connect_timeout.get(), self.net.connect(host, port))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut lines = lines(stream);
        let hello = Frame::Hello { request: request.id.clone(), worker: self.config.id.clone() };
        send(&mut lines, &hello).await?;
        Ok(lines)
    }

    async fn answer(&self, request: Request) {
        let answered = async {
            let (mut sink, mut incoming) = self.call_back(&request).await?.split();
            // The frontend sends nothing. Any input means that it closed the connection and does not need the
            // rest of the answer.
            tokio::select! {
                done = self.generate(&request, &mut sink) => done,
                _ = incoming.next() => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        let ended = answered.await;
        let counter = if ended.is_ok() { &self.delivered } else { &self.undelivered };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = ended {
            debug!(id = self.config.id, request = request.id, %error, "an answer was not delivered");
        }
    }

    async fn generate<S>(&self, request: &Request, sink: &mut S) -> io::Result<()>
    where
        S: futures::Sink<String, Error = tokio_util::codec::LinesCodecError> + Unpin,
    {
        // The semaphore is never closed.
        let Ok(_slot) = self.slots.acquire().await else { return Ok(()) };
        let mut pace = Pace::new(&self.config, &request.id);
        let known = match &self.cache {
            Some(cache) => cache.knows(&request.prompt).await,
            None => false,
        };
        if !known {
            sleep_until(Instant::now() + self.config.prefill.get().mul_f64(self.net.busy())).await;
            if let Some(cache) = &self.cache {
                cache.keep(&request.prompt).await;
            }
        }
        // The time of each token counts from the start, so that the rounding of timers does not accumulate.
        let mut due = Instant::now();
        for index in request.first..request.max_tokens {
            // Read for each token, because the share of the processor may change in between.
            due += pace.before(index).mul_f64(self.net.busy());
            sleep_until(due).await;
            send(sink, &Frame::Token(text(&request.prompt, index))).await?;
        }
        send(sink, &Frame::End).await?;
        sink.close().await.map_err(io::Error::other)
    }

    async fn refuse(&self, request: Request) {
        if let Ok(mut lines) = self.call_back(&request).await {
            let _ = send(&mut lines, &Frame::Overloaded).await;
        }
    }

    fn health(&self, path: &str) -> http::Response<server::Body> {
        let connected = self.bus.is_connected();
        let status = match path {
            "/ready" if self.config.ready_needs_bus && !connected => StatusCode::SERVICE_UNAVAILABLE,
            path if GETS.contains(&path) => StatusCode::OK,
            _ => return server::json(StatusCode::NOT_FOUND, &json!({"error": "ask /health or /ready"})),
        };
        let taken = self.taken.load(Ordering::Relaxed);
        let running = self.config.slots - self.slots.available_permits();
        let state = json!({
            "id": self.config.id,
            "model": self.config.model,
            "bus": if connected { "connected" } else { "disconnected" },
            "running": running,
            "waiting": taken.saturating_sub(running),
        });
        server::json(status, &state)
    }
}

async fn send<S>(sink: &mut S, frame: &Frame) -> io::Result<()>
where
    S: futures::Sink<String, Error = tokio_util::codec::LinesCodecError> + Unpin,
{
    sink.send(protocol::encode(frame)).await.map_err(io::Error::other)
}
