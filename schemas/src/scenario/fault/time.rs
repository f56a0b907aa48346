//! `time`: clocks that are wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::selector::PodSelector;
use crate::units::{Duration, Offset};

/// Sets the clocks that the target pods' processes see forward or back. Needs Chaos Mesh.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeFault {
    /// The target pods.
    pub pods: PodSelector,
    /// By how much: `+10m` forward, `-10m` back.
    pub offset: Offset,
    /// Which clocks. Default `[realtime]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<Clock>,
    /// The containers, by name. Default: each pod's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["worker"]]))]
    pub containers: Vec<String>,
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

/// A clock of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The time of day.
    Realtime,
    /// Time since some moment, which never goes back on its own. Timeouts are measured with it.
    Monotonic,
    /// Like `monotonic`, and counts sleep.
    Boottime,
}

impl Clock {
    /// Its name in Linux.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Realtime => "CLOCK_REALTIME",
            Self::Monotonic => "CLOCK_MONOTONIC",
            Self::Boottime => "CLOCK_BOOTTIME",
        }
    }
}
