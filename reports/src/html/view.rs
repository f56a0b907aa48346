//! What the page says: a result turned into the words, numbers and drawings of each section, ready for the templates.
//! Drawings are markup already; everything else is text that the templates escape.

use serde::Serialize;
use serde_json::json;
use shakedown_schemas::event::{Event, EventKind};
use shakedown_schemas::result::{
    ExpectationResult, FaultResult, LatencyStats, LoadSeries, PhaseLoad, Proof, RunResult, ScenarioResult, Verdict,
};

use super::bar::interval_bar;
use super::quantiles::quantiles;
use super::slots::{Slots, Span};
use super::timeline::{NARROW, WIDE, timeline};
use crate::text::{one_line, tame};
use crate::{RenderError, order, words, yaml};

/// Rows of a table that may be long, such as events; the rest is counted.
const ROWS: usize = 300;
/// Rows of the table that says what the timeline draws.
const TABLE_SLOTS: usize = 40;
/// Characters of all objects of one fault as YAML.
const YAML: usize = 60_000;

/// The whole page.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    title: String,
    verdict: Badge,
    many: bool,
    index: Vec<IndexRow>,
    summary: String,
    run: String,
    started: String,
    facts: Vec<(&'static str, String)>,
    scenarios: Vec<ScenarioView>,
    events: Vec<EventRow>,
}

/// A verdict in a word, with a sign.
#[derive(Debug, Serialize)]
struct Badge {
    class: &'static str,
    word: &'static str,
    symbol: &'static str,
}

impl Badge {
    const fn new(verdict: Verdict) -> Self {
        Self { class: verdict.word(), word: words::verdict(verdict), symbol: words::symbol(verdict) }
    }
}

/// A scenario in the table at the top.
#[derive(Debug, Serialize)]
struct IndexRow {
    id: String,
    name: String,
    verdict: Badge,
    sentence: String,
}

#[derive(Debug, Serialize)]
struct ScenarioView {
    id: String,
    name: String,
    description: String,
    verdict: Badge,
    sentence: String,
    facts: Vec<(&'static str, String)>,
    notes: Vec<String>,
    errors: Vec<String>,
    warnings: Vec<String>,
    leftovers: Vec<(String, String, String)>,
    expectations: Vec<ExpectationRow>,
    names_loads: bool,
    charts: Vec<ChartView>,
    comparisons: Vec<Comparison>,
    faults: Vec<FaultView>,
    recoveries: Vec<RecoveryRow>,
    events: Vec<EventRow>,
    events_left_out: usize,
    command: String,
    seed: u64,
    vars: Vec<(String, String)>,
    loads: Vec<LoadRow>,
    file: String,
    source: Vec<SourceLine>,
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
    limit: String,
    reason: String,
    terms: Vec<(String, String)>,
    line: Option<u32>,
}

#[derive(Debug, Serialize)]
struct ChartView {
    id: String,
    load: String,
    wide: String,
    narrow: String,
    /// What pointing at the drawing reads, as JSON.
    data: String,
    kinds: Vec<String>,
    has_faults: bool,
    merged: Option<String>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Serialize)]
struct Comparison {
    load: String,
    phases: Vec<PhaseHead>,
    rows: Vec<(String, Vec<Cell>)>,
    reference: String,
    wide: String,
    narrow: String,
}

#[derive(Debug, Serialize)]
struct PhaseHead {
    name: String,
    index: usize,
    during: String,
}

#[derive(Debug, Default, Serialize)]
struct Cell {
    value: String,
    ratio: String,
}

#[derive(Debug, Serialize)]
struct FaultView {
    name: String,
    kind: String,
    engine: String,
    phase: String,
    description: String,
    state: String,
    injection: Badge,
    undo: Badge,
    proven: String,
    undone: String,
    problem: Option<String>,
    targets: Vec<[String; 5]>,
    targets_left_out: usize,
    peers: Vec<String>,
    times: Vec<(&'static str, String)>,
    evidence: Vec<EvidenceRow>,
    objects: Vec<(String, String)>,
    line: Option<u32>,
}

#[derive(Debug, Serialize)]
struct EvidenceRow {
    at: String,
    shows: &'static str,
    holds: bool,
    detail: String,
}

#[derive(Debug, Serialize)]
struct RecoveryRow {
    load: String,
    phase: String,
    facts: Vec<(&'static str, String)>,
}

#[derive(Debug, Serialize)]
struct EventRow {
    at: String,
    clock: String,
    kind: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
struct LoadRow {
    name: String,
    kind: String,
    target: String,
    schedule: String,
    model: &'static str,
    reach: String,
}

#[derive(Debug, Serialize)]
struct SourceLine {
    number: usize,
    text: String,
    /// The worst verdict of what was asked on the line.
    class: &'static str,
}

impl View {
    /// The page of a result whose texts are tame.
    pub(crate) fn new(result: &RunResult) -> Result<Self, RenderError> {
        let run = &result.run;
        let scenarios = result
            .scenarios
            .iter()
            .enumerate()
            .map(|(index, it)| ScenarioView::new(result, it, index))
            .collect::<Result<Vec<_>, _>>()?;
        let title = match result.scenarios.as_slice() {
            [only] => format!("{}: {}", words::verdict(result.verdict), one_line(&only.name)),
            _ => format!("{}: {}", words::verdict(result.verdict), words::plural(scenarios.len(), "scenario")),
        };
        let mut facts = vec![
            ("Took", words::seconds(run.duration_s)),
            ("Exit code", format!("{} ({})", result.exit_code, words::exit_code(result.exit_code))),
            ("Seed", run.seed.to_string()),
            ("shakedown", run.tool_version.clone()),
        ];
        if !run.host.is_empty() {
            facts.push(("Host", run.host.clone()));
        }
        for (name, value) in
            [("Commit", &run.git_sha), ("CI job", &run.ci_job_url), ("Interrupted by", &run.interrupted)]
        {
            if let Some(value) = value {
                facts.push((name, value.clone()));
            }
        }
        Ok(Self {
            title,
            verdict: Badge::new(result.verdict),
            many: scenarios.len() != 1,
            index: index(result),
            summary: summary(result),
            run: run.id.clone(),
            started: clock(run.started_at),
            facts,
            scenarios,
            events: result.events.iter().take(ROWS).map(event_row).collect(),
        })
    }
}

/// The scenarios, failures first.
fn index(result: &RunResult) -> Vec<IndexRow> {
    let mut list: Vec<_> = result.scenarios.iter().enumerate().collect();
    list.sort_by_key(|(_, it)| order::rank(it.verdict));
    let row = |(index, it): (usize, &ScenarioResult)| IndexRow {
        id: anchor(index),
        name: it.name.clone(),
        verdict: Badge::new(it.verdict),
        sentence: order::sentence(it).to_owned(),
    };
    list.into_iter().map(row).collect()
}

/// The fragment by which a scenario is linked to.
fn anchor(index: usize) -> String {
    format!("s{}", index + 1)
}

/// How many scenarios came to which verdict, the worst first.
fn summary(result: &RunResult) -> String {
    let count = |verdict| result.scenarios.iter().filter(|it| it.verdict == verdict).count();
    let parts: Vec<String> = [
        (Verdict::Fail, "failed"),
        (Verdict::Error, "ended in an error"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Pass, "passed"),
    ]
    .into_iter()
    .filter(|(verdict, _)| count(*verdict) > 0)
    .map(|(verdict, word)| format!("{} {word}", count(verdict)))
    .collect();
    if parts.is_empty() {
        return format!("no scenario ran: {}", words::exit_code(result.exit_code));
    }
    format!("{}: {}", words::plural(result.scenarios.len(), "scenario"), parts.join(", "))
}

impl ScenarioView {
    fn new(result: &RunResult, it: &ScenarioResult, index: usize) -> Result<Self, RenderError> {
        let id = anchor(index);
        let mut facts =
            vec![("File", it.file.clone()), ("Started", clock(it.started_at)), ("Took", words::seconds(it.duration_s))];
        if let Some(cluster) = &it.cluster {
            let context = cluster.context.as_ref().map(|context| format!("{context}, ")).unwrap_or_default();
            let place = if cluster.sandbox { "sandbox, " } else { "" };
            facts.push(("Cluster", format!("{place}{context}{} ({})", cluster.server, cluster.version)));
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
            .map(|(k, series)| chart(it, series, format!("{id}-t{}", k + 1)))
            .collect::<Result<Vec<_>, _>>()?;
        let events: Vec<&Event> = it.events.iter().collect();
        let shown = first_and_last(&events);
        Ok(Self {
            name: it.name.clone(),
            description: it.description.clone().unwrap_or_default(),
            verdict: Badge::new(it.verdict),
            sentence: order::sentence(it).to_owned(),
            facts,
            notes: order::notes(it),
            errors: it.errors.clone(),
            warnings: it.warnings.clone(),
            leftovers: it.leftovers.iter().map(|l| (l.what.clone(), l.error.clone(), l.command.clone())).collect(),
            expectations: order::expectations(it).into_iter().map(expectation_row).collect(),
            names_loads: order::names_loads(it),
            charts,
            comparisons: comparisons(it),
            faults: it.faults.iter().map(fault_view).collect(),
            recoveries: recoveries(it),
            events_left_out: events.len() - shown.len(),
            events: shown.into_iter().map(event_row).collect(),
            command: order::command(&result.run.command),
            seed: result.run.seed,
            vars: it.vars.iter().map(|(name, value)| (name.clone(), order::variable(value))).collect(),
            loads: loads(it),
            file: it.file.clone(),
            source: source(it),
            id,
        })
    }
}

/// The first and the last of a list that is too long to show.
fn first_and_last<'a>(events: &[&'a Event]) -> Vec<&'a Event> {
    if events.len() <= ROWS {
        return events.to_vec();
    }
    events[..ROWS / 2].iter().chain(&events[events.len() - ROWS / 2..]).copied().collect()
}

fn expectation_row(it: &ExpectationResult) -> ExpectationRow {
    ExpectationRow {
        badge: Badge::new(it.verdict),
        phase: it.phase.clone(),
        load: it.load.clone(),
        title: it.title.clone(),
        observed: it.observed_text.clone(),
        interval: it.interval.map(|interval| words::interval(it.unit, interval)).unwrap_or_default(),
        bar: interval_bar(it),
        samples: words::count(it.samples as f64),
        limit: it.limit_text.clone(),
        reason: it.reason.clone(),
        terms: it.terms.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
        line: it.line,
    }
}

fn chart(scenario: &ScenarioResult, series: &LoadSeries, id: String) -> Result<ChartView, RenderError> {
    let wide = timeline(scenario, series, WIDE);
    let narrow = timeline(scenario, series, NARROW);
    let slots = Slots::new(series, WIDE.slots);
    let rows: Vec<_> =
        slots.slots.iter().map(|slot| json!([tenth(slot.from), tenth(slot.to), readout(slot, &slots)])).collect();
    let data = json!({
        "phases": scenario.phases.iter().map(|p| json!([tenth(p.start_s), tenth(p.end_s), p.name])).collect::<Vec<_>>(),
        "wide": {"x": wide.x, "t": wide.t},
        "narrow": {"x": narrow.x, "t": narrow.t},
        "rows": rows,
    });
    let coarse = Slots::new(series, TABLE_SLOTS);
    let longest = slots.slots.iter().map(|slot| slot.windows).max().unwrap_or(1);
    Ok(ChartView {
        id,
        load: series.load.clone(),
        wide: wide.svg,
        narrow: narrow.svg,
        // In a script element only `<` could end it or begin a comment.
        data: serde_json::to_string(&data)?.replace('<', "\\u003c"),
        has_faults: !scenario.faults.is_empty(),
        merged: (longest > 1).then(|| {
            format!(
                "Each step holds up to {longest} windows of {}; lines reach from the lowest to the highest of them.",
                words::seconds(series.window_s)
            )
        }),
        rows: coarse.slots.iter().map(|slot| table_row(slot, &coarse)).collect(),
        kinds: slots.kinds,
    })
}

fn tenth(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// What pointing at a slot says.
fn readout(slot: &super::slots::Slot, slots: &Slots) -> String {
    let span = |name: &str, span: Option<Span>| span.map(|it| format!("{name} {}", words::millis(it.high)));
    let mut parts = vec![
        format!("{} requests due", words::rate(slot.rate(slot.requests))),
        slot.success.map_or("no answer".to_owned(), |it| format!("success {}", words::fraction(it.low))),
    ];
    parts.extend([span("p50", slot.p50), span("p95", slot.p95), span("p99", slot.p99)].into_iter().flatten());
    if let Some(it) = slot.in_flight {
        parts.push(format!("{} in flight", words::count(it.high)));
    }
    for (kind, count) in slots.kinds.iter().zip(&slot.errors).filter(|(_, count)| **count > 0) {
        parts.push(format!("{count} {kind}"));
    }
    parts.join(" · ")
}

fn table_row(slot: &super::slots::Slot, slots: &Slots) -> Vec<String> {
    let ms = |span: Option<Span>| span.map(|it| words::millis(it.high)).unwrap_or_default();
    let errors: Vec<String> = slots
        .kinds
        .iter()
        .zip(&slot.errors)
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    vec![
        format!("{} to {}", words::moment(slot.from), words::moment(slot.to)),
        words::count(slot.requests as f64),
        slot.success.map(|it| words::fraction(it.low)).unwrap_or_default(),
        ms(slot.p50),
        ms(slot.p95),
        ms(slot.p99),
        slot.in_flight.map(|it| words::count(it.high)).unwrap_or_default(),
        errors.join(", "),
    ]
}

/// One table for each load: phases as columns, measures as rows, and how each compares with the first phase.
fn comparisons(scenario: &ScenarioResult) -> Vec<Comparison> {
    let mut names: Vec<&str> = Vec::new();
    for load in scenario.phases.iter().flat_map(|phase| &phase.loads) {
        if !names.contains(&load.load.as_str()) {
            names.push(&load.load);
        }
    }
    names.into_iter().map(|name| comparison(scenario, name)).collect()
}

fn comparison(scenario: &ScenarioResult, name: &str) -> Comparison {
    let columns: Vec<Option<&PhaseLoad>> =
        scenario.phases.iter().map(|phase| phase.loads.iter().find(|load| load.load == name)).collect();
    let row = |title: &str, compare: bool, get: &dyn Fn(&PhaseLoad) -> Option<f64>, show: fn(f64) -> String| {
        let first = columns.first().copied().flatten().and_then(get);
        let cells = columns.iter().enumerate().map(|(index, load)| {
            let Some(value) = load.and_then(get) else { return Cell { value: "–".to_owned(), ..Cell::default() } };
            let ratio =
                first.filter(|first| compare && index > 0 && *first > 0.0).map(|first| words::times(value / first));
            Cell { value: show(value), ratio: ratio.unwrap_or_default() }
        });
        (title.to_owned(), cells.collect::<Vec<_>>())
    };
    let latency = |pick: fn(&LatencyStats) -> f64| move |it: &PhaseLoad| it.stats.latency.as_ref().map(pick);
    let mut rows = vec![
        row("Requests judged", false, &|it| Some(it.stats.requests as f64), words::count),
        row("Success rate", false, &|it| it.stats.success_rate(), words::fraction),
        row("Throughput", true, &|it| Some(it.stats.throughput), words::rate),
        row("Latency p50", true, &latency(|l| l.p50_ms), words::millis),
        row("Latency p90", true, &latency(|l| l.p90_ms), words::millis),
        row("Latency p95", true, &latency(|l| l.p95_ms), words::millis),
        row("Latency p99", true, &latency(|l| l.p99_ms), words::millis),
        row("Latency max", true, &latency(|l| l.max_ms), words::millis),
        row("Latency mean", true, &latency(|l| l.mean_ms), words::millis),
    ];
    let first_token =
        |pick: fn(&LatencyStats) -> f64| move |it: &PhaseLoad| it.stats.time_to_first_token.as_ref().map(pick);
    if columns.iter().flatten().any(|load| load.stats.time_to_first_token.is_some()) {
        rows.push(row("First token p50", true, &first_token(|l| l.p50_ms), words::millis));
        rows.push(row("First token p95", true, &first_token(|l| l.p95_ms), words::millis));
    }
    let mut kinds: Vec<&String> = columns.iter().flatten().flat_map(|load| load.stats.errors.keys()).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds.into_iter().take(20) {
        let get = |it: &PhaseLoad| Some(it.stats.errors.get(kind).copied().unwrap_or(0) as f64);
        rows.push(row(&format!("Failed: {kind}"), false, &get, words::count));
    }
    let heads = scenario.phases.iter().enumerate().map(|(index, phase)| PhaseHead {
        name: phase.name.clone(),
        index: index % 6,
        during: format!("{} to {}", words::moment(phase.judged_from_s), words::moment(phase.judged_to_s)),
    });
    Comparison {
        load: name.to_owned(),
        phases: heads.collect(),
        rows,
        reference: scenario.phases.first().map(|phase| phase.name.clone()).unwrap_or_default(),
        wide: quantiles(&scenario.phases, name, "chart wide", 560.0),
        narrow: quantiles(&scenario.phases, name, "chart narrow", 358.0),
    }
}

fn fault_view(it: &FaultResult) -> FaultView {
    let moment = |at: Option<f64>| at.map_or("never".to_owned(), words::moment);
    let mut budget = YAML;
    let objects = it
        .objects
        .iter()
        .map(|object| {
            let manifest = yaml::to_yaml(&object.manifest);
            let manifest = tame(&manifest, budget).into_owned();
            budget = budget.saturating_sub(manifest.len());
            (format!("{} {}/{}", object.kind, object.namespace, object.name), manifest)
        })
        .take(50)
        .collect();
    FaultView {
        name: it.name.clone(),
        kind: it.kind.clone(),
        engine: it.engine.clone(),
        phase: it.phase.clone(),
        description: it.description.clone(),
        state: it.state.word().to_owned(),
        injection: Badge::new(it.injection),
        undo: Badge::new(it.undo),
        proven: it.proven_s.map_or("not proven".to_owned(), |at| format!("proven at {}", words::moment(at))),
        undone: it.undone_s.map_or("removal not confirmed".to_owned(), |at| format!("undone at {}", words::moment(at))),
        problem: it.problem.clone(),
        targets: it
            .targets
            .iter()
            .take(ROWS)
            .map(|pod| {
                let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
                [pod.namespace.clone(), pod.name.clone(), or_dash(&pod.node), or_dash(&pod.ip), pod.uid.clone()]
            })
            .collect(),
        targets_left_out: it.targets.len().saturating_sub(ROWS),
        peers: it.peers.iter().take(ROWS).cloned().collect(),
        times: vec![
            ("injecting", moment(it.injecting_s)),
            ("injected", moment(it.injected_s)),
            ("proven", moment(it.proven_s)),
            ("undoing", moment(it.undoing_s)),
            ("undone, confirmed", moment(it.undone_s)),
        ],
        evidence: it
            .evidence
            .iter()
            .take(ROWS)
            .map(|evidence| EvidenceRow {
                at: words::moment(evidence.at_s),
                shows: match evidence.shows {
                    Proof::Applied => "applied",
                    Proof::Effective => "effective",
                    Proof::Removed => "removed",
                },
                holds: evidence.holds,
                detail: evidence.detail.clone(),
            })
            .collect(),
        objects,
        line: it.line,
    }
}

fn recoveries(scenario: &ScenarioResult) -> Vec<RecoveryRow> {
    let rows = scenario.recoveries.iter().map(|it| {
        let moment = |at: Option<f64>, none: &str| at.map_or(none.to_owned(), words::moment);
        let since = |at: Option<f64>| match (it.removed_s, at) {
            (Some(removed), Some(at)) => format!(" ({} after the removal)", words::seconds((at - removed).max(0.0))),
            _ => String::new(),
        };
        let facts = vec![
            ("Onset", moment(it.onset_s, "no request noticed")),
            ("Failover while the fault stood", moment(it.failover_s, "none")),
            ("Removal confirmed", moment(it.removed_s, "never")),
            ("First success after it", moment(it.first_success_s, "none") + &since(it.first_success_s)),
            ("Recovered", moment(it.recovered_s, "not within the run") + &since(it.recovered_s)),
            ("Out of tolerance", words::seconds(it.out_of_tolerance_s)),
            ("Failed requests", words::count(it.failed_requests as f64)),
            ("Resolution", words::seconds(it.resolution_s)),
        ];
        RecoveryRow { load: it.load.clone(), phase: it.phase.clone(), facts }
    });
    rows.collect()
}

fn loads(scenario: &ScenarioResult) -> Vec<LoadRow> {
    let rows = scenario.loads.iter().map(|it| LoadRow {
        name: it.name.clone(),
        kind: it.kind.clone(),
        target: it.target.clone(),
        schedule: it.schedule.clone(),
        model: if it.open_loop { "open loop" } else { "closed loop" },
        reach: match (it.address.as_str(), it.reconnects) {
            ("", _) => it.reach.clone(),
            (address, 0) => format!("{}, {address}", it.reach),
            (address, n) => format!("{}, {address}, made anew {}", it.reach, words::plural(n as usize, "time")),
        },
    });
    rows.collect()
}

/// The scenario's text, each line with the worst verdict of what it asked.
fn source(scenario: &ScenarioResult) -> Vec<SourceLine> {
    let asked = scenario.expectations.iter().map(|it| (it.line, it.verdict));
    let faults = scenario.faults.iter().map(|it| (it.line, order::fault_verdict(it)));
    let answers: Vec<(usize, Verdict)> =
        asked.chain(faults).filter_map(|(line, verdict)| Some((line? as usize, verdict))).collect();
    let lines = scenario.source.lines().enumerate().map(|(index, text)| {
        let worst = answers.iter().filter(|(line, _)| *line == index + 1).map(|(_, verdict)| *verdict).max();
        SourceLine { number: index + 1, text: text.to_owned(), class: worst.map_or("", Verdict::word) }
    });
    lines.collect()
}

/// A moment of the wall clock, to the second.
fn clock(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn event_row(event: &Event) -> EventRow {
    let joined =
        |first: &str, second: &str| if second.is_empty() { first.to_owned() } else { format!("{first}: {second}") };
    let (kind, text) = match &event.kind {
        EventKind::RunStarted { run, seed } => ("run", format!("run {run} started, seed {seed}")),
        EventKind::ScenarioStarted { file } => ("scenario", format!("started from {file}")),
        EventKind::Reached { load, how } => ("load", format!("{load} reached its service: {how}")),
        EventKind::TargetsChosen { fault, pods } => {
            let rest = pods.len().saturating_sub(10);
            let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            let shown: Vec<&str> = pods.iter().take(10).map(String::as_str).collect();
            ("fault", format!("{fault}: targets {}{more}", shown.join(", ")))
        }
        EventKind::LoadStarted => ("load", "started; the timeline's zero".to_owned()),
        EventKind::PhaseStarted { phase, planned_s } => {
            ("phase", format!("{phase} began, {} planned", words::seconds(*planned_s)))
        }
        EventKind::PhaseEnded { phase } => ("phase", format!("{phase} ended")),
        EventKind::Fault { fault, state, detail } => ("fault", joined(&format!("{fault} {}", state.word()), detail)),
        EventKind::Cluster { message } => ("cluster", message.clone()),
        EventKind::ApiRetry { request, error, attempt } => ("retry", format!("{request}, try {attempt}: {error}")),
        EventKind::Warning { message } => ("warning", message.clone()),
        EventKind::Error { message } => ("error", message.clone()),
        EventKind::Interrupted { signal } => ("interrupted", signal.clone()),
        EventKind::ScenarioEnded { verdict, reason } => ("scenario", joined(words::verdict(*verdict), reason)),
        EventKind::RunEnded { verdict, exit_code } => {
            ("run", format!("{}, exit code {exit_code}", words::verdict(*verdict)))
        }
    };
    EventRow {
        at: event.elapsed_s.map(words::moment).unwrap_or_default(),
        clock: event.at.strftime("%H:%M:%S").to_string(),
        kind,
        text,
    }
}
