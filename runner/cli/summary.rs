//! The end of a run, on stdout: the verdict, every expectation with its observed value, what became of the faults, and
//! where the reports are. It fits a screen for a scenario of ordinary size.

use std::fmt::Write;

use shakedown_reports::{sentences, words};
use shakedown_schemas::RunResult;
use shakedown_schemas::result::{ScenarioResult, Verdict};

use super::console::{Style, clean};
use super::output::Output;

/// From this many rows on, what holds is counted instead of listed: what does not must stay on the screen.
const ROWS: usize = 24;

/// The summary as text.
pub fn text(result: &RunResult, output: &Output, style: Style) -> String {
    let mut out = String::new();
    let rows: usize = result.scenarios.iter().map(|it| it.expectations.len() + it.faults.len() + 2).sum();
    for scenario in &result.scenarios {
        let brief = rows > ROWS;
        // Of many scenarios, each that passed has one line.
        if !brief || scenario.verdict != Verdict::Pass {
            out.push('\n');
        }
        one(&mut out, scenario, style, brief);
    }
    if result.scenarios.len() > 1 {
        _ = writeln!(out, "\n{} scenarios: {}", result.scenarios.len(), counts(result));
    }
    _ = writeln!(out, "\nreports: {}", output.folder().display());
    for (what, file) in [("look at", "report.html"), ("for CI", "junit.xml"), ("everything", "result.json")] {
        _ = writeln!(out, "  {what:10}  {}", output.path(file).display());
    }
    clean(&out)
}

fn one(out: &mut String, scenario: &ScenarioResult, style: Style, brief: bool) {
    if brief && scenario.verdict == Verdict::Pass && scenario.leftovers.is_empty() {
        _ = writeln!(
            out,
            "{}  {}  {}",
            style.verdict(scenario.verdict),
            style.bold(&scenario.name),
            sentences::sentence(scenario)
        );
        return;
    }
    _ = writeln!(out, "{}  {}", style.verdict(scenario.verdict), style.bold(&scenario.name));
    _ = writeln!(out, "  {}", sentences::sentence(scenario).replace('\n', "\n    "));
    let several = scenario.loads.len() > 1;
    let title = |phase: &str, title: &str, load: &str| {
        if several { format!("{phase}: {title} [{load}]") } else { format!("{phase}: {title}") }
    };
    let listed = sentences::expectations(scenario).into_iter().filter(|it| !brief || it.verdict != Verdict::Pass);
    let rows: Vec<(Verdict, String, String)> =
        listed.map(|it| (it.verdict, title(&it.phase, &it.title, &it.load), observed(it))).collect();
    let hold = scenario.expectations.len() - rows.len();
    let width = rows.iter().map(|(_, title, _)| title.chars().count()).max().unwrap_or_default();
    for (verdict, title, observed) in rows {
        let pad = " ".repeat(12 - verdict.word().len());
        _ = writeln!(out, "  {}{pad}  {title:width$}  {observed}", style.verdict(verdict));
    }
    if hold > 0 {
        let pad = " ".repeat(12 - Verdict::Pass.word().len());
        _ = writeln!(out, "  {}{pad}  {}", style.verdict(Verdict::Pass), words::plural(hold, "other expectation"));
    }
    for fault in scenario.faults.iter().filter(|it| !brief || sentences::fault_verdict(it) != Verdict::Pass) {
        let targets: Vec<&str> = fault.targets.iter().map(|pod| pod.name.as_str()).collect();
        let verdict = fault.injection.max(fault.undo);
        let pad = " ".repeat(12 - verdict.word().len());
        let mut line = format!("fault {} on {}: {}", fault.name, targets.join(", "), fault.state.word());
        if let Some(problem) = &fault.problem {
            _ = write!(line, " ({problem})");
        }
        _ = writeln!(out, "  {}{pad}  {line}", style.verdict(verdict));
    }
    for recovery in &scenario.recoveries {
        let load = if several { format!(" [{}]", recovery.load) } else { String::new() };
        _ = writeln!(out, "  {}{load}: {}", recovery.phase, sentences::recovery(recovery));
    }
    // The reason often is the error itself.
    for error in scenario.errors.iter().filter(|error| !scenario.reason.contains(error.as_str())) {
        _ = writeln!(out, "  {}: {}", style.red("error"), error.replace('\n', "\n    "));
    }
    for warning in &scenario.warnings {
        _ = writeln!(out, "  warning: {warning}");
    }
    for left in &scenario.leftovers {
        _ = writeln!(out, "  {}: {} ({})\n    {}", style.red("left behind"), left.what, left.error, left.command);
    }
    if scenario.cluster.as_ref().is_some_and(|cluster| cluster.sandbox) {
        _ = writeln!(out, "  this was a rehearsal: the sandbox models pods and their network in one process");
    }
}

fn observed(it: &shakedown_schemas::result::ExpectationResult) -> String {
    let mut text = format!("{}, {}", it.observed_text, it.limit_text);
    if it.verdict != Verdict::Pass {
        _ = write!(text, ": {}", it.reason);
    }
    text
}

fn counts(result: &RunResult) -> String {
    [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Error]
        .into_iter()
        .filter_map(|verdict| {
            let count = result.scenarios.iter().filter(|scenario| scenario.verdict == verdict).count();
            (count > 0).then(|| format!("{count} {}", verdict.word()))
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Color;
    use shakedown_reports::{Redactor, sample};

    fn summary(result: &RunResult) -> String {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::create(Some(folder.path()), "run", &Redactor::default()).unwrap();
        text(result, &output, Style::new(Color::Never))
    }

    #[test]
    fn failures_come_first_and_colours_are_never_alone() {
        let text = summary(&sample::failing());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
        assert!(place("fail          partition: p95 at most 3 times") < place("pass          baseline: success rate"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_long_suite_fits_a_screen() {
        let mut result = sample::suite();
        let passed = result.scenarios[0].clone();
        result.scenarios.extend(std::iter::repeat_n(passed, 12));
        let text = summary(&result);
        assert!(text.lines().count() <= 40, "{text}");
        for part in ["p95 rose to 3.8 times", "3 other expectations", "15 scenarios: 13 pass, 1 fail, 1 inconclusive"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
