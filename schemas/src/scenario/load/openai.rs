//! Requests to an API that speaks like OpenAI's.

mod kind;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Check, Prompts, Reach, RequestText};
use crate::units::Duration;

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
    /// The prompt, or the user's message. Data of each request can stand in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Say hello.", "{{ uuid }} Say hello."]))]
    pub prompt: Option<RequestText>,
    /// A set of prompts, in the place of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<Prompts>,
    /// How many tokens an answer may have. Default 16.
    #[serde(default = "OpenAi::default_max_tokens")]
    #[schemars(range(min = 1))]
    pub max_tokens: u32,
    /// Whether the answer is streamed token by token. A stream without its end mark is a failure. Default `false`.
    #[serde(default)]
    pub stream: bool,
    /// A stream that brings no token for so long after one is given up, as a failure of its own (`stalled`). The time to the
    /// first token is the timeout's. Default: only the timeout ends a stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["5s"]))]
    pub stall_after: Option<Duration>,
    /// Whether a stream's server is asked how many tokens there were (`stream_options.include_usage`). Where it does not say,
    /// one token is counted for each piece. Default `true`.
    #[serde(default = "OpenAi::default_usage")]
    pub usage: bool,
    /// More parameters of the request, as the API has them. A `null` takes a field out of the request: a server that
    /// refuses `max_tokens` is asked with `{max_tokens: null, max_completion_tokens: 100}`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"temperature": 0, "ignore_eos": true}, {"max_tokens": null, "max_completion_tokens": 100}]))]
    pub parameters: IndexMap<String, serde_json::Value>,
    /// Headers to send, such as `Authorization`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, RequestText>,
    /// What makes an answer a success, beside what the API itself demands. `contains` and `matches` look at the generated
    /// text.
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
