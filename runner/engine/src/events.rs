//! The run's event stream. The timeline, the drivers and the command line emit events; the console, the file
//! `events.ndjson` and the result receive them. Listeners cannot influence the run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shakedown_reports::Redactor;
use shakedown_schemas::scenario::{Expectation, LatencyOf, Phase};
use shakedown_schemas::units::Percent;
use shakedown_schemas::{Event, EventKind};
use tokio::time::Instant;

use shakedown_load::Live;

/// The numbers of the live display. They are approximate and not stored; the result has the exact ones.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The current phase.
    pub phase: String,
    /// Its number, from 1.
    pub phase_number: usize,
    /// The number of phases.
    pub phases: usize,
    /// The time since the load's start.
    pub elapsed: Duration,
    /// The time until the phase's end.
    pub left: Duration,
    /// The time until the end of the last phase, if no phase has to wait.
    pub run_left: Duration,
    /// The phase's expectations, in the order of the file.
    pub expectations: Vec<Expected>,
    /// Whether requests of this moment are judged: the faults act, and the settling time is over.
    pub is_judged: bool,
    /// The numbers of each load since the previous update.
    pub loads: Vec<Live>,
    /// The faults that act now, with their states.
    pub faults: Vec<String>,
}

/// An expectation of the current phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// In words, such as `success rate at least 99%`.
    pub title: String,
    /// The load. None for every load.
    pub load: Option<String>,
    /// What the live display can show of it.
    pub measure: Measure,
}

/// The measure of an expectation that the display follows, with its limits. A side without a limit is open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// The share of requests that succeeded, from 0 to 1.
    SuccessRate {
        /// The smallest share that passes.
        min: f64,
        /// The largest share that passes.
        max: f64,
    },
    /// A percentile of the latency, in milliseconds.
    Latency {
        /// The quantile, from 0 to 1.
        quantile: f64,
        /// The smallest latency that passes.
        min_ms: f64,
        /// The largest latency that passes.
        max_ms: f64,
    },
    /// It is known only at the end of the run.
    AtTheEnd,
}

impl Expected {
    /// The expectations of a phase.
    pub fn of(phase: &Phase) -> Vec<Self> {
        let one = |it: &Expectation| Self {
            title: shakedown_judge::title(it),
            load: it.load().map(str::to_owned),
            measure: Measure::of(it),
        };
        phase.expect.iter().map(one).collect()
    }
}

impl Measure {
    fn of(expectation: &Expectation) -> Self {
        match expectation {
            Expectation::SuccessRate(it) => Self::SuccessRate {
                min: it.min.map_or(0.0, Percent::fraction),
                max: it.max.map_or(1.0, Percent::fraction),
            },
            Expectation::Latency(it) if it.of == LatencyOf::All => Self::Latency {
                quantile: it.percentile.fraction(),
                min_ms: it.min.map_or(0.0, |min| min.as_secs_f64() * 1e3),
                max_ms: it.max.map_or(f64::INFINITY, |max| max.as_secs_f64() * 1e3),
            },
            _ => Self::AtTheEnd,
        }
    }
}

/// A receiver of events.
pub trait Listener: Send {
    /// Receives one event.
    fn event(&mut self, event: &Event);

    /// Receives an update of the live display.
    fn progress(&mut self, _scenario: &str, _progress: &Progress) {}
}

/// The sender of the stream. Clones send to the same stream.
#[derive(Clone)]
pub struct Events {
    scenario: Option<String>,
    zero: Arc<Mutex<Option<Instant>>>,
    log: Arc<Mutex<Vec<Event>>>,
    listeners: Arc<Mutex<Vec<Box<dyn Listener>>>>,
    redactor: Redactor,
}

impl Events {
    /// A stream with these listeners.
    pub fn new(listeners: Vec<Box<dyn Listener>>) -> Self {
        Self {
            scenario: None,
            zero: Arc::default(),
            log: Arc::default(),
            listeners: Arc::new(Mutex::new(listeners)),
            redactor: Redactor::default(),
        }
    }

    /// The same stream, with secrets redacted before an event reaches a listener.
    pub fn redacted(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// The redactor of its events.
    pub const fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The same stream for the events of one scenario, with its own clock and log.
    pub fn scenario(&self, name: &str) -> Self {
        Self {
            scenario: Some(name.to_owned()),
            zero: Arc::default(),
            log: Arc::default(),
            listeners: self.listeners.clone(),
            redactor: self.redactor.clone(),
        }
    }

    /// Sets the zero of the scenario's clock: its load's start.
    pub fn start_clock(&self, zero: Instant) {
        *lock(&self.zero) = Some(zero);
    }

    /// The zero of the scenario's clock, once it is set.
    pub fn zero(&self) -> Option<Instant> {
        *lock(&self.zero)
    }

    /// Sends an event with the current time.
    pub fn emit(&self, kind: EventKind) {
        let elapsed_s = lock(&self.zero).map(|zero| zero.elapsed().as_secs_f64());
        let mut event = Event { at: jiff::Timestamp::now(), scenario: self.scenario.clone(), elapsed_s, kind };
        self.redactor.event(&mut event);
        // A listener that panics must not end the run, and least of all its undo.
        lock(&self.listeners).retain_mut(|listener| catch_unwind(AssertUnwindSafe(|| listener.event(&event))).is_ok());
        lock(&self.log).push(event);
    }

    /// Sends an update of the live display.
    pub fn progress(&self, mut progress: Progress) {
        for text in [&mut progress.phase].into_iter().chain(&mut progress.faults) {
            *text = self.redactor.text(text);
        }
        for load in &mut progress.loads {
            load.load = self.redactor.text(&load.load);
        }
        let scenario = self.scenario.as_deref().unwrap_or_default();
        lock(&self.listeners)
            .retain_mut(|listener| catch_unwind(AssertUnwindSafe(|| listener.progress(scenario, &progress))).is_ok());
    }

    /// The events of this scenario so far.
    pub fn log(&self) -> Vec<Event> {
        lock(&self.log).clone()
    }
}

/// Locks a mutex. A poisoned mutex is used as well: a listener that panicked must not silence the others.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
