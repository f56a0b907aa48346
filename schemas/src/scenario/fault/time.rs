//! `time`: clocks that are wrong.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{ChaosMesh, FaultFacts, FaultKind, Means, Sandbox, between};
use crate::check::Findings;
use crate::check::inside::containers;
use crate::scenario::Secret;
use crate::units::Offset;

fault! {
    /// Sets the clocks that the target pods' processes see forward or back. Needs Chaos Mesh.
    pub struct TimeFault {
        /// By how much: `+10m` forward, `-10m` back.
        pub offset: Offset,
        /// Which clocks. Default `[realtime]`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub clocks: Vec<Clock>,
        /// The containers, by name. Default: each pod's first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(extend("examples" = [["worker"]]))]
        pub containers: Vec<String>,
    }
    pods, own, follow, prove {
        /// `auto` and `applied` believe Chaos Mesh, and the fault is then claimed and not proven; `strict` and `traffic` ask for
        /// a change in the run's own requests.
    }, after, lasts,
}

impl FaultKind for TimeFault {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh::inside("timechaos"))],
        sandbox: Sandbox::Partly("the clock `realtime` of its workers and frontends"),
        rules: &[],
        not_settings: &[],
        link: between,
        confirmed_by: "",
        unfelt_because: "",
        example: "{pods: {labels: {app: worker}}, offset: -10m}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        containers(path, &self.containers, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
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
