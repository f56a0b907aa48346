//! One scenario from its file to its result: plan, timeline, judge, in this order and nothing else.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{
    Evidence, ExpectationResult, Proof, RequestInfo, ScenarioResult, Trial, Unit, Verdict,
};
use shakedown_schemas::scenario::{Direction, Fault};
use shakedown_schemas::{Document, EventKind};
use tokio::sync::watch;

use crate::collectors::{Gatherer, Zero};
use crate::diagnostics;
use crate::events::Events;
use crate::plan::{self, Options, Plan};
use crate::timeline::{self, Breach, Outcome, Stop, Timeline};
use crate::trial;
use shakedown_cluster::Cluster;
use shakedown_faults::effect::{self, Wanted};
use shakedown_faults::{FaultDriver, FaultPlan};
use shakedown_guard::lock::Holder;
use shakedown_guard::{Guard, Remains};
use shakedown_judge as judge;
use shakedown_load::{Engine, PlannedLoad};

mod traffic;

/// How long an act that is under way when a signal comes has to end.
const ACT_LIMIT: Duration = Duration::from_secs(2);

/// The signal that asks the run to end, once there is one.
pub type Signal = watch::Receiver<Option<&'static str>>;

/// What holds for all scenarios of a run.
pub struct Context<'a> {
    /// The cluster, where one is needed.
    pub cluster: Option<&'a Cluster>,
    /// Who we are, for those who wait for us.
    pub holder: &'a Holder,
    /// How long to wait for another run in the same namespace.
    pub wait_lock: Duration,
    /// How long the undo of a fault is tried.
    pub undo_limit: Duration,
    /// The signal that asks the run to end.
    pub signal: Signal,
    /// The seed of everything that is chosen by chance.
    pub seed: u64,
    /// What is done to the faults on purpose.
    pub trial: Option<Trial>,
    /// Inject although the baseline is not healthy.
    pub inject_anyway: bool,
}

/// Runs one scenario. Whatever happens, there is a result that says so.
pub async fn execute(document: &Document, context: &Context<'_>, options: &Options, events: &Events) -> ScenarioResult {
    let (done, asked) = trial::documents(document, context.trial);
    let (done, document) = (done.as_ref(), asked.as_ref());
    let mut result = empty(document, context.cluster, options);
    result.trial = context.trial;
    result.warnings.extend(context.trial.map(trial::warning));
    events.emit(EventKind::ScenarioStarted { file: document.file.clone() });
    let cluster = context.cluster.map(|cluster| {
        let events = events.clone();
        cluster.clone().notifying(std::sync::Arc::new(move |kind| events.emit(kind)))
    });
    let guard = cluster.as_ref().map(|cluster| Guard::new(cluster, context.wait_lock));
    let planning = contained(planned(done, cluster.as_ref(), guard.as_ref(), context, options));
    match planning.await.and_then(|planned| planned) {
        Err(message) => {
            events.emit(EventKind::Error { message: message.clone() });
            result.errors.push(message);
        }
        Ok(plan) => {
            let carried_out = contained(carry_out(document, context, guard, plan, options, events, &mut result));
            if let Err(message) = carried_out.await {
                events.emit(EventKind::Error { message: message.clone() });
                result.errors.push(message);
            }
        }
    }
    (result.verdict, result.reason) =
        judge::scenario_verdict(&result.expectations, &result.faults, &result.errors, &result.leftovers);
    events.emit(EventKind::ScenarioEnded { verdict: result.verdict, reason: result.reason.clone() });
    result.events = events.log();
    result
}

/// Keeps a bug of ours where it is: one scenario that panics must not take the results of the others with it, and least of
/// all what they left behind.
///
/// # Errors
/// With the panic, in words.
pub async fn contained<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| timeline::panicked(panic.as_ref()))
}

/// The plan, made while no other run acts on the same namespaces.
async fn planned(
    document: &Document,
    cluster: Option<&Cluster>,
    guard: Option<&Guard>,
    context: &Context<'_>,
    options: &Options,
) -> Result<Plan, String> {
    let mut signal = context.signal.clone();
    if let (Some(guard), Some(cluster)) = (guard, cluster) {
        let namespaces = plan::target_namespaces(&document.scenario, cluster, options);
        guard.wait(&namespaces, context.holder, &mut signal).await.map_err(|error| error.to_string())?;
    }
    tokio::select! {
        planned = plan::plan(document, cluster, options) => planned.map_err(|error| error.to_string()),
        Ok(name) = signal.wait_for(Option::is_some) => Err(format!("interrupted by {}", name.unwrap_or("a signal"))),
    }
}

/// The result of a scenario that could not even be planned.
pub fn refused(document: &Document, options: &Options, message: &str) -> ScenarioResult {
    let mut result = empty(document, None, options);
    result.errors.push(message.to_owned());
    (result.verdict, result.reason) =
        judge::scenario_verdict(&result.expectations, &result.faults, &result.errors, &result.leftovers);
    result
}

async fn carry_out(
    document: &Document,
    context: &Context<'_>,
    mut guard: Option<Guard>,
    plan: Plan,
    options: &Options,
    events: &Events,
    result: &mut ScenarioResult,
) {
    let Plan { namespace, loads, load_infos, forwards, mut faults, fuses: jobs } = plan;
    result.namespace = namespace;
    result.loads = load_infos;
    for load in &result.loads {
        events.emit(EventKind::Reached { load: load.name.clone(), how: load.reached() });
    }
    for (fault, _) in &faults {
        let pods = fault.targets.iter().map(|pod| pod.name.clone()).collect();
        events.emit(EventKind::TargetsChosen { fault: fault.name.clone(), pods });
    }
    let before = match context.cluster {
        Some(cluster) => {
            let namespaces = faults.iter().flat_map(|(fault, _)| &fault.namespaces).cloned();
            let namespaces = namespaces.chain([result.namespace.clone()]).filter(|it| !it.is_empty());
            Some((cluster, diagnostics::Before::look(cluster, namespaces.collect()).await))
        }
        None => None,
    };
    if !faults.is_empty() && jobs.is_empty() {
        result.warnings.push("there was no fuse: the undo depended on the runner being alive (--no-fuse)".to_owned());
    }
    let gatherer = Gatherer::start(&document.scenario, context.cluster, &result.namespace).await;
    let wanted: Vec<Wanted> = faults.iter().map(|(fault, _)| fault.effect.clone()).collect();
    // Whatever fails in here, what was put up is taken down.
    let acting = act(document, context, guard.as_mut(), &loads, &mut faults, &jobs, events);
    let mut outcome =
        contained(acting).await.unwrap_or_else(|panic| Outcome { errors: vec![panic], ..Outcome::default() });
    let mut leftovers = std::mem::take(&mut outcome.leftovers);
    if let Some(guard) = guard {
        let hurry = context.signal.borrow().is_some();
        let remains = contained(guard.stand_down(context.holder, hurry)).await;
        let remains = remains.unwrap_or_else(|panic| Remains { unknown: Some(panic), ..Remains::default() });
        leftovers.extend(remains.leftovers);
        if let Some(error) = remains.unknown {
            let look = format!("shakedown cleanup --check --run {}", options.run);
            let look = context.cluster.map_or_else(|| look.clone(), |cluster| cluster.by_hand(&look));
            outcome
                .errors
                .push(format!("it is not known whether something is left: {error}\nhelp: `{look}` looks again"));
        }
    }
    if let Some(cluster) = context.cluster {
        // Whoever made them knows the object, and not how this cluster is reached.
        leftovers.iter_mut().for_each(|left| left.command = cluster.by_hand(&left.command));
    }
    // First of all, so that no failure from here on hides it.
    result.leftovers = leftovers;
    for (load, forward) in result.loads.iter_mut().zip(&forwards) {
        if let Some(forward) = forward {
            load.reconnects = forward.reconnects.load(std::sync::atomic::Ordering::Relaxed);
        }
    }
    for (load, seen) in result.loads.iter_mut().zip(&outcome.observations.loads) {
        load.requests = seen
            .requests
            .iter()
            .map(|(name, (succeeded, failed))| RequestInfo {
                name: name.clone(),
                succeeded: *succeeded,
                failed: *failed,
            })
            .collect();
    }
    let zero = events.zero().map(|at| Zero { at, wall: diagnostics::zero(result, &events.log()) });
    if context.signal.borrow().is_none() {
        result.warnings.extend(gatherer.finish(&mut outcome.observations, zero).await);
    }
    let felt = judge::effects(&outcome.observations);
    assemble(document, context, outcome, options, result);
    conclude(document, &wanted, &felt, result);
    show_effects(&felt, result);
    if let Some((cluster, before)) = before
        && context.signal.borrow().is_none()
    {
        result.events = events.log();
        before.tell(cluster, events.zero(), result).await;
    }
}

/// What shows that the faults acted, now that the requests can be asked as well.
fn conclude(document: &Document, wanted: &[Wanted], felt: &[judge::Felt], result: &mut ScenarioResult) {
    let phases = &document.scenario.phases;
    for (fault, wanted) in result.faults.iter_mut().zip(wanted) {
        let asked = phases.iter().find_map(|phase| phase.faults.get(&fault.name));
        let direction = match asked {
            Some(Fault::Partition(partition)) => partition.direction,
            _ => Direction::Both,
        };
        let traffic = traffic::of(&fault.phase, felt);
        result.warnings.extend(effect::conclude(fault, wanted, direction, &traffic));
    }
}

/// What the faults of each phase changed, beside what shows that they acted. Only in words: what counts as a proof was
/// decided before.
fn show_effects(felt: &[judge::Felt], result: &mut ScenarioResult) {
    for fault in result.faults.iter_mut().filter(|fault| fault.injected_s.is_some()) {
        if let Some(words) = judge::changed(&fault.phase, felt) {
            let at_s = fault.undoing_s.or(fault.injected_s).unwrap_or_default();
            let (shows, holds) = (Proof::Effective, true);
            fault.evidence.push(Evidence { at_s, shows, holds, detail: format!("effect: {words}") });
        }
    }
}

/// Gets everything ready and runs the timeline.
async fn act(
    document: &Document,
    context: &Context<'_>,
    mut guard: Option<&mut Guard>,
    loads: &[PlannedLoad],
    faults: &mut Vec<(FaultPlan, Box<dyn FaultDriver>)>,
    jobs: &[serde_json::Value],
    events: &Events,
) -> Outcome {
    let ready = prepare(context, loads, faults, jobs, guard.as_deref_mut()).await;
    let scenario = &document.scenario;
    let (judged, seed) = (scenario.clone(), context.seed);
    let gate: timeline::Gate = Box::new(move |seen| judge::problems(&judged, seen, seed));
    let engine = match ready {
        Ok(engine) => engine,
        Err(message) => {
            events.emit(EventKind::Error { message: message.clone() });
            let mut errors = vec![message];
            for (fault, driver) in faults {
                if let Err(error) = driver.dismiss().await {
                    errors.push(format!("what fault {} had got ready could not be removed: {error}", fault.name));
                }
            }
            return Outcome { errors, ..Outcome::default() };
        }
    };
    timeline::run(Timeline {
        scenario,
        faults: std::mem::take(faults),
        load: Box::new(engine.paced(scenario, context.seed).lingering(|load| scenario.linger(load))),
        events: events.clone(),
        stop: stops(context.signal.clone(), guard.map(|guard| guard.lost()), events),
        undo_limit: context.undo_limit,
        gate: (!context.inject_anyway).then_some(gate),
    })
    .await
}

/// One channel for everything that ends a run early. The task ends with its listeners.
fn stops(
    signal: Signal,
    lost: Option<watch::Receiver<Option<String>>>,
    events: &Events,
) -> watch::Receiver<Option<Stop>> {
    let (sender, receiver) = watch::channel(None);
    let events = events.clone();
    tokio::spawn(async move {
        let stop = tokio::select! {
            name = first(Some(signal)) => Stop::Signal(name),
            reason = first(lost) => {
                events.emit(EventKind::Error { message: format!("stopped: {reason}") });
                Stop::Because(reason)
            }
            () = sender.closed() => return,
        };
        _ = sender.send(Some(stop));
        // A channel without a sender would read as "nobody can ask us to stop".
        sender.closed().await;
    });
    receiver
}

/// The first value, which may never come.
async fn first<T: Clone>(receiver: Option<watch::Receiver<Option<T>>>) -> T {
    if let Some(mut receiver) = receiver {
        let value = receiver.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        if let Some(value) = value {
            return value;
        }
    }
    std::future::pending().await
}

/// Everything that can still say no does so here, before any load is sent. Only fuses and locks are made, and what faults
/// need to be ready.
async fn prepare(
    context: &Context<'_>,
    loads: &[PlannedLoad],
    faults: &mut [(FaultPlan, Box<dyn FaultDriver>)],
    jobs: &[serde_json::Value],
    guard: Option<&mut Guard>,
) -> Result<Engine, String> {
    let engine = Engine::new(loads).map_err(|error| error.to_string())?;
    for (fault, driver) in faults.iter_mut() {
        driver.preflight().await.map_err(|error| format!("fault {}: {error}", fault.name))?;
    }
    let Some(guard) = guard else { return Ok(engine) };
    let namespaces = faults.iter().flat_map(|(fault, _)| fault.namespaces.clone()).collect();
    guard
        .put_up(namespaces, jobs, context.holder, &mut context.signal.clone())
        .await
        .map_err(|error| error.to_string())?;
    for (_, driver) in faults.iter_mut() {
        driver.owned_by(guard.fuses());
    }
    let ready = interruptible(join_all(faults.iter_mut().map(|(_, driver)| driver.prepare())), &context.signal).await?;
    let problems = faults.iter().zip(ready).filter_map(|((fault, _), ready)| Some((fault.name.clone(), ready.err()?)));
    let problems: Vec<String> = problems.map(|(name, error)| format!("fault {name}: {error}")).collect();
    if problems.is_empty() { Ok(engine) } else { Err(problems.join("\n")) }
}

/// Waits for what gets ready, which may take long; from a signal on only for what is under way: an act that is cut off
/// could still arrive after its undo.
async fn interruptible<T>(ready: impl Future<Output = T>, signal: &Signal) -> Result<T, String> {
    let mut signal = signal.clone();
    tokio::pin!(ready);
    let name = tokio::select! {
        ready = &mut ready => return Ok(ready),
        Ok(name) = signal.wait_for(Option::is_some) => name.unwrap_or("a signal"),
    };
    tokio::time::timeout(ACT_LIMIT, ready).await.map_err(|_| format!("interrupted by {name}"))
}

/// What was seen becomes the result: the judge's answers beside the facts.
fn assemble(
    document: &Document,
    context: &Context<'_>,
    outcome: Outcome,
    options: &Options,
    result: &mut ScenarioResult,
) {
    let scenario = &document.scenario;
    let observations = &outcome.observations;
    let line = |path: &str| document.line(path);
    result.expectations = judge::expectations(scenario, observations, options.seed, &line);
    if !context.inject_anyway {
        judge::demote(scenario, &mut result.expectations);
    }
    if !outcome.refused.is_empty() {
        let line = scenario.phases.iter().position(|phase| !phase.faults.is_empty());
        let line = line.and_then(|index| document.line(&format!("phases[{}]", index.saturating_sub(1))));
        let phase = observations.phases.last().map_or("", |span| &span.name);
        result.expectations.insert(0, unhealthy(&outcome.refused, phase, line));
    }
    result.warnings.extend(judge::drifts(observations, options.seed));
    for (phase, span) in observations.phases.iter().enumerate() {
        result.warnings.extend(observations.loads.iter().filter_map(|load| judge::late(load, phase, &span.name)));
    }
    if let Some(breach) = outcome.breach {
        let line = document.line(&breach.path);
        // First, because everything that follows from the early end is less to the point.
        result.expectations.insert(0, stopped(breach, line));
    }
    result.phases = judge::phases(scenario, observations);
    result.series = judge::series(observations);
    result.recoveries = judge::recoveries(scenario, observations);
    for (load, seen) in result.loads.iter_mut().zip(&observations.loads) {
        (load.issued, load.resent) = (Some(seen.issued), seen.resent);
    }
    let lost = result.inconsistencies();
    result.errors.extend(lost.into_iter().map(|what| format!("the numbers of this run cannot be believed: {what}")));
    result.duration_s = outcome.duration.as_secs_f64();
    result.errors.extend(outcome.errors);
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
    let closed = result.loads.iter().filter(|load| !load.open_loop);
    result.warnings.extend(closed.map(|load| judge::closed_loop_warning(&load.name)));
    for load in result.loads.iter().filter(|load| load.reach == "port-forward") {
        result.warnings.push(format!(
            "load {} went through a port-forward by the API server, which adds latency of its own{}",
            load.name,
            if load.reconnects > 0 { format!(" and was made anew {} times", load.reconnects) } else { String::new() }
        ));
    }
}

/// A baseline that is not fit to compare with, as an expectation that cannot be told: nothing was injected, so that
/// nothing was learnt.
fn unhealthy(problems: &[String], phase: &str, line: Option<u32>) -> ExpectationResult {
    ExpectationResult {
        phase: phase.to_owned(),
        load: String::new(),
        kind: judge::BASELINE.to_owned(),
        title: "the baseline is healthy and steady".to_owned(),
        verdict: Verdict::Inconclusive,
        observed: None,
        observed_text: "unfit".to_owned(),
        unit: Unit::Count,
        interval: None,
        censored: false,
        samples: 0,
        min: None,
        max: None,
        limit_text: "healthy and steady".to_owned(),
        reason: format!(
            "no fault was injected, because the baseline is not fit to compare with: {} (--inject-anyway)",
            problems.join("; ")
        ),
        terms: indexmap::IndexMap::new(),
        line,
    }
}

/// A stop condition that held, as an expectation that failed.
fn stopped(breach: Breach, line: Option<u32>) -> ExpectationResult {
    ExpectationResult {
        phase: breach.phase,
        load: breach.load,
        kind: "abort_if".to_owned(),
        title: breach.title,
        verdict: Verdict::Fail,
        observed: breach.observed,
        observed_text: breach.observed_text,
        unit: breach.unit,
        interval: None,
        censored: false,
        samples: breach.samples,
        min: None,
        max: None,
        limit_text: breach.limit_text,
        reason: format!("a stop condition held: {}", breach.reason),
        terms: indexmap::IndexMap::new(),
        line,
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
        trial: None,
        flaky: false,
        attempts: Vec::new(),
        started_at: jiff::Timestamp::now(),
        duration_s: 0.0,
        cluster: cluster.map(|cluster| cluster.info().clone()),
        namespace: scenario.namespace.clone().or_else(|| options.namespace.clone()).unwrap_or_default(),
        vars: document.vars.clone(),
        source: document.text.clone(),
        resolved: document.resolved.clone(),
        loads: Vec::new(),
        phases: Vec::new(),
        faults: Vec::new(),
        expectations: Vec::new(),
        series: Vec::new(),
        recoveries: Vec::new(),
        errors: Vec::new(),
        warnings: document.warnings.iter().map(|warning| warning.message.clone()).collect(),
        leftovers: Vec::new(),
        pod_events: Vec::new(),
        logs: Vec::new(),
        events: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
