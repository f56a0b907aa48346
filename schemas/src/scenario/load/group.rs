//! By which value of its answers a load is broken down.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of an answer that names its group: exactly one of `header` and `json`. The 20 largest groups of a phase are
/// shown, and all others together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupBy {
    /// The name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["x-worker-id"]))]
    pub header: Option<String>,
    /// The JSONPath (RFC 9535) of a value in the body. The body is then read as a whole, up to 8 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["$.served_by"]))]
    pub json: Option<String>,
}

impl std::fmt::Display for GroupBy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.header, &self.json) {
            (Some(header), _) => write!(out, "header {header}"),
            (None, json) => out.write_str(json.as_deref().unwrap_or_default()),
        }
    }
}
