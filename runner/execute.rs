//! One scenario from its file to its result: plan, timeline, judge, in this order and nothing else.

use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{Leftover, ScenarioResult, Verdict};
use shakedown_schemas::{Document, EventKind};
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::events::Events;
use crate::faults::fuse::Fuses;
use crate::faults::{FaultDriver, FaultPlan};
use crate::judge;
use crate::load::{Engine, PlannedLoad};
use crate::plan::{self, Options, Plan};
use crate::timeline::{self, Outcome, Timeline};

/// The signal that asks the run to end, once there is one.
pub type Stop = watch::Receiver<Option<&'static str>>;

/// Runs one scenario. Whatever happens, there is a result that says so.
pub async fn execute(
    document: &Document,
    cluster: Option<&Cluster>,
    options: &Options,
    events: &Events,
    stop: &Stop,
) -> ScenarioResult {
    let mut result = empty(document, cluster, options);
    events.emit(EventKind::ScenarioStarted { file: document.file.clone() });
    let cluster = cluster.map(|cluster| {
        let events = events.clone();
        cluster.clone().notifying(std::sync::Arc::new(move |kind| events.emit(kind)))
    });
    let mut signal = stop.clone();
    let planned = tokio::select! {
        planned = plan::plan(document, cluster.as_ref(), options) => planned.map_err(|error| error.to_string()),
        Ok(signal) = signal.wait_for(Option::is_some) => Err(format!("interrupted by {}", signal.unwrap_or("a signal"))),
    };
    match planned {
        Err(message) => {
            events.emit(EventKind::Error { message: message.clone() });
            result.errors.push(message);
        }
        Ok(plan) => carry_out(document, cluster.as_ref(), plan, options, events, stop, &mut result).await,
    }
    (result.verdict, result.reason) = judge::scenario_verdict(&result);
    events.emit(EventKind::ScenarioEnded { verdict: result.verdict, reason: result.reason.clone() });
    result.events = events.log();
    result
}

async fn carry_out(
    document: &Document,
    cluster: Option<&Cluster>,
    plan: Plan,
    options: &Options,
    events: &Events,
    stop: &Stop,
    result: &mut ScenarioResult,
) {
    let Plan { namespace, loads, load_infos, forwards, mut faults, fuses: jobs } = plan;
    result.namespace = namespace;
    result.loads = load_infos;
    for load in &result.loads {
        let how = format!("{}, {} ({})", load.target, load.address, load.reach);
        events.emit(EventKind::Reached { load: load.name.clone(), how });
    }
    for (fault, _) in &faults {
        let pods = fault.targets.iter().map(|pod| pod.name.clone()).collect();
        events.emit(EventKind::TargetsChosen { fault: fault.name.clone(), pods });
    }
    let mut fuses = Fuses::default();
    let ready = prepare(cluster, &loads, &mut faults, &jobs, &mut fuses).await;
    if !faults.is_empty() && jobs.is_empty() {
        result.warnings.push("there was no fuse: the undo depended on the runner being alive (--no-fuse)".to_owned());
    }
    let outcome = match ready {
        Err(message) => {
            events.emit(EventKind::Error { message: message.clone() });
            Outcome { errors: vec![message], ..Outcome::default() }
        }
        Ok(engine) => {
            let timeline = Timeline {
                scenario: &document.scenario,
                faults,
                load: Box::new(engine),
                events: events.clone(),
                stop: stop.clone(),
            };
            timeline::run(timeline).await
        }
    };
    let mut leftovers = outcome.leftovers.clone();
    if let Some(cluster) = cluster {
        leftovers.extend(fuses.remove(cluster).await);
    }
    for (load, forward) in result.loads.iter_mut().zip(&forwards) {
        if let Some(forward) = forward {
            load.reconnects = forward.reconnects.load(std::sync::atomic::Ordering::Relaxed);
        }
    }
    assemble(document, outcome, leftovers, options, result);
}

/// Everything that can still say no does so here, before any load is sent. Only the fuses are lit.
async fn prepare(
    cluster: Option<&Cluster>,
    loads: &[PlannedLoad],
    faults: &mut [(FaultPlan, Box<dyn FaultDriver>)],
    jobs: &[serde_json::Value],
    fuses: &mut Fuses,
) -> Result<Engine, String> {
    let engine = Engine::new(loads).map_err(|error| error.to_string())?;
    for (fault, driver) in faults.iter_mut() {
        driver.preflight().await.map_err(|error| format!("fault {}: {error}", fault.name))?;
    }
    if let Some(cluster) = cluster {
        for job in jobs {
            fuses
                .light(cluster, job)
                .await
                .map_err(|error| format!("could not light the fuse: {error}\nhelp: --no-fuse injects without one"))?;
        }
    }
    for (_, driver) in faults {
        driver.owned_by(fuses);
    }
    Ok(engine)
}

/// What was seen becomes the result: the judge's answers beside the facts.
fn assemble(
    document: &Document,
    outcome: Outcome,
    leftovers: Vec<Leftover>,
    options: &Options,
    result: &mut ScenarioResult,
) {
    let scenario = &document.scenario;
    let observations = &outcome.observations;
    let line = |path: &str| document.line(path);
    result.expectations = judge::expectations(scenario, observations, options.seed, &line);
    result.phases = judge::phases(scenario, observations);
    result.series = judge::series(observations);
    result.recoveries = judge::recoveries(scenario, observations);
    result.duration_s = outcome.duration.as_secs_f64();
    result.errors.extend(outcome.errors);
    result.leftovers = leftovers;
    result.faults = outcome.faults;
    for fault in &mut result.faults {
        for (index, phase) in scenario.phases.iter().enumerate() {
            if phase.faults.contains_key(&fault.name) {
                fault.phase = phase.name.clone();
                fault.line = document.line(&format!("phases[{index}].faults.{}", fault.name));
            }
        }
        if fault.state == FaultState::Planned && result.errors.is_empty() {
            fault.injection = Verdict::Inconclusive;
        }
    }
    for load in result.loads.iter().filter(|load| load.reach == "port-forward") {
        result.warnings.push(format!(
            "load {} went through a port-forward by the API server, which adds latency of its own{}",
            load.name,
            if load.reconnects > 0 { format!(" and was made anew {} times", load.reconnects) } else { String::new() }
        ));
    }
}

fn empty(document: &Document, cluster: Option<&Cluster>, options: &Options) -> ScenarioResult {
    let scenario = &document.scenario;
    ScenarioResult {
        name: scenario.name.clone(),
        description: scenario.description.clone(),
        file: document.file.clone(),
        tags: scenario.tags.clone(),
        verdict: Verdict::Error,
        reason: String::new(),
        started_at: jiff::Timestamp::now(),
        duration_s: 0.0,
        cluster: cluster.map(|cluster| cluster.info().clone()),
        namespace: scenario.namespace.clone().or_else(|| options.namespace.clone()).unwrap_or_default(),
        vars: document.vars.clone(),
        source: document.text.clone(),
        loads: Vec::new(),
        phases: Vec::new(),
        faults: Vec::new(),
        expectations: Vec::new(),
        series: Vec::new(),
        recoveries: Vec::new(),
        errors: Vec::new(),
        warnings: document.warnings.iter().map(|warning| warning.message.clone()).collect(),
        leftovers: Vec::new(),
        events: Vec::new(),
    }
}
