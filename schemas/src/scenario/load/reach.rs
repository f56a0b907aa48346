//! How the requests of a load reach a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How requests reach a `service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Directly, if the service's addresses are reachable from the runner. Otherwise through a port-forward.
    #[default]
    Auto,
    /// Directly. If that is impossible, the run fails.
    Direct,
    /// Through a port-forward by the API server, which adds latency.
    PortForward,
}
