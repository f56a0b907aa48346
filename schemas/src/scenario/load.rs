//! Loads: what is sent, how often, and where to.

#[macro_use]
mod kind;

mod check;
mod feeder;
mod http;
mod openai;
mod pace;
mod reach;
mod text;
mod transport;

pub use check::{Check, JsonCheck, TextCheck};
pub use feeder::{Feeder, Order, Prompts, WordRange};
pub use http::{Http, HttpRequest};
pub use kind::{LoadFacts, LoadKindInfo};
pub use openai::{OpenAi, OpenAiEndpoint};
pub use pace::{Arrival, Leg, LoadChange, Pace, Ramp, Steps, ThinkTime};
pub use reach::Reach;
pub(crate) use text::NAMES as REQUEST_NAMES;
pub use text::{Data, Filter, Part, RequestText, Source};
pub use transport::{Connections, HttpVersion, TlsOptions};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::check::Findings;
use crate::check::load::Rows;
use crate::rule::Rule;
use crate::units::Duration;
use kind::LoadKind;

load_kinds! {
    /// A named stream of requests: exactly one kind of request, such as `http`, and exactly one of `rate` (open loop) and
    /// `concurrency` (closed loop).
    pub struct Load {
        /// Open loop: requests start on this schedule, however slow the answers are. A ramp or steps begin anew with each
        /// phase, which may have a pace of its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub rate: Option<Pace>,
        /// Open loop: how requests are spread over time. Default `jittered`.
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

    /// Plain HTTP requests.
    "http" => http: Http(Http),
    /// Requests to an OpenAI-compatible API.
    "openai" => openai: OpenAi(OpenAi),
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

    /// What it sends; none for a load that names no kind or several.
    pub fn sent(&self) -> Option<Sent<'_>> {
        match self.all_sent().as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The service that is called, as `name:port`, unless the load names a `url`.
    pub fn service(&self) -> Option<&str> {
        self.all_sent().into_iter().find_map(Sent::service)
    }

    /// The base URL that is called, unless the load names a `service`.
    pub fn url(&self) -> Option<&str> {
        self.all_sent().into_iter().find_map(Sent::url)
    }

    /// How a `service` is reached.
    pub fn reach(&self) -> Reach {
        self.all_sent().into_iter().find_map(Sent::reach).unwrap_or_default()
    }

    /// What in it must not reach a report.
    pub fn secrets(&self) -> Vec<Secret> {
        self.all_sent().into_iter().flat_map(Sent::secrets).collect()
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

impl LoadKindInfo {
    /// The keys in which data of each request can stand, of all kinds.
    pub(crate) fn sent_keys() -> Vec<&'static str> {
        let all = Load::KINDS.iter().flat_map(|kind| kind.facts.sent);
        let keys = all.filter_map(|path| path.iter().rfind(|key| !matches!(**key, "*" | "[]")));
        let mut found = Vec::new();
        for key in keys {
            if !found.contains(key) {
                found.push(*key);
            }
        }
        found
    }

    /// The kind with this key.
    pub fn of(name: &str) -> Option<&'static Self> {
        Load::KINDS.iter().find(|kind| kind.name == name)
    }
}
