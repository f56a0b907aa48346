//! How the load generator did: its pace and how well it kept it, and where the latency of requests comes from. None of it
//! says whether the service is well; it says whether the numbers that do can be believed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LatencyStats;

/// How the load generator did with one load in the judged part of one phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// The planned pace, in words: `20/s`, `10/s to 200/s`, `8 at a time`.
    pub pace: String,
    /// How many requests were to be due, on average where they come by chance; none in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<f64>,
    /// Requests that were due and never sent, for any of the reasons that `errors` names with `not_sent_...`.
    #[serde(default)]
    pub not_sent: u64,
    /// How late the generator itself was: from when a request was due until it was sent, or was found to have to wait for
    /// a connection. One value for each request of an open loop, and of a closed one with a think time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Timing>,
    /// Service time: from when a request was sent to its end. The latency counts from when it was due instead, and so
    /// holds the time for which it had to wait for a connection as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Timing>,
    /// From when a request was sent to the head of its answer, for requests that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Timing>,
    /// Making the connections that were begun in this time: names and TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Timing>,
    /// Agreeing on TLS, on those of them that use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Timing>,
    /// The longest time between two pieces of a stream that brought tokens, one value for each stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap: Option<Timing>,
    /// The mean time between the tokens of one answer: from its first token to its last, divided by the tokens after the
    /// first. One value for each stream with at least two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_gap: Option<Timing>,
    /// The latency of a closed loop as clients on a schedule would have seen it, by an estimate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Corrected>,
}

/// Times of one kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Their percentiles.
    #[serde(flatten)]
    pub stats: LatencyStats,
    /// All of them as an HDR histogram in microseconds: V2 with DEFLATE, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdr: Option<String>,
}

/// Latencies corrected for coordinated omission: while the service hangs, a closed loop does not send the requests that
/// would have had to wait. For each latency longer than the interval at which a worker usually sends, those that are
/// missing are added at steps of that interval (G. Tene, HdrHistogram, `copyCorrectedForCoordinatedOmission`). An estimate
/// beside the measured values, never in their place: no verdict rests on it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Corrected {
    /// The interval at which a worker usually sends, ms: the measured median latency and the mean think time.
    pub interval_ms: f64,
    /// The corrected percentiles.
    pub latency: LatencyStats,
}
