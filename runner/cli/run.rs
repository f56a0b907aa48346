//! `shakedown run`: runs the selected scenarios and writes their verdicts. `suite` decides their order.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use shakedown_schemas::result::{NotRun, RESULT_VERSION, RunResult, Shard, Trial, Verdict};
use shakedown_schemas::{Document, EventKind, Explained};

use super::args;
use super::ci::Ci;
use super::console::{Console, Style};
use super::filter::Selected;
use super::finish::{self, Summary};
use super::identity::info;
use super::last_words::last_words;
use super::output::Output;
use super::suite::{Queue, Shared, Verdicts, labels};
use super::{Failure, exit, last_failed, plan, proof, sandbox, select, signals, totals};
use crate::export;
use shakedown_cluster::{Cluster, ClusterError};
use shakedown_engine::events::{Events, Listener};
use shakedown_engine::execute::{self, Signal};
use shakedown_engine::plan::{Options, Proof};
use shakedown_engine::shorten::shorten;
use shakedown_guard::leftovers;
use shakedown_guard::lock::Holder;
use shakedown_secrets::Redactor;

/// The time limit for the removal of an interrupted canary.
const CANARY_RETRY_LIMIT: Duration = Duration::from_secs(6);

/// Runs, writes the reports, and prints the verdict.
///
/// # Errors
/// If the run cannot start, or the reports cannot be written. Other errors are in the result.
pub async fn run(args: args::Run, style: Style, quiet: bool, verbose: u8, redactor: &Redactor) -> Result<u8, Failure> {
    if args.course.dry_run {
        return plan::plan(args.into_plan(), style, redactor).await;
    }
    let mut selected = select::suite(&args.selection, style, redactor)?;
    select::in_namespace(&selected.documents, args.target.namespace.as_deref())?;
    if args.course.last_failed {
        last_failed::unpassed(&mut selected.documents, args.out.as_deref(), Verdicts::of(&args.gate).trial)?;
    }
    if let Some(speed) = args.gate.shortened() {
        selected.documents.iter_mut().for_each(|document| shorten(document, speed));
    }
    Ok(all(args, selected, style, quiet, verbose, redactor).await?.exit_code)
}

/// Runs these scenarios and returns the written result.
///
/// # Errors
/// If the run cannot start, or the reports cannot be written. Other errors are in the result.
pub(super) async fn all(
    args: args::Run,
    selected: Selected,
    style: Style,
    quiet: bool,
    verbose: u8,
    redactor: &Redactor,
) -> Result<RunResult, Failure> {
    let Selected { documents, shard } = selected;
    let mut session = Session::begin(args, shard, style, quiet, verbose, redactor)?;
    let environment = match session.open(&documents).await {
        Ok(environment) => environment,
        Err(failure) => return Err(session.refuse(&documents, failure).await?),
    };
    let places = session.places(&environment, &documents).await?;
    let unwritten = session.scenarios(&documents, |index| &places[environment.place_of(index)]).await;
    environment.close().await;
    session.finish(unwritten).await
}

/// One run: its output, its stop signal, and its result so far.
struct Session<'a> {
    args: args::Run,
    style: Style,
    redactor: &'a Redactor,
    begun: Instant,
    output: Output,
    events: Events,
    stop: Signal,
    result: RunResult,
}

impl<'a> Session<'a> {
    /// Opens the result folder and listens to signals.
    fn begin(
        args: args::Run,
        shard: Option<Shard>,
        style: Style,
        quiet: bool,
        verbose: u8,
        redactor: &'a Redactor,
    ) -> Result<Self, Failure> {
        args.exports.notify.iter().for_each(|url| redactor.learn_link(url));
        if let Some(url) = &args.exports.otlp {
            redactor.learn_url(url);
            export::otlp::headers().iter().for_each(|(_, value)| _ = redactor.learn(value));
        }
        let begun = Instant::now();
        let run = info(args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())), shard);
        let output = Output::create(args.out.as_deref(), &run.id, redactor)?;
        if let Some(folder) = &args.record {
            std::fs::create_dir_all(folder).map_err(|error| Failure::unwritten(folder, &error))?;
        }
        let mut listeners: Vec<Box<dyn Listener>> = vec![Box::new(output.recorder()?)];
        if !quiet {
            let folds = !args.no_ci_detect && Ci::detect().folds();
            listeners.push(Box::new(Console::new(style, verbose, folds, args.course.parallel.get() > 1)));
        }
        let events = Events::new(listeners).redacted(redactor.clone());
        let limit = args.course.max_time.map(|limit| limit.get());
        let stop = signals::listen(last_words(&args.target, !args.safety.no_fuse, &output), limit, {
            let events = events.clone();
            move |signal| events.emit(EventKind::Interrupted { signal: signal.to_owned() })
        });
        events.emit(EventKind::RunStarted { run: run.id.clone(), seed: run.seed });
        let result = RunResult {
            format_version: RESULT_VERSION,
            run,
            verdict: Verdict::Pass,
            exit_code: exit::PASSED,
            scenarios: Vec::new(),
            not_run: Vec::new(),
            events: Vec::new(),
        };
        Ok(Self { args, style, redactor, begun, output, events, stop, result })
    }

    /// The inputs of a plan.
    fn options(&self, serial: usize, proof: &Proof) -> Options {
        let run = &self.result.run;
        self.args.safety.options(&self.args.target, (&run.id, serial), run.seed, proof)
    }

    /// Connects to the cluster, if one is needed. A signal ends the wait.
    async fn open(&self, documents: &[Document]) -> Result<sandbox::Environment, Failure> {
        let mut signal = self.stop.clone();
        tokio::select! {
            environment = sandbox::Environment::open_for(&self.args.target, documents, self.redactor) => environment,
            Ok(signal) = signal.wait_for(Option::is_some) => Err(Failure {
                why: Explained::new("interrupted before any action", "nothing has to be undone; start it again"),
                code: signals::code(signal.unwrap_or_default()),
            }),
        }
    }

    /// Ends a run without a cluster. CI reads the reports of such a run as well.
    ///
    /// # Errors
    /// If the reports cannot be written.
    async fn refuse(mut self, documents: &[Document], failure: Failure) -> Result<Failure, Failure> {
        let refused = documents.iter().enumerate().map(|(serial, document)| {
            execute::refused(document, &self.options(serial, &Proof::default()), &failure.why.to_string())
        });
        self.result.scenarios = refused.collect();
        self.seal();
        (self.result.verdict, self.result.exit_code) = (Verdict::Error, failure.code);
        self.write(Summary::Hidden).await?;
        Ok(failure)
    }

    /// The settings of the scenarios at each place.
    async fn places(&self, environment: &sandbox::Environment, documents: &[Document]) -> Result<Vec<Shared>, Failure> {
        let journal = match environment.cluster() {
            Some(_) => Some(self.output.journal(&self.result.run.id, self.args.target.sandbox)?),
            None => None,
        };
        let executions = Arc::default();
        let mut places = Vec::new();
        for (place, cluster) in environment.clusters().enumerate() {
            let cluster = cluster.cloned().zip(journal.clone()).map(|(cluster, journal)| cluster.journalled(journal));
            let here = documents.iter().enumerate().filter(|(index, _)| environment.place_of(*index) == place);
            let here: Vec<&Document> = here.map(|(_, document)| document).collect();
            let proof = self.find_proof(&here, cluster.as_ref()).await?;
            places.push(self.shared(cluster, &proof, Arc::clone(&executions)));
        }
        Ok(places)
    }

    /// The means to prove faults. A signal ends the search.
    async fn find_proof(&self, documents: &[&Document], cluster: Option<&Cluster>) -> Result<Proof, Failure> {
        let run = &self.result.run.id;
        let mut signal = self.stop.clone();
        let (proof, complaint) = tokio::select! {
            found = find_proof(&self.args, documents, cluster, run) => found?,
            Ok(_) = signal.wait_for(Option::is_some) => {
                forget_canary(cluster, run).await?;
                (Proof::default(), None)
            }
        };
        if let Some(message) = complaint {
            self.events.emit(EventKind::Warning { message });
        }
        Ok(proof)
    }

    /// Runs the scenarios, up to `--parallel` at the same time. Returns the reason why an intermediate result could not be
    /// written; the run stops then.
    async fn scenarios<'b>(&mut self, documents: &[Document], shared: impl Fn(usize) -> &'b Shared) -> Option<Failure> {
        let parallel = self.args.course.parallel.get();
        let needed = documents.iter().enumerate().map(|(index, it)| shared(index).places(it)).collect();
        let mut queue = Queue::new(needed, parallel);
        let labels = labels(documents);
        let mut running = FuturesUnordered::new();
        let mut order = Vec::new();
        let mut unwritten = None;
        loop {
            while unwritten.is_none() && self.ends().is_none() {
                let Some(next) = queue.next() else { break };
                let label = (parallel > 1).then(|| labels[next].as_str());
                running.push(shared(next).start(next, &documents[next], label));
            }
            let Some((index, scenario)) = running.next().await else { break };
            queue.ended(index);
            let Shared { cluster, options, .. } = shared(index);
            if let (Some(cluster), None) = (cluster, &options.proof.enforcement) {
                proof::learn(cluster, &scenario).await;
            }
            let place = order.partition_point(|it| *it < index);
            order.insert(place, index);
            self.result.scenarios.insert(place, scenario);
            // The result is written after every scenario, so that a crash of the next one loses nothing. It is not a pass:
            // the outcome of the others is unknown.
            self.leave_out(documents, queue.unfinished(), "the run did not end");
            self.seal();
            if order.len() < documents.len() {
                unwritten = unwritten.or(self.output.write_result(&self.result).err());
            }
        }
        let reason = self.ends().unwrap_or_else(|| "the result could not be written".to_owned());
        self.leave_out(documents, queue.unfinished(), &reason);
        unwritten
    }

    /// Sets the scenarios that did not run.
    fn leave_out(&mut self, documents: &[Document], left: Vec<usize>, reason: &str) {
        let describe = |index: usize| NotRun {
            name: documents[index].scenario.name.clone(),
            file: documents[index].file.clone(),
            reason: reason.to_owned(),
        };
        self.result.not_run = left.into_iter().map(describe).collect();
    }

    /// The settings that all scenarios at one place share.
    fn shared(&self, cluster: Option<Cluster>, proof: &Proof, executions: Arc<AtomicUsize>) -> Shared {
        let run = &self.result.run;
        let holder = Holder { run: run.id.clone(), host: run.host.clone(), ci_job_url: run.ci_job_url.clone() };
        Shared {
            cluster,
            holder,
            wait_lock: self.args.safety.wait_lock.get(),
            undo_limit: self.args.safety.undo_timeout.get(),
            gate: Verdicts::of(&self.args.gate),
            record: self.args.record.clone(),
            signal: self.stop.clone(),
            options: self.options(0, proof),
            executions,
            events: self.events.clone(),
        }
    }

    /// Why no further scenario begins.
    fn ends(&self) -> Option<String> {
        if let Some(signal) = *self.stop.borrow() {
            return Some(format!("interrupted by {signal}"));
        }
        let other = self.result.scenarios.iter().find(|it| !totals::did_as_it_must(it));
        let other = other.filter(|_| self.args.course.fail_fast)?;
        let must = if other.trial == Some(Trial::Overkill) { "fail" } else { "pass" };
        Some(format!("--fail-fast: {} did not {must}", other.name))
    }

    /// Ends the run: the last events, the reports, and the exit code.
    ///
    /// # Errors
    /// If a report cannot be written, now or earlier.
    async fn finish(mut self, unwritten: Option<Failure>) -> Result<RunResult, Failure> {
        self.seal();
        let written = self.write(Summary::Shown).await;
        ended(self.result.exit_code, unwritten.map_or(written, Err))?;
        Ok(self.result)
    }

    /// Writes the reports.
    async fn write(&mut self, summary: Summary) -> Result<(), Failure> {
        let RunResult { verdict, exit_code, .. } = self.result;
        self.events.emit(EventKind::RunEnded { verdict, exit_code });
        self.result.events = self.events.log();
        finish::finish(&self.redactor.result(&self.result), &self.output, &self.args, self.style, summary).await
    }

    /// Updates the totals.
    fn seal(&mut self) {
        self.result.run.duration_s = self.begun.elapsed().as_secs_f64();
        self.result.run.interrupted = self.stop.borrow().map(str::to_owned);
        totals::set(&mut self.result);
        self.result.events = self.events.log();
    }
}

/// The exit code of a run, also if not all reports could be written. The code for leftovers takes precedence.
fn ended(exit_code: u8, written: Result<(), Failure>) -> Result<u8, Failure> {
    match written {
        Ok(()) => Ok(exit_code),
        Err(failure) if exit_code == exit::LEFTOVERS => Err(Failure { code: exit::LEFTOVERS, ..failure }),
        Err(failure) => Err(failure),
    }
}

/// Removes the objects of an interrupted canary. Its fuse does the same later.
async fn forget_canary(cluster: Option<&Cluster>, run: &str) -> Result<(), Failure> {
    let Some(cluster) = cluster else { return Ok(()) };
    let cluster = &cluster.clone().with_retry_limit(CANARY_RETRY_LIMIT);
    let unknown = |error: ClusterError| {
        let look = cluster.by_hand(&format!("shakedown cleanup --check --run {run}"));
        Failure::environment(Explained::new(
            format!("the canary could not be removed: {error}"),
            format!("`{look}` checks again"),
        ))
    };
    for item in cluster.look_again(0).await.map_err(unknown)? {
        if let Err(error) = leftovers::remove(cluster, &item).await {
            let remedy = cluster.remedy(&item).await;
            let held = remedy.held.map(|held| format!(": {held}")).unwrap_or_default();
            let command = cluster.by_hand(&remedy.command);
            let why =
                Explained::new(format!("{item} was left behind: {error}{held}"), format!("remove it: `{command}`"));
            return Err(Failure { why, code: exit::LEFTOVERS });
        }
    }
    Ok(())
}

/// The means to prove partitions, if the scenarios have any.
async fn find_proof(
    args: &args::Run,
    documents: &[&Document],
    cluster: Option<&Cluster>,
    run: &str,
) -> Result<(Proof, Option<String>), Failure> {
    let first = documents.iter().find(|document| document.scenario.phases.iter().any(|it| !it.faults.is_empty()));
    let namespace = first.and_then(|document| {
        let named = document.scenario.namespace.as_deref().or(args.target.namespace.as_deref());
        named.or_else(|| cluster.map(Cluster::default_namespace))
    });
    proof::find(&args.proving, cluster.filter(|_| first.is_some()), run, namespace).await.map_err(Failure::environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_exit_code_hides_leftovers() {
        let full = || Err(Failure::environment("the disk is full"));
        assert_eq!(ended(exit::LEFTOVERS, full()).unwrap_err().code, exit::LEFTOVERS);
        assert_eq!(ended(exit::PASSED, full()).unwrap_err().code, exit::ENVIRONMENT);
        assert_eq!(ended(exit::LEFTOVERS, Ok(())).unwrap(), exit::LEFTOVERS);
    }
}
