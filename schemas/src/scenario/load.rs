//! Loads: what is sent, at which pace, and to which target.

#[macro_use]
mod kind;

mod check;
mod feeder;
mod group;
mod http;
mod openai;
mod pace;
mod reach;
mod scheme;
mod text;
mod transport;

pub use check::{Check, JsonCheck, TextCheck};
pub use feeder::{Feeder, Order, Prompts, WordRange};
pub use group::GroupBy;
pub use http::{Capture, Http, HttpRequest, HttpStep};
pub use kind::{LoadFacts, LoadKindInfo};
pub use openai::{OpenAi, OpenAiEndpoint};
pub use pace::{Arrival, Leg, LoadChange, Pace, Ramp, Steps, ThinkTime, WorkerRamp, Workers};
pub use reach::Reach;
pub use scheme::Scheme;
pub use text::{Data, Filter, RequestText, Source, TextPart};
pub(crate) use text::{NAMES as REQUEST_NAMES, is_plain};
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
    /// A load: a named stream of requests. It has exactly one kind of request, such as `http`, and exactly one of
    /// `rate` (open loop) and `concurrency` (closed loop).
    pub struct Load {
        /// Files with keys of this load, merged as by `extends`.
        #[serde(default, rename = "use", skip_serializing_if = "Vec::is_empty")]
        #[schemars(extend("examples" = [["customers.fragment.yaml"]]))]
        pub parts: Vec<String>,
        /// Open loop: the rate at which requests start, however slow the answers are. A ramp or steps start again with
        /// each phase. A phase can have another rate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub rate: Option<Pace>,
        /// Open loop: how requests are spread over time. Default `jittered`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["steady"]))]
        pub arrival: Option<Arrival>,
        /// Closed loop: the number of workers. Each worker sends its next request after its previous answer. A closed
        /// loop hides stalls: it sends fewer requests to a service that hangs. A ramp starts again with each phase. A
        /// phase can have another number.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [8]))]
        pub concurrency: Option<Workers>,
        /// Closed loop: the pause of a worker between an answer and its next request. Default: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub think_time: Option<ThinkTime>,
        /// The timeout of a request, from the moment at which it was due to its last byte. Default 30s.
        #[serde(default = "Load::default_timeout")]
        pub timeout: Duration,
        /// Open loop: the maximum number of requests in flight. A request that is due above this limit waits, and its
        /// latency counts from the moment at which it was due. Default 10,000.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 100_000), extend("examples" = [1000]))]
        pub max_in_flight: Option<u32>,
        /// The number of requests after which request data in order repeats. None without such data. It is known when the files
        /// were read.
        #[serde(skip)]
        pub cycle: Option<u64>,
    }

    by_kind {
        /// The version of HTTP. Default `http1`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub version: Option<HttpVersion>,
        /// How connections are used. Default `keep_alive`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub connections: Option<Connections>,
        /// HTTP/2: the maximum number of requests in flight on one connection, unless the server allows fewer. More
        /// connections are opened as needed, at most `max_in_flight` (or `concurrency`) divided by this number. Default
        /// 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 10_000), extend("examples" = [10]))]
        pub streams: Option<u32>,
        /// TLS options. A `url` with `https` uses TLS without this key. A `service` uses TLS if this key is given, even
        /// as `{}`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = [{"ca": "ca.pem"}]))]
        pub tls: Option<TlsOptions>,
        /// A table of request data. Each request uses one row.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub feeder: Option<Feeder>,
        /// Breaks the measurements of each phase down by a value of the answers, such as the name of the worker that
        /// answered. The report shows it next to the pods of the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub group_by: Option<GroupBy>,
    }

    /// HTTP requests.
    "http" => http: Http(Http),
    /// Requests to an OpenAI-compatible API.
    "openai" => openai: OpenAi(OpenAi),
}

impl Load {
    fn default_timeout() -> Duration {
        Duration::from_secs(30)
    }

    /// The load model without changes by phases. None if the load has neither `rate` nor `concurrency`, or both.
    pub fn model(&self) -> Option<Model> {
        match (&self.rate, self.concurrency) {
            (Some(rate), None) => Some(Model::Open(rate.clone())),
            (None, Some(workers)) => Some(Model::Closed(workers)),
            _ => None,
        }
    }

    /// What it sends. None for a load with no kind or several.
    pub fn sent(&self) -> Option<Sent<'_>> {
        match self.all_sent().as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// The target service, as `name:port`. None for a load with a `url`.
    pub fn service(&self) -> Option<&str> {
        self.all_sent().into_iter().find_map(Sent::service)
    }

    /// The target URL. None for a load with a `service`.
    pub fn url(&self) -> Option<&str> {
        self.all_sent().into_iter().find_map(Sent::url)
    }

    /// How a `service` is reached.
    pub fn reach(&self) -> Reach {
        self.all_sent().into_iter().find_map(Sent::reach).unwrap_or_default()
    }

    /// Its secrets, which must not appear in a report.
    pub fn secrets(&self) -> Vec<Secret> {
        self.all_sent().into_iter().flat_map(Sent::secrets).collect()
    }
}

/// The load model: an open or a closed loop (Schroeder, Wierman and Harchol-Balter, "Open Versus Closed", NSDI 2006).
#[derive(Debug, Clone, PartialEq)]
pub enum Model {
    /// Open loop: requests start at this pace, however slow the answers are.
    Open(Pace),
    /// Closed loop: the number of workers. Each sends its next request after its previous answer.
    Closed(Workers),
}

impl Model {
    /// True if the pace changes within a phase.
    pub const fn changes(&self) -> bool {
        match self {
            Self::Open(pace) => pace.changes(),
            Self::Closed(workers) => workers.changes(),
        }
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(pace) => pace.fmt(out),
            Self::Closed(workers) => workers.fmt(out),
        }
    }
}

impl LoadKindInfo {
    /// The keys that may contain request data, of all kinds.
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

    /// The complete load that its help texts show, at a pace.
    ///
    /// # Panics
    /// Never: a test reads the example of every kind.
    pub fn example(&self) -> Load {
        let text = format!("{}: {}\nrate: 100/s\n", self.name, self.facts.example);
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("the example of {}: {error}", self.name))
    }

    /// The kind with this key.
    pub fn of(name: &str) -> Option<&'static Self> {
        Load::KINDS.iter().find(|kind| kind.name == name)
    }
}
