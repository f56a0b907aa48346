//! What all steps of an execution need.

use std::panic::AssertUnwindSafe;
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

/// The signal that asks the run to end, once there is one.
pub type Signal = watch::Receiver<Option<&'static str>>;

/// What holds for all scenarios of a run.
pub struct Context<'a> {
    /// The cluster, where one is needed.
    pub cluster: Option<&'a Cluster>,
    /// Who we are, for those who wait for us.
    pub holder: &'a Holder,
    /// How long to wait for another run in the same namespace.
    pub wait_lock: Duration,
    /// How long the undo of a fault is tried.
    pub undo_limit: Duration,
    /// The signal that asks the run to end.
    pub signal: Signal,
    /// The seed of everything that is chosen by chance.
    pub seed: u64,
    /// What is done to the faults on purpose.
    pub trial: Option<Trial>,
    /// Inject although the baseline is not healthy.
    pub inject_anyway: bool,
}

/// One execution of a scenario: what all of its steps need.
pub(super) struct Execution<'a> {
    /// The scenario whose expectations are asked.
    pub document: &'a Document,
    pub context: &'a Context<'a>,
    pub options: &'a Options,
    pub events: &'a Events,
}

/// Contains a bug of ours: a panic in one scenario must not take the results of the others with it.
///
/// # Errors
/// With the panic, in words.
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| timeline::panicked(panic.as_ref()))
}
