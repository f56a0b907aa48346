//! The requests of each load by step, and by the group that their answers name.

use shakedown_schemas::result::{PartStats, PhaseLoad, ScenarioResult};
use shakedown_schemas::words;

/// The most rows of one table.
const MOST: usize = 200;

/// The parts of one load over all phases.
#[derive(Debug, Clone, PartialEq)]
pub struct PartTable<'r> {
    /// The load.
    pub load: &'r str,
    /// What the rows are: `step`, or the value that names the group, such as `header x-worker-id`.
    pub by: &'r str,
    /// Each part in each phase: the phase, and the part.
    pub rows: Vec<(&'r str, &'r PartStats)>,
}

impl PartTable<'_> {
    /// What the table shows, in words.
    pub fn title(&self) -> String {
        if self.by == STEP { "by step".to_owned() } else { format!("by {}", self.by) }
    }

    /// The cells of a row after its phase and its name: requests, success rate, p50, p95, p99 and failures.
    pub fn cells(part: &PartStats) -> [String; 6] {
        let latency = part.stats.latency.as_ref();
        let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), words::millis);
        let failed: Vec<String> = part.stats.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        [
            words::count(part.stats.requests as f64),
            part.stats.success_rate().map_or_else(|| "–".to_owned(), words::fraction),
            ms(latency.map(|it| it.p50_ms)),
            ms(latency.map(|it| it.p95_ms)),
            ms(latency.map(|it| it.p99_ms)),
            failed.join(", "),
        ]
    }
}

const STEP: &str = "step";

type PartsOf = fn(&PhaseLoad) -> &Vec<PartStats>;

/// The tables of all loads that are broken down.
pub fn parts(scenario: &ScenarioResult) -> Vec<PartTable<'_>> {
    let mut tables = Vec::new();
    for load in &scenario.loads {
        let kinds: [(&str, PartsOf); 2] = [(STEP, |it| &it.steps), (&load.group_by, |it| &it.groups)];
        for (by, of) in kinds {
            let mut rows = Vec::new();
            for phase in &scenario.phases {
                let seen = phase.loads.iter().filter(|it| it.load == load.name);
                rows.extend(seen.flat_map(of).map(|part| (phase.name.as_str(), part)));
            }
            rows.truncate(MOST);
            if !rows.is_empty() {
                tables.push(PartTable { load: &load.name, by, rows });
            }
        }
    }
    tables
}

/// The parts of a load in one phase, each in one line.
pub fn part_lines(scenario: &ScenarioResult, phase: &str, load: &str) -> Vec<String> {
    let tables = parts(scenario);
    let tables = tables.iter().filter(|table| load.is_empty() || table.load == load);
    let lines = tables.flat_map(|table| {
        table.rows.iter().filter(move |(of, _)| *of == phase).map(move |(_, part)| {
            let [requests, success, p50, p95, p99, failed] = PartTable::cells(part);
            let failed = if failed.is_empty() { failed } else { format!(", failed {failed}") };
            let matches = if part.matches.is_empty() { String::new() } else { format!(" ({})", part.matches) };
            format!(
                "{} {}{matches}: {requests} requests, success {success}, p50 {p50}, p95 {p95}, p99 {p99}{failed}",
                table.by,
                part.shown()
            )
        })
    });
    lines.collect()
}

/// Notes about loads whose requests are iterations.
pub(super) fn notes(scenario: &ScenarioResult) -> Vec<String> {
    let tables = parts(scenario);
    let of_steps = tables.iter().filter(|table| table.by == STEP);
    let note = |table: &PartTable<'_>| {
        let mut names: Vec<&str> = Vec::new();
        for (_, part) in &table.rows {
            if !names.contains(&part.name.as_str()) {
                names.push(&part.name);
            }
        }
        format!(
            "A request of load {} is one iteration of its steps ({}). It succeeds if every step does, and its latency is \
             that of all steps together.",
            table.load,
            names.join(", ")
        )
    };
    of_steps.map(note).collect()
}
