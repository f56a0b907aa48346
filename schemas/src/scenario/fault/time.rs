//! `time`: wrong clocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{ChaosMesh, FaultFacts, FaultKind, Means, Sandbox, between};
use crate::check::Findings;
use crate::check::inside::containers;
use crate::scenario::Secret;
use crate::units::Offset;

fault! {
    /// Shifts the clocks that the target pods' processes see. Needs Chaos Mesh.
    pub struct TimeFault {
        /// The shift of the clocks: `+10m` forward, `-10m` back.
        pub offset: Offset,
        /// The affected clocks. Default `[realtime]`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub clocks: Vec<Clock>,
        /// The affected containers, by name. Default: the first container of each pod.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(extend("examples" = [["worker"]]))]
        pub containers: Vec<String>,
    }
    pods, own, follow, prove {
        /// `auto` compares the `Date` headers of a load whose answers all come from the targets with this machine's clock. A
        /// change in the run's own requests proves the fault too. If neither can be seen, the fault is claimed, not proven;
        /// `strict` is inconclusive then. `traffic` requires a change in the run's own requests, and `applied` nothing.
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
        observed_by: "the `Date` headers of a load whose answers all come from its targets",
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

/// A Linux clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// The wall clock.
    Realtime,
    /// Time since an arbitrary start. It never goes back. Timeouts use it.
    Monotonic,
    /// Like `monotonic`, but it counts time in suspend.
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
