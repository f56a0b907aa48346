//! When requests are due: pure arithmetic, no clock.
//!
//! The schedule is absolute: request `i` is due at `i / rate` after the start, whatever happened to the ones before.
//! A sum of sleeps would drift, and would slow down with the service that it measures.

/// Part `part` of `parts` of a schedule of constant rate: the requests `part`, `part + parts`, `part + 2 * parts`, ...
///
/// All parts together are exactly the whole, so that each engine thread can keep its own.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    per_second: f64,
    next: u64,
    parts: u64,
}

impl Schedule {
    /// A part of the schedule of `per_second` (more than zero) requests per second.
    pub(super) fn new(per_second: f64, part: u64, parts: u64) -> Self {
        Self { per_second, next: part, parts }
    }

    /// When the next request is due, in nanoseconds since the start.
    pub(super) fn due_ns(&self) -> u64 {
        (self.next as f64 * 1e9 / self.per_second) as u64
    }

    /// The next request if it is due before `end_ns`; the one after it becomes the next.
    pub(super) fn take_before(&mut self, end_ns: u64) -> Option<u64> {
        let due = self.due_ns();
        (due < end_ns).then(|| {
            self.next += self.parts;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut schedule: Schedule, end_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| schedule.take_before(end_ns)).collect()
    }

    #[test]
    fn is_absolute_and_leaves_nothing_out() {
        assert_eq!(all(Schedule::new(4.0, 0, 1), 1_000_000_000), [0, 250_000_000, 500_000_000, 750_000_000]);
        for rate in [1.0, 3.0, 7.5, 400.0, 1_000.0, 20_000.0] {
            let due = all(Schedule::new(rate, 0, 1), 10_000_000_000);
            assert_eq!(due.len() as f64, rate * 10.0, "{rate}");
            assert!(due.is_sorted());
        }
    }

    #[test]
    fn parts_together_are_the_whole() {
        let whole = all(Schedule::new(333.0, 0, 1), 5_000_000_000);
        let mut parts: Vec<u64> = (0..3).flat_map(|part| all(Schedule::new(333.0, part, 3), 5_000_000_000)).collect();
        parts.sort_unstable();
        assert_eq!(parts, whole);
    }
}
