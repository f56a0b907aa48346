//! Loads: what is sent, how often, and where to.

use indexmap::IndexMap;
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

/// Plain HTTP requests to a service of the cluster or to a URL: exactly one of `service` and `url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// A Service of the scenario's namespace and its port (number or name), as `name:port`; `name.namespace:port` for
    /// another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["shop:80"]))]
    pub service: Option<String>,
    /// A base URL that needs no cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["http://127.0.0.1:8080"]))]
    pub url: Option<String>,
    /// How a `service` is reached. Default `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// The request's method. Default `GET`.
    #[serde(default = "Http::default_method")]
    #[schemars(extend("examples" = ["POST"]))]
    pub method: String,
    /// The request's path and query. Default `/`.
    #[serde(default = "Http::default_path")]
    #[schemars(extend("examples" = ["/checkout?step=1"]))]
    pub path: String,
    /// Headers to send.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// The request's body, as it is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["{\"amount\": 1}"]))]
    pub body: Option<String>,
    /// What makes an answer a success. Without it, any status from 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl Http {
    fn default_method() -> String {
        "GET".to_owned()
    }

    fn default_path() -> String {
        "/".to_owned()
    }
}

/// What makes an answer a success: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The statuses that count as success. Without it, 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [[200, 204]]))]
    pub status: Vec<u16>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["\"status\":\"ok\""]))]
    pub contains: Option<String>,
}

/// Which of the API's two ways to ask for text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OpenAiEndpoint {
    /// `POST /v1/chat/completions`.
    #[default]
    Chat,
    /// `POST /v1/completions`.
    Completions,
}

impl OpenAiEndpoint {
    /// The path of the endpoint.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Chat => "/v1/chat/completions",
            Self::Completions => "/v1/completions",
        }
    }
}

/// Requests to an OpenAI-compatible API: exactly one of `service` and `url`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenAi {
    /// A Service of the scenario's namespace and its port (number or name), as `name:port`; `name.namespace:port` for
    /// another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["frontend:8000"]))]
    pub service: Option<String>,
    /// A base URL that needs no cluster; `/v1/...` is added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["http://127.0.0.1:8000"]))]
    pub url: Option<String>,
    /// How a `service` is reached. Default `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Which endpoint is called. Default `chat`.
    #[serde(default)]
    pub endpoint: OpenAiEndpoint,
    /// The model's name, as the server knows it.
    #[schemars(extend("examples" = ["Qwen/Qwen3-0.6B"]))]
    pub model: String,
    /// The prompt, or the user's message.
    #[schemars(extend("examples" = ["Say hello."]))]
    pub prompt: String,
    /// How many tokens an answer may have. Default 16.
    #[serde(default = "OpenAi::default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// Whether the answer is streamed token by token. A stream without its end mark is a failure. Default `false`.
    #[serde(default)]
    pub stream: bool,
    /// Headers to send, such as `Authorization`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// What makes an answer a success, beside what the API itself demands. `contains` looks at the generated text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl OpenAi {
    fn default_max_tokens() -> u32 {
        16
    }
}
