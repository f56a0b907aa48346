//! The moment from which everything counts.

use jiff::Timestamp;
use tokio::time::Instant;

/// When the load started, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Zero {
    /// By the monotonic clock.
    pub at: Instant,
    /// By the wall clock.
    pub wall: Timestamp,
}

impl Zero {
    /// The wall clock at so many nanoseconds since the load's start.
    pub(super) fn wall_at(&self, nanoseconds: u64) -> Timestamp {
        let microseconds = self.wall.as_microsecond().saturating_add((nanoseconds / 1000) as i64);
        Timestamp::from_microsecond(microseconds).unwrap_or(self.wall)
    }
}
