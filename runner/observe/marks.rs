//! Where the timeline's stretches begin. The timeline writes, the load engine reads: a request belongs to the stretch
//! in which it was due to start, however late it ends.

use std::sync::RwLock;

/// What a stretch of a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The phase's faults are being injected.
    Injecting,
    /// The phase settles: recorded, not judged.
    Settling,
    /// What the phase's expectations judge.
    Judged,
    /// The phase's faults are being undone.
    Undoing,
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

/// The marks so far.
#[derive(Debug, Default)]
pub struct Marks {
    marks: RwLock<Vec<Mark>>,
}

impl Marks {
    /// Begins a stretch. Marks that were set for later than this one (a settling time that was cut short) are dropped.
    pub fn begin(&self, mark: Mark) {
        let mut marks = self.marks.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        marks.retain(|earlier| earlier.at_ns < mark.at_ns);
        marks.push(mark);
    }

    /// All marks, in order of time.
    pub fn all(&self) -> Vec<Mark> {
        self.marks.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_settling_time_that_was_cut_short_is_dropped() {
        let marks = Marks::default();
        let mark = |at_ns, part| Mark { at_ns, phase: 0, part };
        marks.begin(mark(0, Part::Settling));
        marks.begin(mark(5, Part::Judged));
        marks.begin(mark(3, Part::Undoing));
        assert_eq!(marks.all(), [mark(0, Part::Settling), mark(3, Part::Undoing)]);
    }
}
