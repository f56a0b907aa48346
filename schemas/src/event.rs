//! The one stream of events that a run is. Producers: the command line, the timeline and the drivers. Consumers: the
//! console, `events.ndjson` and the result, which all show the same facts.
//!
//! New facts are new variants; consumers that do not know them show their name and fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The wall clock, in RFC 3339 with UTC. For people; durations are never computed from it.
    #[schemars(with = "String", extend("examples" = ["2026-01-31T12:00:00.123Z"]))]
    pub at: jiff::Timestamp,
    /// The scenario that it belongs to; none for events of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Seconds since the scenario's load started, by the monotonic clock; negative before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elapsed_s: Option<f64>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// The command began.
    RunStarted {
        /// The run's id.
        run: String,
        /// The seed of everything that is chosen by chance.
        seed: u64,
    },
    /// A scenario began: its targets are resolved next, then its load starts.
    ScenarioStarted {
        /// The scenario's file.
        file: String,
    },
    /// The load found its service.
    Reached {
        /// The load's name.
        load: String,
        /// How it is reached, in words.
        how: String,
    },
    /// The pods that a fault will act on.
    TargetsChosen {
        /// The fault's name.
        fault: String,
        /// The pods' names.
        pods: Vec<String>,
    },
    /// The load runs; the timeline's zero.
    LoadStarted,
    /// A phase began.
    PhaseStarted {
        /// The phase's name.
        phase: String,
        /// How long it is planned to last, in seconds.
        planned_s: f64,
    },
    /// A phase is over.
    PhaseEnded {
        /// The phase's name.
        phase: String,
    },
    /// A fault changed its state.
    Fault {
        /// The fault's name.
        fault: String,
        /// The new state.
        state: FaultState,
        /// The evidence, the object or the error, in words.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        detail: String,
    },
    /// Something happened in the cluster that bears on the result: a pod was replaced, a port-forward reconnected.
    Cluster {
        /// What happened, in words.
        message: String,
    },
    /// The API server answered with an error and is asked again.
    ApiRetry {
        /// The request.
        request: String,
        /// The error.
        error: String,
        /// Which try this was, from 1.
        attempt: u32,
    },
    /// Something that the reader should know.
    Warning {
        /// What, in words.
        message: String,
    },
    /// The run goes no further.
    Error {
        /// What went wrong, in words.
        message: String,
    },
    /// A signal asked the run to end.
    Interrupted {
        /// The signal's name.
        signal: String,
    },
    /// A scenario is over and judged.
    ScenarioEnded {
        /// Its verdict.
        verdict: Verdict,
        /// Why, in a sentence.
        reason: String,
    },
    /// The command is over.
    RunEnded {
        /// The worst verdict.
        verdict: Verdict,
        /// The exit code.
        exit_code: u8,
    },
}

/// Where a fault is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultState {
    /// Planned, nothing done yet.
    Planned,
    /// Its objects are being created.
    Injecting,
    /// Its objects are there; nothing proves yet that they act.
    Injected,
    /// Its engine reports that it acts, and nothing else shows it.
    Claimed,
    /// There is evidence that it acts.
    Proven,
    /// Its objects are being removed.
    Undoing,
    /// Its objects are gone, confirmed by reading back.
    Undone,
    /// It could not be injected or proven.
    Failed,
    /// It could not be removed: something is left in the cluster.
    Left,
}

impl FaultState {
    /// The state in a word, for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Injecting => "injecting",
            Self::Injected => "injected",
            Self::Claimed => "claimed",
            Self::Proven => "proven",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::Failed => "failed",
            Self::Left => "left behind",
        }
    }
}
