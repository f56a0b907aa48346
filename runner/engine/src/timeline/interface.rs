//! The input and the outcome of the timeline.

use std::any::Any;
use std::time::Duration;

use indexmap::IndexMap;
use shakedown_schemas::Explained;
use shakedown_schemas::result::{FaultResult, Leftover};
use shakedown_schemas::scenario::Scenario;
use tokio::sync::watch;

use super::watchdog::Breach;
use crate::events::Events;
use shakedown_faults::ArmedFault;
use shakedown_load::LoadDriver;
use shakedown_observe::Observations;

/// A scenario that is ready to run.
pub struct Timeline<'a> {
    /// The scenario.
    pub scenario: &'a Scenario,
    /// Its faults with their drivers.
    pub faults: Vec<ArmedFault>,
    /// Its load.
    pub load: Box<dyn LoadDriver>,
    /// The event stream. Its clock starts with the load.
    pub events: Events,
    /// The reason to end the run early; `None` until there is one.
    pub stop: watch::Receiver<Option<Stop>>,
    /// The time limit of the undo of a fault.
    pub undo_limit: Duration,
    /// The gate. It is called once, before the first phase with faults.
    pub gate: Option<Gate>,
}

/// Returns the reasons not to inject any fault, from the observations so far; empty when faults may be injected. It runs on
/// its own thread.
pub type Gate = Box<dyn FnOnce(&Observations) -> Vec<String> + Send>;

/// The reason to end a run early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A signal, by name.
    Signal(&'static str),
    /// Another reason, as text.
    Because(String),
    /// The fuse burned down, or the runner must assume so, for this reason. The cluster removes the faults.
    Fuse(String),
}

impl Stop {
    /// The message, if the reason is an error of the run.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Signal(signal) => Some(format!("interrupted by {signal}")),
            Self::Because(reason) => Some(reason.clone()),
            Self::Fuse(_) => None,
        }
    }
}

/// The outcome of a timeline.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The observations.
    pub observations: Observations,
    /// The results of the faults by name, in the order of the plan; empty when the timeline never began. Names are unique in a
    /// scenario.
    pub faults: IndexMap<String, FaultResult>,
    /// Errors of the run itself.
    pub errors: Vec<String>,
    /// The stop condition that ended the run, if any.
    pub breach: Option<Breach>,
    /// The gate's reasons not to inject, if they ended the run.
    pub refused: Vec<String>,
    /// Why the fuse burned down, if that ended the run.
    pub burned: Option<String>,
    /// Objects that could not be removed.
    pub leftovers: Vec<Leftover>,
    /// The time from the load's start to the end of the last undo.
    pub duration: Duration,
}

/// The message of a panic, as an error of the run.
pub fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Explained::new(format!("shakedown itself failed: {text}"), "this is a bug; every fault that was begun is undone")
        .to_string()
}
