//! The timeline: the only part that acts. It runs the phases in order, commands the injections and the undos, marks the
//! boundaries for the load, and records what happened.
//!
//! `phase` and `state` decide what is due. They are pure. Each fault is a task of its own (`fault`). The loop in `drive` waits
//! for events only, never for an action. Nothing can therefore delay a signal, a stop condition or the next undo.
//!
//! Even if a run ends early (a failed injection, a signal, a panic), every fault that was begun is undone before this module
//! returns.

mod drive;
mod fault;
mod interface;
mod phase;
mod probe;
mod state;
mod stretch;
#[cfg(test)]
mod tests;
mod watchdog;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

pub use interface::{Gate, Outcome, Stop, Timeline, panicked};
pub use watchdog::Breach;

/// Runs a scenario from its load's start to its last undo.
pub async fn run(timeline: Timeline<'_>) -> Outcome {
    let mut run = drive::Run::new(timeline);
    // A panic in the load or in the loop must not leave a fault in the cluster: the loop goes on and undoes everything.
    while let Err(panic) = AssertUnwindSafe(run.drive()).catch_unwind().await {
        if !run.panicked(panic.as_ref()) {
            break;
        }
    }
    run.outcome().await
}
