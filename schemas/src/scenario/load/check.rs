//! Conditions on the answer to a request.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The conditions for a successful answer. All that are given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The status codes that count as success. Default: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(range(min = 200, max = 599)), extend("examples" = [[200, 204]]))]
    pub status: Vec<u16>,
    /// Conditions on headers of the answer, by name. If the answer repeats a header, one of its values must meet them.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"Content-Type": {"contains": "json"}}]))]
    pub headers: IndexMap<String, TextCheck>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["\"status\":\"ok\""]))]
    pub contains: Option<String>,
    /// A regular expression (syntax of Rust's `regex`) that must match anywhere in the body. The body is searched as it
    /// arrives and is not stored, so it may have any length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [r"order-\d+"]))]
    pub matches: Option<String>,
    /// Conditions on the body as JSON. A stream is checked as the one answer that its events add up to. A body of more
    /// than 8 MiB is not parsed, and fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<JsonCheck>,
    /// `openai` only: the accepted values of `finish_reason`. Default: all except those that report a failure of the
    /// server, such as `abort` and `error`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["stop", "length"]]))]
    pub finish_reason: Vec<String>,
    /// `openai` only: the text of an answer must equal the first answer to the same prompt in this phase, such as
    /// `baseline`. For models with deterministic answers (`parameters: {temperature: 0}`). It detects streams that lose
    /// or repeat tokens. An answer to a prompt that the phase did not have is not compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["baseline"]))]
    pub same_as: Option<String>,
}

impl Check {
    /// True if a condition needs the body.
    pub const fn reads_body(&self) -> bool {
        self.contains.is_some() || self.matches.is_some() || !self.json.is_empty()
    }
}

/// Conditions on a header. All that are given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextCheck {
    /// The value equals this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["no-store"]))]
    pub equals: Option<String>,
    /// The value contains this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["json"]))]
    pub contains: Option<String>,
    /// A regular expression (syntax of Rust's `regex`) matches anywhere in the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["^W?/"]))]
    pub matches: Option<String>,
    /// The header exists (`true`) or does not exist (`false`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [true]))]
    pub exists: Option<bool>,
}

/// A condition on the values that a path selects in a JSON body: exactly one of `equals`, `not_equals`, `contains`,
/// `matches` and `exists`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonCheck {
    /// The JSONPath (RFC 9535) of the values.
    #[schemars(extend("examples" = ["$.items[0].price", "$.items[?@.price > 10].name"]))]
    pub path: String,
    /// One of the values equals this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ok", 3]))]
    pub equals: Option<Value>,
    /// The path selects values, and none of them equals this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["error"]))]
    pub not_equals: Option<Value>,
    /// One of the values is a text that contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ship"]))]
    pub contains: Option<String>,
    /// A regular expression (syntax of Rust's `regex`) matches one of the values that are texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["^order-"]))]
    pub matches: Option<String>,
    /// The path selects a value (`true`) or none (`false`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [true]))]
    pub exists: Option<bool>,
}
