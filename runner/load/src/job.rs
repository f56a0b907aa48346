//! One request of a load.

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    /// Its number in the load, from 0. All its data follows from the number.
    pub(super) number: u64,
    /// When it is due, in nanoseconds since the load's start.
    pub(super) due_ns: u64,
    /// The number of requests under way when it was issued, including itself.
    pub(super) in_flight: u32,
    /// The engine's own delay, in microseconds. None until it is known, and for a request that cannot be late.
    pub(super) late_us: Option<u32>,
    /// From due to sent without `setup_us`, in microseconds. None until it is sent.
    pub(super) sent_us: Option<u32>,
    /// It waited, or waits, because as many requests as allowed were under way. Of an iteration, only the first step waits.
    pub(super) limited: bool,
    /// How long it waited for a tunnel, in microseconds. No part of its latency.
    pub(super) setup_us: u32,
    /// It has a due moment that the engine can miss.
    pub(super) can_be_late: bool,
    /// It was assigned to a connection that was dead before anything was written.
    pub(super) resent: bool,
    /// The index of the current step. 0 for a load without steps.
    pub(super) step: u16,
}

impl Job {
    /// The job after it waited for a tunnel, in nanoseconds.
    pub(super) fn after_setup(self, waited_ns: u64) -> Self {
        Self { setup_us: self.setup_us.saturating_add(micros(waited_ns)), ..self }
    }

    /// The moment from which its latency and its timeout count, in nanoseconds since the load's start: when it was due, later by
    /// the time that it waited for a tunnel.
    pub(super) const fn begun_ns(&self) -> u64 {
        self.due_ns + self.setup_us as u64 * 1000
    }

    /// When it was sent, or was due if it was not sent.
    pub(super) fn sent_ns(&self) -> u64 {
        self.begun_ns() + u64::from(self.sent_us.unwrap_or(0)) * 1000
    }

    /// The engine's own delay ends now.
    pub(super) fn end_lateness(&mut self, now_ns: u64) {
        if self.can_be_late && self.late_us.is_none() {
            self.late_us = Some(micros(now_ns.saturating_sub(self.due_ns)));
        }
    }

    /// How long it waited for its turn before it was sent, in microseconds. None for a request that did not wait.
    pub(super) fn turn_us(&self) -> Option<u32> {
        Some(self.sent_us?.saturating_sub(self.late_us?)).filter(|_| self.limited)
    }
}

/// Nanoseconds as whole microseconds, saturating.
pub(super) fn micros(nanoseconds: u64) -> u32 {
    u32::try_from(nanoseconds / 1000).unwrap_or(u32::MAX)
}
