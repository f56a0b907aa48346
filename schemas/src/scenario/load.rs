//! Loads: what is sent, how often, and where to.

mod check;
mod feeder;
mod http;
mod openai;
mod pace;
mod text;
mod transport;

pub use check::{Check, JsonCheck, TextCheck};
pub use feeder::{Feeder, Order, Prompts, WordRange};
pub use http::{Http, HttpRequest};
pub use openai::{OpenAi, OpenAiEndpoint};
pub use pace::{Arrival, Leg, LoadChange, Pace, Ramp, Steps, ThinkTime};
pub(crate) use text::NAMES as REQUEST_NAMES;
pub use text::{Data, Filter, Part, RequestText, Source};
pub use transport::{Connections, HttpVersion, TlsOptions};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// A named stream of requests: exactly one of `http` and `openai`, and exactly one of `rate` (open loop) and
/// `concurrency` (closed loop).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Plain HTTP requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
    /// Requests to an OpenAI-compatible API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAi>,
    /// Open loop: requests start on this schedule, however slow the answers are. A ramp or steps begin anew with each
    /// phase, which may have a pace of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Pace>,
    /// Open loop: how requests are spread over time. Default `constant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrival: Option<Arrival>,
    /// Closed loop: so many workers, each sending its next request after its last answer. It hides stalls: a service
    /// that hangs is asked less often. A phase may have another number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 100_000), extend("examples" = [8]))]
    pub concurrency: Option<u32>,
    /// Closed loop: how long a worker waits after an answer before it sends its next request. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub think_time: Option<ThinkTime>,
    /// How long a request may take, from the moment when it was due to its last byte.
    #[serde(default = "Load::default_timeout")]
    pub timeout: Duration,
    /// Open loop: how many requests may be under way at once. A request that is due beyond that waits, and its
    /// latency counts from the moment when it was due. Default 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), extend("examples" = [1000]))]
    pub max_in_flight: Option<u32>,
    /// The version of HTTP. Default `http1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<HttpVersion>,
    /// How long connections are used. Default `keep_alive`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Connections>,
    /// HTTP/2: how many requests may be under way on one connection at once, unless the server allows fewer. More
    /// connections are opened as more are needed, so there are never more than `max_in_flight` divided by this (or
    /// `concurrency`). Default 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000), extend("examples" = [10]))]
    pub streams: Option<u32>,
    /// TLS. A `url` with `https` has it anyway; a `service` has it when this is given, if only as `{}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [{"ca": "ca.pem"}]))]
    pub tls: Option<TlsOptions>,
    /// A table of which each request has a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feeder: Option<Feeder>,
}

impl Load {
    fn default_timeout() -> Duration {
        Duration::from_secs(30)
    }

    /// The pace that holds where a phase changes nothing; none where the load says neither or both.
    pub fn model(&self) -> Option<Model> {
        match (&self.rate, self.concurrency) {
            (Some(rate), None) => Some(Model::Open(rate.clone())),
            (None, Some(workers)) => Some(Model::Closed(workers)),
            _ => None,
        }
    }

    /// The service that is called, as `name:port`, unless the load names a `url`.
    pub fn service(&self) -> Option<&str> {
        self.http
            .as_ref()
            .and_then(|http| http.service.as_deref())
            .or_else(|| self.openai.as_ref().and_then(|openai| openai.service.as_deref()))
    }

    /// The base URL that is called, unless the load names a `service`.
    pub fn url(&self) -> Option<&str> {
        self.http
            .as_ref()
            .and_then(|http| http.url.as_deref())
            .or_else(|| self.openai.as_ref().and_then(|openai| openai.url.as_deref()))
    }

    /// How a `service` is reached.
    pub fn reach(&self) -> Reach {
        self.http
            .as_ref()
            .and_then(|http| http.reach)
            .or_else(|| self.openai.as_ref().and_then(|openai| openai.reach))
            .unwrap_or_default()
    }
}

/// What makes a load's requests start (Schroeder, Wierman and Harchol-Balter, "Open Versus Closed", NSDI 2006).
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// A schedule, however slow the answers are.
    Open(Pace),
    /// So many workers, each sending its next request after its last answer.
    Closed(u32),
}

impl std::fmt::Display for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(pace) => pace.fmt(out),
            Self::Closed(workers) => write!(out, "{workers} at a time"),
        }
    }
}

/// How the requests get to a `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Directly where the service's addresses answer from here, else by a port-forward.
    #[default]
    Auto,
    /// Directly, or not at all.
    Direct,
    /// By a port-forward through the API server, which adds latency of its own.
    PortForward,
}
