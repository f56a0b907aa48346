//! The load driver: starts the threads, divides the loads among them, and collects what they counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::lane::LaneStart;
use super::record::Ledger;
use super::schedule::Schedule;
use super::shard::{self, Control};
use super::slot::Gauges;
use super::target::{Pace, Target};
use super::{Live, LoadDriver, LoadError, PlannedLoad};
use crate::observe::{LoadObservations, Marks};

/// More threads than this would only take cores from the service.
const MAX_THREADS: usize = 4;

/// One thread sends so many requests a second with ease, and so many at once. A second one costs more than it helps
/// below that, because two threads wake up more often than one.
const RATE_PER_THREAD: f64 = 10_000.0;
const WORKERS_PER_THREAD: usize = 16;

/// Sends all loads of one scenario over HTTP, from threads of its own.
#[derive(Debug)]
pub struct Engine {
    targets: Vec<Arc<Target>>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    zero: Instant,
    loads: Vec<(Arc<Ledger>, Arc<Gauges>)>,
    threads: Vec<(Arc<Control>, JoinHandle<()>, oneshot::Receiver<()>)>,
}

impl Engine {
    /// Checks and prepares the loads. Sends nothing.
    ///
    /// # Errors
    /// When a load cannot be sent: a URL, method, path or header that HTTP does not allow, or `https` on a system without
    /// trusted roots.
    pub fn new(loads: &[PlannedLoad]) -> Result<Self, LoadError> {
        Ok(Self::of(loads.iter().map(Target::new).collect::<Result<_, _>>()?))
    }

    /// Listens to the requests of each load for so many times their timeout (at least once), to tell those that come late
    /// from those that never end.
    #[must_use]
    pub fn lingering(mut self, times: impl Fn(&str) -> f64) -> Self {
        for target in &mut self.targets {
            let times = times(&target.name).clamp(1.0, 10.0);
            Arc::make_mut(target).linger = times;
        }
        self
    }

    /// An engine for these targets.
    pub(super) fn of(targets: Vec<Target>) -> Self {
        Self { targets: targets.into_iter().map(Arc::new).collect(), running: None }
    }

    fn error(&self, message: impl Into<String>) -> LoadError {
        let load = self.targets.first().map_or_else(String::new, |target| target.name.clone());
        LoadError { load, message: message.into() }
    }
}

impl Drop for Engine {
    /// An engine that is given up stops sending at once.
    fn drop(&mut self) {
        for (control, ..) in self.running.iter().flat_map(|running| &running.threads) {
            control.stop(0, 0);
        }
    }
}

/// How many threads a load is divided among.
fn parts(target: &Target, threads: usize) -> usize {
    let wanted = match target.pace {
        Pace::Open(rate) => (rate / RATE_PER_THREAD).ceil() as usize,
        Pace::Closed(workers) => workers / WORKERS_PER_THREAD,
    };
    // A small limit is kept exactly by one thread; divided, one part could wait while another has room.
    wanted.clamp(1, threads).min((target.max_in_flight / WORKERS_PER_THREAD).max(1))
}

/// Lets the process open as many files as the system allows: each connection needs one.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Without it requests wait for a connection once the files run out, and are counted as not sent.
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "the limit of open files stays as it is");
        }
    }
}

#[async_trait]
impl LoadDriver for Engine {
    async fn start(&mut self, zero: Instant, marks: Arc<Marks>) -> Result<(), LoadError> {
        raise_file_limit();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MAX_THREADS);
        let mut starts: Vec<Vec<LaneStart>> = (0..threads).map(|_| Vec::new()).collect();
        let mut loads = Vec::new();
        let mut next_thread = 0;
        for target in &self.targets {
            let parts = parts(target, threads);
            let ledger = Arc::new(Ledger::new(Arc::clone(&marks)));
            let gauges = Arc::new(Gauges::new(parts, target.requests.names().count()));
            for part in 0..parts {
                starts[next_thread % threads].push(LaneStart {
                    target: Arc::clone(target),
                    ledger: Arc::clone(&ledger),
                    gauges: Arc::clone(&gauges),
                    part,
                    parts,
                    limit: target.max_in_flight / parts + usize::from(part < target.max_in_flight % parts),
                    schedule: match target.pace {
                        Pace::Open(rate) => Some(Schedule::new(rate, part as u64, parts as u64)),
                        Pace::Closed(_) => None,
                    },
                    zero,
                });
                next_thread += 1;
            }
            loads.push((ledger, gauges));
        }
        let mut running = Running { zero, loads, threads: Vec::new() };
        let mut ready = Vec::new();
        for (number, starts) in starts.into_iter().enumerate().filter(|(_, starts)| !starts.is_empty()) {
            let control = Arc::new(Control::new());
            let (is_ready, when_ready) = oneshot::channel();
            let (is_over, when_over) = oneshot::channel();
            let handle = std::thread::Builder::new().name(format!("load-{number}")).spawn({
                let control = Arc::clone(&control);
                move || {
                    shard::run(starts, zero, &control, is_ready);
                    // Nobody waits for it when the engine was given up.
                    is_over.send(()).ok();
                }
            });
            let handle = handle.map_err(|error| self.error(format!("cannot start a thread: {error}")))?;
            running.threads.push((control, handle, when_over));
            ready.push(when_ready);
        }
        self.running = Some(running);
        for ready in ready {
            match ready.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.error(format!("the load engine cannot start: {error}"))),
                Err(_) => return Err(self.error("a thread of the load engine ended before it began")),
            }
        }
        Ok(())
    }

    fn live(&mut self) -> Vec<Live> {
        let Some(running) = &self.running else { return Vec::new() };
        self.targets
            .iter()
            .zip(&running.loads)
            .map(|(target, (ledger, gauges))| {
                let counts = ledger.live();
                let milliseconds = |quantile| counts.latency.quantile(quantile).map(|micros| micros / 1e3);
                Live {
                    load: target.name.clone(),
                    ended: counts.ended,
                    succeeded: counts.succeeded,
                    p50_ms: milliseconds(0.5),
                    p95_ms: milliseconds(0.95),
                    p99_ms: milliseconds(0.99),
                    latency: counts.latency,
                    in_flight: gauges.in_flight(),
                }
            })
            .collect()
    }

    fn so_far(&mut self) -> Vec<LoadObservations> {
        let Some(running) = &self.running else { return Vec::new() };
        let end_ns = running.zero.elapsed().as_nanos() as u64;
        let loads = self.targets.iter().zip(&running.loads);
        loads.map(|(target, (ledger, _))| ledger.so_far(&target.name, end_ns)).collect()
    }

    fn answered_ns(&self) -> u64 {
        let loads = self.running.as_ref().map_or(&[][..], |running| &running.loads);
        loads.iter().map(|(_, gauges)| gauges.answered_ns()).min().unwrap_or(u64::MAX)
    }

    async fn finish(&mut self, grace: Duration) -> Result<Vec<LoadObservations>, LoadError> {
        let Some(running) = &mut self.running else {
            return Err(self.error("the load was never started"));
        };
        let end_ns = running.zero.elapsed().as_nanos() as u64;
        let halt_ns = end_ns.saturating_add(grace.as_nanos() as u64);
        for (control, ..) in &running.threads {
            control.stop(end_ns, halt_ns);
        }
        let mut lost = false;
        for (_, handle, over) in std::mem::take(&mut running.threads) {
            // The sender is dropped when the thread panics; then its counts are lost, and so is the load.
            lost |= over.await.is_err() | handle.join().is_err();
        }
        let seen = self
            .targets
            .iter()
            .zip(&running.loads)
            .map(|(target, (ledger, gauges))| {
                let mut seen = ledger.close(&target.name, end_ns);
                seen.resent = gauges.resent.load(Ordering::Relaxed);
                seen.requests = target.requests.names().map(str::to_owned).zip(gauges.counts()).collect();
                seen
            })
            .collect();
        if lost { Err(self.error("a thread of the load engine died")) } else { Ok(seen) }
    }
}
