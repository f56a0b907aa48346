//! The load generator's own measurements: its pace, its lateness, and the parts of the latency. They do not show
//! whether the service is healthy. They show whether the other numbers can be trusted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LatencyStats;

/// The load generator's measurements for one load in the judged part of one phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Generator {
    /// The planned pace, in words: `20/s`, `10/s to 200/s`, `8 at a time`.
    pub pace: String,
    /// The planned number of due requests (the mean, if arrivals are random). None in a closed loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<f64>,
    /// Requests that were due but never sent, for any of the reasons that `errors` lists as `not_sent_...`.
    #[serde(default)]
    pub not_sent: u64,
    /// The lateness of the generator itself: from due to sent, or to waiting for a connection. One value per request of
    /// an open loop, and of a closed loop with a think time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<Timing>,
    /// Service time: from sending a request to its end. Latency counts from due instead, and so includes the wait for a
    /// connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Timing>,
    /// The time from sending a request to the head of its answer, for successful requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Timing>,
    /// The time to establish connections (DNS and TCP), for connections that began in this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Timing>,
    /// The time of the TLS handshake, on connections with TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Timing>,
    /// The longest gap between two chunks of a stream that contain tokens. One value per stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_gap: Option<Timing>,
    /// The mean time between the tokens of one answer: from its first token to its last, divided by the number of
    /// tokens after the first. One value per stream with at least two tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean_gap: Option<Timing>,
    /// An estimate of the latency of a closed loop for clients on a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<Corrected>,
}

/// A distribution of times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// The percentiles.
    #[serde(flatten)]
    pub stats: LatencyStats,
    /// All values as an HDR histogram in microseconds: V2 with DEFLATE, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdr: Option<String>,
}

/// Latencies corrected for coordinated omission. While the service hangs, a closed loop does not send the requests that
/// would have had to wait. For each latency longer than the usual interval of a worker, the correction adds the missing
/// latencies in steps of that interval (G. Tene, HdrHistogram, `copyCorrectedForCoordinatedOmission`). It is an
/// estimate in addition to the measured values. No verdict uses it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Corrected {
    /// The usual interval between two requests of a worker, ms: the measured median latency plus the mean think time.
    pub interval_ms: f64,
    /// The corrected percentiles.
    pub latency: LatencyStats,
}
