//! Workflow commands for GitHub Actions: annotates the lines of the scenario file that did not pass.

use shakedown_schemas::result::{RunResult, ScenarioResult, Verdict};

use crate::tame::tamed;
use crate::text::{NAME, one_line, tame};
use crate::{sentences, words};

/// GitHub shows at most ten annotations of a kind for a step.
const LIMIT: usize = 10;

/// The longest message of a problem of a file.
const MESSAGE: usize = 2000;

/// The level of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Error,
    Warning,
}

/// Where an annotation is shown, and its title. Every title begins with the scenario: GitHub lists them without their files.
struct Place<'a> {
    scenario: &'a ScenarioResult,
    line: Option<u32>,
    title: &'a str,
}

/// At most ten `::error` commands, one for each expectation, fault or scenario that did not pass: failures first, then
/// errors, then inconclusive ones. After them at most ten `::warning` commands, one for each warning. Print each on its own
/// line.
pub fn github_annotations(result: &RunResult) -> Vec<String> {
    let result = tamed(result);
    let mut found: Vec<(Level, u8, String)> = Vec::new();
    for scenario in &result.scenarios {
        let mut add = |verdict: Verdict, line: Option<u32>, title: &str, message: &str| {
            let text = command(Level::Error, &Place { scenario, line, title }, message);
            found.push((Level::Error, sentences::rank(verdict), text));
        };
        // In an overkill run, these verdicts are no result by themselves.
        let overkill = sentences::overkill(scenario);
        let counts = |verdict: Verdict| match overkill {
            Some(_) => verdict == Verdict::Error,
            None => verdict != Verdict::Pass,
        };
        if let Some((verdict, why)) = overkill.as_ref().filter(|(verdict, _)| *verdict != Verdict::Pass) {
            add(*verdict, None, "overkill run", why);
        }
        for it in scenario.expectations.iter().filter(|it| counts(it.verdict)) {
            add(it.verdict, it.line, &format!("{}: {}", it.phase, it.title), &it.reason);
        }
        for it in &scenario.faults {
            let problem = it.problem.as_deref().unwrap_or("see the report for its evidence");
            if counts(it.injection) {
                add(it.injection, it.line, &format!("fault {} was not proven", it.name), problem);
            }
            if counts(it.undo) {
                add(it.undo, it.line, &format!("fault {} was not undone", it.name), problem);
            }
        }
        for it in &scenario.leftovers {
            let title = "left behind in the cluster";
            add(Verdict::Error, None, title, &format!("{}; remove it with: {}", it.what, it.command));
        }
        for it in &scenario.errors {
            add(Verdict::Error, None, "error", it);
        }
        let silent = scenario.expectations.iter().all(|it| it.verdict == Verdict::Pass)
            && scenario.faults.iter().all(|it| sentences::fault_verdict(it) == Verdict::Pass)
            && scenario.leftovers.is_empty()
            && scenario.errors.is_empty();
        if silent && overkill.is_none() && scenario.verdict != Verdict::Pass {
            add(scenario.verdict, None, words::verdict(scenario.verdict), &scenario.reason);
        }
        let warnings = scenario.warnings.iter();
        let place = Place { scenario, line: None, title: "warning" };
        found.extend(warnings.map(|it| (Level::Warning, 0, command(Level::Warning, &place, it))));
    }
    found.sort_by_key(|(level, rank, _)| (*level, *rank));
    let of = |wanted: Level| found.iter().filter(move |(level, ..)| *level == wanted).take(LIMIT);
    of(Level::Error).chain(of(Level::Warning)).map(|(.., command)| command.clone()).collect()
}

/// The command for a problem of a file, such as a scenario that is invalid. Print it on its own line.
pub fn github_problem(is_error: bool, file: &str, place: Option<(u32, u32)>, title: &str, message: &str) -> String {
    let kind = if is_error { "error" } else { "warning" };
    let place = place.map(|(line, column)| format!(",line={line},col={column}")).unwrap_or_default();
    let [file, title] = [file, title].map(|text| property(&one_line(&tame(text, NAME))));
    format!("::{kind} file={file}{place},title={title}::{}", data(&tame(message, MESSAGE)))
}

/// The command that begins a fold of the log, which ends with [`GITHUB_GROUP_END`].
pub fn github_group(title: &str) -> String {
    format!("::group::{}", data(&one_line(&tame(title, NAME))))
}

/// The command that ends a fold of the log.
pub const GITHUB_GROUP_END: &str = "::endgroup::";

fn command(level: Level, place: &Place<'_>, message: &str) -> String {
    let kind = match level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let mut out = format!("::{kind} file={}", property(&place.scenario.file));
    if let Some(line) = place.line {
        out.push_str(&format!(",line={line}"));
    }
    let title = one_line(&format!("{}: {}", place.scenario.name, place.title));
    out.push_str(&format!(",title={}::{}", property(&title), data(message)));
    out
}

/// Escapes the text after `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a property, which `:` or `,` would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn annotates_failures_on_their_lines() {
        assert_eq!(
            github_annotations(&sample::failing()),
            [
                "::error file=scenarios/quickstart.yaml,line=39,title=worker-loses-nats%3A partition%3A p95 at most 3 times baseline::\
                 p95 rose to 3.8 times the baseline (3.4 to 4.3), allowed 3",
                "::error file=scenarios/quickstart.yaml,line=44,title=worker-loses-nats%3A recovery%3A recovery time at most 15s%2C holding 5s::\
                 not recovered within the 29.7s that were watched, allowed 15s",
                "::warning file=scenarios/quickstart.yaml,title=worker-loses-nats%3A warning::the port-forward to \
                 vllm-agg-0-frontend-5d8 was reconnected once; 2 requests failed because of it",
            ]
        );
        assert!(github_annotations(&sample::passing()).is_empty());
    }

    #[test]
    fn limits_annotations_to_ten_and_sorts_failures_first() {
        let mut result = sample::suite();
        let all = result.scenarios[1].expectations.clone();
        result.scenarios[0].expectations.extend(all.iter().cycle().take(40).cloned().map(|mut it| {
            it.verdict = Verdict::Inconclusive;
            it
        }));
        let lines = github_annotations(&result);
        assert_eq!(lines.iter().filter(|line| line.starts_with("::error ")).count(), 10);
        let warnings: Vec<&String> = lines.iter().filter(|line| line.starts_with("::warning ")).collect();
        assert!(matches!(warnings.as_slice(), [it] if it.contains("title=single-worker%3A warning::")), "{warnings:?}");
        assert!(lines[0].contains("p95 rose to 3.8") && lines[1].contains("not recovered"), "{lines:#?}");
    }

    #[test]
    fn only_a_pass_has_no_annotation() {
        for result in [sample::errored(), sample::stillborn(), sample::inconclusive()] {
            assert!(!github_annotations(&result).is_empty(), "{}", result.scenarios[0].reason);
        }
        let mut bare = sample::stillborn();
        bare.scenarios[0].errors.clear();
        assert_eq!(github_annotations(&bare).len(), 1);
    }

    #[test]
    fn a_problem_of_a_file_is_annotated_in_its_place() {
        let at = github_problem(true, "a,b.yaml", Some((3, 7)), "S011", "no key `name`\nhelp: 100%");
        assert_eq!(at, "::error file=a%2Cb.yaml,line=3,col=7,title=S011::no key `name`%0Ahelp: 100%25");
        assert_eq!(github_problem(false, "a.yaml", None, "S012", "old"), "::warning file=a.yaml,title=S012::old");
    }

    #[test]
    fn hostile_text_cannot_end_a_command() {
        for line in github_annotations(&sample::hostile()) {
            assert!(!line.contains(['\n', '\r', '\0', '\u{1b}']), "{line}");
            let (head, _) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).unwrap();
            let is_known = head.starts_with("error file=") || head.starts_with("warning file=");
            assert!(is_known && head.matches(',').count() <= 2, "{head}");
            assert!(line.len() < 60_000);
        }
        let group = github_group(sample::HOSTILE);
        assert!(group.starts_with("::group::") && !group.contains(['\n', '\r', '\0', '\u{1b}']), "{group}");
    }
}
