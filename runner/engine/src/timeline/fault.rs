//! One fault on its way through a run: its state, its times and its evidence.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use shakedown_schemas::EventKind;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Evidence, FaultResult, Leftover, Verdict};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Stop;
use crate::events::Events;
use shakedown_faults::{FaultDriver, FaultError, FaultPlan, Finding};

/// How long a fault has to be proven, and to be proven gone.
const PROOF_LIMIT: Duration = Duration::from_secs(10);
/// How long the look right before an undo may take: the undo must not wait for a server that is in trouble.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause between two tries of an undo.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct FaultRun {
    pub(super) plan: FaultPlan,
    driver: Box<dyn FaultDriver>,
    events: Events,
    state: FaultState,
    result: FaultResult,
}

impl FaultRun {
    pub(super) fn new(plan: FaultPlan, driver: Box<dyn FaultDriver>, events: Events) -> Self {
        let result = FaultResult {
            name: plan.name.clone(),
            phase: String::new(),
            kind: plan.kind.to_owned(),
            engine: plan.engine.to_owned(),
            description: plan.description.clone(),
            targets: plan.targets.clone(),
            peers: plan.peers.clone(),
            objects: plan.objects.clone(),
            state: FaultState::Planned,
            injecting_s: None,
            injected_s: None,
            proven_s: None,
            undoing_s: None,
            undone_s: None,
            evidence: Vec::new(),
            injection: Verdict::Inconclusive,
            undo: Verdict::Pass,
            problem: None,
            line: None,
        };
        Self { plan, driver, events, state: FaultState::Planned, result }
    }

    pub(super) fn is_planned(&self) -> bool {
        self.state == FaultState::Planned
    }

    /// Whether it was injected and nobody has looked for its proof yet.
    pub(super) fn is_to_prove(&self) -> bool {
        self.state == FaultState::Injected && self.result.problem.is_none()
    }

    pub(super) fn is_standing(&self) -> bool {
        matches!(self.state, FaultState::Injected | FaultState::Proven)
    }

    pub(super) fn needs_undo(&self) -> bool {
        !matches!(self.state, FaultState::Planned | FaultState::Undone | FaultState::Left)
    }

    pub(super) fn state_text(&self) -> String {
        format!("{} {}", self.plan.name, self.state.word())
    }

    pub(super) fn undone_ns(&self) -> Option<u64> {
        self.result.undone_s.map(|seconds| (seconds * 1e9).round() as u64)
    }

    fn enter(&mut self, state: FaultState, detail: &str) {
        self.state = state;
        self.events.emit(EventKind::Fault { fault: self.plan.name.clone(), state, detail: detail.to_owned() });
    }

    fn note(&mut self, at_s: f64, findings: Vec<Finding>) {
        for Finding { shows, holds, detail } in findings {
            self.result.evidence.push(Evidence { at_s, shows, holds, detail });
        }
    }

    /// Injects; what makes the fault is there when this returns.
    pub(super) async fn inject(
        &mut self,
        zero: Instant,
        mut stop: watch::Receiver<Option<Stop>>,
    ) -> Result<(), String> {
        self.result.injecting_s = Some(zero.elapsed().as_secs_f64());
        self.enter(FaultState::Injecting, "");
        if let Err(error) = self.driver.inject().await {
            return Err(self.failed(&error));
        }
        // Waiting may end at any time: it changes nothing.
        let active = tokio::select! {
            biased;
            active = self.driver.become_active() => active,
            Ok(_) = stop.wait_for(Option::is_some) => {
                self.result.problem = Some("not proven: the run was stopped first".to_owned());
                self.enter(FaultState::Injected, "");
                return Ok(());
            }
        };
        if let Err(error) = active {
            return Err(self.failed(&error));
        }
        self.result.injected_s = Some(zero.elapsed().as_secs_f64());
        self.enter(FaultState::Injected, "");
        Ok(())
    }

    /// Proves. An unproven fault stands all the same: what it did is for the judge. Once `stopped` says so, no more proof
    /// is looked for.
    pub(super) async fn prove(&mut self, zero: Instant, stopped: impl Fn() -> bool) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            match self.driver.prove().await {
                Ok(findings) => {
                    let proven = !findings.is_empty() && findings.iter().all(|finding| finding.holds);
                    if proven || begun.elapsed() >= PROOF_LIMIT {
                        let at_s = zero.elapsed().as_secs_f64();
                        let details = detail(&findings, proven);
                        self.note(at_s, findings);
                        if proven {
                            self.result.proven_s = Some(at_s);
                            self.result.injection = Verdict::Pass;
                            self.enter(FaultState::Proven, &details);
                        } else {
                            self.result.problem = Some(format!("not proven: {details}"));
                            self.events.emit(EventKind::Warning {
                                message: format!("fault {} could not be proven: {details}", self.plan.name),
                            });
                        }
                        return Ok(());
                    }
                }
                Err(FaultError::TargetGone(message)) => return Err(self.failed(&FaultError::TargetGone(message))),
                Err(error) if begun.elapsed() >= PROOF_LIMIT => {
                    self.result.problem = Some(format!("not proven: {error}"));
                    return Ok(());
                }
                Err(_) => {}
            }
            if stopped() {
                self.result.problem = Some("not proven: the run was stopped first".to_owned());
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn failed(&mut self, error: &FaultError) -> String {
        let message = format!("fault {} could not be injected: {error}", self.plan.name);
        self.result.injection = Verdict::Error;
        self.result.problem = Some(error.to_string());
        self.enter(FaultState::Failed, &error.to_string());
        message
    }

    /// Looks once more at a fault that was proven, right before its undo: one that did not last proves nothing.
    async fn settle(&mut self, zero: Instant) {
        let looked = tokio::time::timeout(SETTLE_LIMIT, AssertUnwindSafe(self.driver.settle()).catch_unwind()).await;
        let problem = match looked {
            Ok(Ok(Ok(findings))) => {
                let lasted = findings.iter().all(|finding| finding.holds);
                let details = detail(&findings, lasted);
                self.note(zero.elapsed().as_secs_f64(), findings);
                if lasted {
                    return;
                }
                details
            }
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_)) => PANIC.to_owned(),
            Err(_) => "no answer in time".to_owned(),
        };
        self.result.injection = Verdict::Inconclusive;
        self.result.problem = Some(format!("not proven to have lasted until its end: {problem}"));
    }

    /// Undoes until it is proven gone or the limit is over; true when it is gone.
    pub(super) async fn undo(&mut self, zero: Instant, limit: Duration, stopped: bool) -> bool {
        if self.state == FaultState::Proven && !stopped {
            self.settle(zero).await;
        }
        self.result.undoing_s = Some(zero.elapsed().as_secs_f64());
        self.enter(FaultState::Undoing, "");
        let deadline = Instant::now() + limit;
        let mut problem = "there was no time for it".to_owned();
        let mut pause = PAUSE;
        for attempt in 1.. {
            let tried = AssertUnwindSafe(try_undo(&mut self.driver)).catch_unwind();
            let mut wait = pause;
            match tokio::time::timeout_at(deadline, tried).await {
                Ok(Ok(Ok(findings))) => {
                    let gone = findings.iter().all(|finding| finding.holds);
                    let details = detail(&findings, gone);
                    if gone {
                        let at_s = zero.elapsed().as_secs_f64();
                        self.note(at_s, findings);
                        self.result.undone_s = Some(at_s);
                        self.enter(FaultState::Undone, &details);
                        return true;
                    }
                    problem = details;
                }
                // No further try makes that better.
                Ok(Ok(Err(FaultError::Dirty(text)))) => {
                    problem = text;
                    break;
                }
                Ok(Ok(Err(error))) => {
                    if let FaultError::Cluster(error) = &error {
                        wait = wait.max(error.wait());
                    }
                    problem = error.to_string();
                }
                // What panicked once may work the next time, and what it left undone must not stay.
                Ok(Err(_)) => problem = PANIC.to_owned(),
                Err(_) => {}
            }
            if Instant::now() + wait >= deadline {
                break;
            }
            self.events.emit(EventKind::ApiRetry {
                request: format!("undo fault {}", self.plan.name),
                error: problem.clone(),
                attempt,
            });
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.result.undo = Verdict::Error;
        self.result.problem = Some(problem.clone());
        self.enter(FaultState::Left, &problem);
        false
    }

    /// Removes what was got ready for a fault that was never injected; the problem where that fails.
    pub(super) async fn dismiss(&mut self) -> Option<String> {
        if self.state != FaultState::Planned {
            return None;
        }
        let problem = match AssertUnwindSafe(self.driver.dismiss()).catch_unwind().await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => PANIC.to_owned(),
        };
        Some(format!("what fault {} had got ready could not be removed: {problem}", self.plan.name))
    }

    pub(super) fn leftovers(&self) -> Vec<Leftover> {
        if self.state == FaultState::Left { self.driver.leftovers() } else { Vec::new() }
    }

    pub(super) fn into_result(mut self) -> FaultResult {
        self.result.state = self.state;
        if self.state == FaultState::Planned {
            self.result.problem = Some("the run ended before it was injected".to_owned());
        }
        self.result
    }
}

const PANIC: &str = "shakedown itself failed there (this is a bug)";

/// Undoes, and reads back what is there.
async fn try_undo(driver: &mut Box<dyn FaultDriver>) -> Result<Vec<Finding>, FaultError> {
    driver.undo().await?;
    driver.prove_undone().await
}

/// What the findings say: all of them, or those that do not hold.
fn detail(findings: &[Finding], all: bool) -> String {
    let texts: Vec<&str> =
        findings.iter().filter(|finding| all || !finding.holds).map(|finding| finding.detail.as_str()).collect();
    if texts.is_empty() { "nothing was seen".to_owned() } else { texts.join("; ") }
}
