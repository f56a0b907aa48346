//! The content of the page: the texts, numbers and drawings of each section, ready for the templates. Drawings are markup;
//! the templates escape everything else.

mod diagnostics;
mod generator;
mod matrices;
mod measures;
mod parts;
mod scenario;

use serde::Serialize;
use shakedown_schemas::result::{RunResult, ScenarioResult, Verdict};

use self::diagnostics::{EventRow, event_row};
use self::matrices::{MatrixView, matrices};
use self::parts::{Badge, ROWS, anchor, clock, trial};
use self::scenario::ScenarioView;
use crate::text::one_line;
use crate::{RenderError, sentences, words};

/// The whole page.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    title: String,
    verdict: Badge,
    /// True if no scenario was run on a real cluster.
    is_sandbox: bool,
    many: bool,
    index: Vec<IndexRow>,
    /// The verdicts of the scenarios, with their numbers. Empty if all are equal.
    filters: Vec<(Badge, usize)>,
    summary: String,
    run: String,
    started: String,
    facts: Vec<(&'static str, String)>,
    scenarios: Vec<ScenarioView>,
    matrices: Vec<MatrixView>,
    /// The scenarios that did not run, each with its reason.
    not_run: Vec<(String, String)>,
    not_run_left_out: usize,
    events: Vec<EventRow>,
}

/// A scenario in the overview table.
#[derive(Debug, Serialize)]
struct IndexRow {
    id: String,
    name: String,
    verdict: Badge,
    flaky: bool,
    trial: &'static str,
    is_sandbox: bool,
    sentence: String,
    /// The expectations that hold, of all.
    hold: String,
    faults: String,
    took: String,
}

impl View {
    /// The page of a result with sanitised texts.
    pub(crate) fn new(result: &RunResult) -> Result<Self, RenderError> {
        let run = &result.run;
        // Failures first, otherwise in the order of the run.
        let mut order: Vec<_> = result.scenarios.iter().enumerate().collect();
        order.sort_by_key(|(_, it)| sentences::rank(it.outcome()));
        let scenarios = order.iter().map(|(index, it)| ScenarioView::new(result, it, *index));
        let scenarios = scenarios.collect::<Result<Vec<_>, _>>()?;
        let title = match result.scenarios.as_slice() {
            [only] if result.not_run.is_empty() => {
                format!("{}: {}", words::verdict(result.verdict), one_line(&only.name))
            }
            _ => format!("{}: {}", words::verdict(result.verdict), words::plural(scenarios.len(), "scenario")),
        };
        let mut facts = vec![
            ("Took", words::seconds(run.duration_s)),
            ("Exit code", format!("{} ({})", result.exit_code, words::exit_code(result.exit_code))),
            ("Seed", sentences::seed(result)),
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
            is_sandbox: !scenarios.is_empty() && result.scenarios.iter().all(ScenarioResult::in_sandbox),
            many: scenarios.len() != 1 || !result.not_run.is_empty(),
            matrices: matrices(result),
            not_run: result.not_run.iter().take(ROWS).map(|it| (it.name.clone(), it.reason.clone())).collect(),
            not_run_left_out: result.not_run.len().saturating_sub(ROWS),
            index: order.iter().map(|(index, it)| index_row(*index, it)).collect(),
            filters: filters(result),
            summary: summary(result),
            run: run.id.clone(),
            started: clock(run.started_at),
            facts,
            scenarios,
            events: result.events.iter().take(ROWS).map(|event| event_row(event, None)).collect(),
        })
    }
}

fn index_row(index: usize, it: &ScenarioResult) -> IndexRow {
    IndexRow {
        id: anchor(index),
        name: it.name.clone(),
        verdict: Badge::new(it.outcome()),
        flaky: it.flaky,
        trial: it.trial.map_or("", trial),
        is_sandbox: it.in_sandbox(),
        sentence: sentences::headline(it),
        hold: format!("{} of {}", passed(it.expectations.iter().map(|it| it.verdict)), it.expectations.len()),
        faults: match it.faults.len() {
            0 => "–".to_owned(),
            all => format!("{} of {all}", passed(it.faults.iter().map(sentences::fault_verdict))),
        },
        took: words::seconds(it.duration_s),
    }
}

/// The verdicts to choose from, failures first.
fn filters(result: &RunResult) -> Vec<(Badge, usize)> {
    let mut verdicts: Vec<Verdict> = result.scenarios.iter().map(ScenarioResult::outcome).collect();
    verdicts.sort_by_key(|verdict| sentences::rank(*verdict));
    let groups: Vec<(Badge, usize)> =
        verdicts.chunk_by(|a, b| a == b).map(|same| (Badge::new(same[0]), same.len())).collect();
    if groups.len() > 1 { groups } else { Vec::new() }
}

fn passed(verdicts: impl Iterator<Item = Verdict>) -> usize {
    verdicts.filter(|verdict| *verdict == Verdict::Pass).count()
}

/// The number of scenarios for each verdict, the worst first.
fn summary(result: &RunResult) -> String {
    let outcomes = sentences::outcomes(result);
    if !outcomes.is_empty() {
        return outcomes;
    }
    let left = match result.not_run.len() {
        0 => String::new(),
        count => format!(", {count} did not run"),
    };
    format!("no scenario ran: {}{left}", words::exit_code(result.exit_code))
}
