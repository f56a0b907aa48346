//! Plain HTTP requests, and what makes an answer a success.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Reach;

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
