//! A sequence of requests of one user, and the values that a step takes from its answer for later steps.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::Check;
use super::super::text::RequestText;
use super::request::{HttpRequest, default_method};

/// One step of a user's sequence. It is sent after the previous step has succeeded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpStep {
    /// The step's name, unique in the load. The result has the measurements of each step by this name. Letters, digits,
    /// `-`, `_` and `.`, at most 100 characters.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["login"]))]
    pub name: String,
    /// The HTTP method. Default `GET`.
    #[serde(default = "default_method")]
    #[schemars(regex(pattern = r"^[A-Z][^a-z\s]*$"), extend("examples" = ["POST"]))]
    pub method: String,
    /// The request's path and query, appended to the path of `url`. Default: the path of `url`, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(/|\{\{)"), extend("examples" = ["/orders/{{ capture.order | urlencode }}"]))]
    pub path: Option<RequestText>,
    /// The headers of this step, in addition to those of all steps.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"Authorization": "Bearer {{ capture.token }}"}]))]
    pub headers: IndexMap<String, RequestText>,
    /// The request's body. It can contain request data such as `{{ n }}`, and captured values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["{\"user\": {{ row.user | tojson }}}"]))]
    pub body: Option<RequestText>,
    /// The path of a file with the request's body, sent unchanged. Relative to the scenario file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json"]))]
    pub body_file: Option<String>,
    /// The path of a text file with the request's body, which can contain request data such as `{{ n }}`, and captured
    /// values. Relative to the scenario file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json.tmpl"]))]
    pub body_template: Option<String>,
    /// The conditions for a successful answer. Default: the load's `check`. An answer that fails ends the iteration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Values of the answer for later steps, by name: `{{ capture.token }}`. A value that the answer does not have is a
    /// failed `check`. Letters, digits and `_`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"token": {"json": "$.access_token"}}]))]
    pub capture: IndexMap<String, Capture>,
}

/// Where a value of an answer is: exactly one of `json`, `header`, `cookie` and `regex`. Of several values, the first
/// is taken. An empty value, or `null`, counts as missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capture {
    /// The JSONPath (RFC 9535) of a value in the body. A text is taken without its quotes, any other value as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["$.access_token"]))]
    pub json: Option<String>,
    /// The name of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Location"]))]
    pub header: Option<String>,
    /// The name of a cookie that the answer sets (`Set-Cookie`). Cookies are not sent automatically: write
    /// `headers: {Cookie: "sid={{ capture.sid }}"}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["sid"]))]
    pub cookie: Option<String>,
    /// A regular expression (syntax of Rust's `regex`) on the body. Its first group is taken, or the whole match if it
    /// has no group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["name=\"csrf\" value=\"([^\"]+)\""]))]
    pub regex: Option<String>,
}

impl HttpStep {
    /// The request that it sends, without the defaults of the load.
    pub(super) fn request(&self) -> HttpRequest {
        HttpRequest {
            name: self.name.clone(),
            weight: 1,
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            body_file: self.body_file.clone(),
            body_template: self.body_template.clone(),
            check: self.check.clone(),
        }
    }
}
