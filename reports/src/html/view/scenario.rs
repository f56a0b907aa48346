//! One scenario of the page: its verdict, expectations, faults and effect, and the command that runs it again. Its drawings
//! are in `measures`, its faults and events in `diagnostics`.

use serde::Serialize;
use shakedown_schemas::event::{Event, EventKind, FaultState};
use shakedown_schemas::result::{Attempt, ExpectationResult, Recovery, RunResult, ScenarioResult, Verdict};
use shakedown_schemas::to_yaml;
use shakedown_schemas::words;

use super::diagnostics::{
    EventRow, FaultView, PodDiagnostics, RecoveryRow, event_row, fault_view, first_and_last, pod_diagnostics,
    recoveries,
};
use super::generator::{GeneratorView, generators, matters};
use super::measures::{ChartView, Comparison, chart, comparisons};
use super::parts::{Badge, ROWS, anchor, clock, trial};
use crate::html::bar::interval_bar;
use crate::html::places::{Place, place};
use crate::text::tame;
use crate::{RenderError, sentences};
use shakedown_schemas::texts::SOURCE;

/// The most kinds of failures that are shown with a sample.
const FAILURES: usize = 60;

/// The most sentences about the effect on users next to the verdict. The section below contains all.
const FELT: usize = 6;

#[derive(Debug, Serialize)]
pub(super) struct ScenarioView {
    id: String,
    name: String,
    description: String,
    verdict: Badge,
    sentence: String,
    /// The load and the service that it was sent to.
    tested: String,
    facts: Vec<(&'static str, String)>,
    notes: Vec<String>,
    errors: Vec<String>,
    warnings: Vec<String>,
    attempts: Vec<AttemptRow>,
    flaky: bool,
    trial: &'static str,
    is_sandbox: bool,
    leftovers: Vec<(String, String, String)>,
    expectations: Vec<ExpectationRow>,
    names_loads: bool,
    charts: Vec<ChartView>,
    comparisons: Vec<Comparison>,
    parts: Vec<PartsView>,
    failures: Vec<FailureRow>,
    failures_left_out: usize,
    generators: Vec<GeneratorView>,
    generator_matters: bool,
    faults: Vec<FaultView>,
    /// The effect on users, by load and fault.
    felt: Vec<Felt>,
    /// Whether anything is left in the cluster.
    left: Option<Left>,
    recoveries: Vec<RecoveryRow>,
    pods: Option<PodDiagnostics>,
    events: Vec<EventRow>,
    events_summary: String,
    events_left_out: usize,
    command: String,
    versions: String,
    seed: u64,
    vars: Vec<(String, String)>,
    loads: Vec<LoadRow>,
    file: String,
    source: Vec<SourceLine>,
    /// The scenario with its variables resolved. Empty if it equals the file.
    resolved: String,
}

/// The requests of a load by step, or by the worker that answered.
#[derive(Debug, Serialize)]
struct PartsView {
    load: String,
    title: String,
    rows: Vec<PartRow>,
}

#[derive(Debug, Serialize)]
struct PartRow {
    phase: String,
    name: String,
    matches: String,
    cells: [String; 6],
}

#[derive(Debug, Serialize)]
struct Felt {
    phase: String,
    load: String,
    /// The requests compared with the reference. Empty if there is nothing to compare.
    fared: String,
    /// The onset, failover and cost.
    harm: String,
    /// The recovery.
    back: String,
}

/// Whether anything of the run is left in the cluster.
#[derive(Debug, Serialize)]
struct Left {
    badge: Badge,
    text: String,
}

/// An earlier attempt at the scenario.
#[derive(Debug, Serialize)]
struct AttemptRow {
    badge: Badge,
    started: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct ExpectationRow {
    badge: Badge,
    phase: String,
    load: String,
    title: String,
    observed: String,
    interval: String,
    bar: String,
    samples: String,
    /// The URL fragment of its place in the timeline. Empty without one.
    place: String,
    reason: String,
    terms: Vec<(String, String)>,
    line: Option<u32>,
}

#[derive(Debug, Serialize)]
struct LoadRow {
    name: String,
    kind: String,
    target: String,
    requests: String,
    schedule: String,
    model: &'static str,
    reach: String,
    /// The distribution of its requests over several addresses.
    addresses: String,
}

/// A kind of failure, with a sample.
#[derive(Debug, Serialize)]
struct FailureRow {
    kind: String,
    phase: String,
    load: String,
    request: String,
    at: String,
    cause: String,
    head: String,
    body: String,
}

#[derive(Debug, Serialize)]
struct SourceLine {
    number: usize,
    text: String,
    /// The worst verdict of the line's expectations and faults.
    class: &'static str,
}

impl ScenarioView {
    /// The content for the scenario with this index.
    pub(super) fn new(result: &RunResult, it: &ScenarioResult, index: usize) -> Result<Self, RenderError> {
        let id = anchor(index);
        let mut facts =
            vec![("File", it.file.clone()), ("Started", clock(it.started_at)), ("Took", words::seconds(it.duration_s))];
        if let Some(cluster) = &it.cluster {
            facts.push(("Cluster", format!("{}, {} ({})", cluster.name(), cluster.server, cluster.version)));
        }
        if !it.namespace.is_empty() {
            facts.push(("Namespace", it.namespace.clone()));
        }
        if !it.tags.is_empty() {
            facts.push(("Tags", it.tags.join(", ")));
        }
        let charts = it
            .series
            .iter()
            .enumerate()
            .filter(|(_, series)| !series.points.is_empty())
            .map(|(k, series)| chart(it, series, &id, format!("{id}-t{}", k + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        let events: Vec<&Event> = it.events.iter().collect();
        let shown = first_and_last(&events);
        let zero = zero(&events);
        let generators = generators(it);
        Ok(Self {
            name: it.name.clone(),
            description: it.description.clone().unwrap_or_default(),
            verdict: Badge::new(it.outcome()),
            sentence: sentences::headline(it),
            tested: sentences::tested(it),
            facts,
            notes: sentences::notes(it),
            errors: it.errors.clone(),
            warnings: it.warnings.clone(),
            attempts: it.attempts.iter().take(ROWS).map(attempt).collect(),
            flaky: it.flaky,
            trial: it.trial.map_or("", trial),
            is_sandbox: it.in_sandbox(),
            leftovers: it.leftovers.iter().map(|l| (l.what.clone(), l.error.clone(), l.command.clone())).collect(),
            expectations: expectations(it, &id),
            names_loads: sentences::names_loads(it),
            charts,
            comparisons: comparisons(it),
            parts: parts(it),
            failures: sentences::failures(it).iter().take(FAILURES).map(failure_row).collect(),
            failures_left_out: sentences::failures(it).len().saturating_sub(FAILURES),
            generator_matters: matters(&generators),
            generators,
            faults: it.faults.iter().map(|fault| fault_view(it, fault)).collect(),
            felt: it.recoveries.iter().take(FELT).map(|recovery| felt(it, recovery)).collect(),
            left: left(it),
            recoveries: recoveries(it),
            pods: pod_diagnostics(it),
            events_summary: events_summary(&events),
            events_left_out: events.len() - shown.len(),
            events: shown.into_iter().map(|event| event_row(event, zero)).collect(),
            command: sentences::command_alone(&result.run, it),
            versions: versions(result, it),
            seed: sentences::run_of(&result.run, it).seed,
            vars: it.vars.iter().map(|(name, value)| (name.clone(), sentences::variable(value))).collect(),
            loads: loads(it),
            file: it.file.clone(),
            source: source(it),
            resolved: resolved(it),
            id,
        })
    }
}

/// The expectations, failures first, otherwise in the order of the file.
fn expectations(scenario: &ScenarioResult, id: &str) -> Vec<ExpectationRow> {
    let mut all: Vec<(usize, &ExpectationResult)> = scenario.expectations.iter().enumerate().collect();
    all.sort_by_key(|(_, it)| sentences::rank(it.verdict));
    all.into_iter().map(|(index, it)| expectation_row(it, place(scenario, id, index))).collect()
}

fn expectation_row(it: &ExpectationResult, place: Option<Place>) -> ExpectationRow {
    ExpectationRow {
        badge: Badge::new(it.verdict),
        phase: it.phase.clone(),
        load: it.load.clone(),
        title: it.title.clone(),
        observed: it.observed_text.clone(),
        interval: it.interval.map(|interval| words::interval(it.unit, interval)).unwrap_or_default(),
        bar: interval_bar(it),
        samples: words::count(it.samples as f64),
        place: place.map(|it| it.id).unwrap_or_default(),
        reason: it.reason.clone(),
        terms: it.terms.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        line: it.line,
    }
}

fn failure_row(it: &sentences::Failure<'_>) -> FailureRow {
    let sample = it.sample;
    FailureRow {
        kind: it.counted(),
        phase: it.phase.to_owned(),
        load: it.load.to_owned(),
        request: sample.request.clone(),
        at: words::moment(sample.at_s),
        cause: sample.cause.clone(),
        head: sentences::head(sample),
        body: format!("{}{}", sample.body, if sample.body_is_cut { "…" } else { "" }),
    }
}

fn parts(scenario: &ScenarioResult) -> Vec<PartsView> {
    let tables = sentences::parts(scenario).into_iter().map(|table| PartsView {
        load: table.load.to_owned(),
        title: table.title(),
        rows: table
            .rows
            .iter()
            .map(|(phase, part)| PartRow {
                phase: (*phase).to_owned(),
                name: part.shown(),
                matches: part.matches.clone(),
                cells: sentences::PartTable::cells(part),
            })
            .collect(),
    });
    tables.collect()
}

fn loads(scenario: &ScenarioResult) -> Vec<LoadRow> {
    let rows = scenario.loads.iter().map(|it| LoadRow {
        name: it.name.clone(),
        kind: it.kind.clone(),
        target: format!("{}{}", it.target, it.endpoint_words()),
        requests: sentences::requests(it),
        addresses: sentences::addresses(it),
        schedule: it.schedule.clone(),
        model: if it.open_loop { "open loop" } else { "closed loop" },
        reach: match (it.behind(), it.reconnects) {
            (None, 0) => it.reach.to_string(),
            (None, n) => format!("{}, reconnected {}", it.reach, words::plural(n as usize, "time")),
            (Some(address), 0) => format!("{}, {address}", it.reach),
            (Some(address), n) => format!("{}, {address}, reconnected {}", it.reach, words::plural(n as usize, "time")),
        },
    });
    rows.collect()
}

/// The number of events, and how many of them are warnings.
fn events_summary(events: &[&Event]) -> String {
    let count = |is: fn(&EventKind) -> bool| events.iter().filter(|it| is(&it.kind)).count();
    let bad = [
        (count(|it| matches!(it, EventKind::Error { .. })), "error"),
        (count(|it| matches!(it, EventKind::Warning { .. })), "warning"),
    ];
    let bad = bad.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| words::plural(count, word));
    std::iter::once(words::plural(events.len(), "event")).chain(bad).collect::<Vec<_>>().join(", ")
}

/// The versions of shakedown and of Kubernetes.
fn versions(result: &RunResult, scenario: &ScenarioResult) -> String {
    let tool = format!("shakedown {}", result.run.tool_version);
    scenario.cluster.as_ref().map_or(tool.clone(), |cluster| format!("{tool}, Kubernetes {}", cluster.version))
}

fn felt(scenario: &ScenarioResult, it: &Recovery) -> Felt {
    Felt {
        phase: it.phase.clone(),
        load: it.load.clone(),
        fared: sentences::felt(scenario, it).unwrap_or_default(),
        harm: sentences::harm(scenario, it),
        back: sentences::back(it),
    }
}

/// What is left in the cluster. None if no fault was injected.
fn left(scenario: &ScenarioResult) -> Option<Left> {
    let injected: Vec<_> = scenario.faults.iter().filter(|fault| fault.injecting_s.is_some()).collect();
    let count = scenario.leftovers.len();
    let is_unclear = injected.iter().any(|fault| fault.state == FaultState::Unclear);
    (!injected.is_empty()).then(|| match (count, injected.iter().all(|fault| fault.undo == Verdict::Pass)) {
        (0, true) if is_unclear => {
            let text = "no object, but it is not known whether a fault happened or still will".to_owned();
            Left { badge: Badge::new(Verdict::Inconclusive), text }
        }
        (0, true) => Left { badge: Badge::new(Verdict::Pass), text: "nothing, every removal is confirmed".to_owned() },
        (0, false) => {
            Left { badge: Badge::new(Verdict::Error), text: "not known, a removal is not confirmed".to_owned() }
        }
        (count, _) => {
            Left { badge: Badge::new(Verdict::Error), text: format!("{}, see below", words::plural(count, "object")) }
        }
    })
}

/// The zero of the timeline: when the load started.
fn zero(events: &[&Event]) -> Option<jiff::Timestamp> {
    events.iter().find(|event| matches!(event.kind, EventKind::LoadStarted)).map(|event| event.at)
}

fn attempt(it: &Attempt) -> AttemptRow {
    AttemptRow { badge: Badge::new(it.verdict), started: clock(it.started_at), reason: it.reason.clone() }
}

/// The scenario as it ran, if templates or the command line changed it.
fn resolved(scenario: &ScenarioResult) -> String {
    if scenario.resolved.is_null() || scenario.vars.is_empty() {
        return String::new();
    }
    tame(&to_yaml(&scenario.resolved), SOURCE).into_owned()
}

/// The scenario's text, each line with the worst verdict of its expectations and faults.
fn source(scenario: &ScenarioResult) -> Vec<SourceLine> {
    let asked = scenario.expectations.iter().map(|it| (it.line, it.verdict));
    let faults = scenario.faults.iter().map(|it| (it.line, sentences::fault_verdict(it)));
    let answers: Vec<(usize, Verdict)> =
        asked.chain(faults).filter_map(|(line, verdict)| Some((line? as usize, verdict))).collect();
    let lines = scenario.source.lines().enumerate().map(|(index, text)| {
        let worst = answers.iter().filter(|(line, _)| *line == index + 1).map(|(_, verdict)| *verdict).max();
        SourceLine { number: index + 1, text: text.to_owned(), class: worst.map_or("", Verdict::word) }
    });
    lines.collect()
}
