//! HTTP requests: a single one, or several with weights.

mod kind;
mod request;
mod steps;

pub use request::HttpRequest;
use request::default_method;
pub use steps::{Capture, HttpStep};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::reach::Reach;
use super::text::RequestText;

/// HTTP requests to a service of the cluster or to a URL: exactly one of `service` and `url`. The keys here describe a
/// single request. Several independent requests are listed under `requests`, the sequence of a user under `steps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// A Service and its port (number or name), as `name:port`. Write `name.namespace:port` for a Service outside the
    /// scenario's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?:[a-z0-9-]{1,15}$"),
        extend("examples" = ["shop:80"])
    )]
    pub service: Option<String>,
    /// A URL that needs no cluster: the full URL, or the prefix of every `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[hH][tT][tT][pP][sS]?://[^/\s]"), extend("examples" = ["http://127.0.0.1:8080"]))]
    pub url: Option<String>,
    /// How a `service` is reached. Default `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// The HTTP method. Default `GET`.
    #[serde(default = "default_method")]
    #[schemars(regex(pattern = r"^[A-Z][^a-z\s]*$"), extend("examples" = ["POST"]))]
    pub method: String,
    /// The request's path and query, appended to the path of `url`. Default: the path of `url`, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^(/|\{\{)"), extend("examples" = ["/checkout?step=1", "/items/{{ row.sku | urlencode }}"]))]
    pub path: Option<RequestText>,
    /// The headers of every request.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"X-Request-Id": "{{ uuid }}"}]))]
    pub headers: IndexMap<String, RequestText>,
    /// The request's body. It can contain request data such as `{{ n }}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["{\"amount\": 1, \"order\": {{ n }}}"]))]
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
    /// The conditions for a successful answer. Default: a status from 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Several requests. Each time one of them is chosen, by its weight and the run's seed. The method, the path and
    /// the body then belong here. All requests send `headers`. `check` applies to requests without their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<HttpRequest>,
    /// The sequence of requests of one user, such as log in, then order. A load with steps sends iterations: each due
    /// request of its pace is one iteration of all steps, and succeeds if every step does. The method, the path and the
    /// body then belong here. All steps send `headers`. `check` applies to steps without their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<HttpStep>,
}

impl Http {
    /// The requests of the load, or its steps. A single request has no name.
    pub fn all_requests(&self) -> Vec<HttpRequest> {
        let with_defaults = |request: HttpRequest| HttpRequest {
            headers: self.headers.iter().chain(&request.headers).map(|(k, v)| (k.clone(), v.clone())).collect(),
            check: request.check.or_else(|| self.check.clone()),
            ..request
        };
        if !self.steps.is_empty() {
            return self.steps.iter().map(|step| with_defaults(step.request())).collect();
        }
        if !self.requests.is_empty() {
            return self.requests.iter().cloned().map(with_defaults).collect();
        }
        vec![HttpRequest {
            name: String::new(),
            weight: 1,
            method: self.method.clone(),
            path: self.path.clone(),
            headers: self.headers.clone(),
            body: self.body.clone(),
            body_file: self.body_file.clone(),
            body_template: self.body_template.clone(),
            check: self.check.clone(),
        }]
    }
}
