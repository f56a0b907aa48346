//! What makes an answer a success.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What makes an answer a success: all that is given must hold.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The statuses that count as success. Without it, 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [[200, 204]]))]
    pub status: Vec<u16>,
    /// What must hold for headers of the answer, by name. Of a header that is sent several times one value must do.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"Content-Type": {"contains": "json"}}]))]
    pub headers: IndexMap<String, TextCheck>,
    /// Text that the body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["\"status\":\"ok\""]))]
    pub contains: Option<String>,
    /// A regular expression (the syntax of Rust's `regex`) that the body must match somewhere. The body is read through
    /// and not kept, however long it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [r"order-\d+"]))]
    pub matches: Option<String>,
    /// What must hold for the body as JSON. A stream is asked as the one answer that its events amount to. A body of more
    /// than 8 MiB is not read as JSON, and fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json: Vec<JsonCheck>,
    /// `openai` only: the reasons (`finish_reason`) with which the model may end an answer. Without it, all but those that
    /// say that the server failed, such as `abort` and `error`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["stop", "length"]]))]
    pub finish_reason: Vec<String>,
    /// `openai` only: the text of an answer must be that of the first answer to the same prompt in this phase, such as
    /// `baseline`. For models that answer a prompt always alike (`parameters: {temperature: 0}`). It shows streams that lose
    /// or repeat tokens. An answer to a prompt that the phase did not have fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["baseline"]))]
    pub same_as: Option<String>,
}

impl Check {
    /// Whether something is asked of the body.
    pub const fn reads_body(&self) -> bool {
        self.contains.is_some() || self.matches.is_some() || !self.json.is_empty()
    }
}

/// What must hold for a text: all that is given.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TextCheck {
    /// It is exactly this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["no-store"]))]
    pub equals: Option<String>,
    /// It contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["json"]))]
    pub contains: Option<String>,
    /// A regular expression (the syntax of Rust's `regex`) matches it somewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["^W?/"]))]
    pub matches: Option<String>,
    /// It is there at all, or is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [true]))]
    pub exists: Option<bool>,
}

/// What must hold for the values that a path finds in a JSON body: exactly one of `equals`, `not_equals`, `contains`,
/// `matches` and `exists`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JsonCheck {
    /// Where to look: a JSON path (RFC 9535).
    #[schemars(extend("examples" = ["$.items[0].price", "$.items[?@.price > 10].name"]))]
    pub path: String,
    /// One of the values that it finds is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ok", 3]))]
    pub equals: Option<Value>,
    /// It finds values, and none of them is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["error"]))]
    pub not_equals: Option<Value>,
    /// One of the texts that it finds contains this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ship"]))]
    pub contains: Option<String>,
    /// A regular expression (the syntax of Rust's `regex`) matches one of the texts that it finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["^order-"]))]
    pub matches: Option<String>,
    /// It finds a value, or it finds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [true]))]
    pub exists: Option<bool>,
}
