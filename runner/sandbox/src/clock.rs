//! The sandbox's clock: calendar time that moves with tokio's clock.
//!
//! Deadlines and time stamps agree because both come from here, and tests that pause tokio's clock pause the cluster.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Calendar time, counted from when the sandbox started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    epoch: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that shows the time of day now.
    pub fn new() -> Self {
        Self { epoch: Timestamp::now(), started: Instant::now() }
    }

    /// The time now.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.epoch.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// The time now as objects carry it, in whole seconds: `2026-01-02T03:04:05Z`.
    pub fn stamp(&self) -> String {
        self.stamp_in(0)
    }

    /// The time in `seconds` from now, in whole seconds.
    pub fn stamp_in(&self, seconds: i64) -> String {
        let time = self.now().saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX);
        time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// How long from now until `seconds` after the time stamp; zero when that has passed or cannot be read.
    pub fn until(&self, stamp: &str, seconds: i64) -> Duration {
        let Ok(start) = stamp.parse::<Timestamp>() else { return Duration::ZERO };
        let Ok(end) = start.checked_add(SignedDuration::from_secs(seconds)) else { return Duration::MAX };
        end.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO)
    }
}
