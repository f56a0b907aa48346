//! The context of an execution, which all of its steps share.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use futures::FutureExt;
use shakedown_schemas::Document;
use shakedown_schemas::result::Trial;
use tokio::sync::watch;

use crate::events::Events;
use crate::plan::Options;
use crate::timeline;
use shakedown_cluster::Cluster;
use shakedown_guard::lock::Holder;

/// The name of the signal that asks the run to end; `None` until one arrives.
pub type Signal = watch::Receiver<Option<&'static str>>;

/// The settings of a run, which all of its scenarios share.
pub struct Context<'a> {
    /// The cluster; `None` when no scenario needs one.
    pub cluster: Option<&'a Cluster>,
    /// This run as the holder of locks, for the messages of waiting runs.
    pub holder: &'a Holder,
    /// The longest wait for another run in the same namespace.
    pub wait_lock: Duration,
    /// The time limit of the undo of a fault.
    pub undo_limit: Duration,
    /// The signal that asks the run to end.
    pub signal: Signal,
    /// The seed of all random choices.
    pub seed: u64,
    /// The trial, if this is a control run or an overkill run.
    pub trial: Option<Trial>,
    /// Inject even if the baseline is not healthy (`--inject-anyway`).
    pub inject_anyway: bool,
    /// The folder for recordings of Chaos Mesh's objects (`--record`).
    pub record: Option<&'a Path>,
}

/// The inputs of one execution of a scenario.
pub(super) struct Execution<'a> {
    /// The scenario whose expectations are judged.
    pub document: &'a Document,
    pub context: &'a Context<'a>,
    pub options: &'a Options,
    pub events: &'a Events,
}

/// Catches a panic, so that a bug in one scenario does not discard the results of the others.
///
/// # Errors
/// With the message of the panic.
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| timeline::panicked(panic.as_ref()))
}
