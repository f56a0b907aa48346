//! The state of a run, and the next action. Pure: events and the time go in, actions come out one by one, and `drive` starts
//! them.

use std::time::Duration;

use tokio::time::Instant;

use super::phase::{self, FaultStep, FaultTiming};
use super::stretch::LAST_CHECK;

/// The plan of a phase.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Its planned duration.
    pub(super) duration: Duration,
    /// Whether it has faults.
    pub(super) has_faults: bool,
}

/// An action that is due. The loop waits for its events, not for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// The load's first request is due.
    LoadBegins,
    /// Ask the gate.
    AskGate,
    /// A phase begins.
    Begin(usize),
    /// Requests of the previous phase take too long. Continue without their answers.
    Unanswered,
    /// The phase's first faults are active. The phase counts from now; `counts_from` takes the exact moment.
    Count(usize),
    /// Inject a fault.
    Inject(usize),
    /// Check a fault before its undo, which is due at this moment.
    CheckUntil(usize, Instant),
    /// The judged part of a phase ends.
    Judged(usize),
    /// Undo a fault.
    Undo(usize),
    /// A phase is over.
    End(usize),
    /// Remove the preparations of a fault that is not injected.
    Dismiss(usize),
    /// End the load, with little time for the requests in flight.
    CutLoad,
    /// Every fault is undone or dismissed.
    Settled,
    /// End the load, and wait for the requests in flight.
    FinishLoad,
}

/// Why a run ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// A signal, a stop condition, or a lost lock.
    Stopped,
    /// A fault or the run itself failed.
    Failed,
}

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The load gets ready.
    Starting,
    /// The load is ready, and its first request is due then.
    Ready(Instant),
    /// Between two phases.
    Before(usize),
    /// Waits for the answers to the requests of the previous phase, at most until then.
    Calming { phase: usize, until: Instant, answered: bool, has_begun: bool },
    /// Waits for the gate's answer.
    Asking(usize),
    /// The phase's first faults are being injected.
    Injecting(usize),
    /// The phase counts since then.
    Counting(usize, Instant),
    /// The phase's faults are being undone.
    Undoing(usize),
    /// The rest of the faults is undone or dismissed.
    Closing,
    /// The load receives the remaining answers.
    Finishing,
}

/// The state of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    Starting,
    Running,
    Finishing,
    Finished,
}

/// A run.
#[derive(Debug)]
pub(super) struct RunState {
    phases: Vec<Plan>,
    timings: Vec<FaultTiming>,
    /// The longest wait for the answers of the previous phase.
    calm: Duration,
    /// Whether the gate has not been asked yet.
    gate: bool,
    /// The phase for which this wait is over.
    calmed: Option<usize>,
    stage: Stage,
    load: Load,
    ending: Option<Ending>,
}

impl RunState {
    /// A run that has not begun.
    pub(super) const fn new(phases: Vec<Plan>, timings: Vec<FaultTiming>, calm: Duration, gate: bool) -> Self {
        let (stage, load) = (Stage::Starting, Load::Starting);
        Self { phases, timings, calm, gate, calmed: None, stage, load, ending: None }
    }

    // Events.

    /// The load is ready, or failed to get ready.
    pub(super) const fn load_started(&mut self, zero: Instant, well: bool) {
        self.load = if well { Load::Running } else { Load::Finished };
        if matches!(self.stage, Stage::Starting) {
            self.stage = Stage::Ready(zero);
        }
    }

    /// The load is over.
    pub(super) const fn load_finished(&mut self) {
        self.load = Load::Finished;
    }

    /// Every request of earlier phases was answered.
    pub(super) const fn answers_came(&mut self) {
        if let Stage::Calming { answered, .. } = &mut self.stage {
            *answered = true;
        }
    }

    /// The gate's answer.
    pub(super) const fn gate_said(&mut self, may_inject: bool) {
        if let Stage::Asking(phase) = self.stage {
            self.stage = if may_inject { Stage::Before(phase) } else { Stage::Closing };
        }
    }

    /// From when a phase counts: the answer to [`Action::Count`].
    pub(super) const fn counts_from(&mut self, phase: usize, active: Instant) {
        self.stage = Stage::Counting(phase, active);
    }

    /// A fault is active.
    pub(super) fn active(&mut self, fault: usize, at: Instant) {
        let timing = &mut self.timings[fault];
        if timing.step == FaultStep::Injecting {
            (timing.step, timing.active) = (FaultStep::Active, Some(at));
        }
    }

    /// A fault could not be injected, or lost its target.
    pub(super) fn failed(&mut self, fault: usize) {
        if self.timings[fault].needs_undo() {
            self.timings[fault].step = FaultStep::Failed;
        }
        self.end(Ending::Failed);
    }

    /// The undo of a fault has ended.
    pub(super) fn undone(&mut self, fault: usize, clean: bool) {
        self.timings[fault].step = if clean { FaultStep::Undone } else { FaultStep::Left };
    }

    /// A fault's task has ended.
    pub(super) fn over(&mut self, fault: usize) {
        let timing = &mut self.timings[fault];
        timing.over = true;
        if timing.is_there() || timing.step == FaultStep::Planned {
            timing.step = FaultStep::Left;
        }
    }

    /// The run ends early.
    pub(super) fn end(&mut self, ending: Ending) {
        self.ending =
            Some(self.ending.map_or(ending, |earlier| if ending == Ending::Stopped { ending } else { earlier }));
    }

    // Questions.

    /// All faults, each at its number.
    pub(super) fn timings(&self) -> &[FaultTiming] {
        &self.timings
    }

    /// Whether the run ends early.
    pub(super) const fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether everything is over.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Finishing && self.load == Load::Finished
    }

    /// Whether stop conditions are checked: during a phase, and before it while the gate decides.
    pub(super) const fn is_watched(&self) -> bool {
        self.ending.is_none() && self.phase().is_some()
    }

    /// Whether the answers of earlier phases are waited for.
    pub(super) const fn is_calming(&self) -> bool {
        matches!(self.stage, Stage::Calming { answered: false, .. })
    }

    /// The current phase, or the one that is about to begin.
    pub(super) const fn phase(&self) -> Option<usize> {
        match self.stage {
            Stage::Calming { phase, .. }
            | Stage::Asking(phase)
            | Stage::Injecting(phase)
            | Stage::Counting(phase, _)
            | Stage::Undoing(phase) => Some(phase),
            Stage::Starting | Stage::Ready(_) | Stage::Before(_) | Stage::Closing | Stage::Finishing => None,
        }
    }

    /// When the current phase's judged part ends, as far as that is known.
    pub(super) fn phase_end(&self) -> Option<Instant> {
        let Stage::Counting(phase, active) = self.stage else { return None };
        phase::end(self.phases[phase].duration, active, self.timings.iter().filter(|timing| timing.phase == phase))
    }

    /// How much of the current phase's time is left.
    pub(super) fn left(&self, now: Instant) -> Duration {
        match self.stage {
            Stage::Calming { phase, .. } | Stage::Asking(phase) | Stage::Injecting(phase) => {
                self.phases[phase].duration
            }
            Stage::Counting(phase, active) => {
                let end = self.phase_end().unwrap_or(active + self.phases[phase].duration);
                end.saturating_duration_since(now)
            }
            _ => Duration::ZERO,
        }
    }

    /// The time until the last phase's end, if no later phase has to wait.
    pub(super) fn left_of_run(&self, now: Instant) -> Duration {
        let later = self.phase().and_then(|phase| self.phases.get(phase + 1..)).unwrap_or_default();
        self.left(now) + later.iter().map(|it| it.duration).sum::<Duration>()
    }

    /// Since when the current phase counts. None before its faults act.
    pub(super) const fn counting_since(&self) -> Option<Instant> {
        match self.stage {
            Stage::Counting(_, active) => Some(active),
            _ => None,
        }
    }

    /// Whether a phase has faults that are injected before it counts.
    pub(super) fn begins_with_faults(&self, phase: usize) -> bool {
        self.timings.iter().any(|timing| timing.phase == phase && timing.after.is_zero())
    }

    /// When the next action is due without an event; it may lie in the past.
    pub(super) fn wake(&self) -> Option<Instant> {
        let end = self.phase_end();
        let own = match self.stage {
            Stage::Ready(zero) => Some(zero),
            Stage::Calming { until, .. } => Some(until),
            Stage::Counting(..) => end,
            _ => None,
        };
        let injections = self.timings.iter().filter_map(|timing| self.inject_at(timing));
        let undos = self.timings.iter().filter_map(|timing| {
            let undo = timing.undo_at(end)?;
            let look = (timing.checked_for != Some(undo)).then(|| undo.checked_sub(LAST_CHECK)).flatten();
            Some(look.unwrap_or(undo))
        });
        own.into_iter().chain(injections).chain(undos).min()
    }

    /// When a fault's injection is due, once its phase counts.
    fn inject_at(&self, timing: &FaultTiming) -> Option<Instant> {
        match self.stage {
            Stage::Counting(phase, active) if phase == timing.phase && timing.step == FaultStep::Planned => {
                Some(active + timing.after)
            }
            _ => None,
        }
    }

    // The next action.

    /// The next action; none before [`RunState::wake`] or another event. Each action is returned once.
    pub(super) fn next(&mut self, now: Instant) -> Option<Action> {
        // Undos come first.
        if let Some(fault) = self.due_undo(now) {
            // The judged part of a phase ends before the undos at its end.
            if self.ends_judged_part() || self.phase_end().is_some_and(|end| end <= now) {
                return self.ends_phase();
            }
            self.timings[fault].step = FaultStep::Undoing;
            return Some(Action::Undo(fault));
        }
        if self.ending == Some(Ending::Stopped) && self.load == Load::Running && !self.ends_judged_part() {
            self.load = Load::Finishing;
            return Some(Action::CutLoad);
        }
        if self.ending.is_none()
            && let Some((fault, undo)) = self.due_check(now)
        {
            self.timings[fault].checked_for = Some(undo);
            return Some(Action::CheckUntil(fault, undo));
        }
        self.next_of_stage(now)
    }

    fn next_of_stage(&mut self, now: Instant) -> Option<Action> {
        let ending = self.ending.is_some();
        match self.stage {
            Stage::Starting if ending => self.enter(Stage::Closing, now),
            Stage::Starting => None,
            Stage::Ready(_) if ending => self.enter(Stage::Closing, now),
            Stage::Ready(zero) => {
                let due = now >= zero;
                due.then(|| {
                    self.stage = Stage::Before(0);
                    Action::LoadBegins
                })
            }
            Stage::Before(phase) if ending || phase == self.phases.len() => self.enter(Stage::Closing, now),
            Stage::Before(phase) if self.gate && self.phases[phase].has_faults => {
                self.enter(Stage::Calming { phase, until: now + self.calm, answered: false, has_begun: false }, now)
            }
            Stage::Before(phase) => {
                self.stage = if self.begins_with_faults(phase) {
                    let answered = self.calmed == Some(phase);
                    Stage::Calming { phase, until: now + self.calm, answered, has_begun: true }
                } else {
                    Stage::Injecting(phase)
                };
                Some(Action::Begin(phase))
            }
            Stage::Calming { has_begun: false, .. } | Stage::Asking(_) if ending => self.enter(Stage::Closing, now),
            Stage::Calming { .. } | Stage::Injecting(_) | Stage::Counting(..) if ending => self.ends_phase(),
            Stage::Calming { phase, until, answered, has_begun } => {
                self.calming(phase, until, answered, has_begun, now)
            }
            Stage::Asking(_) => None,
            Stage::Injecting(phase) => self.injecting(phase),
            Stage::Counting(phase, _) => {
                let due = |timing: &FaultTiming| self.inject_at(timing).is_some_and(|at| at <= now);
                if let Some(fault) = self.timings.iter().position(due) {
                    self.timings[fault].step = FaultStep::Injecting;
                    return Some(Action::Inject(fault));
                }
                let over = self.phase_end().is_some_and(|end| end <= now);
                over.then(|| {
                    self.stage = Stage::Undoing(phase);
                    Action::Judged(phase)
                })
            }
            Stage::Undoing(phase) => {
                let there = self.timings.iter().any(|timing| timing.phase == phase && timing.is_there());
                (!there).then(|| {
                    self.stage = Stage::Before(phase + 1);
                    Action::End(phase)
                })
            }
            Stage::Closing => self.closing(),
            Stage::Finishing => (self.load == Load::Running).then(|| {
                self.load = Load::Finishing;
                Action::FinishLoad
            }),
        }
    }

    /// Enters another stage, and returns its first action.
    fn enter(&mut self, stage: Stage, now: Instant) -> Option<Action> {
        self.stage = stage;
        self.next(now)
    }

    fn calming(
        &mut self,
        phase: usize,
        until: Instant,
        answered: bool,
        has_begun: bool,
        now: Instant,
    ) -> Option<Action> {
        if !answered {
            return (until <= now).then(|| {
                self.answers_came();
                Action::Unanswered
            });
        }
        self.calmed = Some(phase);
        if has_begun {
            return self.enter(Stage::Injecting(phase), now);
        }
        (self.stage, self.gate) = (Stage::Asking(phase), false);
        Some(Action::AskGate)
    }

    /// Injects the phase's first faults all at once. The phase counts once all of them are active.
    fn injecting(&mut self, phase: usize) -> Option<Action> {
        let mut waiting = false;
        for (fault, timing) in self.timings.iter_mut().enumerate() {
            if timing.phase != phase || !timing.after.is_zero() {
                continue;
            }
            match timing.step {
                FaultStep::Planned => {
                    timing.step = FaultStep::Injecting;
                    return Some(Action::Inject(fault));
                }
                FaultStep::Injecting => waiting = true,
                _ => {}
            }
        }
        (!waiting).then_some(Action::Count(phase))
    }

    fn closing(&mut self) -> Option<Action> {
        if let Some(fault) = self.timings.iter().position(|timing| timing.step == FaultStep::Planned && !timing.over) {
            self.timings[fault].step = FaultStep::Dismissed;
            return Some(Action::Dismiss(fault));
        }
        self.timings.iter().all(|timing| timing.over).then(|| {
            self.stage = Stage::Finishing;
            Action::Settled
        })
    }

    /// Whether the run ends early and the judged part of a phase has not ended yet.
    const fn ends_judged_part(&self) -> bool {
        let in_phase =
            matches!(self.stage, Stage::Calming { has_begun: true, .. } | Stage::Injecting(_) | Stage::Counting(..));
        self.ending.is_some() && in_phase
    }

    fn ends_phase(&mut self) -> Option<Action> {
        let phase = self.phase()?;
        self.stage = Stage::Undoing(phase);
        Some(Action::Judged(phase))
    }

    /// A fault whose undo is due.
    fn due_undo(&self, now: Instant) -> Option<usize> {
        let end = self.phase_end();
        self.timings.iter().position(|timing| {
            let phase_is_over = match self.stage {
                Stage::Undoing(phase) => timing.phase <= phase,
                Stage::Closing | Stage::Finishing => true,
                _ => self.ending.is_some(),
            };
            let by_time = timing.lasts.is_some() && timing.undo_at(end).is_some_and(|at| at <= now);
            timing.needs_undo() && (phase_is_over || by_time)
        })
    }

    /// A fault whose last check is due, and the moment of its undo.
    fn due_check(&self, now: Instant) -> Option<(usize, Instant)> {
        let end = self.phase_end();
        self.timings.iter().enumerate().find_map(|(fault, timing)| {
            let undo = timing.undo_at(end)?;
            (timing.checked_for != Some(undo) && undo <= now + LAST_CHECK).then_some((fault, undo))
        })
    }
}

#[cfg(test)]
mod tests;
