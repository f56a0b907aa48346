//! Markdown for a step summary or a comment on a merge request: the verdict, the expectations, the faults, a text chart,
//! the leftovers, and the command that runs it again.

use shakedown_schemas::result::{LoadSeries, RunResult, ScenarioResult, Verdict};
use shakedown_schemas::words;

use crate::matrix::{self, Matrix, Measures};
use crate::sentences;
use crate::tame::tamed;
use crate::text::{one_line, tame};
use shakedown_schemas::words::sparkline;

/// GitHub rejects step summaries of 1 MiB or more. The rest is reserved for the note about omitted scenarios.
const LIMIT: usize = 1_000_000;

/// The most kinds of failures that are listed, and the most characters of each.
const FAILURES: usize = 12;
const SAID: usize = 700;

/// Columns of the text chart.
const COLUMNS: usize = 60;

/// The run as Markdown, always less than 1 MiB.
pub fn markdown(result: &RunResult) -> String {
    let result = tamed(result);
    let mut out = String::new();
    if result.scenarios.len() != 1 || !result.not_run.is_empty() {
        out.push_str(&index(&result));
    }
    for matrix in matrix::matrices(&result) {
        out.push_str(&combinations(&matrix));
    }
    let mut left_out = 0;
    let folds = result.scenarios.len() > 1;
    for scenario in worst_first(&result) {
        let mut section = section(&result, scenario);
        if folds && scenario.outcome() == Verdict::Pass {
            let title = format!("{}: {}", badge(Verdict::Pass), inline(&scenario.name));
            section = format!("<details><summary>{title}</summary>\n\n{section}\n</details>\n");
        }
        if out.len() + section.len() > LIMIT {
            left_out += 1;
        } else {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&section);
        }
    }
    if left_out > 0 {
        out.push_str(&format!("\n{} did not fit here. See the HTML report.\n", words::plural(left_out, "scenario")));
    }
    let run = &result.run;
    let mut facts = vec![
        format!("run {}", code(&run.id)),
        format!("{} in {}", run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC"), words::seconds(run.duration_s)),
        format!("seed {}", sentences::seed(&result)),
        format!("shakedown {}", inline(&run.tool_version)),
        format!("exit code {} ({})", result.exit_code, words::exit_code(result.exit_code)),
    ];
    if let Some(sha) = &run.git_sha {
        facts.insert(1, format!("commit {}", code(&sha.chars().take(12).collect::<String>())));
    }
    if let Some(signal) = &run.interrupted {
        facts.push(format!("interrupted by {}", inline(signal)));
    }
    out.push_str(&format!("\n<sub>{}</sub>\n", facts.join(" · ")));
    out
}

/// The scenarios, the most severe outcome first.
fn worst_first(result: &RunResult) -> Vec<&ScenarioResult> {
    let mut scenarios: Vec<_> = result.scenarios.iter().collect();
    scenarios.sort_by_key(|scenario| sentences::rank(scenario.outcome()));
    scenarios
}

fn index(result: &RunResult) -> String {
    let outcomes = sentences::outcomes(result);
    let mut out = match outcomes.as_str() {
        "" => format!("## {}\n\n", badge(result.verdict)),
        outcomes => format!("## {} {outcomes}\n\n", sign(result.verdict)),
    };
    if result.scenarios.is_empty() {
        out.push_str(&format!("No scenario ran: {}.\n", words::exit_code(result.exit_code)));
        if result.not_run.is_empty() {
            return out;
        }
        out.push('\n');
    }
    out.push_str("| Verdict | Scenario | Why |\n| --- | --- | --- |\n");
    let scenarios = worst_first(result);
    for (row, it) in scenarios.iter().enumerate() {
        if out.len() > LIMIT / 2 {
            out.push_str(&format!("| … | {} more | |\n", scenarios.len() - row));
            break;
        }
        let row = [badge(it.outcome()), inline(&it.name), inline(&sentences::headline(it))];
        out.push_str(&format!("| {} |\n", row.join(" | ")));
    }
    for (row, it) in result.not_run.iter().enumerate() {
        if out.len() > LIMIT / 2 {
            out.push_str(&format!("| … | {} more did not run | |\n", result.not_run.len() - row));
            break;
        }
        out.push_str(&format!("| – did not run | {} | {} |\n", inline(&it.name), inline(&it.reason)));
    }
    out.push('\n');
    out
}

/// The most rows of the table of a matrix.
const COMBINATIONS: usize = 100;

/// A measure: its name, its value, and the value for display.
type Measure = (&'static str, fn(&Measures) -> Option<f64>, fn(f64) -> String);

/// The table of a matrix, and its measures over a numeric axis as text charts.
fn combinations(it: &Matrix<'_>) -> String {
    let mut out = format!("### Combinations of {}\n\n", code(it.file));
    let axes: Vec<String> = it.axes.iter().map(|axis| inline(axis)).collect();
    out.push_str(&format!("| {} | Verdict | Success rate | p95 | Recovery |\n", axes.join(" | ")));
    out.push_str(&format!("|{} --- | ---: | ---: | ---: |\n", " --- |".repeat(axes.len())));
    for row in it.rows.iter().take(COMBINATIONS) {
        let values = row.values.iter().map(|value| inline(value));
        let cells: Vec<String> = values.chain([badge(row.scenario.outcome())]).chain(row.measures.texts()).collect();
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    if it.rows.len() > COMBINATIONS {
        out.push_str(&format!("\n{} more combinations\n", it.rows.len() - COMBINATIONS));
    }
    let Some(dose) = it.dose() else { return out + "\n" };
    let axis = inline(it.axes[dose.axis]);
    let measures: [Measure; 2] =
        [("Success rate", |it| it.success, words::fraction), ("p95", |it| it.p95_ms, words::millis)];
    for (title, of, text) in measures {
        for curve in it.curves(&dose, of) {
            let values: Vec<Option<f64>> = curve.points.iter().map(|(_, value)| *value).collect();
            if values.iter().all(Option::is_none) {
                continue;
            }
            let [Some(first), Some(last)] = [curve.points.first(), curve.points.last()] else { continue };
            let highest = values.iter().flatten().copied().fold(0.0, f64::max);
            let ends = [first, last].map(|(_, value)| value.map_or_else(|| "–".to_owned(), text));
            let name = if curve.name.is_empty() { String::new() } else { format!(" ({})", inline(&curve.name)) };
            out.push_str(&format!(
                "\n{title} over {axis} {}{unit} to {}{unit}{name}: `{}` {} to {}\n",
                first.0,
                last.0,
                sparkline(&values, 0.0, highest),
                ends[0],
                ends[1],
                unit = inline(&dose.unit),
            ));
        }
    }
    out + "\n"
}

fn section(result: &RunResult, scenario: &ScenarioResult) -> String {
    let mut out = format!(
        "## {}: {}\n\n**{}**\n\n",
        badge(scenario.outcome()),
        inline(&scenario.name),
        inline(&sentences::headline(scenario))
    );
    let tested = sentences::tested(scenario);
    if !tested.is_empty() {
        out.push_str(&format!("Load: {}\n\n", inline(&tested)));
    }
    for note in sentences::notes(scenario) {
        out.push_str(&format!("> {}\n\n", inline(&note)));
    }
    if !scenario.leftovers.is_empty() {
        out.push_str("### Left behind in the cluster\n\n");
        for it in &scenario.leftovers {
            out.push_str(&format!(
                "- {} ({}). Remove it with:\n\n{}\n",
                inline(&it.what),
                inline(&it.error),
                fence(&it.command)
            ));
        }
    }
    for (title, list) in [("Errors", &scenario.errors), ("Warnings", &scenario.warnings)] {
        if !list.is_empty() {
            out.push_str(&format!("### {title}\n\n"));
            list.iter().take(50).for_each(|it| out.push_str(&item(it)));
            out.push('\n');
        }
    }
    out.push_str(&expectations(scenario));
    out.push_str(&parts(scenario));
    out.push_str(&faults(scenario));
    out.push_str(&recoveries(scenario));
    out.push_str(&failures(scenario));
    for series in &scenario.series {
        out.push_str(&chart(scenario, series));
    }
    out.push_str("### Run it again\n\n");
    out.push_str(&fence(&sentences::command_alone(&result.run, scenario)));
    out.push_str(&format!("\nseed {}", sentences::run_of(&result.run, scenario).seed));
    if !scenario.vars.is_empty() {
        let vars = scenario.vars.iter().take(40);
        let vars: Vec<_> = vars.map(|(name, value)| code(&format!("{name}={}", sentences::variable(value)))).collect();
        out.push_str(&format!(", variables {}", vars.join(", ")));
    }
    out.push_str(&format!(", file {}\n", code(&scenario.file)));
    out
}

/// An item of a list. Text of several lines keeps them, because it may be a file, such as a Role for `kubectl apply`.
fn item(text: &str) -> String {
    match text.trim_end().split_once('\n') {
        Some((first, rest)) if rest.contains('\n') => {
            let block = fence(rest).replace('\n', "\n  ");
            format!("- {}\n\n  {}\n\n", inline(first), block.trim_end())
        }
        _ => format!("- {}\n", inline(text)),
    }
}

fn expectations(scenario: &ScenarioResult) -> String {
    if scenario.expectations.is_empty() {
        return "No expectation was evaluated.\n\n".to_owned();
    }
    let loads = sentences::names_loads(scenario);
    let mut out = String::from("| Verdict | Phase | Expectation | Observed | Interval | Limit | n | Why |\n");
    out.push_str("| --- | --- | --- | ---: | --- | --- | ---: | --- |\n");
    let list = sentences::expectations(scenario);
    for (row, it) in list.iter().enumerate() {
        if out.len() > LIMIT / 4 {
            out.push_str(&format!("| … | | {} more | | | | | |\n", list.len() - row));
            break;
        }
        let title = if loads { format!("{} [{}]", it.title, it.load) } else { it.title.clone() };
        let interval = it.interval.map(|interval| words::interval(it.unit, interval)).unwrap_or_default();
        let cells = [
            badge(it.verdict),
            inline(&it.phase),
            inline(&title),
            inline(&it.observed_text),
            inline(&interval),
            inline(&it.limit_text),
            words::count(it.samples as f64),
            inline(&it.reason),
        ];
        out.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    out.push('\n');
    out
}

/// The requests of each load by step, and by the worker that answered.
fn parts(scenario: &ScenarioResult) -> String {
    let mut out = String::new();
    for table in sentences::parts(scenario) {
        let load =
            if sentences::names_loads(scenario) { format!("Load {}, ", inline(table.load)) } else { String::new() };
        out.push_str(&format!("### {load}{}\n\n", inline(&table.title())));
        out.push_str("| Phase | Name | Requests | Success | p50 | p95 | p99 | Failures |\n");
        out.push_str("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |\n");
        for (phase, part) in &table.rows {
            let name = match part.matches.is_empty() {
                true => inline(&part.shown()),
                false => format!("{} ({})", inline(&part.shown()), inline(&part.matches)),
            };
            let cells = sentences::PartTable::cells(part).map(|cell| inline(&cell));
            out.push_str(&format!("| {} | {name} | {} |\n", inline(phase), cells.join(" | ")));
        }
        out.push('\n');
    }
    out
}

/// One failed request for each failure.
fn failures(scenario: &ScenarioResult) -> String {
    let all = sentences::failures(scenario);
    let mut out = String::new();
    for it in all.iter().take(FAILURES) {
        let load = if sentences::names_loads(scenario) { format!(", load {}", inline(it.load)) } else { String::new() };
        let said = tame(&sentences::said(it.sample), SAID).into_owned();
        out.push_str(&format!("- {} in {}{load}: {}\n", inline(&it.counted()), inline(it.phase), inline(&said)));
    }
    if all.len() > FAILURES {
        out.push_str(&format!("- {} more in the HTML report\n", all.len() - FAILURES));
    }
    if out.is_empty() { out } else { format!("### What failed requests said\n\n{out}\n") }
}

fn faults(scenario: &ScenarioResult) -> String {
    let mut out = String::new();
    for it in scenario.faults.iter().take(100) {
        let emphasized = |verdict: Verdict, text: String| match verdict {
            Verdict::Pass => text,
            _ => format!("**{text}**"),
        };
        let problem = it.problem.as_ref().map(|problem| format!(" ({})", inline(problem))).unwrap_or_default();
        let unproven = sentences::unproven(it);
        let unproven = if unproven.is_empty() { unproven } else { format!(" Without proof: {}.", inline(&unproven)) };
        out.push_str(&format!(
            "- {}, {}, in {}: {}, {}{problem}. {}{unproven}\n",
            code(&it.name),
            inline(&sentences::fault(scenario, it)),
            inline(&it.phase),
            emphasized(it.injection, sentences::injection(it)),
            emphasized(it.undo, sentences::undo(it)),
            inline(&it.description),
        ));
    }
    if out.is_empty() { out } else { format!("### Faults\n\n{out}\n") }
}

fn recoveries(scenario: &ScenarioResult) -> String {
    let mut out = String::new();
    for it in scenario.recoveries.iter().take(100) {
        let load =
            if sentences::names_loads(scenario) { format!(", load {}", inline(&it.load)) } else { String::new() };
        let felt = sentences::felt(scenario, it).map(|felt| format!("{}; ", inline(&felt))).unwrap_or_default();
        out.push_str(&format!("- In {}{load}: {felt}{}.\n", inline(&it.phase), sentences::recovery(scenario, it)));
    }
    if out.is_empty() { out } else { format!("### What users felt\n\n{out}\n") }
}

/// A text chart: two lines of blocks over the run's time, and above them the phases and the faults.
fn chart(scenario: &ScenarioResult, series: &LoadSeries) -> String {
    let Some(end) = series.points.iter().map(|p| p.t_s + p.length_s).reduce(f64::max).filter(|end| *end > 0.0) else {
        return String::new();
    };
    let mut success: Vec<Option<f64>> = vec![None; COLUMNS];
    let mut p95: Vec<Option<f64>> = vec![None; COLUMNS];
    for point in &series.points {
        // A window fills every column up to the next window, so that a short run has no holes.
        let column = |t_s: f64| t_s / end * COLUMNS as f64;
        let from = (column(point.t_s).max(0.0) as usize).min(COLUMNS - 1);
        let to = ((column(point.t_s + point.length_s) + 1e-6) as usize).clamp(from + 1, COLUMNS);
        // Shows the worst window of a column, because an average would hide it.
        for column in from..to {
            if point.requests > 0 {
                let rate = point.succeeded as f64 / point.requests as f64;
                success[column] = Some(success[column].map_or(rate, |lowest: f64| lowest.min(rate)));
            }
            if let Some(value) = point.p95_ms {
                p95[column] = Some(p95[column].map_or(value, |highest: f64| highest.max(value)));
            }
        }
    }
    let lowest = success.iter().flatten().copied().reduce(f64::min);
    let highest = p95.iter().flatten().copied().reduce(f64::max);
    // The axis of the success rate starts near its lowest value, so that a loss of one percent is visible. Latency starts
    // at zero.
    let floor = lowest.map_or(0.0, |lowest| (2.0 * lowest - 1.0).max(0.0));
    let mut phases = vec![' '; COLUMNS];
    for phase in &scenario.phases {
        let column = |t: f64| ((t / end * COLUMNS as f64).round().max(0.0) as usize).min(COLUMNS);
        let (from, to) = (column(phase.start_s), column(phase.end_s));
        let label: Vec<char> = format!("|{}", one_line(&phase.name)).chars().collect();
        for (k, c) in label.into_iter().enumerate().take_while(|(k, _)| from + k < to) {
            phases[from + k] = c;
        }
    }
    let mut text = format!("phase    {}\n", phases.into_iter().collect::<String>().trim_end());
    let standing = |from: f64, to: f64| {
        scenario
            .faults
            .iter()
            .any(|it| it.injecting_s.is_some_and(|start| start < to) && it.undone_s.is_none_or(|gone| gone > from))
    };
    let width = end / COLUMNS as f64;
    let faults = (0..COLUMNS).map(|k| if standing(k as f64 * width, (k + 1) as f64 * width) { '━' } else { ' ' });
    let faults: String = faults.collect();
    if !faults.trim().is_empty() {
        text.push_str(&format!("faults   {}\n", faults.trim_end()));
    }
    if let Some(lowest) = lowest {
        text.push_str(&format!("success  {}  lowest {}\n", sparkline(&success, floor, 1.0), words::fraction(lowest)));
    }
    if let Some(highest) = highest {
        text.push_str(&format!("p95      {}  highest {}\n", sparkline(&p95, 0.0, highest), words::millis(highest)));
    }
    text.push_str(&format!("         0s{:>width$}\n", words::seconds(end), width = COLUMNS - 2));
    format!("Load {}, the worst window of each column:\n\n{}\n", inline(&series.load), fence(&text))
}

const fn sign(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail => "❌",
        Verdict::Inconclusive => "❔",
        Verdict::Error => "⚠️",
    }
}

fn badge(verdict: Verdict) -> String {
    format!("{} {}", sign(verdict), words::verdict(verdict))
}

/// Escapes text for a line or a cell: no markup, mentions or entities. Names in backticks become code.
fn inline(text: &str) -> String {
    let text = one_line(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((before, behind)) = rest.split_once('`') {
        escaped(&mut out, before);
        // A single backtick, or one followed by a blank, is plain text.
        match behind.split_once('`') {
            Some((name, after)) if !name.is_empty() && name.trim() == name => {
                out.push_str(&code(name));
                rest = after;
            }
            _ => {
                escaped(&mut out, "`");
                rest = behind;
            }
        }
    }
    escaped(&mut out, rest);
    out
}

fn escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // GitHub finds mentions in the rendered text. An empty comment prevents them.
            '@' => out.push_str("@<!-- -->"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '#' | '|' | '~' | '$' | '!' => {
                out.push('\\');
                out.push(c);
            }
            _ => out.push(c),
        }
    }
}

/// A code span in HTML, because not all readers know an escape for backticks and bars in a Markdown span.
fn code(text: &str) -> String {
    let mut out = String::from("<code>");
    for c in one_line(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            c if c.is_ascii_punctuation() && !"-./:=,".contains(c) => out.push_str(&format!("&#{};", c as u32)),
            _ => out.push(c),
        }
    }
    out.push_str("</code>");
    out
}

/// A code block, in a fence longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{}\n{fence}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn golden() {
        insta::assert_snapshot!("markdown_failing", markdown(&sample::failing()));
        insta::assert_snapshot!("markdown_errored", markdown(&sample::errored()));
        insta::assert_snapshot!("markdown_suite", markdown(&sample::suite()));
    }

    #[test]
    fn a_matrix_has_a_table_and_its_measures_over_the_numbers() {
        let text = markdown(&sample::matrix());
        assert!(
            text.contains("| loss | worker | Verdict | Success rate | p95 | Recovery |\n| --- | --- | --- |"),
            "{text:.900}"
        );
        assert!(text.contains("Success rate over loss 10% to 50% (worker prefill): `"), "{text:.2000}");
        assert!(text.contains("p95 over loss 10% to 50% (worker decode): `"), "{text:.2000}");
        let short = markdown(&sample::cut_short());
        assert!(
            short.contains("| – did not run | worker-killed | --fail-fast: single-worker did not pass |"),
            "{short:.900}"
        );
    }

    #[test]
    fn every_part_stands_under_its_own_heading() {
        let text = markdown(&sample::failing());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
        let places =
            ["### Faults\n\n- <code>", "### What users felt\n\n- In ", "### What failed requests said\n"].map(place);
        assert!(places.is_sorted(), "{places:?}");
        assert!(text.contains("\nLoad: completions, 20/s to "), "{text:.600}");
        let suite = markdown(&sample::suite());
        assert!(suite.starts_with("## ❌ 1 of 3 scenarios failed, 1 inconclusive, 1 passed\n"), "{suite:.200}");
    }

    #[test]
    fn a_short_run_has_no_holes_in_its_chart_and_a_pause_has() {
        let lines = |result: &RunResult| {
            let text = markdown(result);
            ["success  ", "p95      "].map(|name| {
                let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
                line.chars().take(COLUMNS).collect::<String>()
            })
        };
        let mut short = sample::failing();
        short.scenarios[0].series[0].points.truncate(31);
        for line in lines(&short) {
            assert!(!line.contains(' '), "31 windows fill {COLUMNS} columns: {line}");
        }
        let paused = sample::busy();
        for line in lines(&paused) {
            assert!(line.trim_end().contains("  "), "no request was due for 8 s of 160 s: {line}");
        }
    }

    #[test]
    fn each_scenario_of_a_suite_has_its_own_command() {
        let mut suite = sample::suite();
        suite.run.command =
            ["shakedown", "run", "--sandbox", "scenarios/", "--out", "scenarios/out"].map(str::to_owned).to_vec();
        let text = markdown(&suite);
        for name in ["quickstart", "single-worker", "unenforced-policy"] {
            let line = format!("shakedown run --sandbox scenarios/{name}.yaml --seed 4242");
            assert_eq!(text.lines().filter(|it| **it == line).count(), 1, "{line}\n{text}");
        }
        suite.run.command =
            ["shakedown", "run", "a.yaml", "scenarios/*.yaml", "--var=x=b.yaml"].map(str::to_owned).to_vec();
        let alone = sentences::command_alone(&suite.run, &suite.scenarios[1]);
        assert_eq!(alone, "shakedown run scenarios/single-worker.yaml --var=x=b.yaml --seed 4242");
        for shard in [vec!["--shard", "2/2", "--out", "parts/2"], vec!["--shard=2/2", "--out=parts/2"]] {
            let words = ["shakedown", "run", "scenarios/single-worker.yaml"].into_iter().chain(shard);
            suite.run.command = words.map(str::to_owned).collect();
            suite.run.shard = Some(shakedown_schemas::result::Shard { number: 2, of: 2, suite: 3 });
            let alone = sentences::command_alone(&suite.run, &suite.scenarios[1]);
            assert_eq!(alone, "shakedown run scenarios/single-worker.yaml --seed 4242");
        }
    }

    #[test]
    fn a_command_keeps_its_settings_and_selects_one_combination() {
        let mut suite = sample::suite();
        let scenario = &mut suite.scenarios[1];
        for (command, alone) in [
            ("shakedown run --filter /a.*/ s --tag scenarios", "shakedown run --filter '/a.*/' s --tag scenarios"),
            ("SHAKEDOWN_FILE=s SHAKEDOWN_SANDBOX=1 shakedown run", "SHAKEDOWN_SANDBOX=1 shakedown run FILE"),
            ("shakedown run -f a.yaml --file=scenarios -q", "shakedown run FILE -q"),
        ] {
            suite.run.command = command.split(' ').map(str::to_owned).collect();
            let alone = format!("{} --seed 4242", alone.replace("FILE", &scenario.file));
            assert_eq!(sentences::command_alone(&suite.run, scenario), alone);
        }
        scenario.matrix.insert("delay".to_owned(), "5ms".into());
        scenario.name = "slow (5ms)".to_owned();
        suite.run.command = ["SHAKEDOWN_FILTER=x", "shakedown", "run", "scenarios"].map(str::to_owned).to_vec();
        let alone = format!("shakedown run {} --filter '/^slow \\(5ms\\)$/' --seed 4242", scenario.file);
        assert_eq!(sentences::command_alone(&suite.run, scenario), alone);
    }

    #[test]
    fn every_row_of_a_table_has_all_its_cells() {
        let others = [sample::matrix(), sample::cut_short()];
        let usual = [sample::suite(), sample::hostile(), sample::hour(), sample::stillborn()];
        for result in usual.into_iter().chain(others) {
            let text = markdown(&result);
            let mut columns = 0;
            for line in text.lines() {
                if !line.starts_with('|') {
                    columns = 0;
                    continue;
                }
                let bars = line.replace("\\|", "").matches('|').count();
                assert!(columns == 0 || columns == bars, "{line}");
                columns = bars;
            }
        }
    }

    #[test]
    fn hostile_text_is_only_text() {
        let text = markdown(&sample::hostile());
        let outside: String = text.split("```").step_by(2).collect();
        for markup in ["<script", "</script", "<img", "`$(id)", "\u{1b}", "\0", "\u{202e}"] {
            assert!(!outside.contains(markup), "{markup}");
        }
        assert!(!text.contains(['\u{1b}', '\0', '\u{202e}', '\r']));
        assert_eq!(markdown(&sample::hostile()), text, "the same result gives the same bytes");
    }

    #[test]
    fn stays_below_one_mebibyte() {
        let mut result = sample::hostile();
        let scenario = &mut result.scenarios[0];
        let one = scenario.expectations[0].clone();
        scenario.expectations.extend(std::iter::repeat_n(one, 600));
        let scenario = result.scenarios[0].clone();
        result.scenarios.extend(std::iter::repeat_n(scenario, 5));
        let text = markdown(&result);
        assert!(text.len() < 1 << 20, "{}", text.len());
        assert!(text.contains("did not fit here"));
    }

    #[test]
    fn names_in_backticks_are_code_and_other_backticks_are_text() {
        assert_eq!(inline("`a_b` never began"), "<code>a&#95;b</code> never began");
        assert_eq!(inline("one ` and `` two"), "one \\` and \\`\\` two");
        assert_eq!(inline("`<b>`@x"), "<code>&lt;b&gt;</code>@<!-- -->x");
    }

    #[test]
    fn an_error_of_several_lines_keeps_them() {
        let role = "kind: Role\nrules:\n  - {apiGroups: [\"\"], resources: [pods], verbs: [get]}";
        let mut result = sample::errored();
        result.scenarios[0].errors =
            vec![format!("this account lacks permissions:\n  get pods\nhelp: apply this:\n{role}\n")];
        let text = markdown(&result);
        let indented = role.replace('\n', "\n  ");
        assert!(text.contains("- this account lacks permissions:\n\n  ```text\n    get pods\n"), "{text}");
        assert!(text.contains(&format!("\n  {indented}\n  ```\n")), "{text}");
        assert_eq!(item("a\nhelp: b"), "- a help: b\n");
        // Roles for several namespaces are shown whole.
        result.scenarios[0].errors = vec![format!("it lacks permissions:\n{}last line", "- rule\n".repeat(1500))];
        assert!(markdown(&result).contains("\n  last line\n"), "it is cut");
    }

    #[test]
    fn fences_are_longer_than_their_contents() {
        assert_eq!(fence("a ``` b"), "````text\na ``` b\n````\n");
        assert_eq!(sparkline(&[Some(0.0), None, Some(1.0)], 0.0, 1.0), "▁ █");
    }
}
