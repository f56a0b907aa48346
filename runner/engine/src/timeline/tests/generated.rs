//! Two faults whose drivers hang, fail, are slow or panic at each step, in every combination, with and without a signal or a
//! stop condition, on paused time. What must hold is worked out from what the drivers and the events say, not from the
//! timeline's own plan.

use std::fmt;
use std::future::pending;
use std::panic::panic_any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shakedown_schemas::EventKind;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Leftover, Proof, Verdict};
use shakedown_schemas::scenario::Scenario;
use tokio::sync::watch;
use tokio::time::Instant;

use super::fakes::{finding, plan};
use crate::events::Events;
use crate::timeline::{Outcome, Stop, Timeline, run};
use shakedown_faults::{FaultDriver, FaultError, Finding};
use shakedown_guard::fuse::Fuses;
use shakedown_load::{Live, LoadDriver, LoadError};
use shakedown_observe::{LoadObservations, Marks};

/// What begins in time.
const IN_TIME: f64 = 0.1;
/// How long the phase with the faults is planned to last, in seconds.
const PHASE: f64 = 10.0;
/// How long a slow step takes.
const SLOW: Duration = Duration::from_secs(3);
/// Until when an undo is tried.
const UNDO_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Inject,
    BecomeActive,
    Prove,
    Settle,
    Undo,
    ProveUndone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Hangs,
    Fails,
    IsSlow,
    Panics,
}

/// The one step at which a driver misbehaves, if any.
type Trick = Option<(At, Manner)>;

fn tricks() -> Vec<Trick> {
    let mut all = vec![None];
    for at in [At::Inject, At::BecomeActive, At::Prove, At::Settle, At::Undo, At::ProveUndone] {
        all.extend([Manner::Hangs, Manner::Fails, Manner::IsSlow, Manner::Panics].map(|manner| Some((at, manner))));
    }
    all
}

/// What the drivers did, and when.
type Diary = Arc<Mutex<Vec<(Instant, &'static str, &'static str)>>>;

struct Tricky {
    name: &'static str,
    trick: Trick,
    diary: Diary,
}

impl Tricky {
    fn note(&self, what: &'static str) {
        self.diary.lock().unwrap().push((Instant::now(), self.name, what));
    }

    async fn step(&self, at: At) -> Result<(), FaultError> {
        let Some((_, manner)) = self.trick.filter(|(trick, _)| *trick == at) else { return Ok(()) };
        match manner {
            Manner::Hangs => pending().await,
            Manner::Fails => Err(FaultError::Impossible("no".into())),
            Manner::Panics => panic_any("boom"),
            Manner::IsSlow => {
                tokio::time::sleep(SLOW).await;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl FaultDriver for Tricky {
    fn owned_by(&mut self, _: &Fuses) {}

    async fn preflight(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    async fn dismiss(&mut self) -> Result<(), FaultError> {
        self.note("dismiss");
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.note("inject");
        self.step(At::Inject).await
    }

    async fn become_active(&mut self) -> Result<(), FaultError> {
        self.step(At::BecomeActive).await?;
        self.note("active");
        Ok(())
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.step(At::Prove).await.map(|()| finding(Proof::Applied, true))
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.step(At::Settle).await.map(|()| finding(Proof::Effective, true))
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        self.note("undo");
        self.step(At::Undo).await
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.step(At::ProveUndone).await?;
        self.note("gone");
        Ok(finding(Proof::Removed, true))
    }

    fn leftovers(&self) -> Vec<Leftover> {
        vec![Leftover { what: self.name.to_owned(), command: String::new(), error: String::new() }]
    }
}

/// Every request fails from a moment on.
struct FailsFrom(Option<f64>, Instant);

#[async_trait]
impl LoadDriver for FailsFrom {
    async fn start(&mut self, zero: std::time::Instant, _: Arc<Marks>) -> Result<(), LoadError> {
        self.1 = Instant::from_std(zero);
        Ok(())
    }

    fn live(&mut self) -> Vec<Live> {
        let fails = self.0.is_some_and(|from| self.1.elapsed().as_secs_f64() >= from);
        vec![Live { load: "l".into(), ended: 10, succeeded: if fails { 0 } else { 10 }, ..Live::default() }]
    }

    fn answered_ns(&self) -> u64 {
        u64::MAX
    }

    async fn finish(&mut self, _: Duration) -> Result<Vec<LoadObservations>, LoadError> {
        Ok(Vec::new())
    }
}

/// A fault's times in its phase.
#[derive(Debug, Clone, Copy)]
struct Times {
    after: f64,
    lasts: Option<f64>,
}

/// What ends the run early.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    Signal(f64),
    /// The requests fail from then on: half of the last two seconds do a second later.
    Breach(f64),
}

struct Case {
    tricks: [Trick; 2],
    times: [Times; 2],
    disturbance: Disturbance,
    zero: Instant,
    events: Events,
    diary: Vec<(Instant, &'static str, &'static str)>,
    outcome: Outcome,
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{:?}, {:?}, {:?}", self.tricks, self.times, self.disturbance)?;
        for (at, name, what) in &self.diary {
            writeln!(out, "{:7.2} {name} {what}", self.seconds(*at))?;
        }
        for event in self.events.log() {
            writeln!(out, "{:7.2} {:?}", event.elapsed_s.unwrap_or_default(), event.kind)?;
        }
        for fault in self.outcome.faults.values() {
            writeln!(out, "{}: {:?} {:?} {:?}", fault.name, fault.state, fault.injection, fault.problem)?;
        }
        write!(out, "errors {:?}", self.outcome.errors)
    }
}

const NAMES: [&str; 2] = ["a", "b"];

async fn play(tricks: [Trick; 2], times: [Times; 2], disturbance: Disturbance) -> Case {
    let fault = |Times { after, lasts }: Times| {
        let lasts = lasts.map(|lasts| format!(r#", "for": "{lasts}s""#)).unwrap_or_default();
        format!(
            r#"{{"partition": {{"pods": {{"name": "p"}}, "from": [{{"service": "s"}}], "after": "{after}s"{lasts}}}}}"#
        )
    };
    let text = format!(
        r#"{{"version": 1, "name": "t", "load": {{"l": {{"http": {{"url": "http://x"}}, "rate": "1/s"}}}},
             "abort_if": [{{"success_rate": {{"below": "50%", "for": "2s"}}}}],
             "phases": [{{"name": "before", "duration": "1s"}},
                        {{"name": "during", "duration": "{PHASE}s", "faults": {{"a": {}, "b": {}}}}},
                        {{"name": "after", "duration": "1s"}}]}}"#,
        fault(times[0]),
        fault(times[1])
    );
    let scenario: Scenario = serde_json::from_str(&text).unwrap();
    let diary = Diary::default();
    let faults = [0, 1].map(|it| {
        let driver = Tricky { name: NAMES[it], trick: tricks[it], diary: diary.clone() };
        let driver: Box<dyn FaultDriver> = Box::new(driver);
        (plan(NAMES[it], 1, &scenario.phases[1].faults[NAMES[it]]), driver)
    });
    let (sender, stop) = watch::channel(None);
    let fails_from = match disturbance {
        Disturbance::Breach(from) => Some(from),
        Disturbance::Signal(at) => {
            let at = Instant::now() + Duration::from_secs_f64(at + 0.1);
            tokio::spawn(async move {
                tokio::time::sleep_until(at).await;
                _ = sender.send(Some(Stop::Signal("SIGINT")));
                sender.closed().await;
            });
            None
        }
    };
    let events = Events::new(Vec::new()).scenario("t");
    let outcome = run(Timeline {
        scenario: &scenario,
        faults: faults.into(),
        load: Box::new(FailsFrom(fails_from, Instant::now())),
        events: events.clone(),
        stop,
        undo_limit: UNDO_LIMIT,
        gate: None,
    })
    .await;
    let zero = events.zero().unwrap();
    let diary = diary.lock().unwrap().clone();
    Case { tricks, times, disturbance, zero, events, diary, outcome }
}

impl Case {
    fn seconds(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.zero).as_secs_f64()
    }

    /// When a driver did this for the first time.
    fn first(&self, name: &str, what: &str) -> Option<f64> {
        let found = self.diary.iter().find(|(_, who, did)| *who == name && *did == what);
        found.map(|(at, ..)| self.seconds(*at))
    }

    /// When the first such event happened.
    fn event(&self, wanted: impl Fn(&EventKind) -> bool) -> Option<f64> {
        self.events.log().into_iter().find(|event| wanted(&event.kind)).and_then(|event| event.elapsed_s)
    }

    /// When the run was to end early.
    fn ending(&self) -> Option<f64> {
        self.event(|kind| match kind {
            EventKind::Interrupted { .. } | EventKind::Error { .. } => true,
            EventKind::Fault { state, .. } => *state == FaultState::Failed,
            _ => false,
        })
    }

    /// When the phase with the faults is over, if nothing happens.
    fn phase_end(&self) -> Option<f64> {
        let mut counts_from: f64 = 1.0;
        let mut ends: Vec<f64> = Vec::new();
        for (name, times) in NAMES.iter().zip(self.times) {
            let active = self.first(name, "active")?;
            ends.push(active + PHASE - times.after);
            if times.after == 0.0 {
                counts_from = counts_from.max(active);
            }
        }
        Some(ends.into_iter().fold(counts_from + PHASE, f64::max))
    }

    /// When a fault's undo is due.
    fn undo_due(&self, fault: usize) -> Option<f64> {
        let active = self.first(NAMES[fault], "active");
        let own = active.and_then(|active| self.times[fault].lasts.map(|lasts| active + lasts));
        [own.or(self.phase_end()), self.ending()].into_iter().flatten().reduce(f64::min)
    }

    fn check(&self) {
        self.check_acknowledgement();
        for fault in 0..NAMES.len() {
            self.check_fault(fault);
        }
    }

    fn check_acknowledgement(&self) {
        let (at, said) = match self.disturbance {
            Disturbance::Signal(at) => {
                let said = self.event(|kind| matches!(kind, EventKind::Interrupted { .. }));
                // A run that was over before cannot say anything.
                let over = self.outcome.duration.as_secs_f64() < at;
                (at, if over { Some(at) } else { said })
            }
            Disturbance::Breach(from) => {
                let said =
                    self.event(|kind| matches!(kind, EventKind::Error { message } if message.starts_with("stopped")));
                assert_eq!(said.is_some(), self.outcome.breach.is_some(), "{self}");
                let earlier = self.ending().is_some_and(|at| at < from + 1.0);
                (from + 1.0, if earlier { Some(from + 1.0) } else { said })
            }
        };
        let said = said.unwrap_or_else(|| panic!("not acknowledged\n{self}"));
        assert!((at - IN_TIME..=at + IN_TIME).contains(&said), "acknowledged at {said}, not at {at}\n{self}");
    }

    fn check_fault(&self, fault: usize) {
        let name = NAMES[fault];
        let result = &self.outcome.faults[name];
        let Some(injected) = self.first(name, "inject") else {
            assert_eq!(result.state, FaultState::Planned, "{self}");
            assert!(self.first(name, "dismiss").is_some() && self.first(name, "undo").is_none(), "{self}");
            return;
        };
        let undone = self.first(name, "undo").unwrap_or_else(|| panic!("{name} was never undone\n{self}"));
        let due = self.undo_due(fault).unwrap_or_else(|| panic!("{name} was undone before its time\n{self}"));
        let due = due.max(injected);
        assert!((due - 0.01..=due + IN_TIME).contains(&undone), "undo of {name} at {undone}, due at {due}\n{self}");
        match result.state {
            FaultState::Undone => assert!(self.first(name, "gone").is_some(), "{self}"),
            FaultState::Left => {
                assert!(self.outcome.leftovers.iter().any(|left| left.what == name), "{self}");
                let at = self.tricks[fault].map(|(at, _)| at);
                assert!(matches!(at, Some(At::Undo | At::ProveUndone)), "{name} could have been undone\n{self}");
            }
            state => panic!("{name} ended as {state:?}\n{self}"),
        }
        if result.injection == Verdict::Pass {
            let Times { after, lasts } = self.times[fault];
            let lasted = undone - self.first(name, "active").unwrap();
            assert!(lasted >= 0.9 * lasts.unwrap_or(PHASE - after), "{name} passed and lasted {lasted}\n{self}");
        }
    }
}

const LAYOUTS: [[Times; 2]; 2] = [
    [Times { after: 0.0, lasts: Some(6.0) }, Times { after: 0.0, lasts: None }],
    [Times { after: 0.0, lasts: None }, Times { after: 3.0, lasts: Some(4.0) }],
];

/// All pairs of tricks, every second one with the other layout: which ones changes with the offset.
async fn all(offset: usize, disturbance: Disturbance) {
    let tricks = tricks();
    for (at, a) in tricks.iter().enumerate() {
        for (other, b) in tricks.iter().enumerate() {
            play([*a, *b], LAYOUTS[(at + other + offset) % 2], disturbance).await.check();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_while_injecting() {
    all(0, Disturbance::Signal(1.5)).await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_while_proving() {
    all(1, Disturbance::Signal(5.2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_while_undoing() {
    all(0, Disturbance::Signal(11.6)).await;
}

#[tokio::test(start_paused = true)]
async fn no_signal_but_for_what_hangs_for_ever() {
    all(1, Disturbance::Signal(320.0)).await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_condition_at_any_step() {
    for (offset, from) in [2.0, 4.5, 10.7].into_iter().enumerate() {
        all(offset, Disturbance::Breach(from)).await;
    }
}
