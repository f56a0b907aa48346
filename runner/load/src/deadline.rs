//! The deadlines of the requests of one connection, on one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use tokio::time::{Instant, Sleep, sleep_until};

use super::handle::Handle;

/// Fires at the latest when the request under way has taken too long. Requests on one connection have ever later
/// deadlines, so it is set anew only when it has fired: once per timeout, not once per request.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Deadline {
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(sleep_until(Instant::now())), is_set: false }
    }

    /// True when the slot's request has taken too long; else the task is woken when it has.
    pub(super) fn is_over(&mut self, handle: &Handle, context: &mut Context<'_>) -> bool {
        loop {
            let Some(job) = handle.job() else {
                // An idle connection needs no clock; what is set stays, for the next request's deadline is later.
                return false;
            };
            let deadline = handle.deadline(&job);
            if !self.is_set {
                self.timer.as_mut().reset(deadline);
                self.is_set = true;
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return false;
            }
            self.is_set = false;
            if Instant::now() >= deadline {
                return true;
            }
        }
    }
}
