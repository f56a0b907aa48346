//! How the requests of a load get to a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the requests get to a `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Directly where the service's addresses answer from here, else by a port-forward.
    #[default]
    Auto,
    /// Directly, or not at all.
    Direct,
    /// By a port-forward through the API server, which adds latency of its own.
    PortForward,
}
