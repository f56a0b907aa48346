//! Where the segments of the timeline begin. The timeline writes the marks and the load engine reads them. A request
//! belongs to the segment in which it was due, however late it ends. A phase's pace applies from the mark of its beginning.
//!
//! A segment that begins now gets its timestamp here, under the lock. A reader that looks at the clock first and at the
//! marks second therefore sees every mark up to that time, and no request is due by a pace that has already ended.

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// A part of a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PhasePart {
    /// The faults wait for the answers to requests that were due in the previous phase. No fault acts yet.
    Waiting,
    /// The faults are being injected.
    Injecting,
    /// The phase settles. Its requests are recorded but not judged.
    Settling,
    /// The part that the expectations judge.
    Judged,
    /// The faults are being undone.
    Undoing,
    /// Not a stretch of time: requests that were due before the phase's first fault struck and had not ended by then. The
    /// segment begins with the part in which they were due.
    InFlight,
}

/// The moment from which the first fault of a phase may act: its injection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// When the fault strikes, in nanoseconds since the load's start.
    pub at_ns: u64,
    /// The index of the phase.
    pub phase: usize,
}

/// The beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When the segment begins, in nanoseconds since the load's start.
    pub at_ns: u64,
    /// The index of its phase.
    pub phase: usize,
    /// The part of the phase.
    pub part: PhasePart,
}

/// A copy of the timeline at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarksSnapshot {
    /// Rises with every change. Version 0 is empty.
    pub version: u64,
    /// The marks, in order of time.
    pub marks: Vec<Mark>,
    /// When the first fault of each phase struck, in order of time.
    pub strikes: Vec<Strike>,
    /// When the load ends. No request is due from then on. None while the load continues.
    pub end_ns: Option<u64>,
}

/// The marks of a running timeline, shared by its writer and its readers.
#[derive(Default)]
pub struct Marks {
    state: RwLock<MarksState>,
}

#[derive(Default)]
struct MarksState {
    known: MarksSnapshot,
    listeners: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl MarksState {
    fn begin(&mut self, mark: Mark) {
        self.known.marks.retain(|earlier| earlier.at_ns < mark.at_ns);
        self.known.marks.push(mark);
        self.changed();
    }

    fn changed(&mut self) {
        self.known.version += 1;
        self.listeners.iter().for_each(|listener| listener());
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.all()).finish()
    }
}

impl Marks {
    fn write(&self) -> RwLockWriteGuard<'_, MarksState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a segment in the future. Drops the marks that were set for later than this one, such as the end of a settling
    /// time that was cut short.
    pub fn begin(&self, mark: Mark) {
        self.write().begin(mark);
    }

    /// Begins a segment now and returns its start. Drops the marks that were set for later.
    pub fn begin_now(&self, phase: usize, part: PhasePart, now_ns: impl FnOnce() -> u64) -> u64 {
        let mut state = self.write();
        let at_ns = now_ns();
        state.begin(Mark { at_ns, phase, part });
        at_ns
    }

    /// Records that a fault strikes now. Only the first strike of a phase counts.
    pub fn strike_now(&self, phase: usize, now_ns: impl FnOnce() -> u64) {
        let mut state = self.write();
        if state.known.strikes.iter().all(|strike| strike.phase != phase) {
            let at_ns = now_ns();
            state.known.strikes.push(Strike { at_ns, phase });
            state.changed();
        }
    }

    /// Ends the load now and returns that moment.
    pub fn end_now(&self, now_ns: impl FnOnce() -> u64) -> u64 {
        let mut state = self.write();
        let end_ns = now_ns();
        state.known.end_ns = Some(end_ns);
        state.changed();
        end_ns
    }

    /// All marks, in order of time.
    pub fn all(&self) -> Vec<Mark> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).known.marks.clone()
    }

    /// When the first fault of each phase struck, in order of time.
    pub fn strikes(&self) -> Vec<Strike> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).known.strikes.clone()
    }

    /// The current marks, unless their version is still `version`.
    pub fn newer_than(&self, version: u64) -> Option<MarksSnapshot> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        (state.known.version != version).then(|| state.known.clone())
    }

    /// Registers a callback for every change of the marks. The callback must neither block nor read the marks.
    pub fn listen(&self, listener: impl Fn() + Send + Sync + 'static) {
        self.write().listeners.push(Box::new(listener));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn drops_the_end_of_a_settling_time_that_was_cut_short() {
        let marks = Marks::default();
        let mark = |at_ns, part| Mark { at_ns, phase: 0, part };
        marks.begin(mark(0, PhasePart::Settling));
        marks.begin(mark(5, PhasePart::Judged));
        assert_eq!(marks.begin_now(0, PhasePart::Undoing, || 3), 3);
        assert_eq!(marks.all(), [mark(0, PhasePart::Settling), mark(3, PhasePart::Undoing)]);
    }

    #[test]
    fn only_the_first_fault_of_a_phase_strikes() {
        let marks = Marks::default();
        marks.strike_now(1, || 5);
        marks.strike_now(1, || 7);
        marks.strike_now(3, || 9);
        assert_eq!(marks.strikes(), [Strike { at_ns: 5, phase: 1 }, Strike { at_ns: 9, phase: 3 }]);
    }

    #[test]
    fn notifies_listeners_and_returns_only_new_versions() {
        let marks = Marks::default();
        let calls = Arc::new(AtomicU64::new(0));
        marks.listen({
            let calls = Arc::clone(&calls);
            move || _ = calls.fetch_add(1, Ordering::Relaxed)
        });
        assert_eq!(marks.newer_than(0), None);
        marks.begin_now(1, PhasePart::Judged, || 7);
        assert_eq!(marks.end_now(|| 9), 9);
        let known = marks.newer_than(0).unwrap();
        assert_eq!((known.marks.len(), known.end_ns, calls.load(Ordering::Relaxed)), (1, Some(9), 2));
        assert_eq!(marks.newer_than(known.version), None);
    }
}
