//! The run's one stream of events, on its way from the timeline, the drivers and the command line to those who listen:
//! the console, the file `events.ndjson`, and the result. Listeners do not talk back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shakedown_reports::Redactor;
use shakedown_schemas::{Event, EventKind};
use tokio::time::Instant;

use shakedown_load::Live;

/// The numbers of the live display. They are shown and forgotten: the result has better ones.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The current phase.
    pub phase: String,
    /// Its number, from 1.
    pub phase_number: usize,
    /// How many phases there are.
    pub phases: usize,
    /// Since the load's start.
    pub elapsed: Duration,
    /// Until the phase's end.
    pub left: Duration,
    /// What each load did since the last time.
    pub loads: Vec<Live>,
    /// The faults that stand, with their states.
    pub faults: Vec<String>,
}

/// Somebody who wants to know.
pub trait Listener: Send {
    /// Something happened.
    fn event(&mut self, event: &Event);

    /// The numbers moved on.
    fn progress(&mut self, _scenario: &str, _progress: &Progress) {}
}

/// The way into the stream. Clones go into the same stream.
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

    /// The same stream, with secrets taken out of everything before anybody hears of it.
    pub fn redacted(mut self, redactor: Redactor) -> Self {
        self.redactor = redactor;
        self
    }

    /// The same stream for the events of one scenario, which has a clock and a log of its own.
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

    /// Says what happened, now.
    pub fn emit(&self, kind: EventKind) {
        let elapsed_s = lock(&self.zero).map(|zero| zero.elapsed().as_secs_f64());
        let mut event = Event { at: jiff::Timestamp::now(), scenario: self.scenario.clone(), elapsed_s, kind };
        self.redactor.event(&mut event);
        // A listener that panics must not end the run, and least of all its undo.
        lock(&self.listeners).retain_mut(|listener| catch_unwind(AssertUnwindSafe(|| listener.event(&event))).is_ok());
        lock(&self.log).push(event);
    }

    /// Shows the numbers.
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

    /// What was said so far through this scenario's clones.
    pub fn log(&self) -> Vec<Event> {
        lock(&self.log).clone()
    }
}

/// A listener that panicked must not silence the others.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
