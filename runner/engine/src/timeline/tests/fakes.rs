//! Faults and a load that write a log of what the timeline asks of them, and a run with them.

use std::panic::panic_any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shakedown_schemas::result::{Leftover, PodRef, Proof};
use shakedown_schemas::scenario::{Fault, FaultEngine, Scenario};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::events::Events;
use crate::timeline::{Outcome, Stop, Timeline, run};
use shakedown_faults::{ArmedFault, FaultDriver, FaultError, FaultPlan, Finding, Stretch};
use shakedown_guard::fuse::Fuses;
use shakedown_load::{Live, LoadDriver, LoadError};
use shakedown_observe::{LoadObservations, Marks, PhasePart};
use shakedown_schemas::EventKind;

#[derive(Clone)]
pub(super) struct Log {
    pub(super) lines: Arc<Mutex<Vec<String>>>,
    pub(super) begun: Instant,
}

impl Log {
    pub(super) fn new() -> Self {
        Self { lines: Arc::default(), begun: Instant::now() }
    }

    pub(super) fn add(&self, what: impl std::fmt::Display) {
        // The load has a tenth of a second to get ready before its zero.
        let seconds = self.begun.elapsed().as_secs_f64() - 0.1;
        self.lines.lock().unwrap().push(format!("{seconds:.1} {what}"));
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Behaviour {
    Works,
    FailsToInject,
    /// The same, before it has made anything.
    MakesNothing,
    /// The server does not answer, and nothing of it could be removed.
    IsUnclear,
    PanicsInProof,
    NeverProven,
    StaysAtFirst,
    NeverGone,
    PanicsInUndo,
    DoesNotLast,
    /// Another client removes its object right before the undo.
    IsMissed,
    /// Nothing shows whether it lasts, except in every second look.
    IsSeenNowAndThen,
    NeverSeenAgain,
    /// It does not act in the first second after its proof, which samples show.
    IsSampled,
    HangsInUndo,
    FailsInTwoWays,
    /// The number of seconds that its engine takes.
    IsRecovered(u64),
    /// Its engine is at it for ever.
    IsAtIt,
    IsActiveLate,
    /// Its engine alone reports that it acts. After 8 s it is seen.
    SeenLater,
    /// At its end, too little of it is seen.
    SeenTooLittle,
    NeverSeen,
    /// Only that its objects are in place is asked for, and shown.
    IsApplied,
    /// Not proven for this many milliseconds, from 15 s on; until its end, where they are none.
    IsBlind(Option<u64>),
    /// How many of its three targets are gone, and from which second on.
    Loses(u64, u64),
}

impl Behaviour {
    pub(super) fn is_claimed(self) -> bool {
        matches!(self, Self::SeenLater | Self::SeenTooLittle | Self::NeverSeen)
    }
}

pub(super) struct FakeFault {
    pub(super) name: &'static str,
    pub(super) log: Log,
    pub(super) behaviour: Behaviour,
    pub(super) undone: u32,
    pub(super) looks: u32,
    pub(super) sampled: Option<Stretch>,
    /// Whether the service suffers now.
    pub(super) harm: Arc<AtomicBool>,
}

pub(super) fn finding(shows: Proof, holds: bool) -> Vec<Finding> {
    vec![Finding { shows, holds, detail: "seen".to_owned() }]
}

pub(super) fn target(number: usize) -> PodRef {
    let (name, uid) = (format!("w-{number}"), format!("uid-{number}"));
    PodRef { namespace: "n".to_owned(), name, uid, node: None, ip: None }
}

pub(super) fn plan(name: &str, phase: usize, fault: &Fault) -> FaultPlan {
    FaultPlan {
        name: name.to_owned(),
        phase,
        kind: "partition",
        engine: FaultEngine::Kubernetes,
        description: String::new(),
        targets: (0..3).map(target).collect(),
        peers: Vec::new(),
        objects: Vec::new(),
        marks: Vec::new(),
        namespaces: Vec::new(),
        after: fault.after().get(),
        lasts: fault.lasts().map(|lasts| lasts.get()),
        required_proof: shakedown_faults::effect::RequiredProof::Applied,
    }
}

#[async_trait]
impl FaultDriver for FakeFault {
    fn owned_by(&mut self, _: &Fuses) {}

    async fn preflight(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    async fn dismiss(&mut self) -> Result<(), FaultError> {
        self.log.add(format!("dismiss {}", self.name));
        Ok(())
    }

    async fn observe(&mut self) -> Vec<Finding> {
        match self.behaviour {
            Behaviour::SeenLater => tokio::time::sleep(Duration::from_secs(8)).await,
            _ => std::future::pending().await,
        }
        finding(Proof::Effective, true)
    }

    async fn sample(&mut self) {
        if self.behaviour == Behaviour::IsSampled {
            let from = Instant::now();
            tokio::time::sleep(Duration::from_secs(1)).await;
            let to = Some(Instant::now());
            self.sampled.get_or_insert(Stretch { from, to, why: "open".to_owned(), target: None });
        }
        std::future::pending().await
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.looks += 1;
        let is_shown = match self.behaviour {
            Behaviour::IsSeenNowAndThen => self.looks % 2 == 1 || self.looks > 3,
            behaviour => behaviour != Behaviour::NeverSeenAgain,
        };
        if !is_shown {
            return Err(FaultError::Unknown("the log is empty".into()));
        }
        match self.behaviour {
            Behaviour::NeverSeen | Behaviour::IsApplied => return Ok(Vec::new()),
            Behaviour::SeenTooLittle => return Ok(finding(Proof::Effective, false)),
            _ => {}
        }
        Ok(finding(Proof::Effective, self.behaviour != Behaviour::DoesNotLast))
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.harm.store(true, Ordering::Relaxed);
        self.log.add(format!("inject {}", self.name));
        tokio::time::sleep(Duration::from_millis(500)).await;
        match self.behaviour {
            Behaviour::FailsToInject | Behaviour::MakesNothing | Behaviour::IsUnclear => {
                Err(FaultError::TargetGone("the pod is gone".into()))
            }
            _ => Ok(()),
        }
    }

    async fn become_active(&mut self) -> Result<(), FaultError> {
        if self.behaviour == Behaviour::IsActiveLate {
            tokio::time::sleep(Duration::from_secs(11)).await;
        }
        Ok(())
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        match self.behaviour {
            Behaviour::PanicsInProof => panic_any("boom"),
            Behaviour::NeverProven => Ok(finding(Proof::Applied, false)),
            _ => Ok(finding(Proof::Applied, true)),
        }
    }

    fn unproven(&self) -> Vec<Stretch> {
        // The load has a tenth of a second to get ready before its zero.
        let from = self.log.begun + Duration::from_millis(15_100);
        if let Behaviour::Loses(count, at_s) = self.behaviour {
            let from = self.log.begun + Duration::from_millis(at_s * 1_000 + 100);
            let lost = |number| Stretch {
                from,
                to: None,
                why: format!("w-{number} is gone"),
                target: Some(format!("uid-{number}")),
            };
            return (0..count).map(lost).collect();
        }
        let Behaviour::IsBlind(lasts) = self.behaviour else { return self.sampled.iter().cloned().collect() };
        vec![Stretch {
            from,
            to: lasts.map(|lasts| from + Duration::from_millis(lasts)),
            why: "blind".to_owned(),
            target: None,
        }]
    }

    fn missed(&self) -> Option<String> {
        (self.behaviour == Behaviour::IsMissed && self.undone > 0).then(|| "it is gone".to_owned())
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        self.undone += 1;
        self.log.add(format!("undo {}", self.name));
        self.harm.store(false, Ordering::Relaxed);
        match self.behaviour {
            Behaviour::PanicsInUndo if self.undone == 1 => panic_any("boom"),
            Behaviour::HangsInUndo => std::future::pending().await,
            Behaviour::IsRecovered(seconds) => {
                tokio::time::sleep(Duration::from_secs(5)).await;
                let is_done = u64::from(self.undone) * 5 >= seconds;
                if is_done { Ok(()) } else { Err(FaultError::Recovering("it goes on".into())) }
            }
            Behaviour::IsAtIt => Err(FaultError::Recovering("it goes on".into())),
            Behaviour::FailsInTwoWays => Err(FaultError::Stuck(format!("reason {}", self.undone % 2).into())),
            _ => Ok(()),
        }
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let gone = match self.behaviour {
            Behaviour::StaysAtFirst => self.undone > 2,
            Behaviour::NeverGone => false,
            _ => true,
        };
        Ok(finding(Proof::Removed, gone))
    }

    fn unclear(&self) -> Option<String> {
        (self.behaviour == Behaviour::IsUnclear).then(|| "no answer".to_owned())
    }

    fn leftovers(&self) -> Vec<Leftover> {
        if matches!(self.behaviour, Behaviour::MakesNothing | Behaviour::IsUnclear) {
            return Vec::new();
        }
        vec![Leftover {
            what: self.name.to_owned(),
            command: "kubectl delete it".to_owned(),
            error: "stuck".to_owned(),
        }]
    }
}

pub(super) struct FakeLoad {
    pub(super) log: Log,
    pub(super) harm: Arc<AtomicBool>,
    pub(super) marks: Arc<Mutex<Option<Arc<Marks>>>>,
    pub(super) zero: std::time::Instant,
    /// How long each answer takes.
    pub(super) latency: Duration,
}

#[async_trait]
impl LoadDriver for FakeLoad {
    async fn start(&mut self, zero: std::time::Instant, marks: Arc<Marks>) -> Result<(), LoadError> {
        self.zero = zero;
        *self.marks.lock().unwrap() = Some(marks);
        Ok(())
    }

    fn live(&mut self) -> Vec<Live> {
        let harm = self.harm.load(Ordering::Relaxed);
        let mut live = Live { load: "l".into(), ended: 10, succeeded: if harm { 4 } else { 10 }, ..Live::default() };
        // What fails takes long, what succeeds does not.
        live.latency.ended.record_n(20_000, live.succeeded);
        live.latency.failed.record_n(3_000_000, live.ended - live.succeeded);
        vec![live]
    }

    fn answered_ns(&self) -> u64 {
        let now = Instant::now().into_std();
        now.saturating_duration_since(self.zero).saturating_sub(self.latency).as_nanos() as u64
    }

    async fn finish(&mut self, grace: Duration) -> Result<Vec<LoadObservations>, LoadError> {
        self.log.add(if grace > Duration::from_secs(1) { "load ends" } else { "load is cut short" });
        Ok(Vec::new())
    }
}

pub(super) struct Case {
    pub(super) log: Log,
    pub(super) outcome: Outcome,
    pub(super) marks: Vec<(f64, usize, PhasePart)>,
    /// How often a failed try of an undo was reported.
    pub(super) retries: usize,
    /// The messages of the cluster.
    pub(super) messages: Vec<String>,
}

/// Runs phases given as YAML-like JSON with fakes for their faults.
pub(super) async fn play(phases: &str, faults: &[(&'static str, Behaviour)], interrupt_at: Option<f64>) -> Case {
    play_until("[]", phases, faults, interrupt_at).await
}

/// The same with stop conditions of the whole scenario.
pub(super) async fn play_until(
    abort_if: &str,
    phases: &str,
    faults: &[(&'static str, Behaviour)],
    interrupt_at: Option<f64>,
) -> Case {
    play_slowly(Duration::ZERO, abort_if, phases, faults, interrupt_at).await
}

/// The same with answers that take a while.
pub(super) async fn play_slowly(
    latency: Duration,
    abort_if: &str,
    phases: &str,
    faults: &[(&'static str, Behaviour)],
    interrupt_at: Option<f64>,
) -> Case {
    play_gated(latency, abort_if, phases, faults, interrupt_at, &[]).await
}

/// The same with a gate that finds these problems. Faults without a behaviour are left out.
pub(super) async fn play_gated(
    latency: Duration,
    abort_if: &str,
    phases: &str,
    faults: &[(&'static str, Behaviour)],
    interrupt_at: Option<f64>,
    problems: &[&str],
) -> Case {
    stopped(latency, abort_if, phases, faults, interrupt_at.map(|at| (at, Stop::Signal("SIGINT"))), problems).await
}

/// The same with any reason to stop.
pub(super) async fn stopped(
    latency: Duration,
    abort_if: &str,
    phases: &str,
    faults: &[(&'static str, Behaviour)],
    stop_at: Option<(f64, Stop)>,
    problems: &[&str],
) -> Case {
    let text = format!(
        r#"{{"version": 1, "name": "t", "load": {{"l": {{"http": {{"url": "http://x"}}, "rate": "1/s"}}}},
             "abort_if": {abort_if}, "phases": {phases}}}"#
    );
    let scenario: Scenario = serde_json::from_str(&text).unwrap();
    let log = Log::new();
    let harm = Arc::new(AtomicBool::new(false));
    let mut drivers: Vec<ArmedFault> = Vec::new();
    for (phase, it) in scenario.phases.iter().enumerate() {
        for (name, fault) in &it.faults {
            let Some((name, behaviour)) = faults.iter().find(|(known, _)| known == name).copied() else { continue };
            let mut plan = plan(name, phase, fault);
            if behaviour.is_claimed() {
                (plan.kind, plan.engine) = ("stress", FaultEngine::ChaosMesh);
            }
            if matches!(behaviour, Behaviour::IsApplied) {
                plan.engine = FaultEngine::NetworkPolicy;
            }
            drivers.push((
                plan,
                Box::new(FakeFault {
                    name,
                    log: log.clone(),
                    behaviour,
                    undone: 0,
                    looks: 0,
                    sampled: None,
                    harm: harm.clone(),
                }),
            ));
        }
    }
    let (sender, stop) = watch::channel(None);
    if let Some((at, reason)) = stop_at {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(at + 0.1)).await;
            _ = sender.send(Some(reason));
            std::future::pending::<()>().await;
        });
    }
    let marks = Arc::new(Mutex::new(None));
    let load =
        Box::new(FakeLoad { log: log.clone(), harm, marks: marks.clone(), zero: Instant::now().into_std(), latency });
    let events = Events::new(Vec::new()).scenario("t");
    let outcome = run(Timeline {
        scenario: &scenario,
        faults: drivers,
        load,
        events: events.clone(),
        stop,
        undo_limit: Duration::from_secs(60),
        gate: Some(Box::new({
            let log = log.clone();
            let problems = problems.iter().map(|problem| (*problem).to_owned()).collect();
            move |seen| {
                log.add(format!("gate after {}", seen.phases.len()));
                problems
            }
        })),
    })
    .await;
    let marks = marks.lock().unwrap().as_ref().map(|marks| marks.all()).unwrap_or_default();
    let marks =
        marks.into_iter().map(|mark| ((mark.at_ns as f64 / 1e8).round() / 10.0, mark.phase, mark.part)).collect();
    let retries = events.log().iter().filter(|event| matches!(event.kind, EventKind::ApiRetry { .. })).count();
    let messages = events.log().into_iter().filter_map(|event| match event.kind {
        EventKind::Cluster { message } => Some(message),
        _ => None,
    });
    Case { log, outcome, marks, retries, messages: messages.collect() }
}

pub(super) const FAULT: &str = r#"{"pods": {"name": "p"}, "from": [{"service": "s"}]}"#;

pub(super) fn three_phases(body: &str) -> String {
    format!(
        r#"[{{"name": "before", "duration": "10s"}},
            {{"name": "during", "duration": "20s", "settle": "5s", "faults": {{"cut": {{"partition": {body}}}}}}},
            {{"name": "after", "duration": "10s"}}]"#
    )
}
