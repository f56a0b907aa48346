//! The load engine: sends streams of requests on a schedule and records the answers.
//!
//! This crate contains the engine, its clock, the protocols (`http`, `openai`), and the counting of each request in the
//! cell in which it was due. It does not resolve services (`cluster` does), set the phases (the timeline marks them), or
//! judge answers against expectations (`judge` does).

mod addresses;
mod answer;
mod as_sent;
mod capture;
mod clock;
mod compiled;
mod connect;
mod connection;
mod control;
mod deadline;
mod dice;
mod encode;
mod engine;
mod excerpt;
mod exchange;
mod expects;
mod failure;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod group;
mod handle;
mod headers;
mod http1;
mod http2;
mod job;
mod lane;
mod mask;
mod names;
mod oracle;
mod pacing;
mod path;
mod planned;
mod record;
mod request;
mod root;
mod said;
mod scan;
mod schedule;
mod session;
mod shard;
mod socket;
mod sse;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod tls;
mod tunnel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use shakedown_observe::{LoadObservations, Marks, Outcomes};

pub use addresses::Addresses;
pub use compiled::CompiledLoad;
pub use engine::Engine;
pub use planned::{Endpoint, LoadError, PlannedLoad};
pub use tunnel::{NoTunnel, Tunnel};

/// Numbers for the live display: the requests that ended since the last call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// The load's name.
    pub load: String,
    /// Requests that ended since the last call.
    pub ended: u64,
    /// Those of them that succeeded.
    pub succeeded: u64,
    /// Their median latency, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The 95th percentile of their latency, in milliseconds.
    pub p95_ms: Option<f64>,
    /// The 99th percentile of their latency, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The times until their outcomes, so that several calls can be added.
    pub latency: Outcomes,
    /// Requests under way now.
    pub in_flight: u64,
}

impl Live {
    /// Appends the numbers of the next call.
    pub fn add(&mut self, later: &Self) {
        self.ended += later.ended;
        self.succeeded += later.succeeded;
        self.latency.merge(&later.latency);
        self.in_flight = later.in_flight;
        [self.p50_ms, self.p95_ms, self.p99_ms] = Self::percentiles(&self.latency);
    }

    /// p50, p95 and p99, in milliseconds.
    fn percentiles(latency: &Outcomes) -> [Option<f64>; 3] {
        [0.5, 0.95, 0.99].map(|quantile| latency.quantile(quantile).map(|micros| micros / 1e3))
    }
}

/// Sends all loads of one scenario.
#[async_trait]
pub trait LoadDriver: Send {
    /// Starts all loads. Requests are due from `zero` on, at the pace of the current phase in `marks`. Returns once the
    /// engine is ready to send. A mark must begin now or later, never in the past.
    async fn start(&mut self, zero: Instant, marks: Arc<Marks>) -> Result<(), LoadError>;

    /// The requests that ended since the last call, one entry per load.
    fn live(&mut self) -> Vec<Live>;

    /// The requests that ended so far, while the load continues. Requests under way are missing. One entry per load.
    fn so_far(&mut self) -> Vec<LoadObservations> {
        Vec::new()
    }

    /// A recent moment, in nanoseconds since the start. Every request that was due before it has ended.
    fn answered_ns(&self) -> u64;

    /// Sends no more requests, waits at most `grace` for those under way (never longer than their own
    /// timeouts), counts the rest as unfinished, and returns all observations. `end_ns` of the last segment
    /// is the moment of the call.
    async fn finish(&mut self, grace: Duration) -> Result<Vec<LoadObservations>, LoadError>;
}
