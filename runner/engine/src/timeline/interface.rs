//! What the timeline is given, and what it hands over.

use std::any::Any;
use std::time::Duration;

use indexmap::IndexMap;
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
    /// Its faults, each with the driver that carries it out.
    pub faults: Vec<ArmedFault>,
    /// Its load.
    pub load: Box<dyn LoadDriver>,
    /// Where events go. Its clock starts with the load.
    pub events: Events,
    /// Why the run is to end early, once it is.
    pub stop: watch::Receiver<Option<Stop>>,
    /// How long the undo of a fault is tried.
    pub undo_limit: Duration,
    /// Asked once, before the first phase with faults.
    pub gate: Option<Gate>,
}

/// Looks at what was seen until then, and says what speaks against any fault; nothing when nothing does. It is asked on a
/// thread of its own.
pub type Gate = Box<dyn FnOnce(&Observations) -> Vec<String> + Send>;

/// Why a run is to end early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// A signal, by name.
    Signal(&'static str),
    /// A reason of our own, in words.
    Because(String),
    /// The fuse burned down, or the runner must take it for burned: why. The cluster removes the faults.
    Fuse(String),
}

impl Stop {
    /// The reason in words, where it is an error of the run.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Signal(signal) => Some(format!("interrupted by {signal}")),
            Self::Because(reason) => Some(reason.clone()),
            Self::Fuse(_) => None,
        }
    }
}

/// What happened.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was seen.
    pub observations: Observations,
    /// The results of the faults by name, in the order of the plan; none when the timeline never began. A scenario uses each
    /// name once.
    pub faults: IndexMap<String, FaultResult>,
    /// What went wrong with the run itself, in words.
    pub errors: Vec<String>,
    /// The stop condition that ended the run, where one did.
    pub breach: Option<Breach>,
    /// What spoke against any fault, where that ended the run.
    pub refused: Vec<String>,
    /// Why the fuse burned down, where that ended the run.
    pub burned: Option<String>,
    /// What could not be removed.
    pub leftovers: Vec<Leftover>,
    /// From the load's start to the end of the last undo.
    pub duration: Duration,
}

/// What a panic says, as an error of the run.
pub fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    format!("shakedown itself failed: {text}\nhelp: this is a bug; everything that was begun is undone")
}
