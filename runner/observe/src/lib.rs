//! What a run saw, as plain data: the timeline's marks and the requests of each load in small cells.
//!
//! Producers are the load engine (which counts each request into a cell) and the timeline (which says where phases
//! begin and end). The only consumer is `judge`. Nothing here judges, and nothing here acts.

mod answers;
mod cell;
pub mod chance;
mod failure;
mod histogram;
mod load;
mod marks;
mod outside;
mod sample;

use std::collections::BTreeMap;

pub use answers::{Answers, Finish, Integrity, Peculiarities, Peculiarity};
pub use cell::{Cell, MOST_BOUNDS, PackedCell};
pub use failure::Failure;
pub use histogram::Histogram;
pub use load::{CELL_NS, LoadObservations, Segment, Timings};
pub use marks::{Known, Mark, Marks, Part, Strike};
pub use outside::{LinesSeen, Outside, PodSeen, PodsSeen, SeriesSeen};
pub use sample::{SAMPLE_BODY, Sample, Samples};

/// Everything that one scenario's run saw. Times are nanoseconds since the load's start, by the monotonic clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observations {
    /// The phases as they really were, in order. One that never began is missing.
    pub phases: Vec<PhaseSpan>,
    /// What each load sent and got, in the order of the scenario.
    pub loads: Vec<LoadObservations>,
    /// What others saw, by the path of the expectation that asks for it, such as `phases[1].expect[0]`.
    pub outside: BTreeMap<String, Outside>,
}

/// One phase as it really was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseSpan {
    /// The phase's name.
    pub name: String,
    /// When it began.
    pub start_ns: u64,
    /// When its faults (those without `after`) were in place; `start_ns` without faults.
    pub active_ns: u64,
    /// When the part that expectations judge began: `active_ns` and the settling time.
    pub judged_from_ns: u64,
    /// When that part ended: the undo of its faults began.
    pub judged_to_ns: u64,
    /// When it was over: the undo of its faults was confirmed.
    pub end_ns: u64,
    /// The duration that the scenario asks for.
    pub planned_ns: u64,
    /// True when the phase has faults.
    pub has_faults: bool,
    /// When the removal of the last of its faults was confirmed; none without faults or when that failed.
    pub removed_ns: Option<u64>,
    /// When the last of its faults struck, where all of them happen once and leave nothing to remove (a pod that is killed):
    /// recovery counts from then. None otherwise.
    pub struck_ns: Option<u64>,
    /// True when the phase lasted as long as the scenario asks for.
    pub complete: bool,
}

impl PhaseSpan {
    /// From when recovery counts: the strike of faults that happen once, else the confirmed removal. None where the removal
    /// was not confirmed.
    pub fn recovers_from_ns(&self) -> Option<u64> {
        self.removed_ns.map(|removed| self.struck_ns.unwrap_or(removed))
    }
}
