//! What loads saw: how they reached their services, counts and latencies, their course over time, and recovery. How well the
//! load generator itself did stands in `generator`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Generator, LatencyStats};
use crate::scenario::Including;

/// One load and how it reached its service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadInfo {
    /// The load's name.
    pub name: String,
    /// `http` or `openai`.
    pub kind: String,
    /// What was called: `service frontend:8000`, or the URL.
    pub target: String,
    /// True for open loop (`rate`), false for closed loop (`concurrency`).
    pub open_loop: bool,
    /// The planned schedule, in words: `20/s`, `8 at a time`.
    pub schedule: String,
    /// How the service was reached: `direct`, `port-forward` or `url`.
    pub reach: String,
    /// The address that requests were sent to.
    #[serde(default)]
    pub address: String,
    /// How often a port-forward had to be made anew.
    #[serde(default)]
    pub reconnects: u64,
    /// How many requests the generator issued in all, counted apart from what became of them: the sum of all outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<u64>,
    /// Requests that were sent once more, because the server had closed the idle connection that they were first given to
    /// before anything was written to it.
    #[serde(default)]
    pub resent: u64,
    /// Which endpoint of an API is called, such as `/v1/chat/completions`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// In what the server's answers depart from the API, without any request failing for it: each as the rest of a sentence
    /// that begins with the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peculiarities: Vec<String>,
    /// The addresses that connections were made to, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressInfo>,
    /// What became of each of several requests, in all phases together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestInfo>,
}

impl LoadInfo {
    /// The address behind what was called, where it is known and another: a URL is its own.
    pub fn behind(&self) -> Option<&str> {
        Some(self.address.as_str()).filter(|address| !address.is_empty() && *address != self.target)
    }

    /// The endpoint behind what was called, where there is one to choose: ` at /v1/completions`.
    pub fn endpoint_words(&self) -> String {
        if self.endpoint.is_empty() { String::new() } else { format!(" at {}", self.endpoint) }
    }

    /// What was called and how, in words: `service shop:80, 10.0.0.7:80 (direct)`.
    pub fn reached(&self) -> String {
        let at = self.behind().map_or_else(String::new, |address| format!(", {address}"));
        format!("{}{}{at} ({})", self.target, self.endpoint_words(), self.reach)
    }
}

/// One of several addresses of a service, and how often it was used in all phases together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressInfo {
    /// The address with its port.
    pub address: String,
    /// How many connections were made to it.
    pub connections: u64,
    /// How many requests were sent over them.
    pub requests: u64,
}

/// One of several requests of a load, and how often it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestInfo {
    /// The request's name.
    pub name: String,
    /// How many of them succeeded.
    pub succeeded: u64,
    /// How many of them failed, those that were never sent included.
    pub failed: u64,
}

/// What one load's requests show in the judged part of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLoad {
    /// The load's name.
    pub load: String,
    /// The numbers.
    #[serde(flatten)]
    pub stats: Stats,
    /// The requests around the phase's faults, which are not in the numbers: in flight when the first fault struck, and due
    /// during injection and removal. A group without requests is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub around: Vec<Around>,
    /// All latencies of the judged part as an HDR histogram in microseconds: V2 with DEFLATE, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_hdr: Option<String>,
    /// How the load generator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// One failed request of each kind, the most frequent kind first. It comes from the judged part of the phase, or from
    /// another part of the phase if none of its kind failed there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<FailureSample>,
}

/// One failed request, as far as it is known. Without secrets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FailureSample {
    /// The failure's name, as in `errors`.
    pub failure: String,
    /// When the request was due, in seconds since the load's start.
    pub at_s: f64,
    /// The request's name, where the load has several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The status of the answer; none without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of the answer that may say why, by their names in lower case. Several values of one name are joined by
    /// commas.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// The first 512 bytes of the answer's body as text, or in hexadecimal digits if they are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The body goes on after that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub body_is_cut: bool,
    /// The error of TLS or of the connection with its causes, what the server of an API says about the failure, at most 512
    /// bytes of it, or which condition of `check` failed, with the expected and the found value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

/// A group of requests around the faults of a phase, apart from the judged ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Around {
    /// Which requests.
    pub group: Including,
    /// Whether the expectations of the phase include them.
    pub included: bool,
    /// For how long requests of this group were due, in seconds; 0 for those in flight.
    pub length_s: f64,
    /// The numbers.
    pub stats: Stats,
}

/// Counts and latencies of a set of requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Requests that were due.
    pub requests: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed, by the failure's name.
    #[serde(default)]
    pub errors: IndexMap<String, u64>,
    /// Requests that were due, per second.
    pub throughput: f64,
    /// How long the failures of each kind took, from the moment when each request was due, by the failure's name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub failed_after: IndexMap<String, LatencyStats>,
    /// Latency from the moment when each request was due: answers that succeeded, and at their elapsed time those that
    /// never ended.
    pub latency: Option<LatencyStats>,
    /// From the moment when a request was due to its first token, for streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<LatencyStats>,
    /// What is known of the answers of a model; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerStats>,
}

/// How a model's answers ended, and whether streams came whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct AnswerStats {
    /// How many ended for which `finish_reason`. `other` is a reason that the API does not have.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub finish_reasons: IndexMap<String, u64>,
    /// How many streams came how: `complete`, `cut`, `stalled`, `resumed after a gap`, `ended with an error`, `repeated
    /// text`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub streams: IndexMap<String, u64>,
    /// Tokens of answers that succeeded.
    pub tokens: u64,
    /// Tokens that came in answers that failed.
    pub tokens_failed: u64,
    /// With `same_as`: tokens that failed answers lack, compared with the answers to the same prompts.
    #[serde(default)]
    pub tokens_lost: u64,
}

impl Stats {
    /// The share of requests that succeeded; none without requests.
    pub fn success_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.succeeded as f64 / self.requests as f64)
    }
}

/// What one load's requests show over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadSeries {
    /// The load's name.
    pub load: String,
    /// The length of a window, in seconds.
    pub window_s: f64,
    /// The windows, in order, by the moment when their requests were due. One without requests is missing.
    pub points: Vec<Point>,
    /// How the latencies lie over time; none without latencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat: Option<Heat>,
}

/// A map of latencies: time by latency, with the count of requests in each cell. It shows what percentiles hide, such
/// as two groups of answers, a fast one and a slow one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Heat {
    /// The length of a column, in seconds.
    pub column_s: f64,
    /// The borders of the rows, in rising order, ms: row `k` holds latencies from border `k` to border `k + 1`.
    pub edges_ms: Vec<f64>,
    /// The cells that hold something, by column and then by row: the column from 0 at the load's start, the row, and
    /// the count of latencies.
    pub cells: Vec<(u32, u32, u64)>,
}

/// One window of one load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When the window begins, in seconds since the load's start.
    pub t_s: f64,
    /// How long this window is, in seconds (shorter at the end of a phase).
    pub length_s: f64,
    /// Requests that were due in it.
    pub requests: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed, by the failure's name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub errors: IndexMap<String, u64>,
    /// Half of the latencies are at most this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 95 % of the latencies are at most this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// 99 % of the latencies are at most this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The largest latency, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// All latencies of the window as an HDR histogram in microseconds: V2 with DEFLATE, in base64. Windows merge by
    /// adding their histograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_hdr: Option<String>,
    /// The most requests that were under way at the same time within the window.
    #[serde(default)]
    pub in_flight: u64,
}

/// How the service failed and recovered around one phase with faults, as one load's requests saw it. All times are
/// seconds since the load's start unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// The load.
    pub load: String,
    /// The phase with the faults.
    pub phase: String,
    /// The start of the first window out of tolerance after the injection; none when no request noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset_s: Option<f64>,
    /// The start of the window from which the service stayed within tolerance to the end of the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover_s: Option<f64>,
    /// When the removal of the faults was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_s: Option<f64>,
    /// When the last fault struck, where all of them happen once and leave nothing to remove. Recovery counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck_s: Option<f64>,
    /// The first request after the removal that succeeded was due then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_success_s: Option<f64>,
    /// The start of the window after the removal from which the service stayed within tolerance for as long as it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_s: Option<f64>,
    /// When the service left tolerance again after it had stayed within for the whole `hold`, during the fault and after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relapses_s: Vec<f64>,
    /// Time out of tolerance in all, in seconds.
    pub out_of_tolerance_s: f64,
    /// Requests that failed from the injection to the end of what was seen.
    pub failed_requests: u64,
    /// The length of a window, in seconds: the resolution of these times.
    pub resolution_s: f64,
    /// Until when requests were looked at: the next phase with faults began, or the load ended. A recovery that had not
    /// come by then is censored: it took longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_until_s: Option<f64>,
}
