//! The timeline: the only part that acts. It runs the phases in order, tells the drivers when to inject and when to
//! undo, marks the boundaries for the load, and writes down what happened. It decides nothing about verdicts.
//!
//! Whatever ends a run early (a failed injection, a signal, a panic), every fault that was begun is undone before this
//! module returns.

mod fault;
mod probe;
#[cfg(test)]
mod tests;
mod watchdog;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::{FaultResult, Leftover};
use shakedown_schemas::scenario::{Phase, Scenario};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::events::{Events, Progress};
use fault::FaultRun;
use shakedown_faults::{FaultDriver, FaultPlan};
use shakedown_load::{LoadDriver, LoadError};
use shakedown_observe::{LoadObservations, Mark, Marks, Observations, Part, PhaseSpan};
use watchdog::Watchdog;

pub use watchdog::Breach;

/// How often the live display is refreshed.
const PROGRESS: Duration = Duration::from_millis(500);

/// How long the load engine has to get ready.
const LEAD: Duration = Duration::from_millis(100);

/// How often it is looked whether the requests of the phase before have ended.
const LOOK: Duration = Duration::from_millis(100);

/// How long requests that are under way get to end when a run is to end early.
const STOPPED_GRACE: Duration = Duration::from_millis(500);

/// A scenario that is ready to run.
pub struct Timeline<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its faults, each with the driver that carries it out.
    pub faults: Vec<(FaultPlan, Box<dyn FaultDriver>)>,
    /// Its load.
    pub load: Box<dyn LoadDriver>,
    /// Where events go. Its clock starts with the load.
    pub events: Events,
    /// Why the run is to end early, once it is.
    pub stop: watch::Receiver<Option<Stop>>,
    /// How long the undo of a fault is tried.
    pub undo_limit: Duration,
    /// Asked once, before the first phase with faults.
    pub gate: Option<Gate<'a>>,
}

/// Looks at what was seen until then, and says what speaks against any fault; nothing when nothing does.
pub type Gate<'a> = Box<dyn FnOnce(&Observations) -> Vec<String> + Send + 'a>;

/// Why a run is to end early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A signal, by name.
    Signal(&'static str),
    /// A reason of our own, in words.
    Because(String),
}

impl Stop {
    /// The reason in words.
    pub fn text(&self) -> String {
        match self {
            Self::Signal(signal) => format!("interrupted by {signal}"),
            Self::Because(reason) => reason.clone(),
        }
    }
}

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was seen.
    pub observations: Observations,
    /// What became of the faults, in the order of the plan.
    pub faults: Vec<FaultResult>,
    /// What went wrong with the run itself, in words.
    pub errors: Vec<String>,
    /// The stop condition that ended the run, where one did.
    pub breach: Option<Breach>,
    /// What spoke against any fault, where that ended the run.
    pub refused: Vec<String>,
    /// What could not be removed.
    pub leftovers: Vec<Leftover>,
    /// From the load's start to the end of the last undo.
    pub duration: Duration,
}

/// Runs a scenario from its load's start to its last undo.
pub async fn run(timeline: Timeline<'_>) -> Outcome {
    let Timeline { scenario, faults, load, events, stop, undo_limit, gate } = timeline;
    let mut run = Run {
        scenario,
        faults: faults.into_iter().map(|(plan, driver)| FaultRun::new(plan, driver, events.clone())).collect(),
        load,
        events,
        stop,
        undo_limit,
        watchdog: Watchdog::new(scenario),
        breach: None,
        gate,
        refused: Vec::new(),
        calmed: None,
        loads: None,
        marks: Arc::default(),
        zero: Instant::now(),
        spans: Vec::new(),
        errors: Vec::new(),
    };
    // A panic in a driver or in this module must not leave a fault in the cluster.
    if let Err(panic) = AssertUnwindSafe(run.phases()).catch_unwind().await {
        run.fail(panicked(panic.as_ref()));
    }
    run.end().await
}

/// What a panic says, as an error of the run.
pub fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    format!("shakedown itself failed: {text}\nhelp: this is a bug; everything that was begun is undone")
}

struct Run<'a> {
    scenario: &'a Scenario,
    faults: Vec<FaultRun>,
    load: Box<dyn LoadDriver>,
    events: Events,
    stop: watch::Receiver<Option<Stop>>,
    undo_limit: Duration,
    watchdog: Watchdog,
    breach: Option<Breach>,
    gate: Option<Gate<'a>>,
    refused: Vec<String>,
    /// The phase before which the answers of those before it were waited for already.
    calmed: Option<usize>,
    /// What the load saw, once it was ended.
    loads: Option<Result<Vec<LoadObservations>, LoadError>>,
    marks: Arc<Marks>,
    zero: Instant,
    spans: Vec<PhaseSpan>,
    errors: Vec<String>,
}

/// What a phase consists of once nothing is being injected.
fn calm_part(phase: &Phase) -> Part {
    if phase.settle.is_zero() { Part::Judged } else { Part::Settling }
}

/// Why a phase went no further.
#[derive(Debug)]
enum Early {
    Stopped,
    Failed,
}

impl Run<'_> {
    fn now_ns(&self) -> u64 {
        self.zero.elapsed().as_nanos() as u64
    }

    fn fail(&mut self, message: String) {
        self.events.emit(EventKind::Error { message: message.clone() });
        self.errors.push(message);
    }

    async fn phases(&mut self) {
        // A moment ahead, so that the engine is up when its first request is due.
        self.zero = Instant::now() + LEAD;
        self.events.start_clock(self.zero);
        if let Some(part) = self.first_part(0) {
            self.begin(0, part, || 0);
        }
        if let Err(error) = self.load.start(self.zero.into_std(), self.marks.clone()).await {
            self.fail(error.to_string());
            return;
        }
        tokio::time::sleep_until(self.zero).await;
        self.events.emit(EventKind::LoadStarted);
        self.watchdog.start();
        for index in 0..self.scenario.phases.len() {
            if self.stop.borrow().is_some() || !self.may_begin(index).await {
                return;
            }
            let ended = self.phase(index).await;
            self.events.emit(EventKind::PhaseEnded { phase: self.scenario.phases[index].name.clone() });
            if ended.is_err() {
                return;
            }
        }
    }

    /// Whether a phase may begin: the first one with faults not unless the gate lets it, which looks once the requests
    /// of the phases before have ended.
    async fn may_begin(&mut self, index: usize) -> bool {
        if self.scenario.phases[index].faults.is_empty() {
            return true;
        }
        if let Some(gate) = self.gate.take() {
            let start_ns = self.spans.last().map_or(0, |span| span.end_ns);
            if self.calm(index, start_ns).await.is_err() {
                return false;
            }
            self.calmed = Some(index);
            let loads = self.load.so_far();
            self.refused = gate(&Observations { phases: self.spans.clone(), loads, ..Observations::default() });
            for problem in &self.refused {
                self.events.emit(EventKind::Warning { message: format!("no fault is injected: {problem}") });
            }
        }
        self.refused.is_empty()
    }

    async fn phase(&mut self, index: usize) -> Result<(), Early> {
        let phase = &self.scenario.phases[index];
        self.watchdog.enter(index);
        // Also where they are left out on purpose, so that the phases after it are asked what they would be asked.
        let has_faults = !phase.faults.is_empty();
        let left_out = has_faults && self.faults.iter().all(|fault| fault.plan.phase != index);
        let at_once = self.faults.iter().any(|fault| fault.plan.phase == index && fault.plan.after.is_zero());
        // Where the one before it ended, so that no request is due between two phases.
        let start_ns = self.spans.last().map_or(0, |span| span.end_ns);
        self.events
            .emit(EventKind::PhaseStarted { phase: phase.name.clone(), planned_s: phase.duration.as_secs_f64() });
        let mut span = PhaseSpan {
            name: phase.name.clone(),
            start_ns,
            active_ns: start_ns,
            judged_from_ns: u64::MAX,
            planned_ns: phase.duration.get().as_nanos() as u64,
            has_faults,
            ..PhaseSpan::default()
        };
        let mut result = Ok(());
        if at_once {
            if self.calmed != Some(index) {
                result = self.calm(index, start_ns).await;
            }
            if result.is_ok() {
                result = self.inject(|fault| fault.plan.phase == index && fault.plan.after.is_zero()).await;
            }
            // The phase is judged from when its faults are in place. How long their proof takes is our affair, and what
            // the service's users feel meanwhile must not be left out.
            span.active_ns = match result {
                Ok(()) => self.begin(index, calm_part(phase), || self.now_ns()),
                Err(_) => self.now_ns(),
            };
        }
        if result.is_ok() {
            span.judged_from_ns = span.active_ns + phase.settle.get().as_nanos() as u64;
            result = self.prove(FaultRun::is_to_prove).await;
        }
        if result.is_ok() {
            result = self.wait(index, span.active_ns, phase.duration.get()).await;
        }
        span.complete = result.is_ok();
        span.judged_to_ns = if has_faults {
            self.begin(index, Part::Undoing, || self.now_ns())
        } else {
            self.border(index, span.complete)
        };
        span.judged_from_ns = span.judged_from_ns.min(span.judged_to_ns);
        span.end_ns = span.judged_to_ns;
        if has_faults {
            let clean = self.undo(|fault| fault.plan.phase == index).await;
            let last =
                self.faults.iter().filter(|fault| fault.plan.phase == index).filter_map(FaultRun::undone_ns).max();
            span.removed_ns = last.filter(|_| clean).or(left_out.then_some(span.judged_to_ns));
            span.end_ns = self.border(index, span.complete);
        }
        self.spans.push(span);
        result
    }

    /// What a phase begins with; none after the last phase.
    fn first_part(&self, index: usize) -> Option<Part> {
        let phase = self.scenario.phases.get(index)?;
        let at_once = self.faults.iter().any(|fault| fault.plan.phase == index && fault.plan.after.is_zero());
        Some(if at_once { Part::Injecting } else { calm_part(phase) })
    }

    /// Begins a part of a phase, and says when that is. One that settles is followed by the judged one.
    fn begin(&self, index: usize, part: Part, now_ns: impl FnOnce() -> u64) -> u64 {
        let at_ns = self.marks.begin_now(index, part, now_ns);
        if part == Part::Settling {
            let at_ns = at_ns + self.scenario.phases[index].settle.get().as_nanos() as u64;
            self.marks.begin(Mark { at_ns, phase: index, part: Part::Judged });
        }
        at_ns
    }

    /// A phase ends now, and the next one begins in the same moment unless the run ends with this one.
    fn border(&self, index: usize, goes_on: bool) -> u64 {
        match self.first_part(index + 1).filter(|_| goes_on) {
            Some(part) => self.begin(index + 1, part, || self.now_ns()),
            None => self.now_ns(),
        }
    }

    /// Waits until the requests that were due before a phase with faults have ended.
    async fn calm(&mut self, index: usize, start_ns: u64) -> Result<(), Early> {
        let until = Instant::now() + self.scenario.longest_calm();
        let end = until + self.scenario.phases[index].duration.get();
        while self.load.answered_ns() < start_ns {
            let now = Instant::now();
            if now >= until {
                let message =
                    "requests of the phase before are still under way: what the fault does to them counts there";
                self.events.emit(EventKind::Warning { message: message.to_owned() });
                break;
            }
            self.idle_until(index, (now + LOOK).min(until), end).await?;
        }
        Ok(())
    }

    /// Keeps to the phase's own schedule until it is over: faults that come later or end earlier.
    async fn wait(&mut self, index: usize, active_ns: u64, planned: Duration) -> Result<(), Early> {
        let active = self.zero + Duration::from_nanos(active_ns);
        let end = active + planned;
        loop {
            let next_inject = self
                .faults
                .iter()
                .filter(|fault| fault.plan.phase == index && fault.is_planned())
                .map(|fault| active + fault.plan.after)
                .min();
            let next_undo = self
                .faults
                .iter()
                .filter(|fault| fault.plan.phase == index && fault.is_standing())
                .filter_map(|fault| Some(active + fault.plan.after + fault.plan.lasts?))
                .min();
            let next = [Some(end), next_inject, next_undo].into_iter().flatten().min().unwrap_or(end);
            self.idle_until(index, next, end).await?;
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            let due = |at: Duration| active + at <= now;
            self.undo(|fault| {
                fault.plan.phase == index
                    && fault.is_standing()
                    && fault.plan.lasts.is_some_and(|lasts| due(fault.plan.after + lasts))
            })
            .await;
            self.inject(|fault| fault.plan.phase == index && fault.is_planned() && due(fault.plan.after)).await?;
            self.prove(FaultRun::is_to_prove).await?;
        }
    }

    /// Waits for a moment, shows progress meanwhile, and gives way to a signal.
    async fn idle_until(&mut self, index: usize, until: Instant, phase_end: Instant) -> Result<(), Early> {
        loop {
            let tick = (Instant::now() + PROGRESS).min(until);
            tokio::select! {
                biased;
                stopped = self.stop.wait_for(Option::is_some) => {
                    if stopped.is_ok() {
                        return Err(Early::Stopped);
                    }
                    // Nobody is left who could ask us to stop.
                    tokio::time::sleep_until(tick).await;
                }
                () = tokio::time::sleep_until(tick) => {}
            }
            let loads = self.load.live();
            self.watchdog.see(&loads);
            self.events.progress(Progress {
                phase: self.scenario.phases[index].name.clone(),
                phase_number: index + 1,
                phases: self.scenario.phases.len(),
                elapsed: self.zero.elapsed(),
                left: phase_end.saturating_duration_since(Instant::now()),
                loads,
                faults: self.faults.iter().filter(|fault| fault.is_standing()).map(FaultRun::state_text).collect(),
            });
            if let Some(breach) = self.watchdog.breach() {
                self.events.emit(EventKind::Error { message: format!("stopped: {}", breach.reason) });
                self.breach = Some(Breach { phase: self.scenario.phases[index].name.clone(), ..breach });
                return Err(Early::Stopped);
            }
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    async fn inject(&mut self, which: impl Fn(&FaultRun) -> bool) -> Result<(), Early> {
        let zero = self.zero;
        // Never dropped half-way: a request that was cut off here could still arrive there after the undo.
        let faults = self.faults.iter_mut().filter(|fault| which(fault));
        let results = join_all(faults.map(|fault| fault.inject(zero, self.stop.clone()))).await;
        self.all_well(results)
    }

    async fn prove(&mut self, which: impl Fn(&FaultRun) -> bool) -> Result<(), Early> {
        let (zero, stop) = (self.zero, &self.stop);
        let stopped = || stop.borrow().is_some();
        let faults = self.faults.iter_mut().filter(|fault| which(fault));
        let results = join_all(faults.map(|fault| fault.prove(zero, stopped))).await;
        self.all_well(results)
    }

    fn all_well(&mut self, results: Vec<Result<(), String>>) -> Result<(), Early> {
        let mut result = Ok(());
        for message in results.into_iter().filter_map(Result::err) {
            self.fail(message);
            result = Err(Early::Failed);
        }
        result
    }

    fn is_stopped(&self) -> bool {
        self.breach.is_some() || self.stop.borrow().is_some()
    }

    /// Undoes the faults that were begun, all at once; true when all of them are proven to be gone. A run that is to
    /// end early ends its load at the same time.
    async fn undo(&mut self, which: impl Fn(&FaultRun) -> bool) -> bool {
        let (zero, limit, stopped) = (self.zero, self.undo_limit, self.is_stopped());
        let faults = self.faults.iter_mut().filter(|fault| which(fault) && fault.needs_undo());
        let undone = join_all(faults.map(|fault| fault.undo(zero, limit, stopped)));
        let clean = if stopped && self.loads.is_none() {
            let (clean, loads) = tokio::join!(undone, self.load.finish(STOPPED_GRACE));
            self.loads = Some(loads);
            clean
        } else {
            undone.await
        };
        clean.into_iter().all(|clean| clean)
    }

    async fn end(mut self) -> Outcome {
        // The undo comes before the load's last answers: a fault must not stand while we wait for a slow stream.
        self.undo(|_| true).await;
        let problems = join_all(self.faults.iter_mut().map(FaultRun::dismiss)).await;
        self.errors.extend(problems.into_iter().flatten());
        let duration = self.zero.elapsed();
        let loads = match self.loads.take() {
            Some(loads) => loads,
            None => self.load.finish(Duration::MAX).await,
        };
        let loads = loads.unwrap_or_else(|error| {
            self.fail(error.to_string());
            Vec::new()
        });
        self.errors.extend(self.stop.borrow().iter().map(Stop::text));
        Outcome {
            observations: Observations { phases: self.spans, loads, ..Observations::default() },
            leftovers: self.faults.iter().flat_map(FaultRun::leftovers).collect(),
            faults: self.faults.into_iter().map(FaultRun::into_result).collect(),
            errors: self.errors,
            breach: self.breach,
            refused: self.refused,
            duration,
        }
    }
}
