//! Plain HTTP requests: one, or several with weights.

mod kind;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::reach::Reach;
use super::text::RequestText;

/// Plain HTTP requests to a service of the cluster or to a URL: exactly one of `service` and `url`. What is sent stands
/// here, or under `requests` where there are several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// A Service of the scenario's namespace and its port (number or name), as `name:port`; `name.namespace:port` for
    /// another namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["shop:80"]))]
    pub service: Option<String>,
    /// A URL that needs no cluster: the whole address, or what stands before every `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["http://127.0.0.1:8080"]))]
    pub url: Option<String>,
    /// How a `service` is reached. Default `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// The request's method. Default `GET`.
    #[serde(default = "default_method")]
    #[schemars(extend("examples" = ["POST"]))]
    pub method: String,
    /// The request's path and query, after the path of a `url` that has one. Default: that alone, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/checkout?step=1", "/items/{{ row.sku | urlencode }}"]))]
    pub path: Option<RequestText>,
    /// Headers to send, with every request.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"X-Request-Id": "{{ uuid }}"}]))]
    pub headers: IndexMap<String, RequestText>,
    /// The request's body. Data of each request can stand in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["{\"amount\": 1, \"order\": {{ n }}}"]))]
    pub body: Option<RequestText>,
    /// A file that is the request's body, as it is. Relative to the scenario's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json"]))]
    pub body_file: Option<String>,
    /// A file with a text that is the request's body, in which data of each request can stand. Relative to the
    /// scenario's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json.tmpl"]))]
    pub body_template: Option<String>,
    /// What makes an answer a success. Without it, any status from 200 to 299.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// Several requests, of which each time one is chosen by its weight and the run's seed. Then what is sent stands
    /// here alone, apart from `headers`, which go with all of them, and `check`, which holds for those without their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<HttpRequest>,
}

/// One of several requests of a load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpRequest {
    /// Its name, unique in the load: letters, digits, `-`, `_` and `.`. Its counts stand in the result by it.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["browse"]))]
    pub name: String,
    /// How often it is chosen, beside the others. Default 1.
    #[serde(default = "HttpRequest::default_weight")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub weight: u32,
    /// The request's method. Default `GET`.
    #[serde(default = "default_method")]
    #[schemars(extend("examples" = ["POST"]))]
    pub method: String,
    /// The request's path and query, after the path of a `url` that has one. Default: that alone, or `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/checkout?step=1"]))]
    pub path: Option<RequestText>,
    /// Headers to send, beside those of all requests.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"Content-Type": "application/json"}]))]
    pub headers: IndexMap<String, RequestText>,
    /// The request's body. Data of each request can stand in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["{\"order\": {{ n }}}"]))]
    pub body: Option<RequestText>,
    /// A file that is the request's body, as it is. Relative to the scenario's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json"]))]
    pub body_file: Option<String>,
    /// A file with a text that is the request's body, in which data of each request can stand. Relative to the
    /// scenario's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["order.json.tmpl"]))]
    pub body_template: Option<String>,
    /// What makes an answer a success. Default: what the load says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

impl HttpRequest {
    fn default_weight() -> u32 {
        1
    }
}

impl Http {
    /// The requests that are sent. One that stands alone has no name.
    pub fn all_requests(&self) -> Vec<HttpRequest> {
        if !self.requests.is_empty() {
            let with_defaults = |request: &HttpRequest| HttpRequest {
                headers: self.headers.iter().chain(&request.headers).map(|(k, v)| (k.clone(), v.clone())).collect(),
                check: request.check.clone().or_else(|| self.check.clone()),
                ..request.clone()
            };
            return self.requests.iter().map(with_defaults).collect();
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

fn default_method() -> String {
    "GET".to_owned()
}
