//! The observations of a run as plain data: the timeline's marks and the requests of each load, counted in cells.
//!
//! The load engine counts each request into a cell, and the timeline records where phases begin and end. `judge` is the
//! only consumer. This crate neither judges nor acts.

mod answers;
mod cell;
pub mod chance;
mod failure;
mod histogram;
mod load;
mod marks;
mod outcome;
mod outside;
mod sample;

use std::collections::BTreeMap;

pub use answers::{Answers, Finish, Integrity, Peculiarities, Peculiarity};
pub use cell::{Cell, MOST_BOUNDS, PackedCell};
pub use failure::Failure;
pub use histogram::Histogram;
pub use load::{CELL_NS, DateSample, LoadObservations, LoadPart, Segment, Timings};
pub use marks::{Mark, Marks, MarksSnapshot, PhasePart, Strike};
pub use outcome::{Outcomes, longest, merged};
pub use outside::{LinesSeen, LogGap, Outside, PodSeen, PodsSeen, SeriesSeen};
pub use sample::{SAMPLE_BODY, Sample, Samples};

/// All observations of one scenario's run. Times are nanoseconds since the load's start, by the monotonic clock.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observations {
    /// The phases as they were executed, in order. A phase that never began is missing.
    pub phases: Vec<PhaseSpan>,
    /// The requests and answers of each load, in the order of the scenario.
    pub loads: Vec<LoadObservations>,
    /// The collected data, by the path of the expectation that uses it, such as `phases[1].expect[0]`.
    pub outside: BTreeMap<String, Outside>,
}

impl Observations {
    /// What was recorded of the load with this name. None if it never began.
    #[must_use]
    pub fn load(&self, name: &str) -> Option<&LoadObservations> {
        self.loads.iter().find(|it| it.name == name)
    }

    /// The index of the phase with this name. None if it never began.
    #[must_use]
    pub fn phase(&self, name: &str) -> Option<usize> {
        self.phases.iter().position(|span| span.name == name)
    }
}

/// One phase as it was executed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PhaseSpan {
    /// The phase's name.
    pub name: String,
    /// When the phase began.
    pub start_ns: u64,
    /// When the first fault struck: its injection began. None if none was injected.
    pub strike_ns: Option<u64>,
    /// When all faults without `after` were in place. Without faults: `start_ns`.
    pub active_ns: u64,
    /// When the judged part began: `active_ns` plus the settling time.
    pub judged_from_ns: u64,
    /// When the judged part ended and the undo of the faults began.
    pub judged_to_ns: u64,
    /// When the undo of the faults was confirmed and the phase ended.
    pub end_ns: u64,
    /// The duration in the scenario.
    pub planned_ns: u64,
    /// True when the phase has faults.
    pub has_faults: bool,
    /// When the removal of the last fault was confirmed. None without faults, or if the removal was not confirmed.
    pub removed_ns: Option<u64>,
    /// When the last fault struck, if every fault of the phase happens once and leaves nothing to remove (such as a killed
    /// pod). Recovery counts from then. None for other faults.
    pub struck_ns: Option<u64>,
    /// True when the phase lasted for its full duration.
    pub complete: bool,
}

impl PhaseSpan {
    /// From when a fault may act, or the start of a phase in which none was injected.
    pub fn acts_from_ns(&self) -> u64 {
        self.strike_ns.unwrap_or(self.start_ns)
    }

    /// The start of the recovery time: the strike of faults that happen once, otherwise the confirmed removal. None if the
    /// removal was not confirmed.
    pub fn recovers_from_ns(&self) -> Option<u64> {
        self.removed_ns.map(|removed| self.struck_ns.unwrap_or(removed))
    }
}
