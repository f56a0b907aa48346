//! The timeline with fakes that write a log, on paused time: what happens, in which order, and when.

use std::panic::panic_any;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Leftover, Proof, Verdict};
use shakedown_schemas::scenario::Scenario;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Outcome, Stop, Timeline, run};
use crate::events::Events;
use crate::faults::{FaultDriver, FaultError, FaultPlan, Finding, fuse::Fuses};
use crate::load::{Live, LoadDriver, LoadError};
use crate::observe::{LoadObservations, Marks, Part};

#[derive(Clone)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    begun: Instant,
}

impl Log {
    fn new() -> Self {
        Self { lines: Arc::default(), begun: Instant::now() }
    }

    fn add(&self, what: impl std::fmt::Display) {
        // The load has a tenth of a second to get ready before its zero.
        let seconds = self.begun.elapsed().as_secs_f64() - 0.1;
        self.lines.lock().unwrap().push(format!("{seconds:.1} {what}"));
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Behaviour {
    Works,
    FailsToInject,
    PanicsInProof,
    NeverProven,
    StaysAtFirst,
    NeverGone,
}

struct FakeFault {
    name: &'static str,
    log: Log,
    behaviour: Behaviour,
    undone: u32,
}

fn finding(shows: Proof, holds: bool) -> Vec<Finding> {
    vec![Finding { shows, holds, detail: "seen".to_owned() }]
}

#[async_trait]
impl FaultDriver for FakeFault {
    fn owned_by(&mut self, _: &Fuses) {}

    async fn preflight(&mut self) -> Result<(), FaultError> {
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.log.add(format!("inject {}", self.name));
        tokio::time::sleep(Duration::from_millis(500)).await;
        match self.behaviour {
            Behaviour::FailsToInject => Err(FaultError::TargetGone("the pod is gone".to_owned())),
            _ => Ok(()),
        }
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        match self.behaviour {
            Behaviour::PanicsInProof => panic_any("boom"),
            Behaviour::NeverProven => Ok(finding(Proof::Applied, false)),
            _ => Ok(finding(Proof::Applied, true)),
        }
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        self.undone += 1;
        self.log.add(format!("undo {}", self.name));
        Ok(())
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

    fn leftovers(&self) -> Vec<Leftover> {
        vec![Leftover {
            what: self.name.to_owned(),
            command: "kubectl delete it".to_owned(),
            error: "stuck".to_owned(),
        }]
    }
}

struct FakeLoad {
    log: Log,
    marks: Arc<Mutex<Option<Arc<Marks>>>>,
}

#[async_trait]
impl LoadDriver for FakeLoad {
    async fn start(&mut self, _: std::time::Instant, marks: Arc<Marks>) -> Result<(), LoadError> {
        *self.marks.lock().unwrap() = Some(marks);
        Ok(())
    }

    fn live(&mut self) -> Vec<Live> {
        Vec::new()
    }

    async fn finish(&mut self, grace: Duration) -> Result<Vec<LoadObservations>, LoadError> {
        self.log.add(if grace > Duration::from_secs(1) { "load ends" } else { "load is cut short" });
        Ok(Vec::new())
    }
}

struct Case {
    log: Log,
    outcome: Outcome,
    marks: Vec<(f64, usize, Part)>,
}

/// Runs phases given as YAML-like JSON with fakes for their faults.
async fn play(phases: &str, faults: &[(&'static str, Behaviour)], interrupt_at: Option<f64>) -> Case {
    let text = format!(
        r#"{{"version": 1, "name": "t", "load": {{"l": {{"http": {{"url": "http://x"}}, "rate": "1/s"}}}}, "phases": {phases}}}"#
    );
    let scenario: Scenario = serde_json::from_str(&text).unwrap();
    let log = Log::new();
    let mut drivers: Vec<(FaultPlan, Box<dyn FaultDriver>)> = Vec::new();
    for (phase, it) in scenario.phases.iter().enumerate() {
        for (name, fault) in &it.faults {
            let (name, behaviour) = *faults.iter().find(|(known, _)| known == name).unwrap();
            let plan = FaultPlan {
                name: name.to_owned(),
                phase,
                kind: "partition",
                engine: "fake",
                description: String::new(),
                targets: Vec::new(),
                peers: Vec::new(),
                objects: Vec::new(),
                marks: Vec::new(),
                namespaces: Vec::new(),
                after: fault.after().get(),
                lasts: fault.lasts().map(|lasts| lasts.get()),
            };
            drivers.push((plan, Box::new(FakeFault { name, log: log.clone(), behaviour, undone: 0 })));
        }
    }
    let (sender, stop) = watch::channel(None);
    if let Some(at) = interrupt_at {
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs_f64(at + 0.1)).await;
            _ = sender.send(Some(Stop::Signal("SIGINT")));
            std::future::pending::<()>().await;
        });
    }
    let marks = Arc::new(Mutex::new(None));
    let load = Box::new(FakeLoad { log: log.clone(), marks: marks.clone() });
    let outcome = run(Timeline {
        scenario: &scenario,
        faults: drivers,
        load,
        events: Events::new(Vec::new()).scenario("t"),
        stop,
    })
    .await;
    let marks = marks.lock().unwrap().as_ref().map(|marks| marks.all()).unwrap_or_default();
    let marks =
        marks.into_iter().map(|mark| ((mark.at_ns as f64 / 1e8).round() / 10.0, mark.phase, mark.part)).collect();
    Case { log, outcome, marks }
}

const FAULT: &str = r#"{"pods": {"name": "p"}, "from": [{"service": "s"}]}"#;

fn three_phases(body: &str) -> String {
    format!(
        r#"[{{"name": "before", "duration": "10s"}},
            {{"name": "during", "duration": "20s", "settle": "5s", "faults": {{"cut": {{"partition": {body}}}}}}},
            {{"name": "after", "duration": "10s"}}]"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_phase_counts_from_the_proof_and_ends_with_the_confirmed_undo() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], None).await;
    assert_eq!(case.log.text(), "10.0 inject cut\n30.5 undo cut\n40.7 load ends");
    assert_eq!(
        case.marks,
        [
            (0.0, 0, Part::Judged),
            (10.0, 1, Part::Injecting),
            (10.5, 1, Part::Settling),
            (15.5, 1, Part::Judged),
            (30.5, 1, Part::Undoing),
            (30.7, 2, Part::Judged),
        ]
    );
    let during = &case.outcome.observations.phases[1];
    assert!(during.complete && during.has_faults);
    assert_eq!(during.removed_ns.map(|ns| (ns as f64 / 1e8).round()), Some(307.0));
    let fault = &case.outcome.faults[0];
    assert_eq!((fault.state, fault.injection, fault.undo), (FaultState::Undone, Verdict::Pass, Verdict::Pass));
    assert!(case.outcome.errors.is_empty() && case.outcome.leftovers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_start_after_and_last_for() {
    let body = r#"{"pods": {"name": "p"}, "from": [{"service": "s"}], "after": "3s", "for": "4s"}"#;
    let case = play(&three_phases(body), &[("cut", Behaviour::Works)], None).await;
    assert_eq!(case.log.text(), "13.0 inject cut\n17.0 undo cut\n40.0 load ends");
    assert_eq!(case.marks[1], (10.0, 1, Part::Settling));
}

#[tokio::test(start_paused = true)]
async fn a_signal_undoes_at_once_and_cuts_the_load_short() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(12.0)).await;
    assert_eq!(case.log.text(), "10.0 inject cut\n12.0 undo cut\n12.2 load is cut short");
    assert_eq!(case.outcome.errors, ["interrupted by SIGINT"]);
    assert!(!case.outcome.observations.phases[1].complete);
    assert_eq!(case.outcome.observations.phases.len(), 2, "the last phase never began");
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_injection_waits_for_it_and_undoes() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(10.2)).await;
    assert_eq!(case.log.text(), "10.0 inject cut\n10.5 undo cut\n10.7 load is cut short");
}

#[tokio::test(start_paused = true)]
async fn a_failed_injection_is_undone_and_ends_the_run() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::FailsToInject)], None).await;
    assert_eq!(case.log.text(), "10.0 inject cut\n10.5 undo cut\n10.7 load ends");
    assert_eq!(case.outcome.errors, ["fault cut could not be injected: the pod is gone"]);
    assert_eq!(case.outcome.faults[0].injection, Verdict::Error);
    assert_eq!(case.outcome.faults[0].state, FaultState::Undone);
}

#[tokio::test(start_paused = true)]
async fn a_panic_undoes_too() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::PanicsInProof)], None).await;
    assert_eq!(case.log.text(), "10.0 inject cut\n10.5 undo cut\n10.7 load ends");
    assert!(case.outcome.errors[0].contains("boom"), "{:?}", case.outcome.errors);
}

#[tokio::test(start_paused = true)]
async fn an_unproven_fault_stands_and_is_inconclusive() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::NeverProven)], None).await;
    let fault = &case.outcome.faults[0];
    assert_eq!((fault.injection, fault.undo, fault.proven_s), (Verdict::Inconclusive, Verdict::Pass, None));
    assert!(fault.problem.as_deref().unwrap().starts_with("not proven"));
    assert!(case.outcome.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_repeated_until_it_is_proven() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::StaysAtFirst)], None).await;
    assert_eq!(case.log.text().matches("undo cut").count(), 3);
    assert_eq!(case.outcome.faults[0].undo, Verdict::Pass);
}

#[tokio::test(start_paused = true)]
async fn what_stays_is_left_behind_and_said() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::NeverGone)], None).await;
    assert_eq!(case.outcome.faults[0].state, FaultState::Left);
    assert_eq!(case.outcome.faults[0].undo, Verdict::Error);
    assert_eq!(case.outcome.leftovers.len(), 1);
    assert_eq!(case.outcome.observations.phases[1].removed_ns, None);
}

#[tokio::test(start_paused = true)]
async fn several_faults_are_injected_and_undone_together() {
    let phases = format!(
        r#"[{{"name": "during", "duration": "20s", "faults": {{"a": {{"partition": {FAULT}}}, "b": {{"partition": {FAULT}}}}}}}]"#
    );
    let case = play(&phases, &[("a", Behaviour::Works), ("b", Behaviour::FailsToInject)], None).await;
    assert_eq!(case.log.text(), "0.0 inject a\n0.0 inject b\n0.5 undo a\n0.5 undo b\n0.7 load ends");
}
