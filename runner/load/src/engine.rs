//! The load driver: starts the threads, divides the loads among them, and collects their counts.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::compiled::CompiledLoad;
use super::connection::Gauges;
use super::control::Control;
use super::lane::LaneStart;
use super::pacing::{Pacing, Starter, share};
use super::record::{Ledger, LiveCounts};
use super::shard;
use super::target::Target;
use super::{Live, LoadDriver, LoadError, PlannedLoad};
use shakedown_observe::{LoadObservations, Marks};

/// More threads would take cores from the service.
const MAX_THREADS: usize = 4;

/// The rate and the number of workers that one thread sends easily. Below them a second thread costs more than it helps,
/// because two threads wake up more often than one, each for fewer requests.
const RATE_PER_THREAD: f64 = 25_000.0;
const WORKERS_PER_THREAD: usize = 16;

/// Sends all loads of one scenario over HTTP, from its own threads.
#[derive(Debug)]
pub struct Engine {
    targets: Vec<Arc<Target>>,
    /// The seed of all random choices.
    seed: u64,
    /// The share of the loads that this engine sends: its index and the number of shares.
    part: (usize, usize),
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    zero: Instant,
    marks: Arc<Marks>,
    loads: Vec<RunningLoad>,
    threads: Vec<EngineThread>,
}

/// A thread of the engine: its control, its handle (none if a test's runtime paces it), and a receiver that resolves when
/// it ends.
type EngineThread = (Arc<Control>, Option<JoinHandle<()>>, oneshot::Receiver<()>);

#[derive(Debug)]
struct RunningLoad {
    /// One for each thread that sends the load.
    ledgers: Vec<Arc<Ledger>>,
    gauges: Arc<Gauges>,
}

impl RunningLoad {
    /// Merges the observations of all threads.
    fn joined(&self, target: &Target, seen: impl Fn(&Ledger) -> LoadObservations) -> LoadObservations {
        let mut joined = LoadObservations {
            name: target.name.clone(),
            is_open: target.pacing.is_open(),
            resent: self.gauges.resent.load(Ordering::Relaxed),
            peculiarities: self.gauges.peculiarities(),
            requests: target.requests.names().map(str::to_owned).zip(self.gauges.counts()).collect(),
            ..LoadObservations::default()
        };
        self.ledgers.iter().for_each(|ledger| joined.merge(seen(ledger)));
        joined
    }
}

impl Engine {
    /// Checks and prepares the loads. Sends nothing.
    ///
    /// # Errors
    /// When a load cannot be sent: see [`CompiledLoad::new`].
    pub fn new(loads: &[PlannedLoad]) -> Result<Self, LoadError> {
        Ok(Self::of(loads.iter().map(Target::new).collect::<Result<_, _>>()?))
    }

    /// An engine for compiled loads. `seed` determines all random choices: the same seed gives the same arrivals.
    pub fn compiled(loads: Vec<CompiledLoad>, seed: u64) -> Self {
        let mut engine = Self::of(loads.into_iter().map(|load| load.target).collect());
        engine.seed = seed;
        engine
    }

    /// Sends share `part` (from 0) of `parts` of each load. The shares together are the whole load: each request of a
    /// schedule is in exactly one share, workers and limits are divided, and [`LoadObservations::merge`] joins the
    /// observations.
    #[must_use]
    pub fn part(mut self, part: usize, parts: usize) -> Self {
        self.part = (part, parts.max(1));
        self
    }

    /// An engine for these targets.
    pub(super) fn of(targets: Vec<Target>) -> Self {
        Self { targets: targets.into_iter().map(Arc::new).collect(), seed: 0, part: (0, 1), running: None }
    }

    /// Divides the loads among threads: the lanes of each thread, and the ledgers of each load.
    fn divide(&self, zero: Instant, marks: &Arc<Marks>, threads: usize) -> (Vec<Vec<LaneStart>>, Vec<RunningLoad>) {
        let mut starts: Vec<Vec<LaneStart>> = (0..threads).map(|_| Vec::new()).collect();
        let mut loads = Vec::new();
        let mut next_thread = 0;
        let (part, parts) = self.part;
        for target in &self.targets {
            let (lanes, limit) = threads_and_limit(target, threads, self.part);
            let gauges = Arc::new(Gauges::new(lanes, target.requests.names().count()));
            let ledgers: Vec<_> = (0..lanes).map(|_| Arc::new(Ledger::new(Arc::clone(marks)))).collect();
            for (lane, ledger) in ledgers.iter().enumerate() {
                // This lane's part of all requests of the load, over all shares.
                let of_all = (part + parts * lane, parts * lanes);
                starts[next_thread % threads].push(LaneStart {
                    target: Arc::clone(target),
                    ledger: Arc::clone(ledger),
                    gauges: Arc::clone(&gauges),
                    marks: Arc::clone(marks),
                    part: lane,
                    of_all,
                    limit: match &target.pacing {
                        Pacing::Open { .. } => share(limit, lane, lanes),
                        closed @ Pacing::Closed { .. } => share(closed.most_workers(), of_all.0, of_all.1).max(1),
                    },
                    starter: Starter::new(&target.pacing, self.seed, &target.name, of_all),
                    zero,
                });
                next_thread += 1;
            }
            loads.push(RunningLoad { ledgers, gauges });
        }
        (starts, loads)
    }

    /// Starts the engine on the current `LocalSet`, where paused time drives it.
    #[cfg(test)]
    pub(super) fn start_here(&mut self, zero: Instant, marks: Arc<Marks>) {
        let (mut starts, loads) = self.divide(zero, &marks, 1);
        let control = Arc::new(Control::new());
        let (is_over, when_over) = oneshot::channel();
        marks.listen({
            let control = Arc::clone(&control);
            move || control.wake()
        });
        let (paced, starts) = (Arc::clone(&control), starts.remove(0));
        tokio::task::spawn_local(async move {
            shard::pace(super::tests::Paused, starts, zero, &paced).await;
            is_over.send(()).ok();
        });
        self.running = Some(Running { zero, marks, loads, threads: vec![(control, None, when_over)] });
    }

    fn error(&self, message: impl Into<String>) -> LoadError {
        let load = self.targets.first().map_or_else(String::new, |target| target.name.clone());
        LoadError { load, message: message.into() }
    }
}

impl Drop for Engine {
    /// An engine that is dropped stops sending at once.
    fn drop(&mut self) {
        for (control, ..) in self.running.iter().flat_map(|running| &running.threads) {
            control.stop(0, 0);
        }
    }
}

/// The number of threads for a load, and its maximum number of requests under way.
fn threads_and_limit(target: &Target, most_threads: usize, (part, parts): (usize, usize)) -> (usize, usize) {
    let (wanted, limit) = if target.pacing.is_open() {
        let rate = target.pacing.highest_rate() / parts as f64;
        ((rate / RATE_PER_THREAD).ceil() as usize, share(target.max_in_flight, part, parts).max(1))
    } else {
        let workers = share(target.pacing.most_workers(), part, parts);
        (workers / WORKERS_PER_THREAD, workers)
    };
    // One thread enforces a small limit exactly. Divided, one part could wait while another has room.
    (wanted.clamp(1, most_threads).min((limit / WORKERS_PER_THREAD).max(1)), limit)
}

/// Raises the limit of open files as far as the system allows: each connection needs one.
fn raise_file_limit() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // With a low limit, requests wait for a connection once the files run out, and count as not sent.
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
}

#[async_trait]
impl LoadDriver for Engine {
    async fn start(&mut self, zero: std::time::Instant, marks: Arc<Marks>) -> Result<(), LoadError> {
        raise_file_limit();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(1, MAX_THREADS);
        let zero = Instant::from_std(zero);
        let (starts, loads) = self.divide(zero, &marks, threads);
        let mut running = Running { zero, marks, loads, threads: Vec::new() };
        let mut ready = Vec::new();
        for (number, starts) in starts.into_iter().enumerate().filter(|(_, starts)| !starts.is_empty()) {
            let control = Arc::new(Control::new());
            let (is_ready, when_ready) = oneshot::channel();
            let (is_over, when_over) = oneshot::channel();
            let handle = std::thread::Builder::new().name(format!("load-{number}")).spawn({
                let control = Arc::clone(&control);
                move || {
                    shard::run(starts, zero, &control, is_ready);
                    // The receiver is gone if the engine was dropped.
                    is_over.send(()).ok();
                }
            });
            let handle = handle.map_err(|error| self.error(format!("cannot start a thread: {error}")))?;
            running.marks.listen({
                let control = Arc::clone(&control);
                move || control.wake()
            });
            running.threads.push((control, Some(handle), when_over));
            ready.push(when_ready);
        }
        self.running = Some(running);
        for ready in ready {
            match ready.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.error(format!("the load engine cannot start: {error}"))),
                Err(_) => return Err(self.error("a thread of the load engine ended before it was ready")),
            }
        }
        Ok(())
    }

    fn live(&mut self) -> Vec<Live> {
        let Some(running) = &self.running else { return Vec::new() };
        self.targets
            .iter()
            .zip(&running.loads)
            .map(|(target, load)| {
                let mut counts = LiveCounts::default();
                load.ledgers.iter().for_each(|ledger| counts.merge(&ledger.live()));
                let [p50_ms, p95_ms, p99_ms] = Live::percentiles(&counts.latency);
                Live {
                    load: target.name.clone(),
                    ended: counts.ended,
                    succeeded: counts.succeeded,
                    p50_ms,
                    p95_ms,
                    p99_ms,
                    latency: counts.latency,
                    in_flight: load.gauges.in_flight(),
                }
            })
            .collect()
    }

    fn so_far(&mut self) -> Vec<LoadObservations> {
        let Some(running) = &self.running else { return Vec::new() };
        let end_ns = running.zero.elapsed().as_nanos() as u64;
        let loads = self.targets.iter().zip(&running.loads);
        loads.map(|(target, load)| load.joined(target, |ledger| ledger.so_far(end_ns))).collect()
    }

    fn answered_ns(&self) -> u64 {
        let loads = self.running.as_ref().map_or(&[][..], |running| &running.loads);
        loads.iter().map(|load| load.gauges.answered_ns()).min().unwrap_or(u64::MAX)
    }

    async fn finish(&mut self, grace: Duration) -> Result<Vec<LoadObservations>, LoadError> {
        let Some(running) = &mut self.running else {
            return Err(self.error("the load was not started"));
        };
        let zero = running.zero;
        let end_ns = running.marks.end_now(|| zero.elapsed().as_nanos() as u64);
        let halt_ns = end_ns.saturating_add(grace.as_nanos() as u64);
        for (control, ..) in &running.threads {
            control.stop(end_ns, halt_ns);
        }
        let mut lost = false;
        for (_, handle, over) in std::mem::take(&mut running.threads) {
            // A thread that panics drops its sender. Its counts are lost, so the load is invalid.
            lost |= over.await.is_err() | handle.is_some_and(|handle| handle.join().is_err());
        }
        let seen = self
            .targets
            .iter()
            .zip(&running.loads)
            .map(|(target, load)| load.joined(target, |ledger| ledger.close(end_ns)))
            .collect();
        if lost { Err(self.error("a thread of the load engine panicked")) } else { Ok(seen) }
    }
}
