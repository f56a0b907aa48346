//! Which requests around a fault the expectations of its phase include.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests that are not of the judged part of a phase with faults, and which its expectations may include. Percentiles,
/// success rates, errors and stuck requests include them; rates and `requests` are counted by the moment when each request
/// was due, and leave them where they were due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Including {
    /// Due before the first fault of the phase was injected, and not ended by then.
    InFlight,
    /// Due while the faults were being injected.
    Injection,
    /// Due while the faults were being undone.
    Removal,
}

impl Including {
    /// All of them, in order of time.
    pub const ALL: [Self; 3] = [Self::InFlight, Self::Injection, Self::Removal];

    /// As a scenario has it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Injection => "injection",
            Self::Removal => "removal",
        }
    }

    /// What a phase includes that says nothing about it.
    pub(super) fn usual() -> Vec<Self> {
        vec![Self::InFlight]
    }

    pub(super) fn is_usual(these: &Vec<Self>) -> bool {
        *these == Self::usual()
    }
}
