//! How long the workers of a closed loop waited for answers. A service that hangs gets no requests from them, so that the
//! requests of a window alone do not show it.

use std::ops::Range;

use crate::stats::cells;
use shakedown_observe::{Cell, LoadObservations};

/// The requests of a closed loop that were slower than the band allows of p95, each with the time in which a worker waited
/// for it. None of an open loop.
pub(super) struct Waiting {
    /// From when until when, in nanoseconds since the load's start, and how many.
    slow: Vec<(Range<u64>, u64)>,
}

impl Waiting {
    /// The requests of a load that took longer than this, in microseconds.
    pub(super) fn new(longest_us: f64, load: &LoadObservations) -> Self {
        if load.is_open {
            return Self { slow: Vec::new() };
        }
        let mut slow = Vec::new();
        for placed in cells(load) {
            let untimed = placed.cell.failed_after.iter().filter(|(failure, _)| !failure.is_timed());
            let all = std::iter::once(&placed.cell.latency).chain(untimed.map(|(_, after)| after));
            let durations = all.flat_map(|it| it.iter().collect::<Vec<_>>()).filter(|(us, _)| *us > longest_us);
            // The earliest moment at which it was due.
            let from_ns = placed.start_ns;
            slow.extend(durations.map(|(us, count)| (from_ns..from_ns + (us * 1e3) as u64, count)));
        }
        Self { slow }
    }

    /// The number of requests that workers waited for within a time, and the total wait in nanoseconds.
    pub(super) fn within(&self, time: &Range<u64>) -> (u64, u64) {
        let overlap = |it: &Range<u64>| it.end.min(time.end).saturating_sub(it.start.max(time.start));
        let met = self.slow.iter().map(|(it, count)| (overlap(it), count)).filter(|(overlap_ns, _)| *overlap_ns > 0);
        met.fold((0, 0), |(all, ns), (overlap_ns, count)| (all + count, ns + overlap_ns * count))
    }

    /// True if the requests of a window are few because workers waited: at least one for half of it, and for more answers
    /// than the window has good ones. `slow` of its requests took longer than the band allows.
    pub(super) fn is_stuck(&self, requests: &Cell, slow: u64, time: Range<u64>) -> bool {
        let (count, waited_ns) = self.within(&time);
        let good = requests.succeeded.saturating_sub(slow);
        count > good && waited_ns.saturating_mul(2) >= time.end - time.start
    }
}
