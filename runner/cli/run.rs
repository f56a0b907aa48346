//! `shakedown run`: runs the selected scenarios one after the other and writes their verdicts.

use std::process::Command;
use std::time::{Duration, Instant};

use shakedown_reports::Redactor;
use shakedown_schemas::result::{RESULT_VERSION, RunInfo, RunResult, ScenarioResult, Trial, Verdict};
use shakedown_schemas::{Document, EventKind};

use super::args;
use super::console::{Console, Style};
use super::finish::{self, Summary};
use super::output::Output;
use super::{Failure, exit, proof, sandbox, select, signals};
use crate::export;
use shakedown_cluster::{Cluster, ClusterError, quoted};
use shakedown_engine::events::{Events, Listener};
use shakedown_engine::execute::{self, Context, Signal};
use shakedown_engine::plan::{Options, Proof};
use shakedown_guard::leftovers;
use shakedown_guard::lock::Holder;
use shakedown_judge as judge;

/// The time limit for the removal of an interrupted canary.
const CANARY_RETRY_LIMIT: Duration = Duration::from_secs(6);

/// Runs, writes the reports, and prints the verdict.
///
/// # Errors
/// If the run cannot start, or the reports cannot be written. Other errors are in the result.
pub async fn run(args: args::Run, style: Style, quiet: bool, verbose: u8, redactor: &Redactor) -> Result<u8, Failure> {
    let documents = select::scenarios(&args.selection, style, redactor)?;
    select::in_namespace(&documents, args.target.namespace.as_deref())?;
    Ok(all(args, documents, style, quiet, verbose, redactor).await?.exit_code)
}

/// Runs these scenarios and returns the written result.
///
/// # Errors
/// If the run cannot start, or the reports cannot be written. Other errors are in the result.
pub(super) async fn all(
    args: args::Run,
    documents: Vec<Document>,
    style: Style,
    quiet: bool,
    verbose: u8,
    redactor: &Redactor,
) -> Result<RunResult, Failure> {
    let mut session = Session::begin(args, style, quiet, verbose, redactor)?;
    let environment = match session.open(&documents).await {
        Ok(environment) => environment,
        Err(failure) => return Err(session.refuse(&documents, failure).await?),
    };
    let cluster = match environment.cluster() {
        Some(cluster) => Some(cluster.clone().journalled(session.output.journal(&session.result.run.id)?)),
        None => None,
    };
    let proof = session.find_proof(&documents, cluster.as_ref()).await?;
    let unwritten = session.scenarios(&documents, cluster.as_ref(), &proof).await;
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
    fn begin(args: args::Run, style: Style, quiet: bool, verbose: u8, redactor: &'a Redactor) -> Result<Self, Failure> {
        args.exports.notify.iter().for_each(|url| redactor.learn_link(url));
        if let Some(url) = &args.exports.otlp {
            redactor.learn_url(url);
            export::otlp::headers().iter().for_each(|(_, value)| _ = redactor.learn(value));
        }
        let begun = Instant::now();
        let run = info(args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())));
        let output = Output::create(args.out.as_deref(), &run.id, redactor)?;
        if let Some(folder) = &args.record {
            let problem = |error| Failure::environment(format!("could not write to {}: {error}", folder.display()));
            std::fs::create_dir_all(folder).map_err(problem)?;
        }
        let mut listeners: Vec<Box<dyn Listener>> = vec![Box::new(output.recorder()?)];
        if !quiet {
            listeners.push(Box::new(Console::new(style, verbose)));
        }
        let events = Events::new(listeners).redacted(redactor.clone());
        let stop = signals::listen(&last_words(&args.target, &output), {
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
            events: Vec::new(),
        };
        Ok(Self { args, style, redactor, begun, output, events, stop, result })
    }

    /// The inputs of a plan.
    fn options(&self, serial: usize, proof: &Proof) -> Options {
        Options {
            run: self.result.run.id.clone(),
            serial,
            seed: self.result.run.seed,
            namespace: self.args.target.namespace.clone(),
            fuse: self.args.safety.fuse(),
            proof: proof.clone(),
            chaos: self.args.safety.limits(),
        }
    }

    /// Connects to the cluster, if one is needed. A signal ends the wait.
    async fn open(&self, documents: &[Document]) -> Result<sandbox::Environment, Failure> {
        let mut signal = self.stop.clone();
        tokio::select! {
            environment = sandbox::Environment::open_for(&self.args.target, documents, self.redactor) => environment,
            Ok(signal) = signal.wait_for(Option::is_some) => Err(Failure {
                message: "interrupted before any action".to_owned(),
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
            execute::refused(document, &self.options(serial, &Proof::default()), &failure.message)
        });
        self.result.scenarios = refused.collect();
        self.seal();
        (self.result.verdict, self.result.exit_code) = (Verdict::Error, failure.code);
        self.write(Summary::Hidden).await?;
        Ok(failure)
    }

    /// The means to prove faults. A signal ends the search.
    async fn find_proof(&self, documents: &[Document], cluster: Option<&Cluster>) -> Result<Proof, Failure> {
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

    /// Runs the scenarios one after the other. Returns the reason why an intermediate result could not be written; the
    /// run stops then.
    async fn scenarios(&mut self, documents: &[Document], cluster: Option<&Cluster>, proof: &Proof) -> Option<Failure> {
        let run = self.result.run.clone();
        let holder = Holder { run: run.id, host: run.host, ci_job_url: run.ci_job_url };
        let record = self.args.record.clone();
        let context = Context {
            cluster,
            holder: &holder,
            wait_lock: self.args.safety.wait_lock.get(),
            undo_limit: self.args.safety.undo_timeout.get(),
            signal: self.stop.clone(),
            seed: run.seed,
            trial: trial(&self.args.gate),
            inject_anyway: self.args.gate.inject_anyway,
            record: record.as_deref(),
        };
        let (retries, mut executions) = (retries(&self.args.gate), 0);
        for (number, document) in documents.iter().enumerate() {
            if self.stop.borrow().is_some() || self.args.fail_fast && self.result.verdict != Verdict::Pass {
                break;
            }
            let scenario = until_settled(document, &context, &self.events, &retries, || {
                // The objects of an attempt must not conflict with those of the previous attempt.
                executions += 1;
                self.options(executions - 1, proof)
            })
            .await;
            if let (Some(cluster), None) = (cluster, &proof.enforcement) {
                proof::learn(cluster, &scenario).await;
            }
            self.result.verdict = self.result.verdict.max(scenario.verdict);
            self.result.scenarios.push(scenario);
            // The result is written after every scenario, so that a crash of the next one loses nothing.
            self.seal();
            if number + 1 < documents.len()
                && let Err(failure) = self.output.write_result(&self.result)
            {
                return Some(failure);
            }
        }
        None
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
        let interrupted = *self.stop.borrow();
        let result = &mut self.result;
        result.run.duration_s = self.begun.elapsed().as_secs_f64();
        result.run.interrupted = interrupted.map(str::to_owned);
        result.exit_code = judge::exit_code(&result.scenarios);
        // A full cut must fail: then the gate works.
        let overkill =
            result.scenarios.iter().all(|it| it.trial == Some(Trial::Overkill)) && !result.scenarios.is_empty();
        if overkill && matches!(result.exit_code, exit::PASSED | exit::FAILED | exit::INCONCLUSIVE) {
            let all_failed = result.scenarios.iter().all(|it| it.verdict == Verdict::Fail);
            result.exit_code = if all_failed { exit::PASSED } else { exit::FAILED };
        }
        if let Some(signal) = interrupted {
            result.verdict = Verdict::Error;
            if result.exit_code != exit::LEFTOVERS {
                result.exit_code = signals::code(signal);
            }
        }
        result.events = self.events.log();
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
        Failure::environment(format!("the canary could not be removed: {error}\nhelp: `{look}` checks again"))
    };
    for item in cluster.look_again(0).await.map_err(unknown)? {
        if let Err(error) = leftovers::remove(cluster, &item).await {
            let remedy = cluster.remedy(&item).await;
            let held = remedy.held.map(|held| format!(": {held}")).unwrap_or_default();
            let command = cluster.by_hand(&remedy.command);
            let message = format!("{item} was left behind: {error}{held}\n  {command}");
            return Err(Failure { message, code: exit::LEFTOVERS });
        }
    }
    Ok(())
}

fn trial(gate: &args::Gate) -> Option<Trial> {
    match (gate.control, gate.overkill) {
        (true, _) => Some(Trial::Control),
        (false, true) => Some(Trial::Overkill),
        (false, false) => None,
    }
}

fn retries(gate: &args::Gate) -> judge::Retries {
    judge::Retries {
        inconclusive: gate.retry_inconclusive,
        failed: gate.retries,
        flaky_passes: gate.flaky == args::Flaky::Pass,
    }
}

/// Runs a scenario and repeats it within the limits of the retries.
async fn until_settled(
    document: &Document,
    context: &Context<'_>,
    events: &Events,
    retries: &judge::Retries,
    mut options: impl FnMut() -> Options,
) -> ScenarioResult {
    let mut earlier = Vec::new();
    loop {
        let own = events.scenario(&document.scenario.name);
        let options = options();
        let executed = execute::contained(execute::execute(document, context, &options, &own)).await;
        let mut result = executed.unwrap_or_else(|panic| execute::refused(document, &options, &panic));
        let is_over = context.signal.borrow().is_some() || !result.leftovers.is_empty();
        if is_over || !retries.again(&earlier, result.verdict) {
            judge::settle(&mut result, earlier, retries);
            return result;
        }
        let reason = &result.reason;
        events.emit(EventKind::Warning { message: format!("{} is repeated: {reason}", document.scenario.name) });
        earlier.push(judge::attempt(&result));
    }
}

/// The means to prove partitions, if the scenarios have any.
async fn find_proof(
    args: &args::Run,
    documents: &[Document],
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

/// The message for a second signal, which ends the run before its undo is complete.
fn last_words(target: &args::Target, output: &Output) -> String {
    if target.sandbox {
        return ", and the sandbox with it".to_owned();
    }
    let folder = std::path::absolute(output.folder()).unwrap_or_else(|_| output.folder().to_owned());
    let mut command =
        format!("shakedown cleanup {}{}", quoted(&folder.display().to_string()), sandbox::named(target).flags());
    if let Some(namespace) = &target.namespace {
        command.push_str(&format!(" --namespace {}", quoted(namespace)));
    }
    format!(". The fuse removes leftovers from the cluster when it expires. To remove them now:\n  {command}")
}

fn info(seed: u64) -> RunInfo {
    let started_at = jiff::Timestamp::now();
    RunInfo {
        id: run_id(started_at),
        started_at,
        duration_s: 0.0,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args().collect(),
        seed,
        host: host(),
        git_sha: git_sha(),
        ci_job_url: ci_job_url(),
        interrupted: None,
    }
}

/// A unique name that sorts by time and is valid as a label's value and in an object's name.
pub(super) fn run_id(at: jiff::Timestamp) -> String {
    const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
    let random = (0..5).map(|_| char::from(LETTERS[usize::from(rand::random::<u8>()) % LETTERS.len()]));
    format!("{}-{}", at.strftime("%Y%m%d-%H%M%S"), random.collect::<String>())
}

/// The host name of the machine.
pub(super) fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// The commit under test, from the CI system or else from git.
fn git_sha() -> Option<String> {
    for variable in ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION"] {
        if let Ok(sha) = std::env::var(variable)
            && !sha.is_empty()
        {
            return Some(sha);
        }
    }
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let sha = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !sha.is_empty()).then_some(sha)
}

fn ci_job_url() -> Option<String> {
    let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    var("CI_JOB_URL").or_else(|| var("BUILD_URL")).or_else(|| {
        Some(format!(
            "{}/{}/actions/runs/{}",
            var("GITHUB_SERVER_URL")?,
            var("GITHUB_REPOSITORY")?,
            var("GITHUB_RUN_ID")?
        ))
    })
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
