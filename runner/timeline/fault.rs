//! One fault on its way through a run: its state, its times and its evidence.

use std::time::Duration;

use shakedown_schemas::EventKind;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Evidence, FaultResult, Leftover, Verdict};
use tokio::time::Instant;

use crate::events::Events;
use crate::faults::{FaultDriver, FaultError, FaultPlan, Finding};

/// How long a fault has to be proven, and to be proven gone.
const PROOF_LIMIT: Duration = Duration::from_secs(10);
/// How long an undo is tried.
const UNDO_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(250);

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

    /// Injects and proves. An unproven fault stands all the same: what it did is for the judge.
    pub(super) async fn inject(&mut self, zero: Instant) -> Result<(), String> {
        self.result.injecting_s = Some(zero.elapsed().as_secs_f64());
        self.enter(FaultState::Injecting, "");
        if let Err(error) = self.driver.inject().await {
            return Err(self.failed(&error));
        }
        self.result.injected_s = Some(zero.elapsed().as_secs_f64());
        self.enter(FaultState::Injected, "");
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

    /// Undoes until it is proven gone or the time is up; true when it is gone.
    pub(super) async fn undo(&mut self, zero: Instant) -> bool {
        self.result.undoing_s = Some(zero.elapsed().as_secs_f64());
        self.enter(FaultState::Undoing, "");
        let begun = Instant::now();
        let mut problem;
        loop {
            match self.driver.undo().await {
                Err(error) => problem = error.to_string(),
                Ok(()) => match self.driver.prove_undone().await {
                    Err(error) => problem = error.to_string(),
                    Ok(findings) => {
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
                },
            }
            if begun.elapsed() >= UNDO_LIMIT {
                self.result.undo = Verdict::Error;
                self.result.problem = Some(problem.clone());
                self.enter(FaultState::Left, &problem);
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
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

/// What the findings say: all of them, or those that do not hold.
fn detail(findings: &[Finding], all: bool) -> String {
    let texts: Vec<&str> =
        findings.iter().filter(|finding| all || !finding.holds).map(|finding| finding.detail.as_str()).collect();
    if texts.is_empty() { "nothing was seen".to_owned() } else { texts.join("; ") }
}
