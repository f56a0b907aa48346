//! The transport of requests: HTTP version, connections and TLS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time per connection.
    #[default]
    Http1,
    /// HTTP/2: many requests at a time per connection. Negotiated by ALPN with TLS, by prior knowledge without it.
    Http2,
}

/// How connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connections {
    /// Connections are kept open and reused.
    #[default]
    KeepAlive,
    /// Each request opens a connection and closes it afterwards. Its latency includes the connection setup.
    PerRequest,
}

/// TLS 1.2 or 1.3: the trusted certificates and the client's own. Files are PEM, with paths relative to the scenario
/// file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The trusted CA certificates. Default: those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ca.pem"]))]
    pub ca: Option<String>,
    /// The client certificate, followed by its intermediate certificates. Needs `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["client.pem"]))]
    pub cert: Option<String>,
    /// The private key of the client certificate. Needs `cert`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["client.key"]))]
    pub key: Option<String>,
    /// The server name to send (SNI) and to expect in the server's certificate. Default: the host of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["shop.example"]))]
    pub server_name: Option<String>,
    /// Accept any server certificate: neither its chain nor its name is verified. The reports warn about it. Default
    /// `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("examples" = [true]))]
    pub insecure: bool,
}
