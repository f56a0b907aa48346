//! What a run saw, as plain data: the timeline's marks and the requests of each load in small cells.
//!
//! Producers are the load engine (which counts each request into a cell) and the timeline (which says where phases
//! begin and end). The only consumer is `judge`. Nothing here judges, and nothing here acts.

mod histogram;
mod marks;
mod outside;

use std::collections::BTreeMap;
use std::fmt;

pub use histogram::Histogram;
pub use marks::{Mark, Marks, Part};
pub use outside::{LinesSeen, Outside, PodSeen, PodsSeen};

/// The length of a cell, in nanoseconds: the finest grain in which requests can be told apart after the run.
pub const CELL_NS: u64 = 250_000_000;

/// Everything that one scenario's run saw. Times are nanoseconds since the load's start, by the monotonic clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observations {
    /// The phases as they really were, in order. One that never began is missing.
    pub phases: Vec<PhaseSpan>,
    /// What each load sent and got, in the order of the scenario.
    pub loads: Vec<LoadObservations>,
    /// What others saw, by the path of the expectation that asks for it, such as `phases[1].expect[0]`.
    pub outside: BTreeMap<String, Outside>,
}

/// One phase as it really was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseSpan {
    /// The phase's name.
    pub name: String,
    /// When it began.
    pub start_ns: u64,
    /// When its faults (those without `after`) were in place; `start_ns` without faults.
    pub active_ns: u64,
    /// When the part that expectations judge began: `active_ns` and the settling time.
    pub judged_from_ns: u64,
    /// When that part ended: the undo of its faults began.
    pub judged_to_ns: u64,
    /// When it was over: the undo of its faults was confirmed.
    pub end_ns: u64,
    /// The duration that the scenario asks for.
    pub planned_ns: u64,
    /// True when the phase has faults.
    pub has_faults: bool,
    /// When the removal of the last of its faults was confirmed; none without faults or when that failed.
    pub removed_ns: Option<u64>,
    /// True when the phase lasted as long as the scenario asks for.
    pub complete: bool,
}

/// What one load sent and got.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadObservations {
    /// The load's name.
    pub name: String,
    /// The stretches between the timeline's marks, in order. Every request is in exactly one, by the moment when it
    /// was due.
    pub segments: Vec<Segment>,
    /// How late requests were sent, by no fault of the service: the engine's own delay, in microseconds.
    pub lateness: Histogram,
    /// How often a port-forward had to be made anew.
    pub reconnects: u64,
    /// Requests that were sent once more, because their connection was dead before anything was written to it.
    pub resent: u64,
    /// Of several requests, each by its name: how many succeeded, and how many failed.
    pub requests: Vec<(String, (u64, u64))>,
}

/// One stretch of the timeline, of one phase and one part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Where it begins and what it is.
    pub mark: Mark,
    /// Where it ends.
    pub end_ns: u64,
    /// Its requests; cell `k` holds those that were due from `mark.at_ns + k * CELL_NS`.
    pub cells: Vec<Cell>,
    /// When the first request that succeeded was due, in nanoseconds since the load's start.
    pub first_success_ns: Option<u64>,
}

/// The requests that were due in one cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cell {
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed, by failure.
    pub failed: BTreeMap<Failure, u64>,
    /// Latency from the due moment, in microseconds: of requests that succeeded, and of those that never ended
    /// (timeout, unfinished) at the time that they had taken when they were given up. Other failures are not in here:
    /// a refused connection is quick, and would make a broken service look fast.
    pub latency: Histogram,
    /// From the due moment to the first token, in microseconds, for streams that had one.
    pub first_token: Histogram,
    /// Between two pieces of a stream that brought tokens, in microseconds: one value for each piece after the first.
    pub token_gaps: Histogram,
    /// The tokens of answers that succeeded: the server's own count where it gave one, else one for each piece.
    pub tokens: u64,
    /// Requests that were sent and never came to any end: none within the time that was waited for one, or still under
    /// way when the run was over.
    pub stuck: u64,
    /// The most requests that were under way at once.
    pub in_flight: u64,
}

impl Cell {
    /// Requests that were due.
    pub fn requests(&self) -> u64 {
        self.succeeded + self.failed.values().sum::<u64>()
    }

    /// Adds another cell's requests to this one's.
    pub fn merge(&mut self, other: &Self) {
        self.succeeded += other.succeeded;
        for (failure, count) in &other.failed {
            *self.failed.entry(*failure).or_default() += count;
        }
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.token_gaps.merge(&other.token_gaps);
        self.tokens += other.tokens;
        self.stuck += other.stuck;
        self.in_flight = self.in_flight.max(other.in_flight);
    }
}

/// How a request failed. Its name is what people see and what `errors` expectations will ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No end of the answer within the load's timeout.
    Timeout,
    /// Still under way when the run was over.
    Unfinished,
    /// The name could not be resolved.
    Dns,
    /// Nobody listens there.
    Refused,
    /// The connection could not be made for another reason.
    Connect,
    /// TLS could not be agreed: the server's certificate is not trusted, or it does not speak TLS.
    Tls,
    /// The server refused TLS with an alert, such as for a client certificate that it does not trust.
    TlsAlert,
    /// The connection was reset before the answer ended.
    Reset,
    /// The server closed the connection, or its half of it, before an answer.
    Closed,
    /// The server closed the connection in the middle of a body.
    Truncated,
    /// HTTP/2: the server was about to close the connection, and did not take the request (GOAWAY).
    GoAway,
    /// HTTP/2: the server refused the request's stream (REFUSED_STREAM).
    StreamRefused,
    /// HTTP/2: the server reset the request's stream for another reason (RST_STREAM).
    StreamReset,
    /// The answer is not HTTP, or breaks its rules.
    Protocol,
    /// A status other than those that count as success.
    Status(u16),
    /// A stream that ended without its end mark.
    BrokenStream,
    /// A stream that brought no token for as long as the load's `stall_after` after one.
    Stalled,
    /// A stream or an answer that carries the API's error object.
    ApiError,
    /// The answer fails the request's `check`.
    Check,
    /// The answer must be read as a whole, and is too large for that.
    TooLarge,
    /// It was due and never sent, because as many as may be were under way until its timeout was over.
    NotSent,
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Timeout => "timeout",
            Self::Unfinished => "unfinished",
            Self::Dns => "dns",
            Self::Refused => "connection_refused",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::TlsAlert => "tls_alert",
            Self::Reset => "connection_reset",
            Self::Closed => "connection_closed",
            Self::Truncated => "truncated",
            Self::GoAway => "goaway",
            Self::StreamRefused => "stream_refused",
            Self::StreamReset => "stream_reset",
            Self::Protocol => "protocol",
            Self::Status(status) => return write!(out, "http_{status}"),
            Self::BrokenStream => "broken_stream",
            Self::Stalled => "stalled",
            Self::ApiError => "api_error",
            Self::Check => "check",
            Self::TooLarge => "too_large",
            Self::NotSent => "not_sent",
        };
        out.write_str(name)
    }
}
