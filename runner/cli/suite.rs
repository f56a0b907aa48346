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

/// What tells scenarios apart that run next to each other: their names, with the file or a number where others have the same.
pub fn labels(documents: &[Document]) -> Vec<String> {
    let label = |(index, it): (usize, &Document)| {
        let name = &it.scenario.name;
        let others = documents.iter().filter(|other| other.scenario.name == *name);
        let is_same_file = |other: &&Document| other.file == it.file;
        match (others.clone().count(), others.filter(is_same_file).count()) {
            (1, _) => name.clone(),
            (_, 1) => format!("{name} ({})", it.file),
            _ => format!("{name} (no. {})", index + 1),
        }
    };
    documents.iter().enumerate().map(label).collect()
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
        let trial = match (gate.control, gate.overkill, gate.shortened().is_some()) {
            (true, ..) => Some(Trial::Control),
            (_, true, _) => Some(Trial::Overkill),
            (.., true) => Some(Trial::Shortened),
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

/// The settings that all scenarios of a run share, or those of one topology of the sandbox.
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
    /// The number of executions of the run so far: the objects of one must not conflict with those of another.
    pub executions: Arc<AtomicUsize>,
    /// The run's events.
    pub events: Events,
}

impl Shared {
    /// The namespaces that a scenario needs exclusively, each with its cluster: every topology of the sandbox has its own.
    pub fn places(&self, document: &Document) -> BTreeSet<String> {
        let Some(cluster) = &self.cluster else { return BTreeSet::new() };
        let server = &cluster.info().server;
        let namespaces = plan::namespaces(&document.scenario, cluster, &self.options);
        namespaces.into_iter().map(|namespace| format!("{server} {namespace}")).collect()
    }

    /// Starts a scenario, in a separate thread if it runs next to others: the verdict of one must not delay the undo of
    /// another. Its `label` then distinguishes it from them.
    pub fn start(
        &self,
        index: usize,
        document: &Document,
        label: Option<&str>,
    ) -> LocalBoxFuture<'static, (usize, ScenarioResult)> {
        let (mut shared, document) = (self.clone(), document.clone());
        let name = label.unwrap_or(&document.scenario.name).to_owned();
        if label.is_none() {
            return Box::pin(async move { (index, shared.until_settled(&document, &name).await) });
        }
        // The final check of one must not take the faults of another for its own leftovers.
        shared.cluster = shared.cluster.map(Cluster::apart);
        let (runtime, inner, asked) = (tokio::runtime::Handle::current(), shared.clone(), document.clone());
        let thread = tokio::task::spawn_blocking(move || runtime.block_on(inner.until_settled(&asked, &name)));
        Box::pin(async move {
            let refused = |error| execute::refused(&document, &shared.options, &format!("it did not end: {error}"));
            (index, thread.await.unwrap_or_else(refused))
        })
    }

    /// Runs a scenario and repeats it within the limits of the retries. Its events have this name.
    async fn until_settled(&self, document: &Document, name: &str) -> ScenarioResult {
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
            let own = self.events.scenario(name);
            let serial = self.executions.fetch_add(1, Ordering::Relaxed);
            let options = Options { serial, ..self.options.clone() };
            let executed = execute::contained(execute::execute(document, &context, &options, &own)).await;
            let mut result = executed.unwrap_or_else(|panic| execute::refused(document, &options, &panic));
            // A shortened run is inconclusive at best: a repetition shows no more. An overkill run has to fail.
            let is_over = context.signal.borrow().is_some()
                || !result.leftovers.is_empty()
                || matches!(self.gate.trial, Some(Trial::Shortened | Trial::Overkill));
            if is_over || !retries.again(&earlier, result.verdict) {
                judge::settle(&mut result, earlier, retries);
                return result;
            }
            let (verdict, reason) = (result.verdict.word(), &result.reason);
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
    fn scenarios_of_one_name_are_told_apart() {
        let document = |name: &str, file: &str| {
            let text = format!(
                "version: 1\nname: {name}\nload: {{a: {{http: {{url: \"http://127.0.0.1:1\"}}, rate: 1/s}}}}\n\
                 phases: [{{name: p, duration: 9s}}]\n"
            );
            shakedown_schemas::parse(file, text.as_bytes(), &Default::default()).unwrap()
        };
        let all = [document("a", "1.yaml"), document("b", "2.yaml"), document("a", "3.yaml")];
        assert_eq!(labels(&all), ["a (1.yaml)", "b", "a (3.yaml)"]);
        assert_eq!(labels(&[all[0].clone(), all[0].clone()]), ["a (no. 1)", "a (no. 2)"], "a calibration");
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
