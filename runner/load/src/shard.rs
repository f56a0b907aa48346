//! One thread of the engine: its runtime, the pacer, and its lanes.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::clock::{Clock, Timer};
use super::connect;
use super::control::Control;
use super::lane::{Lane, LaneStart};

/// The interval at which ended requests are written to the ledger.
const FLUSH_NS: u64 = 100_000_000;

/// The shortest interval between two ticks of the pacer.
const MIN_TICK_NS: u64 = 150_000;

/// The longest nap. It delays the notice of a mark or a stop by as much, and costs one wake-up.
const MAX_NAP: Duration = Duration::from_millis(2);

/// The interval at which a stopped thread checks whether its last requests have ended.
const DRAIN_TICK_NS: u64 = 2_000_000;

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
                // The receiver is gone if the engine was dropped. `control` stops the thread then.
                drop(ready.send(Ok(())));
                let control = Arc::clone(control);
                // A task of its own, so that it takes turns with the connections.
                let paced = tokio::task::spawn_local(async move { pace(clock, starts, zero, &control).await });
                if let Err(error) = paced.await
                    && let Ok(panic) = error.try_into_panic()
                {
                    std::panic::resume_unwind(panic);
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
    drop(local);
    // A name resolution that is still running must not delay the end of the run.
    runtime.shutdown_background();
}

/// Paces the lanes until `control` stops them and their requests have ended.
pub(super) async fn pace(mut clock: impl Timer, starts: Vec<LaneStart>, zero: Instant, control: &Arc<Control>) {
    let lanes: Vec<Rc<Lane>> =
        starts.into_iter().map(|start| Lane::new(start, Arc::clone(control), connect::open)).collect();
    let mut next_flush_ns = FLUSH_NS;
    let mut wanted_ns = u64::MAX;
    loop {
        let stop_ns = control.stop_ns();
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
                    let halt_ns = control.halt_ns();
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
        // The connections write what the tick gave them. Then it is known whether one has to continue at once.
        requeue().await;
        let now = Instant::now();
        let now_ns = now.saturating_duration_since(zero).as_nanos() as u64;
        if wake_at.saturating_duration_since(now) <= MAX_NAP && lanes.iter().all(|lane| lane.can_nap(now_ns)) {
            clock.nap(wake_at).await;
            // The runtime polls the sockets, wakes the connections that have an answer, and then this task.
            tokio::task::yield_now().await;
            continue;
        }
        tokio::select! {
            biased;
            () = control.changed() => {}
            () = clock.until(wake_at) => {}
        }
    }
}

/// Lets the tasks that are ready run first. Unlike [`tokio::task::yield_now`], it does not poll the sockets, which is a system
/// call.
async fn requeue() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}
