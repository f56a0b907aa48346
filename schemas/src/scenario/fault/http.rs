//! `http`: requests to the target pods that fail, are late, or get another status.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::selector::PodSelector;
use crate::units::Duration;

/// Acts on the HTTP requests that reach a port of the target pods, through a proxy that Chaos Mesh puts into each pod. At
/// least one of `abort`, `delay` and `status`. Only new connections are affected, and none in HTTPS. Needs Chaos Mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpFault {
    /// The target pods.
    pub pods: PodSelector,
    /// The port on which the target pods serve.
    #[schemars(range(min = 1), extend("examples" = [8000]))]
    pub port: u16,
    /// Only requests of this path; `*` stands for anything. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/v1/*"]))]
    pub path: Option<String>,
    /// Only requests with this method. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["POST"]))]
    pub method: Option<String>,
    /// Break the connection.
    #[serde(default)]
    pub abort: bool,
    /// Answer so much later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// Answer with this status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 599), extend("examples" = [503]))]
    pub status: Option<u16>,
    /// Act on the replacement as well when a target is replaced while the fault stands. Default: only report it.
    #[serde(default)]
    pub follow: bool,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}
