//! Whether a fault lasts from its proof to its undo: what is observed meanwhile, and the last look.

use std::time::Duration;

use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::Verdict;
use shakedown_schemas::scenario::FaultInfo;
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
                    self.last_check.get_or_insert_with(|| Err("no answer in time".to_owned()));
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
            self.last_check = Some(Err("no answer in time".to_owned()));
            self.checked(until).await;
        }
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
        let look = timeout_at(until.min(Instant::now() + LOOK_LIMIT), caught(self.driver.settle()));
        let Some(Ok(looked)) = self.commands.during(look, Duration::ZERO).await else { return false };
        let looked = match looked {
            Ok(Ok(findings)) => Ok(findings),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(PANIC.to_owned()),
        };
        let is_shown = looked.is_ok();
        self.last_check = Some(looked);
        is_shown
    }

    /// Whether only its engine reports that it acts, or only that its objects are in place was asked for.
    pub(super) fn is_claimed(&self, findings: &[Finding]) -> bool {
        let needs_more = match self.plan.engine {
            "chaos-mesh" => FaultInfo::of(self.plan.kind).is_some_and(FaultInfo::is_claimed),
            "network-policy" => self.plan.effect == RequiredProof::Applied,
            _ => false,
        };
        needs_more && !findings.iter().any(|finding| finding.shows.is_effect())
    }

    /// Withdraws the proof of a fault that did not last, or did not act on everything.
    pub(super) fn conclude(&mut self) {
        self.conclude_last_check();
        let stretches = self.said(|driver| driver.unproven()).unwrap_or_default();
        let Some(from_s) = self.result.injected_s else { return };
        self.result.unproven = stretch::clipped(stretches, self.zero, [from_s, self.seconds()]);
        if self.result.injection == Verdict::Pass
            && let Some(problem) = stretch::too_long(&self.result.unproven)
        {
            self.result.injection = Verdict::Inconclusive;
            self.result.problem = Some(problem);
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
