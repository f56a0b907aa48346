//! The run's event stream. The timeline, the drivers and the command line emit events; the console, the file
//! `events.ndjson` and the result receive them. Listeners cannot influence the run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shakedown_reports::Redactor;
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
    /// The numbers of each load since the previous update.
    pub loads: Vec<Live>,
    /// The faults that act now, with their states.
    pub faults: Vec<String>,
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

    /// What redacts the secrets of its events.
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

/// Locks a mutex. A poisoned one is used as well: a listener that panicked must not silence the others.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
