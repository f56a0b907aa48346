//! The history page: the results of every expectation over the last runs. Pure: takes results, returns one self-contained
//! page.
//!
//! This module groups runs, detects flaky expectations and draws the page. The page of a single run is in `html`.

use indexmap::IndexMap;
use minijinja::context;
use minijinja::value::Serde;
use serde::Serialize;
use shakedown_schemas::result::{ExpectationResult, RunResult, ScenarioResult, Verdict};

use crate::html::{environment, source_hash, style};
use crate::svg::{Anchor, Path, Scale, Svg, fit};
use crate::tame::tamed;
use crate::{RenderError, words};

const PAGE: &str = include_str!("../templates/history.html");

/// An expectation is flaky if its verdict changed at least this often between pass and not pass.
const FLAKY_CHANGES: usize = 2;

#[derive(Debug, Serialize)]
struct Page {
    title: String,
    summary: String,
    left_out: String,
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
    rows: Vec<Row>,
    flaky: usize,
}

#[derive(Debug, Serialize)]
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

/// A run of one scenario.
struct Entry<'a> {
    run: &'a RunResult,
    scenario: &'a ScenarioResult,
}

/// The page for results in any order: the last `last` runs of each scenario, oldest first.
///
/// # Errors
/// Only on a defect of the template: every result can be rendered.
pub fn history(results: &[RunResult], last: usize) -> Result<String, RenderError> {
    let results: Vec<RunResult> = results.iter().map(tamed).collect();
    let mut by_name: IndexMap<&str, Vec<Entry<'_>>> = IndexMap::new();
    let mut trials = 0;
    for run in &results {
        for scenario in &run.scenarios {
            // Control and overkill runs change the faults and say nothing about the service.
            if scenario.trial.is_some() {
                trials += 1;
                continue;
            }
            by_name.entry(&scenario.name).or_default().push(Entry { run, scenario });
        }
    }
    by_name.sort_unstable_keys();
    let sections: Vec<Section> =
        by_name.into_values().enumerate().map(|(index, entries)| section(entries, last, index)).collect();
    let flaky: usize = sections.iter().map(|it| it.flaky).sum();
    let summary = format!(
        "{} of {}; {}",
        words::plural(results.len(), "run"),
        words::plural(sections.len(), "scenario"),
        if flaky == 0 {
            "no expectation is flaky".to_owned()
        } else {
            format!("{} flaky", words::plural(flaky, "expectation"))
        }
    );
    let left_out = match trials {
        0 => String::new(),
        some => format!("{} left out: they test the gate.", words::plural(some, "control or overkill run")),
    };
    let page = Page { title: "shakedown history".to_owned(), summary, left_out, scenarios: sections };
    let mut environment = environment()?;
    environment.add_template("history.html", PAGE)?;
    let context = context! { page => Serde(&page), style => style(), style_hash => source_hash(style()) };
    Ok(environment.get_template("history.html")?.render(context)?)
}

fn section(mut entries: Vec<Entry<'_>>, last: usize, index: usize) -> Section {
    entries.sort_by(|a, b| (a.scenario.started_at, &a.run.run.id).cmp(&(b.scenario.started_at, &b.run.run.id)));
    // The same result may be in two folders, such as in a copy next to `latest`.
    entries.dedup_by(|a, b| a.run.run.id == b.run.run.id && a.scenario.started_at == b.scenario.started_at);
    entries.drain(..entries.len().saturating_sub(last));
    let mut answers: IndexMap<(&str, &str, &str, &str), Vec<Option<&ExpectationResult>>> = IndexMap::new();
    // From the newest backwards, so that the page has the order of the newest file.
    for (k, entry) in entries.iter().enumerate().rev() {
        for it in &entry.scenario.expectations {
            let key = (it.phase.as_str(), it.load.as_str(), it.kind.as_str(), title(it));
            answers.entry(key).or_insert_with(|| vec![None; entries.len()])[k] = Some(it);
        }
    }
    let mut rows: Vec<Row> = answers.values().filter_map(|list| row(list)).collect();
    // Flaky expectations first, then failing ones, then the rest in the order of the file.
    rows.sort_by_key(|row| (!row.flaky, row.class == Verdict::Pass.word()));
    let newest = entries.last();
    let when = |entry: Option<&Entry<'_>>| {
        entry.map(|it| it.scenario.started_at.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
    };
    Section {
        id: format!("h{}", index + 1),
        name: newest.map(|it| it.scenario.name.clone()).unwrap_or_default(),
        file: newest.map(|it| it.scenario.file.clone()).unwrap_or_default(),
        runs: entries.len(),
        passed: entries.iter().filter(|it| it.scenario.verdict == Verdict::Pass).count(),
        first: when(entries.first()),
        last: when(newest),
        flaky: rows.iter().filter(|row| row.flaky).count(),
        verdicts: entries.iter().map(run_cell).collect(),
        rows,
    }
}

/// The title up to its limit. A changed limit does not make a different expectation.
fn title(it: &ExpectationResult) -> &str {
    let cut = [" at least ", " at most "].into_iter().filter_map(|word| it.title.find(word)).min();
    cut.map_or(it.title.as_str(), |at| &it.title[..at])
}

fn run_cell(entry: &Entry<'_>) -> RunCell {
    let it = entry.scenario;
    RunCell {
        class: it.verdict.word(),
        word: words::verdict(it.verdict),
        symbol: words::symbol(it.verdict),
        run: entry.run.run.id.clone(),
        when: it.started_at.strftime("%Y-%m-%d %H:%M").to_string(),
        sha: entry.run.run.git_sha.as_deref().unwrap_or_default().chars().take(10).collect(),
        flaky: it.flaky,
        reason: it.reason.clone(),
    }
}

/// The number of changes between pass and not pass.
fn changes(list: &[Option<&ExpectationResult>]) -> usize {
    let passed: Vec<bool> = list.iter().flatten().map(|it| it.verdict == Verdict::Pass).collect();
    passed.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn row(list: &[Option<&ExpectationResult>]) -> Option<Row> {
    let newest = list.iter().flatten().next_back()?;
    let changes = changes(list);
    Some(Row {
        phase: newest.phase.clone(),
        title: newest.title.clone(),
        load: newest.load.clone(),
        flaky: changes >= FLAKY_CHANGES,
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

/// The observed values over the runs, each with its interval and the limits of its run.
fn chart(list: &[Option<&ExpectationResult>], newest: &ExpectationResult) -> String {
    const WIDTH: f64 = 420.0;
    const HEIGHT: f64 = 84.0;
    let own: Vec<(usize, &ExpectationResult)> = list
        .iter()
        .enumerate()
        .filter_map(|(k, it)| Some((k, (*it)?)))
        .filter(|(_, it)| it.unit == newest.unit)
        .collect();
    let values = own.iter().flat_map(|(_, it)| {
        it.observed.into_iter().chain(it.interval.into_iter().flatten()).chain(it.min).chain(it.max)
    });
    let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), it| (a.min(*it), b.max(*it)));
    let label = format!("{} over {}; the table has its latest value", newest.title, words::plural(list.len(), "run"));
    let mut svg = Svg::new("chart trend", WIDTH, HEIGHT, &label);
    if low.is_finite() {
        let room = ((high - low) * 0.12).max(high.abs() * 0.01).max(1e-9);
        let scale = Scale::linear(low - room, high + room, (HEIGHT - 8.0, 8.0));
        for tick in [low, high] {
            svg.line("grid", [70.0, scale.at(tick), WIDTH, scale.at(tick)]);
            svg.text(
                "tick-label",
                66.0,
                scale.at(tick) + 3.5,
                Anchor::End,
                &fit(&words::value(newest.unit, tick), 66.0),
            );
        }
        let step = (WIDTH - 90.0) / list.len().max(1) as f64;
        let x = |k: usize| 80.0 + (k as f64 + 0.5) * step;
        let mut line = Path::default();
        let mut begun = false;
        for (k, it) in &own {
            for limit in [it.min, it.max].into_iter().flatten() {
                svg.line("limit", [x(*k) - step / 2.0, scale.at(limit), x(*k) + step / 2.0, scale.at(limit)]);
            }
            if let Some([from, to]) = it.interval {
                svg.line("whisker", [x(*k), scale.at(from), x(*k), scale.at(to)]);
            }
            if let Some(value) = it.observed {
                if begun {
                    line.to(x(*k), scale.at(value))
                } else {
                    line.start(x(*k), scale.at(value))
                }
                begun = true;
            }
        }
        svg.path("trend-line", &line);
        for (k, it) in &own {
            // Without a value there is a mark at the bottom, which shows only the verdict.
            let y = it.observed.map_or(HEIGHT - 5.0, |value| scale.at(value));
            let (class, size) =
                (format!("bar-point {}", it.verdict.word()), if it.observed.is_some() { 3.6 } else { 2.4 });
            if it.verdict == Verdict::Fail {
                // A distinct shape, because colours alone are not accessible.
                let mut cross = Path::default();
                for [dx, dy] in [[size, size], [size, -size]] {
                    cross.start(x(*k) - dx, y - dy);
                    cross.to(x(*k) + dx, y + dy);
                }
                svg.path(&class, &cross);
            } else {
                svg.circle(&class, x(*k), y, size);
            }
            let title = format!("{}: {} ({})", words::verdict(it.verdict), it.observed_text, it.limit_text);
            svg.titled_rect("catch", [x(*k) - step.min(14.0) / 2.0, 0.0, step.min(14.0), HEIGHT], &title);
        }
    }
    svg.finish()
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::Trial;

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
    }

    #[test]
    fn a_changed_limit_is_the_same_expectation() {
        let mut strict = run(1, Verdict::Pass);
        let it = &mut strict.scenarios[0].expectations[2];
        it.max = Some(2.5);
        it.title = it.title.replace("at most 3", "at most 2.5");
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
        assert!(page.contains("1 control or overkill run left out") && page.matches(">flaky<").count() == 2, "{page}");
    }

    #[test]
    fn escapes_hostile_results_and_accepts_none() {
        let page = history(&[sample::hostile(), sample::stillborn(), sample::suite()], 30).unwrap();
        assert!(!page.contains("<img") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
        assert!(history(&[], 30).unwrap().contains("0 runs"));
    }
}
