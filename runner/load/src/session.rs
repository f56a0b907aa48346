//! The iterations of users that are between two steps: the values that they captured, and when their current step was due.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::capture::{Captured, Values};
use super::job::Job;

/// One iteration.
#[derive(Debug, Clone, Default)]
struct Session {
    values: Rc<Vec<Option<Captured>>>,
    /// When the current step was due, in nanoseconds since the load's start: when the previous one ended.
    due_ns: u64,
    /// When the current step began to wait for a connection.
    queued_ns: u64,
    /// From due to sent of the first step, in microseconds.
    sent_us: Option<u32>,
}

/// The iterations of one lane, by number. Empty for a load without steps.
#[derive(Debug, Default)]
pub(super) struct Sessions(RefCell<HashMap<u64, Session>>);

impl Sessions {
    /// The captured values of an iteration. None before the first capture.
    pub(super) fn values(&self, job: &Job) -> Option<Rc<Vec<Option<Captured>>>> {
        self.0.borrow().get(&job.number).map(|session| Rc::clone(&session.values))
    }

    /// Stores values that the current step captured. `count` is the number of different names of the load.
    pub(super) fn capture(&self, job: &Job, found: Vec<(usize, Captured)>, count: usize) {
        let mut sessions = self.0.borrow_mut();
        let values = Rc::make_mut(&mut sessions.entry(job.number).or_default().values);
        values.resize(count, None);
        for (place, value) in found {
            values[place] = Some(value);
        }
    }

    /// When the current step was due.
    pub(super) fn due_ns(&self, job: &Job) -> u64 {
        match job.step {
            0 => job.due_ns,
            _ => self.0.borrow().get(&job.number).map_or(job.due_ns, |session| session.due_ns),
        }
    }

    /// When the job began to wait for a connection.
    pub(super) fn queued_ns(&self, job: &Job) -> u64 {
        match job.step {
            0 => job.due_ns,
            _ => self.0.borrow().get(&job.number).map_or(job.due_ns, |session| session.queued_ns),
        }
    }

    /// The current step ended at `now_ns`, and the next one is due: at `due_ns` without the time that the iteration waited for
    /// tunnels.
    pub(super) fn next(&self, job: &Job, due_ns: u64, now_ns: u64) -> Job {
        let mut sessions = self.0.borrow_mut();
        let session = sessions.entry(job.number).or_default();
        if job.step == 0 {
            session.sent_us = job.sent_us;
        }
        (session.due_ns, session.queued_ns) = (due_ns, now_ns);
        Job { step: job.step + 1, sent_us: None, resent: false, ..*job }
    }

    /// The iteration ended. Returns its job as it counts: sent when its first step was.
    pub(super) fn end(&self, job: Job) -> Job {
        match self.0.borrow_mut().remove(&job.number) {
            Some(Session { sent_us, .. }) if job.step > 0 => Job { sent_us, ..job },
            _ => job,
        }
    }
}

/// Values as a slice.
pub(super) fn as_slice(values: Option<&Rc<Vec<Option<Captured>>>>) -> &Values {
    values.map_or(&[], |values| values.as_slice())
}
