//! The deadlines of one connection's requests, on one timer.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;

use tokio::time::{Instant, Sleep, sleep_until};

use super::handle::Handle;

/// Fires at the latest at the deadline of the request under way. Later requests on a connection have later deadlines, so
/// the timer is reset only after it has fired: once per timeout, not once per request.
#[derive(Debug)]
pub(super) struct Deadline {
    timer: Pin<Box<Sleep>>,
    is_set: bool,
}

impl Deadline {
    pub(super) fn new() -> Self {
        Self { timer: Box::pin(sleep_until(Instant::now())), is_set: false }
    }

    /// True when the request is past its deadline. Otherwise the task is woken at the deadline.
    pub(super) fn is_over(&mut self, handle: &Handle, context: &mut Context<'_>) -> bool {
        loop {
            let Some(job) = handle.job() else {
                // An idle connection needs no timer. The old deadline may remain, because the next request's is later.
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
