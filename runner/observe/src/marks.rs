//! Where the timeline's stretches begin. The timeline writes, the load engine reads: a request belongs to the stretch
//! in which it was due to start, however late it ends, and a phase's pace holds from the mark of its beginning on.
//!
//! A stretch that begins now is given its moment here, under the lock. Whoever looked at the clock before it looks at the
//! marks therefore knows all that begin up to then: no request is ever due by a pace that had ended already.

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

/// What a stretch of a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The phase's faults wait for the answers that the phase before is owed. Nothing acts yet.
    Waiting,
    /// The phase's faults are being injected.
    Injecting,
    /// The phase settles: recorded, not judged.
    Settling,
    /// What the phase's expectations judge.
    Judged,
    /// The phase's faults are being undone.
    Undoing,
    /// Not a stretch of time: requests that were due before the phase's first fault struck, and had not ended by then. Its
    /// segment begins with the stretch in which they were due.
    InFlight,
}

/// The moment from which the first fault of a phase may act: its injection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strike {
    /// When, in nanoseconds since the load's start.
    pub at_ns: u64,
    /// The index of the phase.
    pub phase: usize,
}

/// The beginning of a stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// When it begins, in nanoseconds since the load's start.
    pub at_ns: u64,
    /// The index of its phase.
    pub phase: usize,
    /// What it is.
    pub part: Part,
}

/// All that is known of the stretches at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Rises with every change. The first is 0: nothing is known.
    pub version: u64,
    /// The marks, in order of time.
    pub marks: Vec<Mark>,
    /// When the first fault of each phase struck, in order of time.
    pub strikes: Vec<Strike>,
    /// When the load ends: nothing is due from then on. None while it goes on.
    pub end_ns: Option<u64>,
}

/// The marks so far.
#[derive(Default)]
pub struct Marks {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    known: Known,
    listeners: Vec<Box<dyn Fn() + Send + Sync>>,
}

impl State {
    fn begin(&mut self, mark: Mark) {
        self.known.marks.retain(|earlier| earlier.at_ns < mark.at_ns);
        self.known.marks.push(mark);
        self.changed();
    }

    fn changed(&mut self) {
        self.known.version += 1;
        self.listeners.iter().for_each(|tell| tell());
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.all()).finish()
    }
}

impl Marks {
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a stretch at a moment that lies ahead. Marks that were set for later than this one (a settling time that was
    /// cut short) are dropped.
    pub fn begin(&self, mark: Mark) {
        self.write().begin(mark);
    }

    /// Begins a stretch now, and says when that is. Marks that were set for later are dropped.
    pub fn begin_now(&self, phase: usize, part: Part, now_ns: impl FnOnce() -> u64) -> u64 {
        let mut state = self.write();
        let at_ns = now_ns();
        state.begin(Mark { at_ns, phase, part });
        at_ns
    }

    /// A fault of a phase strikes now. Only the first of a phase counts.
    pub fn strike_now(&self, phase: usize, now_ns: impl FnOnce() -> u64) {
        let mut state = self.write();
        if state.known.strikes.iter().all(|strike| strike.phase != phase) {
            let at_ns = now_ns();
            state.known.strikes.push(Strike { at_ns, phase });
            state.changed();
        }
    }

    /// The load ends now, and says when that is.
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

    /// What is known now, if that is another version than this.
    pub fn unless(&self, version: u64) -> Option<Known> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        (state.known.version != version).then(|| state.known.clone())
    }

    /// Calls this whenever a stretch begins or is set. It must not wait, and not ask for marks.
    pub fn listen(&self, tell: impl Fn() + Send + Sync + 'static) {
        self.write().listeners.push(Box::new(tell));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn a_settling_time_that_was_cut_short_is_dropped() {
        let marks = Marks::default();
        let mark = |at_ns, part| Mark { at_ns, phase: 0, part };
        marks.begin(mark(0, Part::Settling));
        marks.begin(mark(5, Part::Judged));
        assert_eq!(marks.begin_now(0, Part::Undoing, || 3), 3);
        assert_eq!(marks.all(), [mark(0, Part::Settling), mark(3, Part::Undoing)]);
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
    fn tells_what_is_new_and_who_listens() {
        let marks = Marks::default();
        let told = Arc::new(AtomicU64::new(0));
        marks.listen({
            let told = Arc::clone(&told);
            move || _ = told.fetch_add(1, Ordering::Relaxed)
        });
        assert_eq!(marks.unless(0), None);
        marks.begin_now(1, Part::Judged, || 7);
        assert_eq!(marks.end_now(|| 9), 9);
        let known = marks.unless(0).unwrap();
        assert_eq!((known.marks.len(), known.end_ns, told.load(Ordering::Relaxed)), (1, Some(9), 2));
        assert_eq!(marks.unless(known.version), None);
    }
}
