//! Which requests around a fault its phase's expectations include.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A group of requests outside the judged part of a phase with faults, which the phase's expectations may include.
/// Percentiles, success rates, errors and stuck requests include them. Rates and `requests` do not: they count every
/// request where it was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Including {
    /// Due before the phase's first fault was injected, and still in flight then.
    InFlight,
    /// Due while the injection waited for the answers to requests of the previous phase. No fault acted yet.
    Waiting,
    /// Due while the faults were being injected.
    Injection,
    /// Due while the faults were being undone.
    Removal,
}

impl Including {
    /// All groups, in order of time.
    pub const ALL: [Self; 4] = [Self::InFlight, Self::Waiting, Self::Injection, Self::Removal];

    /// The word for it in a scenario.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Waiting => "waiting",
            Self::Injection => "injection",
            Self::Removal => "removal",
        }
    }

    /// The default of a phase.
    pub(super) fn usual() -> Vec<Self> {
        vec![Self::InFlight]
    }

    pub(super) fn is_usual(these: &Vec<Self>) -> bool {
        *these == Self::usual()
    }
}
