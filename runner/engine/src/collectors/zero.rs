//! The zero of all times of a scenario.

use jiff::Timestamp;
use tokio::time::Instant;

/// The load's start, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Zero {
    /// By the monotonic clock.
    pub at: Instant,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Zero {
    /// The wall clock's time `nanoseconds` after the load's start, in microsecond resolution.
    pub(super) fn wall_at(&self, nanoseconds: u64) -> Timestamp {
        let microseconds = self.wall.as_microsecond().saturating_add((nanoseconds / 1000) as i64);
        Timestamp::from_microsecond(microseconds).unwrap_or(self.wall)
    }
}
