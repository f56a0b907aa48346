//! What the page says: a result turned into the words, numbers and drawings of each section, ready for the templates.
//! Drawings are markup already; everything else is text that the templates escape.

mod generator;
mod measures;
mod story;

use serde::Serialize;
use shakedown_schemas::event::Event;
use shakedown_schemas::result::{ExpectationResult, Recovery, RunResult, ScenarioResult, Verdict};

use self::generator::{GeneratorView, generators, matters};
use self::measures::{ChartView, Comparison, chart, comparisons};
use self::story::{
    EventRow, FaultView, PodStory, RecoveryRow, event_row, fault_view, first_and_last, pod_story, recoveries,
};
use super::bar::interval_bar;
use crate::text::{SOURCE, one_line, tame};
use crate::{RenderError, sentences, words, yaml};

/// Rows of a table that may be long, such as events; the rest is counted.
const ROWS: usize = 300;
/// Sentences about what users felt beside the verdict; the section below has all.
const FELT: usize = 6;

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
    generators: Vec<GeneratorView>,
    generator_matters: bool,
    faults: Vec<FaultView>,
    /// What users felt, load by load and fault by fault.
    felt: Vec<Felt>,
    recoveries: Vec<RecoveryRow>,
    pods: Option<PodStory>,
    events: Vec<EventRow>,
    events_left_out: usize,
    command: String,
    seed: u64,
    vars: Vec<(String, String)>,
    loads: Vec<LoadRow>,
    file: String,
    source: Vec<SourceLine>,
    /// The scenario with its variables put in; empty where that is the file.
    resolved: String,
}

#[derive(Debug, Serialize)]
struct Felt {
    phase: String,
    load: String,
    text: String,
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
struct LoadRow {
    name: String,
    kind: String,
    target: String,
    requests: String,
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
    list.sort_by_key(|(_, it)| sentences::rank(it.verdict));
    let row = |(index, it): (usize, &ScenarioResult)| IndexRow {
        id: anchor(index),
        name: it.name.clone(),
        verdict: Badge::new(it.verdict),
        sentence: sentences::sentence(it).to_owned(),
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
        let generators = generators(it);
        Ok(Self {
            name: it.name.clone(),
            description: it.description.clone().unwrap_or_default(),
            verdict: Badge::new(it.verdict),
            sentence: sentences::sentence(it).to_owned(),
            facts,
            notes: sentences::notes(it),
            errors: it.errors.clone(),
            warnings: it.warnings.clone(),
            leftovers: it.leftovers.iter().map(|l| (l.what.clone(), l.error.clone(), l.command.clone())).collect(),
            expectations: sentences::expectations(it).into_iter().map(expectation_row).collect(),
            names_loads: sentences::names_loads(it),
            charts,
            comparisons: comparisons(it),
            generator_matters: matters(&generators),
            generators,
            faults: it.faults.iter().map(fault_view).collect(),
            felt: it.recoveries.iter().take(FELT).map(felt).collect(),
            recoveries: recoveries(it),
            pods: pod_story(it),
            events_left_out: events.len() - shown.len(),
            events: shown.into_iter().map(event_row).collect(),
            command: sentences::command(&result.run),
            seed: result.run.seed,
            vars: it.vars.iter().map(|(name, value)| (name.clone(), sentences::variable(value))).collect(),
            loads: loads(it),
            file: it.file.clone(),
            source: source(it),
            resolved: resolved(it),
            id,
        })
    }
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

fn loads(scenario: &ScenarioResult) -> Vec<LoadRow> {
    let rows = scenario.loads.iter().map(|it| LoadRow {
        name: it.name.clone(),
        kind: it.kind.clone(),
        target: it.target.clone(),
        requests: sentences::requests(it),
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

fn felt(it: &Recovery) -> Felt {
    Felt { phase: it.phase.clone(), load: it.load.clone(), text: sentences::recovery(it) }
}

/// The scenario as it ran, where templates or the command line make it another than the file.
fn resolved(scenario: &ScenarioResult) -> String {
    if scenario.resolved.is_null() || scenario.vars.is_empty() {
        return String::new();
    }
    tame(&yaml::to_yaml(&scenario.resolved), SOURCE).into_owned()
}

/// The scenario's text, each line with the worst verdict of what it asked.
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

/// A moment of the wall clock, to the second.
fn clock(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
