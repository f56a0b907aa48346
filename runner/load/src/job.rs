//! A request on its way.

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Its number in the load, from 0. Everything that is different from request to request follows from it.
    pub(super) number: u64,
    /// In nanoseconds since the load's start.
    pub(super) due_ns: u64,
    /// Requests under way when it was issued, with it.
    pub(super) in_flight: u32,
    /// How late the engine was with it, in microseconds; none until that is known, and for one that cannot be late.
    pub(super) late_us: Option<u32>,
    /// From its due moment to when it was sent, in microseconds; none until it is sent.
    pub(super) sent_us: Option<u32>,
    /// It can be late.
    pub(super) can_be_late: bool,
    /// Was given to a connection that turned out to be dead before anything was written.
    pub(super) resent: bool,
}

impl Job {
    /// The engine's own delay ends now.
    pub(super) fn end_lateness(&mut self, now_ns: u64) {
        if self.can_be_late && self.late_us.is_none() {
            self.late_us = Some(micros(now_ns.saturating_sub(self.due_ns)));
        }
    }
}

/// Nanoseconds in whole microseconds; beyond an hour it stays at the largest value.
pub(super) fn micros(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX)
}
