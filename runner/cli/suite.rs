//! The scenarios of a run: their order, and the retries of each. `run` prepares and ends the run.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::LocalBoxFuture;
use shakedown_schemas::result::{ScenarioResult, Trial};
use shakedown_schemas::{Document, EventKind};

use super::args::{Flaky, Gate};
use shakedown_cluster::Cluster;
use shakedown_engine::events::Events;
use shakedown_engine::execute::{self, Context, Signal};
use shakedown_engine::plan::{self, Options};
use shakedown_guard::lock::Holder;
use shakedown_judge as judge;

/// The queue of scenarios. Pure.
pub struct Queue {
    waiting: VecDeque<usize>,
    running: Vec<usize>,
    /// The places that each scenario needs exclusively.
    places: Vec<BTreeSet<String>>,
    limit: usize,
}

impl Queue {
    /// All scenarios, each with the places that it needs exclusively. At most `limit` of them run at the same time.
    pub fn new(places: Vec<BTreeSet<String>>, limit: usize) -> Self {
        Self { waiting: (0..places.len()).collect(), running: Vec::new(), places, limit }
    }

    /// The next scenario that may begin: the first one whose places no running one needs. It then counts as running.
    pub fn next(&mut self) -> Option<usize> {
        if self.running.len() >= self.limit {
            return None;
        }
        let is_free = |index: &usize| self.running.iter().all(|it| self.places[*it].is_disjoint(&self.places[*index]));
        let at = self.waiting.iter().position(is_free)?;
        let index = self.waiting.remove(at)?;
        self.running.push(index);
        Some(index)
    }

    /// A scenario ended.
    pub fn ended(&mut self, index: usize) {
        self.running.retain(|it| *it != index);
    }

    /// The scenarios that did not end, in the order of the suite.
    pub fn unfinished(&self) -> Vec<usize> {
        let mut left: Vec<usize> = self.waiting.iter().chain(&self.running).copied().collect();
        left.sort_unstable();
        left
    }
}

/// The options that decide verdicts, as the engine and the judge know them.
#[derive(Debug, Clone, Copy)]
pub struct Verdicts {
    /// The kind of run. None for an ordinary one.
    pub trial: Option<Trial>,
    inject_anyway: bool,
    retries: judge::Retries,
}

impl Verdicts {
    /// Of the command line.
    pub fn of(gate: &Gate) -> Self {
        let trial = match (gate.control, gate.overkill, gate.rehearsal().is_some()) {
            (true, ..) => Some(Trial::Control),
            (_, true, _) => Some(Trial::Overkill),
            (.., true) => Some(Trial::Rehearsal),
            (false, false, false) => None,
        };
        let retries = judge::Retries {
            inconclusive: gate.retry_inconclusive,
            failed: gate.retries,
            flaky_passes: matches!(gate.flaky, Flaky::Pass),
        };
        Self { trial, inject_anyway: gate.inject_anyway, retries }
    }
}

/// The settings that all scenarios of a run share.
#[derive(Clone)]
pub struct Shared {
    /// The cluster, if a scenario needs one.
    pub cluster: Option<Cluster>,
    /// This run as the holder of locks.
    pub holder: Holder,
    /// The longest wait for another run in the same namespace.
    pub wait_lock: Duration,
    /// How long the undo of a fault is retried.
    pub undo_limit: Duration,
    /// The options that decide verdicts.
    pub gate: Verdicts,
    /// The folder for recordings of Chaos Mesh's objects.
    pub record: Option<PathBuf>,
    /// The signal that asks the run to end.
    pub signal: Signal,
    /// The inputs of a plan. Each execution gets its own `serial`.
    pub options: Options,
    /// The number of executions so far: the objects of one must not conflict with those of another.
    pub executions: Arc<AtomicUsize>,
    /// The run's events.
    pub events: Events,
}

impl Shared {
    /// The namespaces that a scenario needs exclusively.
    pub fn places(&self, document: &Document) -> BTreeSet<String> {
        match &self.cluster {
            Some(cluster) => plan::namespaces(&document.scenario, cluster, &self.options),
            None => BTreeSet::new(),
        }
    }

    /// Starts a scenario, in a separate thread if it runs next to others: the verdict of one must not delay the undo of
    /// another.
    pub fn start(
        &self,
        index: usize,
        document: &Document,
        apart: bool,
    ) -> LocalBoxFuture<'static, (usize, ScenarioResult)> {
        let (mut shared, document) = (self.clone(), document.clone());
        if !apart {
            return Box::pin(async move { (index, shared.until_settled(&document).await) });
        }
        // The final check of one must not take the faults of another for its own leftovers.
        shared.cluster = shared.cluster.map(Cluster::apart);
        let (runtime, inner, asked) = (tokio::runtime::Handle::current(), shared.clone(), document.clone());
        let thread = tokio::task::spawn_blocking(move || runtime.block_on(inner.until_settled(&asked)));
        Box::pin(async move {
            let refused = |error| execute::refused(&document, &shared.options, &format!("it did not end: {error}"));
            (index, thread.await.unwrap_or_else(refused))
        })
    }

    /// Runs a scenario and repeats it within the limits of the retries.
    async fn until_settled(&self, document: &Document) -> ScenarioResult {
        let retries = &self.gate.retries;
        let context = Context {
            cluster: self.cluster.as_ref(),
            holder: &self.holder,
            wait_lock: self.wait_lock,
            undo_limit: self.undo_limit,
            signal: self.signal.clone(),
            seed: self.options.seed,
            trial: self.gate.trial,
            inject_anyway: self.gate.inject_anyway,
            record: self.record.as_deref(),
        };
        let mut earlier = Vec::new();
        loop {
            let own = self.events.scenario(&document.scenario.name);
            let serial = self.executions.fetch_add(1, Ordering::Relaxed);
            let options = Options { serial, ..self.options.clone() };
            let executed = execute::contained(execute::execute(document, &context, &options, &own)).await;
            let mut result = executed.unwrap_or_else(|panic| execute::refused(document, &options, &panic));
            // A rehearsal is inconclusive at best: a repetition shows no more. An overkill run has to fail.
            let is_over = context.signal.borrow().is_some()
                || !result.leftovers.is_empty()
                || matches!(self.gate.trial, Some(Trial::Rehearsal | Trial::Overkill));
            if is_over || !retries.again(&earlier, result.verdict) {
                judge::settle(&mut result, earlier, retries);
                return result;
            }
            let (name, verdict, reason) = (&document.scenario.name, result.verdict.word(), &result.reason);
            self.events.emit(EventKind::Warning { message: format!("{name} is repeated: {verdict}: {reason}") });
            earlier.push(judge::attempt(&result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(places: &[&[&str]], limit: usize) -> Queue {
        let set = |names: &&[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Queue::new(places.iter().map(set).collect(), limit)
    }

    #[test]
    fn no_two_scenarios_share_a_namespace() {
        let mut queue = queue(&[&["shop"], &["shop", "db"], &["bank"], &[], &["db"]], 3);
        assert_eq!([(); 4].map(|()| queue.next()), [Some(0), Some(2), Some(3), None], "three, and none in `shop`");
        queue.ended(3);
        assert_eq!([(); 2].map(|()| queue.next()), [Some(4), None], "the second scenario waits for `shop`");
        queue.ended(0);
        assert_eq!(queue.next(), None, "and for `db`");
        queue.ended(4);
        assert_eq!(queue.unfinished(), [1, 2]);
        assert_eq!(queue.next(), Some(1));
    }

    #[test]
    fn one_at_a_time_keeps_the_order() {
        let mut queue = queue(&[&["a"], &[], &["b"]], 1);
        for index in 0..3 {
            assert_eq!((queue.next(), queue.next()), (Some(index), None));
            queue.ended(index);
        }
        assert_eq!(queue.next(), None);
    }
}
