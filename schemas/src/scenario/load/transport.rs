//! How requests travel: HTTP's version, connections and TLS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2: many requests at a time on a connection. Agreed by ALPN under TLS, and by prior knowledge without it.
    Http2,
}

/// How long a connection is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Connections {
    /// Connections are kept and used again.
    #[default]
    KeepAlive,
    /// Each request has a connection of its own, made for it and closed after it. Its latency holds the making.
    PerRequest,
}

/// TLS 1.2 or 1.3, whom to trust, and who we are. Files are PEM, and relative to the scenario's file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// The certificates of those whom we trust, in the place of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["ca.pem"]))]
    pub ca: Option<String>,
    /// Our own certificate, with those between it and its root behind it. It needs `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["client.pem"]))]
    pub cert: Option<String>,
    /// The key of our own certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["client.key"]))]
    pub key: Option<String>,
    /// The name that the server's certificate must have, and that it is asked for. Default: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["shop.example"]))]
    pub server_name: Option<String>,
    /// Talk to whoever answers: neither the certificate nor its name is looked at. The reports warn of it. Default `false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schemars(extend("examples" = [true]))]
    pub insecure: bool,
}
