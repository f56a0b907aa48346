//! The measurements of the loads: how they reached their services, counts and latencies, their course over time, and
//! recovery. The measurements of the load generator itself are in `generator`.

use std::fmt;

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
    /// Its kind, such as `http`.
    pub kind: String,
    /// The target in words: `service frontend:8000 in namespace webshop`, or the URL.
    pub target: String,
    /// The service and its port, such as `frontend:8000`. Empty for a load with a URL.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub service: String,
    /// True for an open loop (`rate`), false for a closed loop (`concurrency`).
    pub open_loop: bool,
    /// The planned schedule, in words: `20/s`, `8 at a time`.
    pub schedule: String,
    /// How the service was reached.
    pub reach: ReachedBy,
    /// The address that requests were sent to. Empty for a port-forward.
    #[serde(default)]
    pub address: String,
    /// How many times a port-forward was re-established.
    #[serde(default)]
    pub reconnects: u64,
    /// The number of issued requests, counted independently of their outcomes. It equals the sum of all outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<u64>,
    /// The number of requests that were sent again on another connection, because the server had closed the idle
    /// connection before anything was written to it.
    #[serde(default)]
    pub resent: u64,
    /// The endpoint of the API, such as `/v1/chat/completions`. Empty for a load that is not of an API.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Deviations of the server's answers from the API that fail no request. Each is the rest of a sentence that begins
    /// with the server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peculiarities: Vec<String>,
    /// The addresses that connections were made to, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressInfo>,
    /// The outcomes per request, over all phases, if the load has several requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestInfo>,
    /// The value of an answer that names its group: `header x-worker-id`, or a JSONPath. Empty without a `group_by`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group_by: String,
}

impl LoadInfo {
    /// The address behind the target, if it is known and differs from the target.
    pub fn behind(&self) -> Option<&str> {
        Some(self.address.as_str()).filter(|address| !address.is_empty() && *address != self.target)
    }

    /// The endpoint as text after the target, such as ` at /v1/completions`. Empty without an endpoint.
    pub fn endpoint_words(&self) -> String {
        if self.endpoint.is_empty() { String::new() } else { format!(" at {}", self.endpoint) }
    }

    /// The target and how it was reached, in words: `service shop:80, 10.0.0.7:80 (direct)`.
    pub fn reached(&self) -> String {
        let at = self.behind().map_or_else(String::new, |address| format!(", {address}"));
        format!("{}{}{at} ({})", self.target, self.endpoint_words(), self.reach)
    }
}

/// How the requests of a load reach their service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReachedBy {
    /// By the URL's own host.
    Url,
    /// By an address of the service.
    Direct,
    /// By the addresses of its ready pods, for a headless service.
    Endpoints,
    /// Through a port-forward by the API server.
    PortForward,
}

impl fmt::Display for ReachedBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Url => "url",
            Self::Direct => "direct",
            Self::Endpoints => "endpoints",
            Self::PortForward => "port-forward",
        })
    }
}

/// One of several addresses of a service, with its use over all phases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressInfo {
    /// The address with its port.
    pub address: String,
    /// The number of connections to it.
    pub connections: u64,
    /// The number of requests over these connections.
    pub requests: u64,
}

/// One of several requests of a load, with its outcomes over all phases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestInfo {
    /// The request's name.
    pub name: String,
    /// The number that succeeded.
    pub succeeded: u64,
    /// The number that failed, including requests that were never sent.
    pub failed: u64,
}

/// The requests of one load in the judged part of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLoad {
    /// The load's name.
    pub load: String,
    /// Counts and latencies.
    #[serde(flatten)]
    pub stats: Stats,
    /// The requests around the phase's faults, which the counts and latencies above do not include: in flight at the
    /// strike, or due during injection or removal. A group without requests is missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub around: Vec<Around>,
    /// The distribution of `latency` as an HDR histogram in microseconds: V2 with DEFLATE, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_hdr: Option<String>,
    /// The load generator's own measurements.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
    /// One failed request per kind of failure, the most frequent kind first. It is from the judged part of the phase,
    /// or from another part if the judged part has none of its kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<FailureSample>,
    /// The judged requests of each step, in the order of the steps, if the load has `steps`. Its `requests` are then
    /// iterations. A step is due when the previous one has ended, so a step can belong to a later phase than its iteration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PartStats>,
    /// The judged requests of each group, if the load has a `group_by`: the 20 largest groups, the others together, answers
    /// that name no group, and requests without an answer. In a load with steps, the requests are those of the steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<PartStats>,
}

/// A part of a load's requests in one phase: a step, or a group of answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct PartStats {
    /// The name of the step or the group. Empty for the requests of the rest.
    pub name: String,
    /// Which requests of the rest these are. None for a step and for a group that an answer named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// The pods and addresses of the run that have this name or address, in words. Empty if none is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub matches: String,
    /// Counts and latencies.
    #[serde(flatten)]
    pub stats: Stats,
}

impl PartStats {
    /// The name in reports. A name that is the word for a part of the rest is in quotes.
    pub fn shown(&self) -> String {
        match self.rest {
            Some(rest) => rest.words().to_owned(),
            None if Rest::ALL.iter().any(|rest| rest.words() == self.name) => format!("\"{}\"", self.name),
            None => self.name.clone(),
        }
    }
}

/// Requests that are in no group of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// The answer named no group.
    NotNamed,
    /// There was no answer.
    NoAnswer,
    /// The requests of all smaller groups.
    Others,
}

impl Rest {
    /// All parts of the rest, in the order of reports.
    pub const ALL: [Self; 3] = [Self::NotNamed, Self::NoAnswer, Self::Others];

    /// The words in reports.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotNamed => "not named",
            Self::NoAnswer => "no answer",
            Self::Others => "others",
        }
    }
}

/// One failed request, without secrets.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct FailureSample {
    /// The failure's name, as in `errors`.
    pub failure: String,
    /// When the request was due, in seconds since the load's start.
    pub at_s: f64,
    /// The request's name, if the load has several.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request: String,
    /// The status of the answer. None without an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Headers of the answer that may explain the failure, by name in lower case. Several values of one header are
    /// joined with commas.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// The first 512 bytes of the answer's body as text, or in hexadecimal digits if they are not text. Without a status,
    /// those of a head that is not complete or cannot be read, without the values of headers with credentials.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// True if the body is longer than that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub body_is_cut: bool,
    /// The cause: the error of the connection or of TLS with its own causes, the error that an API's server reports (at
    /// most 512 bytes), or the failed condition of `check` with the expected and the found value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cause: String,
}

/// A group of requests around the faults of a phase, outside its judged part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Around {
    /// The group.
    pub group: Including,
    /// True if the expectations of the phase include them.
    pub included: bool,
    /// The length of the stretch in which they were due, in seconds. 0 for requests in flight.
    pub length_s: f64,
    /// Counts and latencies.
    pub stats: Stats,
}

/// Counts and latencies of a set of requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Requests that were due. In a load with steps, a request is one iteration of all steps.
    pub requests: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed, by kind of failure.
    #[serde(default)]
    pub errors: IndexMap<String, u64>,
    /// Requests that succeeded, per second.
    pub throughput: f64,
    /// How long failures took, from due, by kind of failure.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub failed_after: IndexMap<String, LatencyStats>,
    /// The time from due until the outcome. All requests count, as in the `latency` expectation: failures faster than a
    /// percentile are left out of it. None if no request succeeded or was given up.
    pub latency: Option<LatencyStats>,
    /// Streams: the time from due to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<LatencyStats>,
    /// Statistics on a model's answers. None if nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<AnswerStats>,
}

/// How a model's answers ended, and whether its streams were complete.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct AnswerStats {
    /// The number of answers per `finish_reason`. `other` contains reasons that the API does not define, and `none` the
    /// complete answers without one.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub finish_reasons: IndexMap<String, u64>,
    /// The number of streams per outcome: `complete`, `cut`, `stalled`, `resumed after a gap`, `ended with an error`,
    /// `repeated text`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub streams: IndexMap<String, u64>,
    /// Tokens in successful answers.
    pub tokens: u64,
    /// Tokens in failed answers.
    pub tokens_failed: u64,
    /// With `same_as`: tokens that are missing from failed answers, compared with the answers to the same prompts.
    #[serde(default)]
    pub tokens_lost: u64,
}

impl Stats {
    /// The share of requests that succeeded. None without requests.
    pub fn success_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.succeeded as f64 / self.requests as f64)
    }
}

/// The requests of one load over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadSeries {
    /// The load's name.
    pub load: String,
    /// The length of a window, in seconds.
    pub window_s: f64,
    /// The windows, in order. A request belongs to the window in which it was due. A window without requests is
    /// missing.
    pub points: Vec<Point>,
    /// The distribution of the times until the outcomes over time. None without requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat: Option<Heat>,
}

/// A heat map of the time until the outcome of every request: time by latency, with the number of requests in each cell. It shows
/// patterns that percentiles hide, such as a fast and a slow group of answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Heat {
    /// The length of a column, in seconds.
    pub column_s: f64,
    /// The borders of the rows, in rising order, ms. Row `k` covers latencies from border `k` to border `k + 1`.
    pub edges_ms: Vec<f64>,
    /// The cells that are not empty, by column and then by row: the column, from 0 at the load's start, the row, and
    /// the number of latencies.
    pub cells: Vec<(u32, u32, u64)>,
}

/// One window of one load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The start of the window, in seconds since the load's start.
    pub t_s: f64,
    /// The length of this window, in seconds. It is shorter at the end of a phase.
    pub length_s: f64,
    /// Requests that were due in the window.
    pub requests: u64,
    /// Requests that succeeded.
    pub succeeded: u64,
    /// Requests that failed, by kind of failure.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub errors: IndexMap<String, u64>,
    /// The median latency, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// The 95th percentile of the latency, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// The 99th percentile of the latency, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The largest latency, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// The latencies of the window as an HDR histogram in microseconds: V2 with DEFLATE, in base64. The histograms of
    /// several windows can be added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_hdr: Option<String>,
    /// The largest number of requests in flight at the same time within the window.
    #[serde(default)]
    pub in_flight: u64,
}

/// How the service failed and recovered around one phase with faults, as measured from one load's requests. All times
/// are in seconds since the load's start, unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// The load.
    pub load: String,
    /// The phase with the faults.
    pub phase: String,
    /// The start of the first window out of tolerance after the injection. None if every window stayed within
    /// tolerance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset_s: Option<f64>,
    /// The start of the window from which the service stayed within tolerance to the end of the fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover_s: Option<f64>,
    /// When the removal of the faults was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_s: Option<f64>,
    /// When the last fault struck, if all faults happen once and leave nothing to remove. Recovery counts from then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub struck_s: Option<f64>,
    /// When the first successful request after the removal was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_success_s: Option<f64>,
    /// The start of the window after the removal from which the service stayed within tolerance until the observation
    /// ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_s: Option<f64>,
    /// When the service left tolerance again after it had stayed within tolerance for the whole `hold`, during the
    /// fault and after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relapses_s: Vec<f64>,
    /// The total time out of tolerance, in seconds.
    pub out_of_tolerance_s: f64,
    /// Requests that failed between the injection and the end of the observation.
    pub failed_requests: u64,
    /// The length of a window, in seconds: the resolution of these times.
    pub resolution_s: f64,
    /// The end of the observation: of the last window that has enough requests, before the next phase with faults or the end
    /// of the load. A recovery that has not happened by then is censored: it takes longer. The moment of the removal if there
    /// is no such window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_until_s: Option<f64>,
    /// The next phase with faults. Its beginning ended the observation. None if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_faults: Option<String>,
}
