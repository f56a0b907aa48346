//! Requests to an OpenAI-compatible API.

mod kind;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Prompts, Reach, RequestText};
use crate::units::Duration;

/// The endpoint that generates text.
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
    /// A Service and its port (number or name), as `name:port`. Write `name.namespace:port` for a Service outside the
    /// scenario's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?:[a-z0-9-]{1,15}$"),
        extend("examples" = ["frontend:8000"])
    )]
    pub service: Option<String>,
    /// A base URL that needs no cluster. The path of the endpoint (`/v1/...`) is appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[hH][tT][tT][pP][sS]?://[^/\s]"), extend("examples" = ["http://127.0.0.1:8000"]))]
    pub url: Option<String>,
    /// How a `service` is reached. Default `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// The endpoint to call. Default `chat`.
    #[serde(default)]
    pub endpoint: OpenAiEndpoint,
    /// The model's name on the server.
    #[schemars(extend("examples" = ["Qwen/Qwen3-0.6B"]))]
    pub model: String,
    /// The prompt, or the user message of a chat. It can contain request data such as `{{ uuid }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Say hello.", "{{ uuid }} Say hello."]))]
    pub prompt: Option<RequestText>,
    /// A set of prompts, in place of a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Prompts>,
    /// The maximum number of tokens in an answer. Default 16.
    #[serde(default = "OpenAi::default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// Stream the answer token by token. A stream without its end mark is a failure. Default `false`.
    #[serde(default)]
    pub stream: bool,
    /// The longest gap between two tokens of a stream. A stream with a longer gap is given up and fails as `stalled`.
    /// The load's `timeout` limits the time to the first token. Default: only the timeout ends a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["5s"]))]
    pub stall_after: Option<Duration>,
    /// Ask the server for the token count of a stream (`stream_options.include_usage`). If it sends none, each chunk
    /// counts as one token. Default `true`.
    #[serde(default = "OpenAi::default_usage")]
    pub usage: bool,
    /// More parameters of the API request. `null` removes a parameter: for a server that refuses `max_tokens`, write
    /// `{max_tokens: null, max_completion_tokens: 100}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"temperature": 0, "ignore_eos": true}, {"max_tokens": null, "max_completion_tokens": 100}]))]
    pub parameters: IndexMap<String, serde_json::Value>,
    /// The headers of every request, such as `Authorization`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"X-Request-Id": "{{ uuid }}"}]))]
    pub headers: IndexMap<String, RequestText>,
    /// The conditions for a successful answer, in addition to the rules of the API. `contains` and `matches` search the
    /// generated text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl OpenAi {
    fn default_max_tokens() -> u32 {
        16
    }

    fn default_usage() -> bool {
        true
    }
}
