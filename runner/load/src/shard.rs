//! One thread of the engine: a runtime of its own, the pacer, and its lanes.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::clock::{Clock, Timer};
use super::lane::{Lane, LaneStart};

/// How often what ended is handed to the ledger.
const FLUSH_NS: u64 = 100_000_000;

/// The pacer ticks no more often than this, whatever its lanes want.
const MIN_TICK_NS: u64 = 150_000;

/// How often a thread that has been stopped looks whether its last requests have ended.
const DRAIN_TICK_NS: u64 = 2_000_000;

/// How the engine tells a thread to stop, and how a lane tells its pacer to look at the time again.
#[derive(Debug)]
pub(super) struct Control {
    /// Requests due from here on are not sent.
    stop_ns: AtomicU64,
    /// What is still under way then is given up.
    halt_ns: AtomicU64,
    changed: Notify,
}

impl Control {
    pub(super) fn new() -> Self {
        Self { stop_ns: AtomicU64::new(u64::MAX), halt_ns: AtomicU64::new(u64::MAX), changed: Notify::new() }
    }

    /// Stops the thread.
    pub(super) fn stop(&self, stop_ns: u64, halt_ns: u64) {
        self.halt_ns.store(halt_ns, Ordering::SeqCst);
        self.stop_ns.store(stop_ns, Ordering::SeqCst);
        self.wake();
    }

    /// Wakes the pacer.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }
}

/// Runs the lanes on this thread until `control` stops it and their requests have ended.
pub(super) fn run(
    starts: Vec<LaneStart>,
    zero: Instant,
    control: &Arc<Control>,
    ready: oneshot::Sender<io::Result<()>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => return drop(ready.send(Err(error))),
    };
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        match Clock::new() {
            Ok(clock) => {
                // Nobody listens when the engine was dropped meanwhile; then `control` says so too.
                drop(ready.send(Ok(())));
                pace(clock, starts, zero, control).await;
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    drop(local);
    // A name that is still being resolved must not hold up the run's end.
    runtime.shutdown_background();
}

/// Paces the lanes until `control` stops them and their requests have ended.
pub(super) async fn pace(mut clock: impl Timer, starts: Vec<LaneStart>, zero: Instant, control: &Arc<Control>) {
    let lanes: Vec<Rc<Lane>> = starts.into_iter().map(|start| Lane::new(start, Arc::clone(control))).collect();
    let mut next_flush_ns = FLUSH_NS;
    let mut wanted_ns = u64::MAX;
    loop {
        let stop_ns = control.stop_ns.load(Ordering::SeqCst);
        let wake_at = match Instant::now().checked_duration_since(zero) {
            None if stop_ns == u64::MAX => zero,
            since_zero => {
                let now_ns = since_zero.map_or(0, |since| since.as_nanos() as u64);
                for lane in &lanes {
                    lane.stop(stop_ns);
                    lane.tick(now_ns, now_ns.saturating_sub(wanted_ns));
                }
                let mut wake_ns = lanes.iter().map(|lane| lane.next_tick_ns()).min().unwrap_or(u64::MAX);
                if now_ns >= next_flush_ns {
                    next_flush_ns = now_ns + FLUSH_NS;
                    for lane in &lanes {
                        lane.flush(now_ns);
                    }
                }
                wake_ns = wake_ns.min(next_flush_ns).max(now_ns + MIN_TICK_NS);
                if now_ns >= stop_ns {
                    let halt_ns = control.halt_ns.load(Ordering::SeqCst);
                    if now_ns >= halt_ns || lanes.iter().all(|lane| lane.is_drained()) {
                        for lane in &lanes {
                            lane.halt(now_ns);
                            lane.flush(now_ns);
                        }
                        return;
                    }
                    wake_ns = wake_ns.min(halt_ns).min(now_ns + DRAIN_TICK_NS);
                }
                wanted_ns = wake_ns;
                zero + Duration::from_nanos(wake_ns)
            }
        };
        tokio::select! {
            biased;
            () = control.changed.notified() => {}
            () = clock.until(wake_at) => {}
        }
    }
}
