//! The frontend: the OpenAI API on one side, workers on the other.
//!
//! In scope: starting its parts and feeding heartbeats to the registry. Out of scope: which worker is next
//! (`registry`), one request's way to a worker and back (`answer`), HTTP and JSON (`api`, `openai`).

mod answer;
mod api;
mod direct;
mod openai;
mod registry;
mod shared;

pub(crate) use api::GETS;

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::direct::Direct;
use self::registry::{Comeback, Registry};
use self::shared::{Expected, Frontend};
use super::discovery::follow;
use super::nats::client::{ClientConfig, client};
use super::protocol::{Heartbeat, Record, accepted_subject, decode, heartbeat_subject, millis};
use super::{FrontendConfig, Plane};
use crate::log::Log;
use crate::net::Net;
use crate::web;

/// The interval of the check for silent workers.
const EXPIRY: Duration = Duration::from_millis(50);

/// Runs a frontend until `stop` is cancelled.
///
/// # Errors
/// If a setting is not valid, or one of its ports cannot be listened on.
pub async fn frontend(net: Net, config: FrontendConfig, log: Log, stop: CancellationToken) -> io::Result<()> {
    config.check()?;
    let api = net.listen(config.port).await?;
    let responses = net.listen(config.response_port).await?;
    let bus = ClientConfig::new(&config.bus, "frontend", log.clone()).dead_after(config.bus_dead_after.get());
    let (bus, driver) = client(net.clone(), bus);
    let comeback = match config.reconcile {
        Some(interval) => Comeback::Every { from: Instant::now(), interval: interval.get() },
        None => Comeback::Trial(config.sidelined.get()),
    };
    let frontend = Arc::new(Frontend {
        response_port: responses.local_addr()?.port(),
        own_address: config.advertise.clone().or_else(|| net.address().map(|address| address.to_string())),
        permits: Arc::new(Semaphore::new(config.max_requests)),
        registry: Mutex::new(Registry::new(config.heartbeat_timeout.get(), comeback)),
        id: format!("{:016x}", rand::random::<u64>()),
        expected: Expected::default(),
        direct: Direct::new(net.clone()),
        bus,
        config,
        log,
        net,
    });
    let mut background = JoinSet::new();
    if frontend.config.plane == Plane::Bus || frontend.config.discovery.is_none() {
        background.spawn(driver);
    }
    background.spawn(answer::accept(responses, Arc::clone(&frontend)));
    let handler = Arc::clone(&frontend);
    background.spawn(web::serve(api, frontend.config.max_connections, move |request| {
        let handler = Arc::clone(&handler);
        async move {
            let clock = handler.net.clone();
            let mut answer = api::handle(handler, request).await;
            // By the pod's own clock. Without this header, the server writes that of the machine.
            if let Some(date) = web::date(clock.now()) {
                answer.headers_mut().insert(http::header::DATE, date);
            }
            answer
        }
    }));
    let (port, model) = (frontend.config.port, &frontend.config.model);
    frontend.log.info(format_args!("the frontend is up on port {port}: model {model}"));
    frontend.watch_workers(stop).await;
    Ok(())
}

impl Frontend {
    /// Takes over the list of the registry.
    fn listed(&self, records: Vec<Record>) {
        self.direct.keep(records.iter().filter_map(|record| record.address.as_deref()));
        let (gone, new) = self.registry().list(records, Instant::now());
        gone.iter().for_each(|worker| self.log.warn(format_args!("worker {worker} is no longer registered")));
        new.iter().for_each(|worker| self.log.info(format_args!("worker {worker} joined")));
    }

    async fn watch_workers(&self, stop: CancellationToken) {
        // Fixed texts that are valid subjects.
        let Some(mut heartbeats) = self.bus.subscribe(&heartbeat_subject("*"), None) else { return };
        let Some(mut accepted) = self.bus.subscribe(&accepted_subject(&self.id, "*"), None) else { return };
        let followed = async {
            match &self.config.discovery {
                Some(server) => {
                    follow(self.net.clone(), server.clone(), self.log.clone(), |records| self.listed(records)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::pin!(followed);
        let mut disbelieved = BTreeSet::new();
        let mut expiry = interval(EXPIRY);
        expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // Handle all received heartbeats first, then the silent workers.
                biased;
                () = stop.cancelled() => return,
                () = &mut followed => return,
                Some(message) = accepted.next() => {
                    let id = message.subject.rsplit('.').next().unwrap_or_default();
                    if let Some(request) = self.expected.accepting().remove(id) {
                        // The client may be gone.
                        _ = request.send(!message.payload.is_empty());
                    }
                }
                Some(message) = heartbeats.next() => match decode::<Heartbeat>(&message.payload) {
                    Some(heartbeat) => {
                        let worker = heartbeat.record.worker.clone();
                        let off = millis(self.net.now()).abs_diff(heartbeat.at_ms);
                        if u128::from(off) > self.config.clock_tolerance.get().as_millis() {
                            if disbelieved.insert(worker.clone()) {
                                let seconds = off / 1000;
                                self.log.warn(format_args!("heartbeats of worker {worker} are ignored: their time is \
                                    {seconds} s off"));
                            }
                            continue;
                        }
                        disbelieved.remove(&worker);
                        if self.registry().heard(heartbeat, Instant::now()) {
                            self.log.info(format_args!("worker {worker} joined"));
                        }
                    }
                    None => self.log.warn("a message on the heartbeat subject is no heartbeat"),
                },
                _ = expiry.tick(), if self.config.discovery.is_none() => {
                    for worker in self.registry().expire(Instant::now()) {
                        let silent = self.config.heartbeat_timeout;
                        self.log.warn(format_args!("worker {worker} is dropped: no heartbeat for {silent}"));
                    }
                }
            }
        }
    }
}
