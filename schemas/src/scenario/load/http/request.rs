//! One request of an HTTP load.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::check::Check;
use super::super::text::RequestText;

/// One of several requests of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// The request's name, unique in the load. The result counts requests by this name. Letters, digits, `-`, `_` and
    /// `.`, at most 100 characters.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["browse"]))]
    pub name: String,
    /// How often the request is chosen, relative to the others. Default 1.
    #[serde(default = "HttpRequest::default_weight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u32,
    /// The HTTP method. Default `GET`.
    #[serde(default = "default_method")]
    #[schemars(regex(pattern = r"^[A-Z][^a-z\s]*$"), extend("examples" = ["POST"]))]
    pub method: String,
    /// The request's path and query, appended to the path of `url`. Default: the path of `url`, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(/|\{\{)"), extend("examples" = ["/checkout?step=1"]))]
    pub path: Option<RequestText>,
    /// The headers of this request, in addition to those of all requests.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"Content-Type": "application/json"}]))]
    pub headers: IndexMap<String, RequestText>,
    /// The request's body. It can contain request data such as `{{ n }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["{\"order\": {{ n }}}"]))]
    pub body: Option<RequestText>,
    /// The path of a file with the request's body, sent unchanged. Relative to the scenario file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json"]))]
    pub body_file: Option<String>,
    /// The path of a text file with the request's body, which can contain request data such as `{{ n }}`. Relative to
    /// the scenario file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json.tmpl"]))]
    pub body_template: Option<String>,
    /// The conditions for a successful answer. Default: the load's `check`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl HttpRequest {
    fn default_weight() -> u32 {
        1
    }
}

pub(super) fn default_method() -> String {
    "GET".to_owned()
}
