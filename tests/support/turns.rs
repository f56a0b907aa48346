//! Whose turn it is on this machine: a run is mostly waiting, so that many share two cores, but a sandbox that has to wait
//! for the processor breaks off answers as a real service would.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many runs a machine of two cores carries at the same time.
const PLACES: usize = 9;
/// How many of them a test takes that wants few others beside it.
const MANY: usize = 4;

/// How much of the machine a test takes.
#[derive(Debug, Clone, Copy)]
pub enum Share {
    /// One place among others.
    One,
    /// Many of them: for tests that compare latencies closely.
    Many,
}

/// The machine, for as long as this value lives.
pub struct Turn {
    places: usize,
}

struct Queue {
    free: usize,
    /// The next number to be drawn, and the one whose turn it is: who needs many places is not overtaken by who needs one.
    drawn: u64,
    called: u64,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { free: PLACES, drawn: 0, called: 0 });
static CHANGED: Condvar = Condvar::new();

impl Turn {
    /// Waits until there is room.
    pub fn wait(share: Share) -> Self {
        let places = match share {
            Share::One => 1,
            Share::Many => MANY,
        };
        let mut queue = lock();
        let number = queue.drawn;
        queue.drawn += 1;
        while queue.called != number || queue.free < places {
            queue = CHANGED.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.called += 1;
        queue.free -= places;
        CHANGED.notify_all();
        Self { places }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        lock().free += self.places;
        CHANGED.notify_all();
    }
}

fn lock() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}
