//! The task of one fault. It injects, proves, undoes and confirms on command, and reports each step. The command to undo
//! interrupts every other step.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use shakedown_schemas::EventKind;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Evidence, FaultResult, Leftover, PodRef, Verdict};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::panicked;
use crate::events::Events;
use shakedown_faults::{FaultDriver, FaultError, FaultPlan, Finding, Observed};

mod lasting;

/// The longest injection. It is far longer than the cluster client retries a request.
const INJECT_LIMIT: Duration = Duration::from_secs(300);
/// The longest wait for an active fault. The drivers' own limits are shorter.
const ACTIVE_LIMIT: Duration = Duration::from_secs(3600);
/// The longest search for a proof, and the longest single check.
const PROOF_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two attempts at an undo.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// The same while the engine is still undoing: each attempt reads what is left.
const RECOVERING_PAUSE: Duration = Duration::from_secs(1);
/// The timeout of a running injection when the undo is due.
const GRACE: Duration = Duration::from_millis(50);
/// When the undo of an interrupted injection is repeated: the server may still execute its last request until then.
const LATE: Duration = Duration::from_secs(1);

/// A command of the timeline to a fault's task.
#[derive(Debug, Clone, Copy)]
pub(super) enum Command {
    /// Inject.
    Inject,
    /// Check whether the fault lasts. The undo is due at this moment.
    CheckUntil(Instant),
    /// Undo.
    Undo {
        /// Whether the run ends early, so that no further evidence counts.
        hurried: bool,
    },
    /// Remove the preparations. Nothing is injected.
    Dismiss,
}

/// A report of a fault's task.
#[derive(Debug)]
pub(super) struct Report {
    /// The number of the fault.
    pub(super) fault: usize,
    /// When.
    pub(super) at: Instant,
    /// The event.
    pub(super) what: FaultEvent,
}

/// An event of a fault.
#[derive(Debug)]
pub(super) enum FaultEvent {
    /// It is in another state.
    Entered(FaultState),
    /// It could not be injected, in words.
    Failed(String),
}

/// The outcome of a fault.
#[derive(Debug)]
pub(super) struct Ended {
    /// Its part of the result.
    pub(super) result: FaultResult,
    /// The objects that could not be removed.
    pub(super) leftovers: Vec<Leftover>,
    /// Why the preparations could not be removed.
    pub(super) problem: Option<String>,
}

/// The commands to one fault, including those that arrived during another step.
struct Commands {
    receiver: mpsc::UnboundedReceiver<Command>,
    /// Set once the undo was commanded: whether it is hurried.
    undo: Option<bool>,
    check_until: Option<Instant>,
}

impl Commands {
    /// The next command. If the timeline is gone, the task undoes its fault by itself.
    async fn next(&mut self) -> Command {
        let command = self.receiver.recv().await.unwrap_or(Command::Undo { hurried: true });
        match command {
            Command::Undo { hurried } => self.undo = Some(hurried),
            Command::CheckUntil(moment) => self.check_until = Some(moment),
            Command::Inject | Command::Dismiss => {}
        }
        command
    }

    /// Waits for an action, and after the command to undo for at most `grace`; none when it did not end in time.
    async fn during<T>(&mut self, action: impl Future<Output = T>, grace: Duration) -> Option<T> {
        let mut action = pin!(action);
        while self.undo.is_none() {
            tokio::select! {
                biased;
                _ = self.next() => {}
                done = &mut action => return Some(done),
            }
        }
        timeout(grace, action).await.ok()
    }
}

/// One fault on its way through a run.
pub(super) struct FaultTask {
    number: usize,
    plan: FaultPlan,
    driver: Box<dyn FaultDriver>,
    events: Events,
    zero: Instant,
    undo_limit: Duration,
    commands: Commands,
    reports: mpsc::UnboundedSender<Report>,
    state: FaultState,
    result: FaultResult,
    problem: Option<String>,
    /// The injection was interrupted: the server may execute one of its requests late.
    cut_off: bool,
    /// When it was last seen to act.
    held_at: Option<Instant>,
    /// The result of the last check, once one was commanded.
    last_check: Option<Result<Vec<Finding>, String>>,
    /// Its driver failed to observe it.
    is_blind: bool,
}

/// The connections of a fault's task.
pub(super) struct Channels {
    /// The number of the fault.
    pub(super) number: usize,
    /// Where its events go.
    pub(super) events: Events,
    /// The load's start.
    pub(super) zero: Instant,
    /// The time limit of its undo.
    pub(super) undo_limit: Duration,
    /// Its commands.
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    /// Where its reports go.
    pub(super) reports: mpsc::UnboundedSender<Report>,
}

/// The result of a fault that was not injected.
pub(super) fn untouched(plan: &FaultPlan) -> FaultResult {
    FaultResult {
        name: plan.name.clone(),
        phase: String::new(),
        kind: plan.kind.to_owned(),
        engine: plan.engine,
        description: plan.description.clone(),
        targets: plan.targets.clone(),
        peers: plan.peers.clone(),
        objects: plan.objects.clone(),
        state: FaultState::Planned,
        injecting_s: None,
        injected_s: None,
        claimed_s: None,
        claimed_because: None,
        measured: Vec::new(),
        felt: None,
        proven_s: None,
        undoing_s: None,
        undone_s: None,
        evidence: Vec::new(),
        unproven: Vec::new(),
        injection: Verdict::Inconclusive,
        undo: Verdict::Pass,
        problem: Some("the run ended before it was injected".to_owned()),
        line: None,
    }
}

/// The outcome of a fault whose task panicked. Any of its objects may be left.
pub(super) fn lost(plan: &FaultPlan) -> Ended {
    let result = FaultResult {
        state: FaultState::Left,
        injection: Verdict::Error,
        undo: Verdict::Error,
        problem: Some(PANIC.to_owned()),
        ..untouched(plan)
    };
    Ended { result, leftovers: planned_objects(plan), problem: None }
}

/// Every object of a plan, as a possible leftover.
fn planned_objects(plan: &FaultPlan) -> Vec<Leftover> {
    let command = |kind: &str, namespace: &str, name: &str| match namespace {
        "" => format!("kubectl delete {kind} {name}"),
        namespace => format!("kubectl -n {namespace} delete {kind} {name}"),
    };
    let objects = plan.objects.iter().map(|object| {
        let kind = object.kind.to_lowercase();
        Leftover {
            what: format!("{kind}/{}", object.name),
            command: command(&kind, &object.namespace, &object.name),
            error: PANIC.to_owned(),
        }
    });
    objects.collect()
}

const PANIC: &str = "shakedown itself failed (this is a bug)";

/// Turns a panic of an action into an error.
async fn caught<T>(action: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(action).catch_unwind().await.map_err(|panic| panicked(panic.as_ref()))
}

/// The failure of a driver's action.
enum DriverFailure {
    /// The driver's own error.
    Fault(FaultError),
    /// A panic, with the message for the run's errors.
    Panic(String),
    /// No answer within this time.
    Silence(Duration),
}

impl DriverFailure {
    /// In words, for the fault.
    fn text(&self) -> String {
        match self {
            Self::Fault(error) => error.to_string(),
            Self::Panic(_) => PANIC.to_owned(),
            Self::Silence(limit) => format!("no answer within {} s", limit.as_secs()),
        }
    }
}

/// An action of a driver, limited in time.
async fn bounded<T>(limit: Duration, action: impl Future<Output = Result<T, FaultError>>) -> Result<T, DriverFailure> {
    match timeout(limit, caught(action)).await {
        Ok(Ok(Ok(value))) => Ok(value),
        Ok(Ok(Err(error))) => Err(DriverFailure::Fault(error)),
        Ok(Err(panic)) => Err(DriverFailure::Panic(panic)),
        Err(_) => Err(DriverFailure::Silence(limit)),
    }
}

impl FaultTask {
    /// A fault that is not injected yet.
    pub(super) fn new(plan: FaultPlan, driver: Box<dyn FaultDriver>, channels: Channels) -> Self {
        let Channels { number, events, zero, undo_limit, commands, reports } = channels;
        Self {
            number,
            result: untouched(&plan),
            plan,
            driver,
            events,
            zero,
            undo_limit,
            commands: Commands { receiver: commands, undo: None, check_until: None },
            reports,
            state: FaultState::Planned,
            problem: None,
            cut_off: false,
            held_at: None,
            last_check: None,
            is_blind: false,
        }
    }

    /// Executes commands until the fault is undone or dismissed.
    pub(super) async fn run(mut self) -> Ended {
        let begun = |state: FaultState| state != FaultState::Planned && !state.has_ended();
        // Panics of drivers are caught at each call. This is for panics of the task itself.
        if caught(self.live()).await.is_err() && begun(self.state) && caught(self.undo()).await.is_err() {
            self.left(PANIC.to_owned());
        }
        self.result.state = self.state;
        let leftovers = match self.state {
            FaultState::Left => self.said(|driver| driver.leftovers()),
            _ => Some(Vec::new()),
        };
        let leftovers = leftovers.unwrap_or_else(|| planned_objects(&self.plan));
        Ended { result: self.result, leftovers, problem: self.problem }
    }

    async fn live(&mut self) {
        loop {
            match self.commands.next().await {
                Command::Inject => break,
                Command::CheckUntil(_) => {}
                Command::Undo { .. } | Command::Dismiss => return self.dismiss().await,
            }
        }
        self.result.problem = None;
        if self.inject().await && self.prove().await {
            self.look().await;
        }
        while self.commands.undo.is_none() {
            _ = self.commands.next().await;
        }
        self.conclude();
        self.keep_observed();
        self.undo().await;
        self.count_missed();
    }

    /// Records what was seen of the fault.
    fn keep_observed(&mut self) {
        let Observed { measured, unseen } = self.said(|driver| driver.observed()).unwrap_or_default();
        (self.result.measured, self.result.claimed_because) = (measured, unseen);
    }

    /// What the driver knows, without asking the cluster. None if it panics.
    fn said<T>(&self, ask: impl FnOnce(&dyn FaultDriver) -> T) -> Option<T> {
        std::panic::catch_unwind(AssertUnwindSafe(|| ask(&*self.driver))).ok()
    }

    fn seconds(&self) -> f64 {
        self.zero.elapsed().as_secs_f64()
    }

    fn report(&self, at: Instant, what: FaultEvent) {
        _ = self.reports.send(Report { fault: self.number, at, what });
    }

    /// Enters a state, and returns when, in seconds.
    fn enter(&mut self, state: FaultState, detail: &str) -> f64 {
        let at = Instant::now();
        self.state = state;
        // Before the report, which may end the phase: the events must be in this order.
        self.events.emit(EventKind::Fault { fault: self.plan.name.clone(), state, detail: detail.to_owned() });
        self.report(at, FaultEvent::Entered(state));
        at.saturating_duration_since(self.zero).as_secs_f64()
    }

    fn note(&mut self, at_s: f64, findings: Vec<Finding>) {
        for Finding { shows, holds, detail } in findings {
            self.result.evidence.push(Evidence { at_s, shows, holds, detail });
        }
    }

    /// Injects, and waits until the fault is active; false when it is not.
    async fn inject(&mut self) -> bool {
        self.result.injecting_s = Some(self.enter(FaultState::Injecting, ""));
        // Until it has ended, the server may still execute one of its requests.
        self.cut_off = true;
        let injected = bounded(INJECT_LIMIT, self.driver.inject());
        let injected = self.commands.during(injected, GRACE).await;
        if let Some(chosen) = self.said(|driver| driver.chosen().map(<[PodRef]>::to_vec)).flatten() {
            self.result.targets = chosen;
        }
        match injected {
            Some(Err(DriverFailure::Fault(error))) => {
                self.cut_off = false;
                return self.failed(&DriverFailure::Fault(error));
            }
            Some(Err(failure)) => return self.failed(&failure),
            Some(Ok(())) => self.cut_off = false,
            None => return self.unproven(None),
        }
        let active = bounded(ACTIVE_LIMIT, self.driver.become_active());
        match self.commands.during(active, Duration::ZERO).await {
            Some(Ok(())) => {}
            Some(Err(failure)) => return self.failed(&failure),
            None => return self.unproven(None),
        }
        self.result.injected_s = Some(self.enter(FaultState::Injected, ""));
        true
    }

    /// Proves; false when there is no proof. An unproven fault stays until its undo: its effect is judged.
    async fn prove(&mut self) -> bool {
        let begun = Instant::now();
        let mut seen = None;
        loop {
            let asked = Instant::now();
            let look = bounded(PROOF_LIMIT, self.driver.prove());
            let Some(looked) = self.commands.during(look, Duration::ZERO).await else { return self.unproven(seen) };
            match looked {
                Ok(findings) => {
                    let proven = !findings.is_empty() && findings.iter().all(|finding| finding.holds);
                    let details = detail(&findings, proven);
                    if proven || begun.elapsed() >= PROOF_LIMIT {
                        if !proven {
                            self.note(self.seconds(), findings);
                            return self.unproven(Some(details));
                        }
                        self.held_at = Some(asked);
                        let claimed = self.is_claimed(&findings);
                        let state = if claimed { FaultState::Claimed } else { FaultState::Proven };
                        let at_s = self.enter(state, &details);
                        self.note(at_s, findings);
                        match claimed {
                            true => self.result.claimed_s = Some(at_s),
                            false => self.result.proven_s = Some(at_s),
                        }
                        self.result.injection = Verdict::Pass;
                        return true;
                    }
                    seen = Some(details);
                }
                Err(DriverFailure::Fault(error)) if !matches!(error, FaultError::TargetGone(_)) => {
                    if begun.elapsed() >= PROOF_LIMIT {
                        return self.unproven(Some(error.to_string()));
                    }
                    seen = Some(error.to_string());
                }
                Err(failure @ DriverFailure::Silence(_)) => return self.unproven(Some(failure.text())),
                Err(failure) => return self.failed(&failure),
            }
            if self.commands.during(tokio::time::sleep(PAUSE), Duration::ZERO).await.is_none() {
                return self.unproven(seen);
            }
        }
    }

    /// Records that there is no proof, with the result of the last check; returns false.
    fn unproven(&mut self, seen: Option<String>) -> bool {
        let why = match (self.commands.undo, seen) {
            (Some(true), _) => "the run was stopped first".to_owned(),
            (Some(false), Some(seen)) => format!("its undo was due first; until then: {seen}"),
            (Some(false), None) => "its undo was due first".to_owned(),
            (None, seen) => {
                let seen = seen.unwrap_or_default();
                let message = format!("fault {} could not be proven: {seen}", self.plan.name);
                self.events.emit(EventKind::Warning { message });
                seen
            }
        };
        self.result.problem = Some(format!("not proven: {why}"));
        false
    }

    fn failed(&mut self, failure: &DriverFailure) -> bool {
        let text = failure.text();
        let message = match failure {
            DriverFailure::Panic(message) => message.clone(),
            _ => format!("fault {} could not be injected: {text}", self.plan.name),
        };
        self.result.injection = Verdict::Error;
        self.result.problem = Some(text.clone());
        self.enter(FaultState::Failed, &text);
        self.report(Instant::now(), FaultEvent::Failed(message));
        false
    }

    /// Undoes until the fault is proven gone or the limit is over.
    async fn undo(&mut self) {
        // After an injection that ended, its driver knows what it has made.
        let is_known = self.state == FaultState::Failed && !self.cut_off && self.result.injected_s.is_none();
        let nothing = is_known && self.said(|driver| driver.leftovers().is_empty()).unwrap_or_default();
        self.result.undoing_s = Some(self.enter(FaultState::Undoing, ""));
        let deadline = Instant::now() + self.undo_limit;
        if self.cut_off {
            _ = timeout_at(deadline, caught(self.driver.undo())).await;
            tokio::time::sleep_until(deadline.min(Instant::now() + LATE)).await;
        }
        let mut problem = "there was no time for it".to_owned();
        let mut problems = Problems::default();
        let mut pause = PAUSE;
        for attempt in 1.. {
            let (mut wait, mut is_failing) = (pause, true);
            match timeout_at(deadline, caught(try_undo(&mut self.driver))).await {
                Ok(Ok(Ok(findings))) => {
                    let gone = findings.iter().all(|finding| finding.holds);
                    let details = detail(&findings, gone);
                    if gone {
                        self.count(&problems);
                        let (state, details) = match self.said(|driver| driver.unclear()).flatten() {
                            Some(why) => (FaultState::Unclear, why),
                            None if nothing => (FaultState::NothingToUndo, details),
                            None => (FaultState::Undone, details),
                        };
                        let at_s = self.enter(state, &details);
                        self.note(at_s, findings);
                        self.result.undone_s = (state != FaultState::Unclear).then_some(at_s);
                        return;
                    }
                    problem = details;
                }
                // No further try helps.
                Ok(Ok(Err(FaultError::Dirty(text)))) => {
                    self.count(&problems);
                    return self.left(text.to_string());
                }
                Ok(Ok(Err(error))) => {
                    is_failing = !matches!(error, FaultError::Recovering(_));
                    if let FaultError::Cluster(error) = &error {
                        wait = wait.max(error.wait());
                    }
                    problem = error.to_string();
                }
                // The next attempt may succeed, and the fault must not stay.
                Ok(Err(_)) => problem = PANIC.to_owned(),
                Err(_) => {}
            }
            if Instant::now() + wait >= deadline {
                break;
            }
            if is_failing && problems.is_new(&problem) {
                self.events.emit(EventKind::ApiRetry {
                    request: format!("undo fault {}", self.plan.name),
                    error: problem.clone(),
                    attempt,
                });
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(if is_failing { LONGEST_PAUSE } else { RECOVERING_PAUSE });
        }
        self.count(&problems);
        self.left(problem);
    }

    /// Reports how many times each problem of the undo was repeated.
    fn count(&self, problems: &Problems) {
        for (problem, more) in problems.0.iter().filter(|(_, more)| *more > 0) {
            let problem = problem.lines().next().unwrap_or_default();
            let times = if *more == 1 { "once".to_owned() } else { format!("{more} times") };
            let message = format!("could not undo fault {} ({times} more): {problem}", self.plan.name);
            self.events.emit(EventKind::Cluster { message });
        }
    }

    fn left(&mut self, problem: String) {
        self.result.undo = Verdict::Error;
        self.result.problem = Some(problem.clone());
        self.enter(FaultState::Left, &problem);
    }

    /// Removes the preparations of a fault that is never injected.
    async fn dismiss(&mut self) {
        if let Err(failure) = bounded(self.undo_limit, self.driver.dismiss()).await {
            let name = &self.plan.name;
            self.problem = Some(format!("the preparations of fault {name} could not be removed: {}", failure.text()));
        }
    }
}

/// The problems of an undo. Repeated failures have few causes, so each is reported once, with the number of repetitions at
/// the end.
#[derive(Default)]
struct Problems(Vec<(String, u32)>);

impl Problems {
    /// Counts a problem; true for one that was not reported yet.
    fn is_new(&mut self, problem: &str) -> bool {
        match self.0.iter_mut().find(|(known, _)| known == problem) {
            Some((_, more)) => {
                *more += 1;
                false
            }
            None => {
                self.0.push((problem.to_owned(), 0));
                true
            }
        }
    }
}

/// Undoes, and reads back the state.
async fn try_undo(driver: &mut Box<dyn FaultDriver>) -> Result<Vec<Finding>, FaultError> {
    driver.undo().await?;
    driver.prove_undone().await
}

/// The details of all findings, or of those that do not hold.
fn detail(findings: &[Finding], all: bool) -> String {
    let texts: Vec<&str> =
        findings.iter().filter(|finding| all || !finding.holds).map(|finding| finding.detail.as_str()).collect();
    if texts.is_empty() { "nothing was seen".to_owned() } else { texts.join("; ") }
}
