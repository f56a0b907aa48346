//! The end of a run, on stdout: the verdict, every expectation with its observed value, the outcome of the faults, and
//! the paths of the reports. It fits a screen for a scenario of ordinary size.

use std::fmt::Write;

use shakedown_reports::text::{one_line, tame};
use shakedown_reports::{sentences, tamed, words};
use shakedown_schemas::result::{Cause, ScenarioResult, Verdict};
use shakedown_schemas::{Explained, RunResult, first_few};

use super::console::{Style, clean};
use super::output::Output;
use super::previous::RESULT;

/// From this number of rows on, passed expectations are counted instead of listed, so that the others stay on the
/// screen.
const ROWS: usize = 24;

/// The maximum length, in characters, of a text with a line of its own. The reports have the full text.
const LINE: usize = 400;
/// The maximum number of kinds of failures that are shown with a sample.
const FAILURES: usize = 3;
/// The maximum number of warnings, errors or leftovers that are listed. The others are counted.
const LISTED: usize = 8;

/// The summary as text.
pub fn text(result: &RunResult, output: &Output, style: Style) -> String {
    let result = &tamed(result);
    let mut out = String::new();
    let lines = |it: &ScenarioResult| {
        let other = it.recoveries.len() + it.warnings.len() + it.errors.len() + it.leftovers.len();
        it.expectations.len() + it.faults.len() + other + 3
    };
    let rows: usize = result.scenarios.iter().map(lines).sum();
    for scenario in &result.scenarios {
        let brief = rows > ROWS;
        // In a suite, each passed scenario has one line.
        if !brief || scenario.outcome() != Verdict::Pass {
            out.push('\n');
        }
        one(&mut out, scenario, style, brief);
    }
    not_run(&mut out, result);
    _ = writeln!(out, "\nreports: {}", output.folder().display());
    for (what, file) in [("look at", "report.html"), ("for CI", "junit.xml"), ("everything", RESULT)] {
        _ = writeln!(out, "  {what:10}  {}", output.path(file).display());
    }
    // The last line repeats the verdict, because the first line of a long summary scrolls away.
    _ = match result.scenarios.as_slice() {
        [] => Ok(()),
        [one] if result.not_run.is_empty() => {
            let headline = short(&sentences::headline(one));
            writeln!(out, "\n{}  {}: {headline}", style.verdict(one.outcome()), style.bold(&one.name))
        }
        _ => writeln!(out, "\n{}  {}", style.verdict(result.verdict), sentences::outcomes(result)),
    };
    clean(&out)
}

fn one(out: &mut String, scenario: &ScenarioResult, style: Style, brief: bool) {
    let headline = sentences::headline(scenario);
    let is_overkill = sentences::overkill(scenario).is_some();
    // Unlike the headline, the reason may go on with a help.
    let is_whole = scenario.verdict != Verdict::Fail && !is_overkill && sentences::measured(scenario).is_none();
    let sentence = if is_whole { scenario.reason.as_str() } else { headline.as_str() };
    let outcome = scenario.outcome();
    if brief && outcome == Verdict::Pass && scenario.leftovers.is_empty() {
        let overkill = if is_overkill { "overkill run: " } else { "" };
        _ = writeln!(out, "{}  {}  {overkill}{}", style.verdict(outcome), style.bold(&scenario.name), short(sentence));
        return;
    }
    _ = writeln!(out, "{}  {}", style.verdict(outcome), style.bold(&scenario.name));
    let Explained { message, help } = Explained::read(sentence);
    let overkill = if is_overkill { "overkill run: " } else { "" };
    _ = writeln!(out, "  {overkill}{}", short(&message));
    let help = help.unwrap_or_default();
    if let Some(line) = help.lines().next() {
        // A long help, such as a Role, would fill the screen.
        let rest =
            if help.trim_end().contains('\n') { " (the rest is in the log above and in the report)" } else { "" };
        _ = writeln!(out, "  help: {}{rest}", short(line));
    }
    let title = |phase: &str, title: &str, load: &str| {
        if sentences::names_load(scenario, load) {
            format!("{phase}: {title} [{load}]")
        } else {
            format!("{phase}: {title}")
        }
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
    if scenario.verdict != Verdict::Pass {
        let (failures, more) = sentences::most_frequent(scenario, FAILURES);
        for it in failures {
            let load = if sentences::names_loads(scenario) { format!(" [{}]", it.load) } else { String::new() };
            _ = writeln!(out, "  {} in {}{load}: {}", it.counted(), it.phase, short(&sentences::said(it.sample)));
        }
        if more > 0 {
            _ = writeln!(out, "  {} of failures; the report has all", words::plural(more, "more kind"));
        }
    }
    for fault in scenario.faults.iter().filter(|it| !brief || sentences::fault_verdict(it) != Verdict::Pass) {
        let verdict = fault.injection.max(fault.undo);
        let pad = " ".repeat(12 - verdict.word().len());
        let targets = sentences::pods(&fault.targets, 3);
        let (injected, undone) = (sentences::injection(fault), sentences::undo(fault));
        let mut line = format!("fault {} on {targets}: {injected}, {undone}", fault.name);
        if let Some(problem) = &fault.problem {
            _ = write!(line, " ({})", short(problem));
        }
        _ = writeln!(out, "  {}{pad}  {line}", style.verdict(verdict));
        let unproven = sentences::unproven(fault);
        if !unproven.is_empty() {
            _ = writeln!(out, "                without proof: {}", short(&unproven));
        }
    }
    for recovery in &scenario.recoveries {
        let load = if sentences::names_loads(scenario) { format!(" [{}]", recovery.load) } else { String::new() };
        _ = writeln!(out, "  {}{load}: {}", recovery.phase, sentences::recovery(scenario, recovery));
    }
    for sentence in sentences::around(scenario) {
        _ = writeln!(out, "  {}", short(&sentence));
    }
    // The reason may be one of the errors.
    let errors = scenario.errors.iter().enumerate().filter(|(at, _)| scenario.cause != Some(Cause::Error(*at)));
    let left = scenario.leftovers.iter().map(|it| format!("{} ({})\n    {}", it.what, short(&it.error), it.command));
    list(out, &style.red("left behind"), left);
    list(out, &style.red("error"), errors.map(|(_, error)| short(error)));
    list(out, "warning", scenario.warnings.iter().map(|warning| short(warning)));
    if let Some(sandbox) = scenario.cluster.as_ref().filter(|it| it.sandbox) {
        let name = short(&sandbox.name());
        _ = writeln!(out, "  this was a rehearsal: the {name} models pods and their network in one process");
    }
}

/// A text on one line, limited in length.
fn short(text: &str) -> String {
    tame(&one_line(text), LINE).into_owned()
}

/// Lines with a label. Lines beyond the limit are counted.
fn list(out: &mut String, word: &str, lines: impl Iterator<Item = String>) {
    let mut rest = 0;
    for (index, line) in lines.enumerate() {
        if index < LISTED {
            _ = writeln!(out, "  {word}: {line}");
        } else {
            rest += 1;
        }
    }
    if rest > 0 {
        _ = writeln!(out, "  {word}: {rest} more; the report has all");
    }
}

fn observed(it: &shakedown_schemas::result::ExpectationResult) -> String {
    let mut text = format!("{}, {}", it.observed_text, it.limit_text);
    if it.verdict != Verdict::Pass {
        _ = write!(text, ": {}", short(&it.reason));
    }
    text
}

/// The scenarios that did not run, by reason.
fn not_run(out: &mut String, result: &RunResult) {
    let mut left: Vec<(&str, Vec<&str>)> = Vec::new();
    for it in &result.not_run {
        match left.iter_mut().find(|(reason, _)| *reason == it.reason) {
            Some((_, names)) => names.push(&it.name),
            None => left.push((&it.reason, vec![&it.name])),
        }
    }
    for (reason, names) in left {
        let shown: Vec<String> = names.iter().map(|name| short(name)).collect();
        let listed = first_few(&shown, LISTED);
        _ = writeln!(out, "\n{} did not run ({}): {listed}", names.len(), short(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Color;
    use shakedown_reports::{Redactor, sample};
    use shakedown_schemas::result::Trial;

    fn summary(result: &RunResult) -> String {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::create(Some(folder.path()), "run", &Redactor::default()).unwrap();
        text(result, &output, Style::new(Color::Never))
    }

    #[test]
    fn failures_come_first_and_every_colour_has_a_word() {
        let text = summary(&sample::failing());
        let place = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in\n{text}"));
        assert!(place("fail          partition: p95 at most 3 times") < place("pass          baseline: success rate"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn golden() {
        for (name, result) in [
            ("pass", sample::passing()),
            ("fail", sample::failing()),
            ("inconclusive", sample::inconclusive()),
            ("error", sample::errored()),
            ("suite", sample::suite()),
            ("cut_short", sample::cut_short()),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let output = Output::create(Some(folder.path()), "run", &Redactor::default()).unwrap();
            let path = folder.path().display().to_string();
            let plain = text(&result, &output, Style::new(Color::Never)).replace(&path, "OUT");
            insta::assert_snapshot!(format!("summary_{name}"), plain);
            let screen = if matches!(name, "suite" | "cut_short") { 40 } else { 24 };
            assert!(plain.lines().count() <= screen, "{name} is more than a screen");
            let colored = text(&result, &output, Style::new(Color::Always)).replace(&path, "OUT");
            let mut bare = colored.clone();
            for code in ["\x1b[0m", "\x1b[1m", "\x1b[1;31m", "\x1b[1;32m", "\x1b[1;33m"] {
                bare = bare.replace(code, "");
            }
            assert!(colored != plain && bare == plain, "colours are all that they add");
        }
    }

    /// The heading and the count have the outcome of the run; the expectations keep their own verdicts.
    #[test]
    fn an_overkill_run_is_headed_by_its_outcome() {
        for (mut result, word, count, said) in [
            (
                sample::failing(),
                "pass",
                "1 of 1 scenario passed",
                "overkill run: the scenario failed under full cuts, as it must: p95 3.8x",
            ),
            (
                sample::passing(),
                "fail",
                "1 of 1 scenario failed",
                "overkill run: the scenario passed, although it must fail",
            ),
        ] {
            result.scenarios[0].trial = Some(Trial::Overkill);
            let text = summary(&result);
            assert!(text.contains(&format!("\n{word}  worker-loses-nats\n  {said}")), "{text}");
            assert!(!text.contains(&format!("\n{}  worker", result.scenarios[0].verdict.word())), "{text}");
            assert_eq!(sentences::outcomes(&result), count);
            assert!(text.lines().last().unwrap().starts_with(&format!("{word}  worker-loses-nats: ")), "{text}");
        }
        let text = summary(&sample::failing());
        assert!(text.contains("\nfail  worker-loses-nats\n") && !text.contains("overkill"), "{text}");
    }

    /// A kind of failure is that of one load. The kinds that are not shown are counted.
    #[test]
    fn failures_name_their_load_and_the_rest_is_counted() {
        let mut result = sample::failing();
        let scenario = &mut result.scenarios[0];
        let phase = scenario.phases.iter_mut().find(|it| it.name == "partition").unwrap();
        let mut other = phase.loads[0].clone();
        other.load = "orders".to_owned();
        phase.loads.push(other);
        scenario.loads.push(scenario.loads[0].clone());
        let own = scenario.phases[1].loads[0].load.clone();
        let text = summary(&result);
        for said in [
            &format!("12 timeout in partition [{own}]: "),
            "12 timeout in partition [orders]: ",
            "6 http_503 in partition [",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
        assert!(text.contains("\n  1 more kind of failures; the report has all\n"), "{text}");
        assert!(!summary(&sample::failing()).contains("more kind"));
    }

    #[test]
    fn the_help_of_an_error_has_a_line_of_its_own() {
        let mut result = sample::errored();
        result.scenarios[0].reason = "there is no namespace `shop`\nhelp: apply this:\nkind: Role".to_owned();
        let text = summary(&result);
        assert!(
            text.contains("\n  there is no namespace `shop`\n  help: apply this: (the rest is in the log"),
            "{text}"
        );
        assert!(!text.contains("kind: Role"), "{text}");
    }

    #[test]
    fn hostile_text_is_escaped_and_shortened() {
        let mut result = sample::hostile();
        let one = result.scenarios[0].warnings[0].clone();
        result.scenarios[0].warnings.extend(std::iter::repeat_n(one, 500));
        result.scenarios[0].name = "x".repeat(10_000_000);
        let text = summary(&result);
        assert!(!text.contains(['\x1b', '\0', '\r', '\u{202e}']) && text.len() < 40_000, "{} bytes", text.len());
        assert!(text.lines().count() <= 60 && text.contains("warning: 493 more"), "{text}");
        assert!(text.lines().all(|line| !line.trim_start().starts_with("::")), "{text}");
    }

    #[test]
    fn a_long_suite_fits_a_screen() {
        let mut result = sample::suite();
        let passed = result.scenarios[0].clone();
        result.scenarios.extend(std::iter::repeat_n(passed, 12));
        let text = summary(&result);
        assert!(text.lines().count() <= 40, "{text}");
        for part in
            ["p95 rose to 3.8 times", "3 other expectations", "1 of 15 scenarios failed, 1 inconclusive, 13 passed"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
