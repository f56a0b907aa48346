//! Whether a fault lasts from its proof to its undo: what is observed meanwhile, and the last look.

use std::time::Duration;

use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{UnprovenStretch, Verdict};
use shakedown_schemas::scenario::{FaultEngine, FaultInfo};
use tokio::time::{Instant, timeout_at};

use super::super::stretch;
use super::{FaultTask, PANIC, PAUSE, caught, detail};
use shakedown_faults::Finding;
use shakedown_faults::effect::RequiredProof;

/// The timeout of a single read of the last check. A server that is silent for a moment must not use up the time of the others.
const LOOK_LIMIT: Duration = Duration::from_millis(1500);
/// How long before the undo the last look begins at the latest: so long that it can be repeated.
const AGAIN: Duration = Duration::from_secs(1);

impl FaultTask {
    /// Checks on command whether a proven fault lasts, until its undo is commanded.
    pub(super) async fn look(&mut self) {
        while self.commands.undo.is_none() {
            match self.commands.check_until.take() {
                Some(until) => {
                    if self.last_check.is_none() {
                        self.last_check = Some(Err(self.silence()));
                    }
                    self.check_until(until).await;
                }
                None => self.watch().await,
            }
        }
    }

    /// Waits for a command, and observes the fault until then. A claimed fault is proven once an observation that is independent
    /// of its engine shows it.
    async fn watch(&mut self) {
        if self.is_blind {
            _ = self.commands.next().await;
            return;
        }
        let (driver, is_claimed) = (&mut self.driver, self.state == FaultState::Claimed);
        let seen = async {
            match is_claimed {
                true => driver.observe().await,
                false => {
                    driver.sample().await;
                    std::future::pending().await
                }
            }
        };
        let seen = tokio::select! {
            biased;
            _ = self.commands.next() => return,
            seen = caught(seen) => seen,
        };
        match seen {
            Ok(findings) => self.shown(findings),
            // The fault stays as it is.
            Err(_) => self.is_blind = true,
        }
    }

    /// Proves a claimed fault by its observations.
    pub(super) fn shown(&mut self, findings: Vec<Finding>) {
        let at_s = self.enter(FaultState::Proven, &detail(&findings, true));
        self.note(at_s, findings);
        self.result.proven_s = Some(at_s);
    }

    /// Checks immediately, and a second time so that the second check ends right before the undo, assuming it takes as long
    /// as the first.
    async fn check_until(&mut self, until: Instant) {
        let Some(took) = self.checked(until).await else { return };
        let again = until.checked_sub((took * 2).max(AGAIN)).filter(|again| *again > Instant::now());
        let Some(again) = again else { return };
        let waited = self.commands.during(tokio::time::sleep_until(again), Duration::ZERO).await;
        if waited.is_some() && self.commands.check_until.is_none() {
            // The first check is too old to show that the fault lasted.
            self.last_check = Some(Err(self.silence()));
            self.checked(until).await;
        }
    }

    /// A check without an answer, with the age of the last check that showed the fault.
    fn silence(&self) -> String {
        let limit = LOOK_LIMIT.as_secs_f64();
        let held = self.held_at.map(|at| format!("; it held {:.1} s before", at.elapsed().as_secs_f64()));
        let held = held.unwrap_or_default();
        format!("the cluster did not answer a check of it within {limit} s{held}")
    }

    /// Checks until an answer shows how it is. Returns how long that one took; none without one before the undo.
    async fn checked(&mut self, until: Instant) -> Option<Duration> {
        loop {
            let begun = Instant::now();
            if self.check_once(until).await {
                return Some(begun.elapsed());
            }
            self.commands.during(tokio::time::sleep(PAUSE), Duration::ZERO).await?;
            if Instant::now() >= until {
                return None;
            }
        }
    }

    /// One check; false when its answer did not arrive in time, or before the undo, or shows nothing.
    async fn check_once(&mut self, until: Instant) -> bool {
        let asked = Instant::now();
        let look = timeout_at(until.min(asked + LOOK_LIMIT), caught(self.driver.settle()));
        let Some(Ok(looked)) = self.commands.during(look, Duration::ZERO).await else { return false };
        let looked = match looked {
            Ok(Ok(findings)) => Ok(findings),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(PANIC.to_owned()),
        };
        let is_shown = looked.is_ok();
        if looked.as_ref().is_ok_and(|findings| findings.iter().all(|finding| finding.holds)) {
            self.held_at = Some(asked);
        }
        self.last_check = Some(looked);
        is_shown
    }

    /// Whether only its engine reports that it acts, or only that its objects are in place was asked for.
    pub(super) fn is_claimed(&self, findings: &[Finding]) -> bool {
        let needs_more = match self.plan.engine {
            FaultEngine::ChaosMesh => FaultInfo::of(self.plan.kind).is_some_and(FaultInfo::is_claimed),
            FaultEngine::NetworkPolicy => self.plan.required_proof == RequiredProof::Applied,
            FaultEngine::Kubernetes => false,
        };
        needs_more && !findings.iter().any(|finding| finding.shows.is_effect())
    }

    /// Withdraws the proof of a fault that did not last, or did not act on everything.
    pub(super) fn conclude(&mut self) {
        self.conclude_last_check();
        let stretches = self.said(|driver| driver.unproven()).unwrap_or_default();
        let Some(from_s) = self.result.injected_s else { return };
        self.result.unproven = stretch::clipped(stretches, self.zero, [from_s, self.seconds()]);
        self.withdraw_if_unproven();
    }

    /// Withdraws the proof since the last look from a fault whose undo found that it was not there any more.
    pub(super) fn count_missed(&mut self) {
        let missed = self.said(|driver| driver.missed()).flatten();
        let (Some(what), Some(from_s), Some(to_s)) = (missed, self.result.injected_s, self.result.undoing_s) else {
            return;
        };
        let from_s =
            self.held_at.map_or(from_s, |at| at.saturating_duration_since(self.zero).as_secs_f64().max(from_s));
        let why = format!("{what}, between the last look at it and its undo");
        self.result.unproven.push(UnprovenStretch { from_s, to_s, why, target: None });
        self.withdraw_if_unproven();
    }

    /// Withdraws the proof if a stretch without it is too long.
    fn withdraw_if_unproven(&mut self) {
        if self.result.injection == Verdict::Pass
            && let Some(problem) = stretch::too_long(&self.result.unproven)
        {
            self.result.injection = Verdict::Inconclusive;
            // What is left behind is more important.
            if self.state != FaultState::Left {
                self.result.problem = Some(problem);
            }
        }
    }

    fn conclude_last_check(&mut self) {
        let hurried = self.commands.undo.unwrap_or(true);
        let acts = matches!(self.state, FaultState::Proven | FaultState::Claimed);
        let Some(looked) = self.last_check.take().filter(|_| acts && !hurried) else { return };
        let problem = match looked {
            Ok(findings) => {
                let lasted = findings.iter().all(|finding| finding.holds);
                let is_seen =
                    |holds: bool| findings.iter().any(|finding| finding.shows.is_effect() && finding.holds == holds);
                let (shows, refutes) = (is_seen(true), is_seen(false));
                let details = detail(&findings, lasted);
                if lasted {
                    match shows && self.state == FaultState::Claimed {
                        true => self.shown(findings),
                        false => self.note(self.seconds(), findings),
                    }
                    return;
                }
                self.note(self.seconds(), findings);
                if refutes && self.state == FaultState::Claimed {
                    self.result.injection = Verdict::Inconclusive;
                    self.result.problem = Some(format!("not proven: {details}"));
                    return;
                }
                details
            }
            Err(problem) => problem,
        };
        self.result.injection = Verdict::Inconclusive;
        self.result.problem = Some(format!("not proven to have lasted until its end: {problem}"));
    }
}
