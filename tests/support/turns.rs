//! Limits the concurrent runs on this machine. A run mostly waits, so many share two cores. A sandbox that has to wait for the
//! processor breaks off answers, as a real service would.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// The number of concurrent runs on a machine with two cores.
const PLACES: usize = 16;
/// The places of a test that needs most of the machine.
const MANY: usize = 6;

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
    /// The next number, and the one whose turn it is: a test that needs one place does not overtake one that needs many.
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
