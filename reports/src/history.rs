//! The history page: a matrix of scenarios by runs, and the trend of each expectation. Pure: takes results, returns one
//! self-contained page.
//!
//! This module collects runs and arranges the page. `moved` finds flaky and slowing expectations, `chart` draws. The page
//! of a single run is in `html`.

mod chart;
mod moved;

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use jiff::Timestamp;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;
use shakedown_schemas::result::{
    ExpectationResult, Identity, RunDigest, RunResult, ScenarioDigest, SharedNames, Verdict,
};

use self::chart::chart;
use self::moved::{Trend, changes, is_flaky, word};
use crate::html::{environment, source_hash, style};
use crate::tame::tamed_digest;
use crate::{RenderError, words};

const PAGE: &str = include_str!("../templates/history.html");

#[derive(Debug, Serialize)]
struct Page {
    title: String,
    summary: String,
    left_out: String,
    /// The newest runs, oldest first: when each began, and its id.
    runs: Vec<[String; 2]>,
    /// The first and the last day of these runs.
    days: [String; 2],
    scenarios: Vec<Section>,
}

#[derive(Debug, Serialize)]
struct Section {
    id: String,
    name: String,
    file: String,
    runs: usize,
    passed: usize,
    first: String,
    last: String,
    verdicts: Vec<RunCell>,
    /// The verdict in each run of the matrix.
    cells: Vec<Option<RunCell>>,
    rows: Vec<Row>,
    flaky: usize,
    /// The expectations with a trend towards their limit.
    moving: usize,
    /// The word for these.
    moving_word: &'static str,
    is_failing: bool,
}

#[derive(Debug, Clone, Serialize)]
struct RunCell {
    class: &'static str,
    word: &'static str,
    symbol: &'static str,
    run: String,
    when: String,
    sha: String,
    /// It passed only after a failed attempt.
    flaky: bool,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Row {
    phase: String,
    title: String,
    load: String,
    flaky: bool,
    /// The word for a trend towards the limit. Empty without one.
    moving: &'static str,
    /// The trend in words.
    trend: String,
    class: &'static str,
    word: &'static str,
    symbol: &'static str,
    latest: String,
    limit: String,
    passed: usize,
    of: usize,
    changes: usize,
    chart: String,
}

/// One scenario in one run.
#[derive(Debug)]
struct Entry {
    run: String,
    run_started_at: Timestamp,
    sha: String,
    scenario: ScenarioDigest,
}

/// Collects runs for the history page. Its memory does not grow with the number of runs: of each scenario it keeps at
/// most twice as many as the page shows.
#[derive(Debug)]
pub struct History {
    /// The most runs of each scenario on the page.
    last: usize,
    runs: BTreeSet<String>,
    /// The runs of shards whose scenarios a merged result has. They count once.
    merged: BTreeSet<String>,
    trials: usize,
    shared: SharedNames,
    /// By name and file.
    scenarios: BTreeMap<(String, String), Vec<Entry>>,
}

impl History {
    /// A history of the newest `last` runs of each scenario, at least 1.
    pub fn new(last: usize) -> Self {
        let (shared, scenarios) = (SharedNames::default(), BTreeMap::new());
        let (runs, merged) = (BTreeSet::new(), BTreeSet::new());
        Self { last: last.max(1), runs, merged, trials: 0, shared, scenarios }
    }

    /// Takes a run, in any order. The same run may be in two folders, such as in a copy next to `latest`.
    pub fn add(&mut self, run: RunDigest) {
        let RunDigest { run, scenarios, .. } = tamed_digest(run);
        self.runs.insert(run.id.clone());
        self.shared.learn(scenarios.iter().map(ScenarioDigest::identity));
        self.merged.extend(scenarios.iter().filter_map(|it| Some(it.shard_run.as_ref()?.id.clone())));
        for mut scenario in scenarios {
            // Control and overkill runs change the faults and say nothing about the service.
            if scenario.trial.is_some() {
                self.trials += 1;
                continue;
            }
            for it in &mut scenario.expectations {
                it.terms.clear();
                it.reason.clear();
            }
            let sha = run.git_sha.as_deref().unwrap_or_default().chars().take(10).collect();
            let entry = Entry { run: run.id.clone(), run_started_at: run.started_at, sha, scenario };
            let Identity { file, name } = entry.scenario.identity();
            let entries = self.scenarios.entry((name.to_owned(), file.to_owned())).or_default();
            entries.push(entry);
            if entries.len() >= 2 * self.last.max(16) {
                trim(entries, self.last);
            }
        }
    }

    /// The page.
    ///
    /// # Errors
    /// Only on a defect of the template: every result can be rendered.
    pub fn page(self) -> Result<String, RenderError> {
        let mut scenarios: BTreeMap<(String, String), Vec<Entry>> = BTreeMap::new();
        for ((name, file), entries) in self.scenarios {
            let common = self.shared.common(Identity::new(&file, &name));
            scenarios.entry((common.name.to_owned(), common.file.to_owned())).or_default().extend(entries);
        }
        scenarios.values_mut().for_each(|entries| trim(entries, self.last));
        let all = scenarios.values().flatten();
        let mut columns: Vec<(Timestamp, &str)> = all.map(|it| (it.run_started_at, it.run.as_str())).collect();
        columns.sort_unstable();
        columns.dedup();
        let columns = &columns[columns.len().saturating_sub(self.last)..];
        let mut sections: Vec<Section> =
            scenarios.values().map(|entries| section(entries, columns, &self.shared)).collect();
        // Flaky scenarios first, then slowing ones, then failing ones, otherwise by name.
        sections.sort_by_key(|it| (it.flaky == 0, it.moving == 0, !it.is_failing));
        for (index, section) in sections.iter_mut().enumerate() {
            section.id = format!("h{}", index + 1);
        }
        let day = |at: Option<&(Timestamp, &str)>| at.map(|(at, _)| minute(*at)).unwrap_or_default();
        let page = Page {
            title: "shakedown history".to_owned(),
            summary: summary(self.runs.difference(&self.merged).count(), &sections),
            left_out: match self.trials {
                0 => String::new(),
                some => format!("{} left out.", words::plural(some, "control, overkill or shortened run")),
            },
            runs: columns.iter().map(|(at, run)| [minute(*at), (*run).to_owned()]).collect(),
            days: [day(columns.first()), day(columns.last())],
            scenarios: sections,
        };
        let mut environment = environment()?;
        environment.add_template("history.html", PAGE)?;
        let context = context! { page => Serde(&page), style => style(), style_hash => source_hash(style()) };
        Ok(environment.get_template("history.html")?.render(context)?)
    }
}

/// The page for results in any order: the last `last` runs of each scenario, oldest first.
///
/// # Errors
/// Only on a defect of the template: every result can be rendered.
pub fn history(results: &[RunResult], last: usize) -> Result<String, RenderError> {
    let mut history = History::new(last);
    results.iter().for_each(|run| history.add(RunDigest::from(run)));
    history.page()
}

impl Entry {
    /// The id of the run that ran the scenario: in a merged result, that of its shard.
    fn ran(&self) -> &str {
        self.scenario.shard_run.as_ref().map_or(&self.run, |it| &it.id)
    }

    /// The order in which runs are kept. Of the same run, the merged result comes first.
    fn order(&self) -> (Timestamp, &str, bool) {
        (self.scenario.started_at, self.ran(), self.scenario.shard_run.is_none())
    }
}

/// Keeps the newest runs of a scenario, each once, oldest first.
fn trim(entries: &mut Vec<Entry>, last: usize) {
    entries.sort_by(|a, b| a.order().cmp(&b.order()));
    entries.dedup_by(|a, b| a.scenario.started_at == b.scenario.started_at && a.ran() == b.ran());
    entries.drain(..entries.len().saturating_sub(last));
}

fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

fn summary(runs: usize, sections: &[Section]) -> String {
    let flaky: usize = sections.iter().map(|it| it.flaky).sum();
    let moving: usize = sections.iter().map(|it| it.moving).sum();
    let mut parts = vec![format!("{} of {}", words::plural(runs, "run"), words::plural(sections.len(), "scenario"))];
    parts.push(match flaky {
        0 => "no expectation is flaky".to_owned(),
        some => format!("{} flaky", words::plural(some, "expectation")),
    });
    if moving > 0 {
        parts.push(format!("{} slowing or worsening", words::plural(moving, "expectation")));
    }
    parts.join("; ")
}

fn section(entries: &[Entry], columns: &[(Timestamp, &str)], shared: &SharedNames) -> Section {
    let mut answers: IndexMap<(&str, &str, &str, String), Vec<Option<&ExpectationResult>>> = IndexMap::new();
    // From the newest backwards, so that the page has the order of the newest file.
    for (k, entry) in entries.iter().enumerate().rev() {
        for it in &entry.scenario.expectations {
            let key = (it.phase.as_str(), it.load.as_str(), it.kind.as_str(), it.unlimited_title());
            answers.entry(key).or_insert_with(|| vec![None; entries.len()])[k] = Some(it);
        }
    }
    let mut rows: Vec<Row> = answers.values().filter_map(|list| row(list)).collect();
    // Flaky expectations first, then slowing ones, then failing ones, then the rest in the order of the file.
    rows.sort_by_key(|row| (!row.flaky, row.moving.is_empty(), row.class == Verdict::Pass.word()));
    let newest = entries.last();
    let when = |entry: Option<&Entry>| entry.map(|it| minute(it.scenario.started_at)).unwrap_or_default();
    let by_run: BTreeMap<&str, &Entry> = entries.iter().map(|entry| (entry.run.as_str(), entry)).collect();
    Section {
        id: String::new(),
        name: newest.map(|it| shared.label(it.scenario.identity())).unwrap_or_default(),
        file: newest.map(|it| it.scenario.file.clone()).unwrap_or_default(),
        runs: entries.len(),
        passed: entries.iter().filter(|it| it.scenario.verdict == Verdict::Pass).count(),
        first: when(entries.first()),
        last: when(newest),
        flaky: rows.iter().filter(|row| row.flaky).count(),
        moving: rows.iter().filter(|row| !row.moving.is_empty()).count(),
        moving_word: rows.iter().map(|row| row.moving).find(|word| !word.is_empty()).unwrap_or_default(),
        is_failing: newest.is_some_and(|it| it.scenario.verdict != Verdict::Pass),
        verdicts: entries.iter().map(run_cell).collect(),
        cells: columns.iter().map(|(_, run)| by_run.get(run).map(|entry| run_cell(entry))).collect(),
        rows,
    }
}

fn run_cell(entry: &Entry) -> RunCell {
    let it = &entry.scenario;
    RunCell {
        class: it.verdict.word(),
        word: words::verdict(it.verdict),
        symbol: words::symbol(it.verdict),
        run: entry.run.clone(),
        when: minute(it.started_at),
        sha: entry.sha.clone(),
        flaky: it.flaky,
        reason: it.reason.clone(),
    }
}

fn row(list: &[Option<&ExpectationResult>]) -> Option<Row> {
    let newest = list.iter().flatten().next_back()?;
    let changes = changes(list);
    let trend = Trend::of(list);
    let show = |value| words::value(newest.unit, value);
    Some(Row {
        phase: newest.phase.clone(),
        title: newest.title.clone(),
        load: newest.load.clone(),
        flaky: is_flaky(changes),
        moving: trend.map_or("", |_| word(newest)),
        trend: trend.map(|it| format!("from {} to {}", show(it.from), show(it.to))).unwrap_or_default(),
        class: newest.verdict.word(),
        word: words::verdict(newest.verdict),
        symbol: words::symbol(newest.verdict),
        latest: newest.observed_text.clone(),
        limit: newest.limit_text.clone(),
        passed: list.iter().flatten().filter(|it| it.verdict == Verdict::Pass).count(),
        of: list.iter().flatten().count(),
        changes,
        chart: chart(list, newest),
    })
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::{RunInfo, ScenarioResult, ShardRun, Trial};

    use super::*;
    use crate::sample;

    fn run(day: i64, verdict: Verdict) -> RunResult {
        let mut run = if verdict == Verdict::Fail { sample::failing() } else { sample::passing() };
        run.run.id = format!("run-{day:03}");
        run.scenarios[0].started_at =
            run.scenarios[0].started_at.checked_add(jiff::SignedDuration::from_hours(24 * day)).unwrap();
        run
    }

    #[test]
    fn a_merged_result_and_its_shards_are_one_run() {
        let whole = sample::suite();
        let mut merged = whole.clone();
        merged.run.id = "whole-merged".to_owned();
        for scenario in &mut merged.scenarios {
            let RunInfo { id, command, seed, .. } = whole.run.clone();
            scenario.shard_run = Some(ShardRun { id, command, seed });
        }
        for runs in [[&whole, &merged], [&merged, &whole]] {
            let page = history(&runs.map(Clone::clone), 20).unwrap();
            assert_eq!(page, history(std::slice::from_ref(&merged), 20).unwrap());
        }
    }

    #[test]
    fn an_expectation_that_alternates_is_flaky() {
        let (p, f) = (Verdict::Pass, Verdict::Fail);
        let page = |verdicts: &[Verdict]| {
            let runs: Vec<RunResult> = verdicts.iter().enumerate().map(|(day, it)| run(day as i64, *it)).collect();
            history(&runs, 30).unwrap()
        };
        let flaky = page(&[p, f, p, p]);
        assert!(flaky.contains("2 expectations flaky") && flaky.contains("3 of 4"), "{flaky}");
        assert!(page(&[p, p, f, f]).contains("no expectation is flaky"), "it broke once, and stayed broken");
        assert!(page(&[p, p]).contains("no expectation is flaky"));
    }

    #[test]
    fn the_last_runs_of_each_scenario_are_shown_once_and_in_order() {
        let mut runs: Vec<RunResult> = [5, 1, 3, 4, 2].map(|day| run(day, Verdict::Pass)).to_vec();
        runs.push(runs[0].clone());
        let page = history(&runs, 3).unwrap();
        let place = |id: &str| page.find(id);
        assert!(place("run-003") < place("run-004") && place("run-004") < place("run-005"));
        assert!(place("run-003").is_some() && place("run-002").is_none() && page.contains("3 of 3"));
        assert!(page.contains("5 runs of 1 scenario"), "a copy is not another run");
    }

    /// The result as another scenario of the same run.
    fn named(mut run: RunResult, name: &str) -> ScenarioResult {
        let mut scenario = run.scenarios.remove(0);
        scenario.name = name.to_owned();
        scenario
    }

    #[test]
    fn the_matrix_has_a_row_for_each_scenario_and_a_column_for_each_run() {
        let runs: Vec<RunResult> = (0..4)
            .map(|day| {
                let mut all = run(day, Verdict::Pass);
                all.run.started_at = all.scenarios[0].started_at;
                all.scenarios[0].name = "a-steady".to_owned();
                all.scenarios
                    .push(named(run(day, if day % 2 == 0 { Verdict::Pass } else { Verdict::Fail }), "b-flaky"));
                if day > 1 {
                    all.scenarios.push(named(run(day, Verdict::Pass), "c-new"));
                }
                all
            })
            .collect();
        let page = history(&runs, 30).unwrap();
        let table = page.split_once(r#"<table class="by-run">"#).unwrap().1.split_once("</table>").unwrap().0;
        assert_eq!(table.matches("<th scope=\"col\"").count(), 1 + 4, "{table}");
        let rows: Vec<&str> = table.split_once("<tbody>").unwrap().1.split("</tr>").collect();
        assert!(rows[0].contains("b-flaky") && rows[0].contains("flaky"), "flaky ones first: {}", rows[0]);
        assert!(rows[1].contains("a-steady") && rows[2].contains("c-new"));
        assert_eq!([0, 1, 2].map(|row| rows[row].matches("cell pass").count()), [2, 4, 2]);
        assert_eq!([0, 1, 2].map(|row| rows[row].matches("cell none").count()), [0, 0, 2]);
        assert_eq!(rows[0].matches("cell fail").count(), 2);
        let sections: Vec<_> =
            ["h1", "h2", "h3"].map(|id| page.find(&format!(r#"<h2 class="h-section" id="{id}">"#))).into();
        assert!(sections.is_sorted() && sections.iter().all(Option::is_some), "{sections:?}");
    }

    /// Both were in one row.
    #[test]
    fn scenarios_of_one_name_in_two_files_have_two_rows_and_a_moved_file_has_one() {
        let on = |day: i64, files: &[(&str, Verdict)]| {
            let mut all = run(day, Verdict::Pass);
            all.scenarios.clear();
            for (file, verdict) in files {
                let mut one = named(run(day, *verdict), "checkout");
                one.file = (*file).to_owned();
                all.scenarios.push(one);
            }
            all
        };
        let table = |runs: &[RunResult]| {
            let page = history(runs, 30).unwrap();
            let table = page.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
            let rows = table.split("</tr>").filter(|row| row.contains("<th"));
            let count = |row: &str| [row.matches("cell pass").count(), row.matches("cell fail").count()];
            rows.map(|row| (row.contains("checkout (b&#x2f;s.yaml)"), count(row))).collect::<Vec<_>>()
        };
        let (p, f) = (Verdict::Pass, Verdict::Fail);
        let runs = [on(0, &[("a/s.yaml", p), ("b/s.yaml", p)]), on(1, &[("./a/s.yaml", p)]), on(2, &[("b/s.yaml", f)])];
        assert_eq!(table(&runs), [(true, [1, 1]), (false, [2, 0])]);
        assert_eq!(table(&[on(0, &[("a/s.yaml", p)]), on(1, &[("c.yaml", f)])]), [(false, [1, 1])]);
    }

    #[test]
    fn an_expectation_that_slows_down_is_first() {
        let runs: Vec<RunResult> = (0..12)
            .map(|day| {
                let mut it = run(day, Verdict::Pass);
                let ratio = &mut it.scenarios[0].expectations[4];
                ratio.observed = Some(1.0 + 0.015 * day as f64);
                it
            })
            .collect();
        let page = history(&runs, 30).unwrap();
        assert!(page.contains("1 expectation slowing or worsening"), "{page}");
        let rows = page.split_once("aria-label=\"Expectations of").unwrap().1;
        assert!(rows.find("at most 1.2 times baseline") < rows.find("success rate at least 99"), "{rows}");
        assert!(rows.contains("slowing") && rows.contains("from 1x to 1.17x"), "{rows:.900}");
        assert!(!history(&runs[..7], 30).unwrap().contains("slowing"), "too few runs for a trend");
    }

    #[test]
    fn keeps_no_more_runs_than_the_page_shows() {
        let mut history = History::new(20);
        let one = RunDigest::from(&run(0, Verdict::Pass));
        for day in (0..1_000_i64).rev() {
            let mut run = one.clone();
            run.run.id = format!("run-{day:04}");
            run.scenarios[0].started_at = one.scenarios[0].started_at + jiff::SignedDuration::from_hours(day);
            history.add(run);
            assert!(history.scenarios.values().all(|entries| entries.len() < 40));
        }
        let page = history.page().unwrap();
        assert!(page.contains("1,000 runs of 1 scenario") && page.contains("20 of 20 passed"), "{:.400}", page);
        assert!(page.contains("run-0980") && !page.contains("run-0979"));
    }

    #[test]
    fn a_changed_limit_is_the_same_expectation() {
        let mut strict = run(1, Verdict::Pass);
        let it = &mut strict.scenarios[0].expectations[2];
        it.max = Some(2.5);
        it.title = it.title.replace("at most 3", "at most 2.5");
        it.limit_text = "at most 2.5".to_owned();
        let page = history(&[run(0, Verdict::Pass), strict], 30).unwrap();
        assert!(page.contains("2.5") && !page.contains("1 of 1"), "{page}");
    }

    #[test]
    fn omits_control_and_overkill_runs_and_marks_flaky_ones() {
        let mut runs: Vec<RunResult> = (0..4).map(|day| run(day, Verdict::Pass)).collect();
        runs[1] = run(1, Verdict::Fail);
        runs[1].scenarios[0].trial = Some(Trial::Overkill);
        runs[2].scenarios[0].flaky = true;
        let page = history(&runs, 30).unwrap();
        assert!(page.contains("3 of 3 passed") && page.contains("no expectation is flaky"), "{page}");
        assert!(
            page.contains("1 control, overkill or shortened run left out") && page.matches(">flaky<").count() == 1,
            "{page}"
        );
    }

    #[test]
    fn escapes_hostile_results_and_accepts_none() {
        let page = history(&[sample::hostile(), sample::stillborn(), sample::suite()], 30).unwrap();
        assert!(!page.contains("<img") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
        assert!(history(&[], 30).unwrap().contains("0 runs"));
    }
}
