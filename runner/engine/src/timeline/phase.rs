//! The times of the faults of a phase. Pure. The time of a fault and the end of its phase count from the moment at which the
//! fault is active.

use std::time::Duration;

use shakedown_reports::words;
use shakedown_schemas::result::{FaultResult, Verdict};
use shakedown_schemas::scenario::FaultInfo;
use tokio::time::Instant;

use super::stretch;
use shakedown_observe::PhaseSpan;

/// The smallest share of its planned time that a fault has to last.
const ENOUGH: f64 = 0.9;

/// The step of a fault that decides which action is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultStep {
    /// It is not injected yet.
    Planned,
    /// It is being injected, or not active yet.
    Injecting,
    /// It is active.
    Active,
    /// Its injection failed, or its target is gone. Some of its objects may exist.
    Failed,
    /// It is being undone.
    Undoing,
    /// It is proven to be gone.
    Undone,
    /// It could not be undone.
    Left,
    /// Its preparations are being removed.
    Dismissed,
}

/// A fault and the times that were planned for it.
#[derive(Debug, Clone)]
pub(super) struct FaultTiming {
    /// The index of its phase.
    pub(super) phase: usize,
    /// How long after the phase's beginning it is injected.
    pub(super) after: Duration,
    /// Its duration. None: the rest of the phase.
    pub(super) lasts: Option<Duration>,
    /// Its step.
    pub(super) step: FaultStep,
    /// Since when it was active.
    pub(super) active: Option<Instant>,
    /// The undo before which its last check was commanded.
    pub(super) checked_for: Option<Instant>,
    /// Its task has ended.
    pub(super) over: bool,
}

impl FaultTiming {
    /// A fault that is not injected yet.
    pub(super) const fn new(phase: usize, after: Duration, lasts: Option<Duration>) -> Self {
        Self { phase, after, lasts, step: FaultStep::Planned, active: None, checked_for: None, over: false }
    }

    /// Whether its injection has begun and its undo has not.
    pub(super) const fn needs_undo(&self) -> bool {
        matches!(self.step, FaultStep::Injecting | FaultStep::Active | FaultStep::Failed)
    }

    /// Whether it waits for its undo, or for the end of its undo.
    pub(super) const fn is_there(&self) -> bool {
        self.needs_undo() || matches!(self.step, FaultStep::Undoing)
    }

    /// When its undo is due, in a phase that ends at `phase_end`; none while that is unknown.
    pub(super) fn undo_at(&self, phase_end: Option<Instant>) -> Option<Instant> {
        let active = self.active.filter(|_| self.step == FaultStep::Active)?;
        self.lasts.map(|lasts| active + lasts).or(phase_end)
    }

    /// Its planned duration in a phase of that duration.
    fn planned(&self, duration: Duration) -> Duration {
        let rest = duration.saturating_sub(self.after);
        self.lasts.map_or(rest, |lasts| lasts.min(rest))
    }
}

/// When a phase that counts from `active` ends. By then each fault had the rest of the phase, counted from its own activation.
/// None while a fault is not active yet.
pub(super) fn end<'a>(
    duration: Duration,
    active: Instant,
    timings: impl IntoIterator<Item = &'a FaultTiming>,
) -> Option<Instant> {
    let mut end = active + duration;
    for timing in timings {
        if matches!(timing.step, FaultStep::Planned | FaultStep::Injecting) {
            return None;
        }
        if let Some(active) = timing.active {
            end = end.max(active + duration.saturating_sub(timing.after));
        }
    }
    Some(end)
}

/// Withdraws the proof of a fault that was in place for less than 90 % of its planned time within its phase, on average of
/// its targets. A lost target counts until its loss, for every engine. A one-time fault has no duration.
pub(super) fn demote(result: &mut FaultResult, timing: &FaultTiming, span: &PhaseSpan) {
    let (Some(from), Some(to)) = (result.injected_s, result.undoing_s) else { return };
    let is_once = FaultInfo::of(&result.kind).is_some_and(FaultInfo::is_once);
    if is_once || result.injection != Verdict::Pass {
        return;
    }
    let seconds = |ns: u64| ns as f64 / 1e9;
    let within = [from.max(seconds(span.active_ns)), to.min(seconds(span.judged_to_ns))];
    let lasted = (within[1] - within[0]).max(0.0);
    let planned = timing.planned(Duration::from_nanos(span.planned_ns)).as_secs_f64();
    let [without, on_average] = stretch::totals(&result.unproven, within, result.targets.len());
    if lasted - on_average < planned * ENOUGH {
        // The stretches contain the lost targets and the times of their loss.
        let lost = on_average > without;
        let mut problem = format!(
            "in place for {} of its planned {}",
            words::seconds(if lost { lasted - on_average } else { lasted }),
            words::seconds(planned)
        );
        if lost {
            problem.push_str(&format!(", on average of its {} targets", result.targets.len()));
        } else if without > 0.0 {
            problem.push_str(&format!(", {} of which are without proof", words::seconds(without)));
        }
        result.injection = Verdict::Inconclusive;
        result.problem = Some(problem);
    }
}

/// Withdraws the proof of a fault that its fuse ended or prevented.
pub(super) fn burned(result: &mut FaultResult, reason: &str) {
    let what = if result.injecting_s.is_some() { "ended early by its fuse" } else { "not injected" };
    if matches!(result.injection, Verdict::Pass | Verdict::Inconclusive) {
        result.injection = Verdict::Inconclusive;
        result.problem = Some(format!("{what}: {reason}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timing(after: u32, lasts: Option<u32>, step: FaultStep, active: Option<Instant>) -> FaultTiming {
        FaultTiming { step, active, ..FaultTiming::new(0, SECOND * after, lasts.map(|lasts| SECOND * lasts)) }
    }

    #[test]
    fn a_phase_ends_once_each_fault_had_its_time() {
        let zero = Instant::now();
        let at = |seconds: u32| Some(zero + SECOND * seconds);
        for (timings, ends) in [
            (vec![], at(20)),
            (vec![timing(0, None, FaultStep::Active, at(0))], at(20)),
            // It was active before the other faults of its phase.
            (vec![timing(0, None, FaultStep::Active, Some(zero - SECOND))], at(20)),
            (vec![timing(3, None, FaultStep::Planned, None)], None),
            (vec![timing(3, None, FaultStep::Injecting, None)], None),
            (vec![timing(3, None, FaultStep::Active, at(14))], at(31)),
            (vec![timing(3, Some(5), FaultStep::Undone, at(14))], at(31)),
            (vec![timing(3, None, FaultStep::Active, at(14)), timing(9, None, FaultStep::Active, at(10))], at(31)),
            (vec![timing(3, None, FaultStep::Failed, None)], at(20)),
        ] {
            assert_eq!(end(SECOND * 20, zero, &timings), ends, "{timings:?}");
        }
    }

    #[test]
    fn an_undo_is_due_by_the_faults_own_time_or_with_its_phase() {
        let zero = Instant::now();
        let end = Some(zero + SECOND * 20);
        assert_eq!(timing(3, Some(5), FaultStep::Active, Some(zero)).undo_at(None), Some(zero + SECOND * 5));
        assert_eq!(timing(3, None, FaultStep::Active, Some(zero)).undo_at(end), end);
        assert_eq!(timing(3, None, FaultStep::Active, Some(zero)).undo_at(None), None);
        assert_eq!(timing(3, Some(5), FaultStep::Undoing, Some(zero)).undo_at(end), None);
        assert_eq!(timing(3, Some(5), FaultStep::Injecting, None).undo_at(end), None);
    }
}
