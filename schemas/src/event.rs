//! The event stream of a run. The command line, the timeline and the drivers produce events. The console,
//! `events.ndjson` and the result consume them, so that all show the same facts.
//!
//! A new fact is a new variant. Consumers that do not know a variant show its name and fields.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::verdict::Verdict;

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The wall-clock time, in RFC 3339 with UTC. It is for display only: no duration is computed from it.
    #[schemars(with = "String", extend("examples" = ["2026-01-31T12:00:00.123Z"]))]
    pub at: jiff::Timestamp,
    /// The scenario that it belongs to. None for events of the whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Seconds since the scenario's load started, by the monotonic clock. Negative before that.
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
        /// The seed of every random choice.
        seed: u64,
    },
    /// A scenario began. Next its targets are resolved, then its load starts.
    ScenarioStarted {
        /// The scenario's file.
        file: String,
    },
    /// A load found its service.
    Reached {
        /// The load's name.
        load: String,
        /// How the service is reached, in words.
        how: String,
    },
    /// The targets of a fault were resolved.
    TargetsChosen {
        /// The fault's name.
        fault: String,
        /// The pods' names.
        pods: Vec<String>,
    },
    /// The load started. This is the zero of the timeline.
    LoadStarted,
    /// A phase began.
    PhaseStarted {
        /// The phase's name.
        phase: String,
        /// Its planned duration, in seconds.
        planned_s: f64,
    },
    /// A phase ended.
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
    /// Something happened in the cluster that affects the result, such as a replaced pod or a reconnected port-forward.
    Cluster {
        /// What happened, in words.
        message: String,
    },
    /// The API server answered with an error, and the request is sent again.
    ApiRetry {
        /// The request.
        request: String,
        /// The error.
        error: String,
        /// The number of the attempt, from 1.
        attempt: u32,
    },
    /// A warning.
    Warning {
        /// The warning, in words.
        message: String,
    },
    /// An error that ends the run.
    Error {
        /// What went wrong, in words.
        message: String,
    },
    /// A signal interrupted the run.
    Interrupted {
        /// The signal's name.
        signal: String,
    },
    /// A scenario ended and has a verdict.
    ScenarioEnded {
        /// Its outcome: the verdict, or for a trial whether it ended as it must.
        verdict: Verdict,
        /// The reason, in one sentence.
        reason: String,
    },
    /// The command ended.
    RunEnded {
        /// The worst verdict.
        verdict: Verdict,
        /// The exit code.
        exit_code: u8,
    },
}

/// The state of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultState {
    /// Planned. Nothing has been done yet.
    Planned,
    /// Its objects are being created.
    Injecting,
    /// Its objects exist. Nothing proves yet that they act.
    Injected,
    /// Its engine reports that it acts. No other observation confirms it.
    Claimed,
    /// An observation that is independent of the engine's report confirms that it acts.
    Proven,
    /// Its objects are being removed.
    Undoing,
    /// Its objects are gone, which was confirmed by reading back.
    Undone,
    /// It could not be injected, and there was nothing to undo, which was confirmed by reading back.
    NothingToUndo,
    /// It is not known whether it happened or still will, because the server did not answer. Nothing can be removed.
    Unclear,
    /// It could not be injected or proven.
    Failed,
    /// It could not be removed. The cluster has leftovers.
    Left,
}

impl FaultState {
    /// Whether the fault has ended. A fault that was never commanded to begin stays planned.
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::Undone | Self::NothingToUndo | Self::Unclear | Self::Left)
    }

    /// The state in words, for display.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Injecting => "injecting",
            Self::Injected => "injected",
            Self::Claimed => "claimed",
            Self::Proven => "proven",
            Self::Undoing => "undoing",
            Self::Undone => "undone",
            Self::NothingToUndo => "nothing to undo",
            Self::Unclear => "unclear",
            Self::Failed => "failed",
            Self::Left => "left behind",
        }
    }
}
