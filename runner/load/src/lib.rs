//! Load: streams of requests on a schedule, and what came back.
//!
//! What belongs here: the engine that sends, its clock, the protocols (`http`, `openai`), and counting each request
//! into the cell in which it was due. What does not: where a service is (`cluster` resolves it to an address), when
//! phases begin (the timeline marks it), and whether an answer was good enough (`judge`).

mod addresses;
mod answer;
mod clock;
mod compiled;
mod connection;
mod control;
mod deadline;
mod dice;
mod engine;
mod exchange;
mod expects;
mod failure;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod handle;
mod headers;
mod http1;
mod http2;
mod job;
mod lane;
mod names;
mod oracle;
mod pacing;
mod path;
mod planned;
mod prompt;
mod record;
mod request;
mod scan;
mod schedule;
mod seen;
mod shard;
mod slot;
mod sse;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use shakedown_observe::{Histogram, LoadObservations, Marks};

pub use addresses::Addresses;
pub use compiled::CompiledLoad;
pub use engine::Engine;
pub use planned::{Endpoint, LoadError, PlannedLoad};

/// Numbers for the live display: what happened since the last call.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Live {
    /// The load's name.
    pub load: String,
    /// Requests that ended since the last call.
    pub ended: u64,
    /// Those of them that succeeded.
    pub succeeded: u64,
    /// Half of their latencies are at most this, ms.
    pub p50_ms: Option<f64>,
    /// 95 % of their latencies are at most this, ms.
    pub p95_ms: Option<f64>,
    /// 99 % of their latencies are at most this, ms.
    pub p99_ms: Option<f64>,
    /// Their latencies, in microseconds, for those who look at longer stretches.
    pub latency: Histogram,
    /// Requests under way now.
    pub in_flight: u64,
}

impl Live {
    /// Adds what happened after this, so that both are one stretch.
    pub fn add(&mut self, later: &Self) {
        self.ended += later.ended;
        self.succeeded += later.succeeded;
        self.latency.merge(&later.latency);
        self.in_flight = later.in_flight;
        let milliseconds = |quantile| self.latency.quantile(quantile).map(|micros| micros / 1e3);
        (self.p50_ms, self.p95_ms, self.p99_ms) = (milliseconds(0.5), milliseconds(0.95), milliseconds(0.99));
    }
}

/// Sends all loads of one scenario.
#[async_trait]
pub trait LoadDriver: Send {
    /// Starts all loads; requests are due from `zero` on, by the pace of the phase that the marks say. Returns once the
    /// engine is ready to send. A mark begins now or later, never in the past.
    async fn start(&mut self, zero: Instant, marks: Arc<Marks>) -> Result<(), LoadError>;

    /// What happened since the last call, one entry per load.
    fn live(&mut self) -> Vec<Live>;

    /// What ended so far, while the load goes on; requests that are under way are missing. One entry per load.
    fn so_far(&mut self) -> Vec<LoadObservations> {
        Vec::new()
    }

    /// Nanoseconds since the start, up to a moment ago: every request that was due before has ended.
    fn answered_ns(&self) -> u64;

    /// Starts no more requests from now on, waits at most `grace` for those under way (never longer than their own
    /// timeouts), counts the rest as unfinished, and hands over everything that was seen. `end_ns` of the last segment
    /// is when this was called.
    async fn finish(&mut self, grace: Duration) -> Result<Vec<LoadObservations>, LoadError>;
}
