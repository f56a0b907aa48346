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
    /// The first step waited for its turn. Later steps are under way already.
    limited: bool,
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
            (session.sent_us, session.limited) = (job.sent_us, job.limited);
        }
        (session.due_ns, session.queued_ns) = (due_ns, now_ns);
        Job { step: job.step + 1, sent_us: None, limited: false, resent: false, ..*job }
    }

    /// The iteration of a step's job: it waited for its turn, and was sent, when its first step was.
    pub(super) fn iteration(&self, job: Job) -> Job {
        match self.0.borrow().get(&job.number) {
            Some(&Session { sent_us, limited, .. }) if job.step > 0 => Job { sent_us, limited, ..job },
            _ => job,
        }
    }

    /// The iteration ended. Returns its job as it counts.
    pub(super) fn end(&self, job: Job) -> Job {
        let iteration = self.iteration(job);
        self.0.borrow_mut().remove(&job.number);
        iteration
    }
}

/// Values as a slice.
pub(super) fn as_slice(values: Option<&Rc<Vec<Option<Captured>>>>) -> &Values {
    values.map_or(&[], |values| values.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_step_waits_for_its_turn() {
        let first = Job {
            number: 3,
            due_ns: 1_000,
            in_flight: 1,
            late_us: Some(5),
            sent_us: Some(45),
            limited: true,
            setup_us: 0,
            can_be_late: true,
            resent: false,
            step: 0,
        };
        let sessions = Sessions::default();
        assert_eq!(sessions.iteration(first).turn_us(), Some(40));
        let second = Job { sent_us: Some(900_000), ..sessions.next(&first, 800_000_000, 800_000_000) };
        assert_eq!((second.limited, second.turn_us()), (false, None));
        assert_eq!(sessions.iteration(second).turn_us(), Some(40), "it took 900 ms to the second step");
        let third = sessions.next(&second, 950_000_000, 950_000_000);
        assert_eq!((sessions.end(third).turn_us(), sessions.end(third).turn_us()), (Some(40), None));
    }
}
