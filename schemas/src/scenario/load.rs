//! Loads: what is sent, how often, and where to.

mod http;
mod openai;

pub use http::{Check, Http};
pub use openai::{OpenAi, OpenAiEndpoint};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::{Duration, Rate};

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
    /// Open loop: requests start on this schedule, however slow the answers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Closed loop: so many workers, each sending its next request after its last answer. It hides stalls: a service
    /// that hangs is asked less often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), extend("examples" = [8]))]
    pub concurrency: Option<u32>,
    /// How long a request may take, from the moment when it was due to its last byte.
    #[serde(default = "Load::default_timeout")]
    pub timeout: Duration,
    /// Open loop: how many requests may be under way at once. A request that is due beyond that waits, and its
    /// latency counts from the moment when it was due. Default 10,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000), extend("examples" = [1000]))]
    pub max_in_flight: Option<u32>,
}

impl Load {
    fn default_timeout() -> Duration {
        Duration::from_secs(30)
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
