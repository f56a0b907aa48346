//! The loop. It waits for events, enters them into the run's state, and starts the actions that are due. It never waits for
//! an action, and it is the only writer of the run's state.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use shakedown_schemas::EventKind;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::scenario::{FaultInfo, Phase, Scenario};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::fault::{self, Channels, Command, Ended, FaultEvent, FaultTask, Report};
use super::phase::{self, FaultStep, FaultTiming};
use super::state::{Action, Ending, Plan, RunState};
use super::watchdog::Watchdog;
use super::{Breach, Gate, Outcome, Stop, Timeline, panicked};
use crate::events::{Events, Expected, Progress};
use shakedown_faults::FaultPlan;
use shakedown_load::{Live, LoadDriver, LoadError};
use shakedown_observe::{LoadObservations, Mark, Marks, Observations, PhasePart, PhaseSpan};

/// The interval at which stop conditions are checked.
const TICK: Duration = Duration::from_millis(50);

/// The refresh interval of the live display.
const PROGRESS: Duration = Duration::from_millis(500);

/// The timeout for the start of the load engine.
const LEAD: Duration = Duration::from_millis(100);

/// The timeout of requests in flight when a run ends early.
const STOPPED_GRACE: Duration = Duration::from_millis(500);

/// The maximum number of panics after which the loop continues.
const PANICS: u32 = 3;

/// A job that runs next to the loop.
#[derive(Debug, Clone, Copy)]
enum Job {
    Fault(usize),
    StartLoad,
    FinishLoad,
    Gate,
}

/// The result of a job.
enum JobResult {
    Fault(usize, Box<Ended>),
    Started(Box<dyn LoadDriver>, Result<(), LoadError>),
    Finished(Result<Vec<LoadObservations>, LoadError>),
    Gate(Vec<String>),
}

/// A fault from the loop's point of view. Its number, which is its place in the plan, identifies it in jobs, reports and
/// actions.
struct Fault {
    plan: FaultPlan,
    commands: mpsc::UnboundedSender<Command>,
    state: FaultState,
    undone_ns: Option<u64>,
    /// True if it was not undone yet when its fuse burned down.
    cut_short: bool,
    ended: Option<Box<Ended>>,
}

/// A run. The loop is its only writer.
pub(super) struct Run<'a> {
    scenario: &'a Scenario,
    state: RunState,
    faults: Vec<Fault>,
    reports: mpsc::UnboundedReceiver<Report>,
    jobs: JoinSet<JobResult>,
    which: HashMap<Id, Job>,
    /// None while it starts or finishes.
    load: Option<Box<dyn LoadDriver>>,
    events: Events,
    stop: watch::Receiver<Option<Stop>>,
    /// A stop was received, or its sender is gone.
    heard: bool,
    watchdog: Watchdog,
    breach: Option<Breach>,
    gate: Option<Gate>,
    refused: Vec<String>,
    /// Why the fuse burned down, where that ended the run.
    burned: Option<String>,
    marks: Arc<Marks>,
    zero: Instant,
    ticks: Interval,
    /// The loads' numbers since the last refresh of the display.
    shown: BTreeMap<String, Live>,
    shown_at: Instant,
    span: Option<PhaseSpan>,
    spans: Vec<PhaseSpan>,
    loads: Vec<LoadObservations>,
    errors: Vec<String>,
    panics: u32,
    duration: Duration,
}

/// The part of a phase that follows its injections.
fn calm_part(phase: &Phase) -> PhasePart {
    if phase.settle.is_zero() { PhasePart::Judged } else { PhasePart::Settling }
}

/// The reason to stop, once there is one; none when the sender is gone.
async fn stopped(stop: &mut watch::Receiver<Option<Stop>>) -> Option<Stop> {
    stop.wait_for(Option::is_some).await.ok().and_then(|stop| stop.clone())
}

impl<'a> Run<'a> {
    /// Starts the load, and one task for each fault, which waits for its commands.
    pub(super) fn new(timeline: Timeline<'a>) -> Self {
        let Timeline { scenario, faults, mut load, events, stop, undo_limit, gate } = timeline;
        // Slightly in the future, so that the engine runs when its first request is due.
        let zero = Instant::now() + LEAD;
        events.start_clock(zero);
        let plans = scenario.phases.iter();
        let plans = plans.map(|it| Plan { duration: it.duration.get(), has_faults: !it.faults.is_empty() }).collect();
        let timings = faults.iter().map(|(plan, _)| FaultTiming::new(plan.phase, plan.after, plan.lasts)).collect();
        let state = RunState::new(plans, timings, scenario.longest_calm(), gate.is_some());
        let (sender, reports) = mpsc::unbounded_channel();
        let (mut jobs, mut which) = (JoinSet::new(), HashMap::new());
        let mut tasks = Vec::new();
        for (number, (plan, driver)) in faults.into_iter().enumerate() {
            let (commands, receiver) = mpsc::unbounded_channel();
            let (events, reports) = (events.clone(), sender.clone());
            let channels = Channels { number, events, zero, undo_limit, commands: receiver, reports };
            let task = FaultTask::new(plan.clone(), driver, channels);
            let handle = jobs.spawn(async move { JobResult::Fault(number, Box::new(task.run().await)) });
            which.insert(handle.id(), Job::Fault(number));
            tasks.push(Fault {
                plan,
                commands,
                state: FaultState::Planned,
                undone_ns: None,
                cut_short: false,
                ended: None,
            });
        }
        let marks = Arc::new(Marks::default());
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut run = Self {
            scenario,
            state,
            faults: tasks,
            reports,
            jobs,
            which,
            load: None,
            events,
            stop,
            heard: false,
            watchdog: Watchdog::new(scenario),
            breach: None,
            gate,
            refused: Vec::new(),
            burned: None,
            marks: marks.clone(),
            zero,
            ticks,
            shown: BTreeMap::new(),
            shown_at: Instant::now(),
            span: None,
            spans: Vec::new(),
            loads: Vec::new(),
            errors: Vec::new(),
            panics: 0,
            duration: Duration::ZERO,
        };
        if let Some(part) = run.first_part(0) {
            run.begin(0, part, || 0);
        }
        let started = async move {
            let started = load.start(zero.into_std(), marks).await;
            JobResult::Started(load, started)
        };
        let handle = run.jobs.spawn(started);
        run.which.insert(handle.id(), Job::StartLoad);
        run
    }

    /// Runs until every fault is undone or dismissed and the load has ended.
    pub(super) async fn drive(&mut self) {
        loop {
            self.advance();
            if self.state.is_over() {
                return;
            }
            let wake = self.state.wake().unwrap_or_else(|| Instant::now() + TICK);
            tokio::select! {
                biased;
                stop = stopped(&mut self.stop), if !self.heard => self.stopped(stop),
                Some(report) = self.reports.recv() => self.reported(report),
                Some(done) = self.jobs.join_next_with_id() => self.done(done),
                _ = self.ticks.tick() => self.tick(),
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Records a panic of the loop. True if the loop has to continue and undo everything.
    pub(super) fn panicked(&mut self, panic: &(dyn Any + Send)) -> bool {
        self.fail(panicked(panic));
        self.panics += 1;
        self.panics <= PANICS
    }

    /// Takes all actions that are due now.
    fn advance(&mut self) {
        loop {
            if let Some(action) = self.state.next(Instant::now()) {
                self.start(action);
                continue;
            }
            let is_answered = |load: &dyn LoadDriver| load.answered_ns() >= self.border_ns();
            if !self.state.is_calming() || !self.load.as_deref().is_some_and(is_answered) {
                return;
            }
            self.state.answers_came();
        }
    }

    // Events.

    fn fail(&mut self, message: String) {
        self.events.emit(EventKind::Error { message: message.clone() });
        self.errors.push(message);
        self.state.end(Ending::Failed);
    }

    fn stopped(&mut self, stop: Option<Stop>) {
        self.heard = true;
        let Some(stop) = stop else { return };
        match stop {
            Stop::Signal(signal) => self.events.emit(EventKind::Interrupted { signal: signal.to_owned() }),
            Stop::Fuse(reason) => {
                for fault in &mut self.faults {
                    fault.cut_short = !fault.state.has_ended();
                }
                self.burned = Some(reason);
            }
            Stop::Because(_) => {}
        }
        self.state.end(Ending::Stopped);
    }

    fn reported(&mut self, Report { fault, at, what }: Report) {
        match what {
            FaultEvent::Failed(message) => {
                self.state.failed(fault);
                self.fail(message);
            }
            FaultEvent::Entered(state) => {
                self.faults[fault].state = state;
                match state {
                    FaultState::Injected => self.state.active(fault, at),
                    state if state.has_ended() => self.state.undone(fault, state != FaultState::Left),
                    _ => {}
                }
                if state.has_ended() && state != FaultState::Left {
                    self.faults[fault].undone_ns = Some(self.ns(at));
                }
            }
        }
    }

    fn done(&mut self, done: Result<(Id, JobResult), JoinError>) {
        match done {
            Ok((id, done)) => {
                self.which.remove(&id);
                match done {
                    JobResult::Fault(fault, ended) => self.ended(fault, ended),
                    JobResult::Started(load, started) => {
                        self.state.load_started(self.zero, started.is_ok());
                        self.load = Some(load);
                        if let Err(error) = started {
                            self.fail(error.to_string());
                        }
                    }
                    JobResult::Finished(loads) => self.load_ended(loads.map_err(|error| error.to_string())),
                    JobResult::Gate(problems) => self.gate_said(problems),
                }
            }
            Err(error) => {
                let job = self.which.remove(&error.id());
                let message = match error.try_into_panic() {
                    Ok(panic) => panicked(panic.as_ref()),
                    Err(error) => error.to_string(),
                };
                match job {
                    Some(Job::Fault(fault)) => {
                        self.fail(message);
                        self.ended(fault, Box::new(fault::lost(&self.faults[fault].plan)));
                    }
                    Some(Job::StartLoad) => {
                        self.state.load_started(self.zero, false);
                        self.fail(message);
                    }
                    Some(Job::FinishLoad) => self.load_ended(Err(message)),
                    Some(Job::Gate) | None => self.fail(message),
                }
            }
        }
    }

    fn ended(&mut self, fault: usize, ended: Box<Ended>) {
        self.errors.extend(ended.problem.clone());
        self.faults[fault].ended = Some(ended);
        self.state.over(fault);
    }

    fn load_ended(&mut self, loads: Result<Vec<LoadObservations>, String>) {
        self.state.load_finished();
        match loads {
            Ok(loads) => self.loads = loads,
            Err(message) => self.fail(message),
        }
    }

    fn gate_said(&mut self, problems: Vec<String>) {
        self.state.gate_said(problems.is_empty());
        for problem in &problems {
            self.events.emit(EventKind::Warning { message: format!("no fault is injected: {problem}") });
        }
        self.refused = problems;
    }

    /// Reads the loads' latest numbers, shows them, and checks the stop conditions.
    fn tick(&mut self) {
        // After a panic, the loop only undoes.
        let (Some(load), Some(phase), 0) = (&mut self.load, self.state.phase(), self.panics) else { return };
        let lately = load.live();
        self.watchdog.see(&lately);
        for live in lately {
            let shown = self
                .shown
                .entry(live.load.clone())
                .or_insert_with(|| Live { load: live.load.clone(), ..Live::default() });
            shown.add(&live);
        }
        if self.shown_at.elapsed() >= PROGRESS {
            self.show(phase);
        }
        if self.state.is_watched()
            && let Some(breach) = self.watchdog.breach()
        {
            self.events.emit(EventKind::Error { message: format!("stopped: {}; undoing all faults", breach.reason) });
            self.breach = Some(Breach { phase: self.scenario.phases[phase].name.clone(), ..breach });
            self.state.end(Ending::Stopped);
        }
    }

    fn show(&mut self, phase: usize) {
        self.shown_at = Instant::now();
        let loads = self.scenario.load.keys().filter_map(|load| self.shown.remove(load)).collect();
        let is_there =
            |fault: &&Fault| matches!(fault.state, FaultState::Injected | FaultState::Claimed | FaultState::Proven);
        let there = self.faults.iter().filter(is_there);
        let (now, current) = (Instant::now(), &self.scenario.phases[phase]);
        let judged_from = self.state.counting_since().map(|active| active + current.settle.get());
        self.events.progress(Progress {
            run_left: self.state.left_of_run(now),
            expectations: Expected::of(current),
            is_judged: judged_from.is_some_and(|from| now >= from),
            phase: current.name.clone(),
            phase_number: phase + 1,
            phases: self.scenario.phases.len(),
            elapsed: self.zero.elapsed(),
            left: self.state.left(now),
            loads,
            faults: there.map(|fault| format!("{} {}", fault.plan.name, fault.state.word())).collect(),
        });
    }

    // Actions.

    fn start(&mut self, action: Action) {
        match action {
            Action::LoadBegins => {
                self.events.emit(EventKind::LoadStarted);
                self.watchdog.start();
            }
            Action::AskGate => self.ask_gate(),
            Action::Begin(phase) => self.begin_phase(phase),
            Action::Unanswered => {
                let message = "requests of the previous phase have not ended: they count for the phase of the fault, as in flight";
                self.events.emit(EventKind::Warning { message: message.to_owned() });
            }
            Action::Count(phase) => self.count(phase),
            Action::Inject(fault) => {
                self.strike(fault);
                self.command(fault, Command::Inject);
            }
            Action::CheckUntil(fault, until) => self.command(fault, Command::CheckUntil(until)),
            Action::Undo(fault) => self.command(fault, Command::Undo { hurried: self.state.is_ending() }),
            Action::Dismiss(fault) => self.command(fault, Command::Dismiss),
            Action::Judged(phase) => self.judged(phase),
            Action::End(phase) => self.end_phase(phase),
            Action::CutLoad => self.finish_load(STOPPED_GRACE),
            Action::Settled => self.duration = self.zero.elapsed(),
            Action::FinishLoad => self.finish_load(Duration::MAX),
        }
    }

    fn command(&self, fault: usize, command: Command) {
        // The join handle reports a task that is gone.
        _ = self.faults[fault].commands.send(command);
    }

    fn ask_gate(&mut self) {
        let Some(gate) = self.gate.take() else { return self.state.gate_said(true) };
        let loads = self.load.as_mut().map(|load| load.so_far()).unwrap_or_default();
        let seen = Observations { phases: self.spans.clone(), loads, ..Observations::default() };
        // It computes for too long to run in the loop.
        let handle = self.jobs.spawn_blocking(move || JobResult::Gate(gate(&seen)));
        self.which.insert(handle.id(), Job::Gate);
    }

    fn finish_load(&mut self, grace: Duration) {
        let Some(mut load) = self.load.take() else { return self.state.load_finished() };
        let handle = self.jobs.spawn(async move { JobResult::Finished(load.finish(grace).await) });
        self.which.insert(handle.id(), Job::FinishLoad);
    }

    // Phases and marks.

    fn ns(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.zero).as_nanos() as u64
    }

    fn now_ns(&self) -> u64 {
        self.ns(Instant::now())
    }

    /// Where the last phase ended, so that no request is due between two phases.
    fn border_ns(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.end_ns)
    }

    fn begin_phase(&mut self, index: usize) {
        let phase = &self.scenario.phases[index];
        self.watchdog.enter(index);
        self.events
            .emit(EventKind::PhaseStarted { phase: phase.name.clone(), planned_s: phase.duration.as_secs_f64() });
        let start_ns = self.border_ns();
        self.span = Some(PhaseSpan {
            name: phase.name.clone(),
            start_ns,
            active_ns: start_ns,
            judged_from_ns: u64::MAX,
            planned_ns: phase.duration.get().as_nanos() as u64,
            // Also in a control run, which leaves the faults out: later phases are then judged alike.
            has_faults: !phase.faults.is_empty(),
            ..PhaseSpan::default()
        });
    }

    /// A fault may act from its injection on. The stretch of a phase's injections begins with the first.
    fn strike(&self, fault: usize) {
        let timing = &self.state.timings()[fault];
        let at_ns = match timing.after.is_zero() && self.marks.strikes().iter().all(|it| it.phase != timing.phase) {
            true => self.begin(timing.phase, PhasePart::Injecting, || self.now_ns()),
            false => self.now_ns(),
        };
        self.marks.strike_now(timing.phase, || at_ns);
    }

    /// The phase counts from the moment at which its faults are active, not from their proof: the faults affect the requests
    /// in between, which must be judged.
    fn count(&mut self, index: usize) {
        let phase = &self.scenario.phases[index];
        let start_ns = self.border_ns();
        // The mark gets its moment under the lock of the marks, so that the load has it before any later request.
        let active_ns = match self.state.begins_with_faults(index) {
            true => self.begin(index, calm_part(phase), || self.now_ns()),
            false => start_ns,
        };
        if let Some(span) = &mut self.span {
            span.active_ns = active_ns;
            span.judged_from_ns = active_ns + phase.settle.get().as_nanos() as u64;
        }
        self.state.counts_from(index, self.zero + Duration::from_nanos(active_ns));
    }

    /// The judged part of a phase ends here, right before the undos at its end.
    fn judged(&mut self, index: usize) {
        let complete = !self.state.is_ending();
        let has_faults = !self.scenario.phases[index].faults.is_empty();
        let judged_to_ns = match has_faults {
            true => self.begin(index, PhasePart::Undoing, || self.now_ns()),
            false => self.border(index, complete),
        };
        let never_counted = self.state.begins_with_faults(index);
        if let Some(span) = &mut self.span {
            if span.judged_from_ns == u64::MAX && never_counted {
                span.active_ns = judged_to_ns;
            }
            span.complete = complete;
            span.judged_from_ns = span.judged_from_ns.min(judged_to_ns);
            (span.judged_to_ns, span.end_ns) = (judged_to_ns, judged_to_ns);
        }
    }

    fn end_phase(&mut self, index: usize) {
        let Some(mut span) = self.span.take() else { return };
        if span.has_faults {
            let of_phase = || self.state.timings().iter().enumerate().filter(|(_, timing)| timing.phase == index);
            let clean = of_phase().all(|(_, timing)| timing.step != FaultStep::Left);
            let last = of_phase().filter_map(|(fault, _)| self.faults[fault].undone_ns).max();
            let left_out = of_phase().next().is_none();
            span.strike_ns = self.marks.strikes().iter().find(|it| it.phase == index).map(|it| it.at_ns);
            span.removed_ns = last.filter(|_| clean).or(left_out.then_some(span.judged_to_ns));
            span.end_ns = self.border(index, span.complete && !self.state.is_ending());
            let is_once = |fault: &Fault| FaultInfo::of(fault.plan.kind).is_some_and(FaultInfo::is_once);
            if of_phase().all(|(fault, _)| is_once(&self.faults[fault])) {
                span.struck_ns = of_phase().filter_map(|(_, timing)| timing.active).max().map(|at| self.ns(at));
            }
        }
        self.spans.push(span);
        self.events.emit(EventKind::PhaseEnded { phase: self.scenario.phases[index].name.clone() });
    }

    /// The first part of a phase; none after the last phase.
    fn first_part(&self, index: usize) -> Option<PhasePart> {
        let phase = self.scenario.phases.get(index)?;
        Some(if self.state.begins_with_faults(index) { PhasePart::Waiting } else { calm_part(phase) })
    }

    /// Begins a part of a phase, and says when that is. One that settles is followed by the judged one.
    fn begin(&self, index: usize, part: PhasePart, now_ns: impl FnOnce() -> u64) -> u64 {
        let at_ns = self.marks.begin_now(index, part, now_ns);
        if part == PhasePart::Settling {
            let at_ns = at_ns + self.scenario.phases[index].settle.get().as_nanos() as u64;
            self.marks.begin(Mark { at_ns, phase: index, part: PhasePart::Judged });
        }
        at_ns
    }

    /// Ends a phase now. The next one begins at the same moment, unless the run ends.
    fn border(&self, index: usize, goes_on: bool) -> u64 {
        match self.first_part(index + 1).filter(|_| goes_on) {
            Some(part) => self.begin(index + 1, part, || self.now_ns()),
            None => self.now_ns(),
        }
    }

    /// The outcome of the run. A task without a sender of commands undoes its fault by itself.
    pub(super) async fn outcome(mut self) -> Outcome {
        for fault in &mut self.faults {
            fault.commands = mpsc::unbounded_channel().0;
        }
        while self.faults.iter().any(|fault| fault.ended.is_none()) {
            let Some(done) = self.jobs.join_next_with_id().await else { break };
            self.done(done);
        }
        self.errors.extend(self.stop.borrow().as_ref().and_then(Stop::error));
        let mut outcome = Outcome {
            observations: Observations { phases: self.spans, loads: self.loads, ..Observations::default() },
            errors: self.errors,
            breach: self.breach,
            refused: self.refused,
            burned: self.burned,
            duration: self.duration,
            ..Outcome::default()
        };
        for (number, fault) in self.faults.into_iter().enumerate() {
            let timing = &self.state.timings()[number];
            let mut ended = fault.ended.unwrap_or_else(|| Box::new(fault::lost(&fault.plan)));
            if let Some(span) = outcome.observations.phases.get(timing.phase) {
                phase::demote(&mut ended.result, timing, span);
            }
            if let Some(reason) = outcome.burned.as_ref().filter(|_| fault.cut_short) {
                phase::burned(&mut ended.result, reason);
            }
            outcome.leftovers.append(&mut ended.leftovers);
            outcome.faults.insert(fault.plan.name, ended.result);
        }
        outcome
    }
}
