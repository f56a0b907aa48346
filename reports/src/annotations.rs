//! Workflow commands for GitHub Actions: annotates the lines of the scenario file that did not pass.

use shakedown_schemas::result::{Cause, RunResult, ScenarioResult, Verdict};

use crate::tame::tamed;
use crate::text::{NAME, one_line, tame};
use crate::{sentences, words};

/// GitHub shows at most ten annotations of a kind for a step.
const LIMIT: usize = 10;

/// The longest message with the texts of several problems, or of a problem of a file.
const MESSAGE: usize = 2000;

/// The level of an annotation.
#[derive(Debug, Clone, Copy)]
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

/// At most ten `::error` commands. A scenario that failed has one for each expectation and fault that did not pass; one that
/// is inconclusive or ended with an error has a single one, with its root cause. The first of every scenario comes before the
/// second of any, and failures before errors before inconclusive ones. After them at most ten `::warning` commands, one for
/// each warning of a scenario that passed or failed. Print each on its own line.
pub fn github_annotations(result: &RunResult) -> Vec<String> {
    let result = tamed(result);
    let mut found: Vec<(usize, u8, String)> = Vec::new();
    let mut warnings: Vec<String> = Vec::new();
    for scenario in &result.scenarios {
        let mut places = problems(scenario);
        places.sort_by_key(|(verdict, ..)| sentences::rank(*verdict));
        found.extend(places.into_iter().enumerate().map(|(nth, (verdict, line, title, message))| {
            let place = Place { scenario, line, title: &title };
            (nth, sentences::rank(verdict), command(Level::Error, &place, &message))
        }));
        if matches!(scenario.verdict, Verdict::Pass | Verdict::Fail) {
            let place = Place { scenario, line: None, title: "warning" };
            warnings.extend(scenario.warnings.iter().map(|it| command(Level::Warning, &place, it)));
        }
    }
    found.sort_by_key(|(nth, rank, _)| (*nth, *rank));
    let errors = found.into_iter().map(|(.., command)| command).take(LIMIT);
    errors.chain(warnings.into_iter().take(LIMIT)).collect()
}

/// What is annotated of a scenario: a verdict, its line, a title and a message.
fn problems(scenario: &ScenarioResult) -> Vec<(Verdict, Option<u32>, String, String)> {
    // In an overkill run, the verdicts of expectations are no result by themselves.
    if let Some((outcome, why)) = sentences::overkill(scenario) {
        let is_problem = outcome != Verdict::Pass;
        return is_problem.then(|| (outcome, None, "overkill run".to_owned(), why)).into_iter().collect();
    }
    let mut all = Vec::new();
    if scenario.verdict == Verdict::Fail {
        for it in scenario.expectations.iter().filter(|it| it.verdict != Verdict::Pass) {
            all.push((it.verdict, it.line, format!("{}: {}", it.phase, it.title), it.reason.clone()));
        }
        for it in &scenario.faults {
            let problem = it.problem.as_deref().unwrap_or("see the report for its evidence");
            for (verdict, what) in [(it.injection, "proven"), (it.undo, "undone")] {
                if verdict != Verdict::Pass {
                    all.push((verdict, it.line, format!("fault {} was not {what}", it.name), problem.to_owned()));
                }
            }
        }
    }
    if all.is_empty() && scenario.verdict != Verdict::Pass {
        all.push((scenario.verdict, cause(scenario), words::verdict(scenario.verdict).to_owned(), why(scenario)));
    }
    all
}

/// The line of the expectation or the fault that decided the verdict.
fn cause(scenario: &ScenarioResult) -> Option<u32> {
    match scenario.cause? {
        Cause::Fault(at) => scenario.faults.get(at)?.line,
        Cause::Expectation(at) => scenario.expectations.get(at)?.line,
        Cause::Error(_) | Cause::Leftover(_) => None,
    }
}

/// The reason for the verdict, and how to remove leftovers.
fn why(scenario: &ScenarioResult) -> String {
    let remove =
        scenario.leftovers.iter().map(|it| format!("\nleft behind: {}; remove it with: {}", it.what, it.command));
    let text = scenario.reason.clone() + &remove.collect::<String>();
    tame(&text, MESSAGE).into_owned()
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
    fn limits_annotations_to_ten_and_gives_every_scenario_one_first() {
        let mut result = sample::suite();
        let all = result.scenarios[1].expectations.clone();
        result.scenarios[1].expectations.extend(all.iter().cycle().take(40).cloned());
        let lines = github_annotations(&result);
        assert_eq!(lines.iter().filter(|line| line.starts_with("::error ")).count(), 10);
        let warnings: Vec<&String> = lines.iter().filter(|line| line.starts_with("::warning ")).collect();
        assert!(matches!(warnings.as_slice(), [it] if it.contains("title=single-worker%3A warning::")), "{warnings:?}");
        assert!(lines[0].contains("p95 rose to 3.8") && lines[2].contains("not recovered"), "{lines:#?}");
        assert!(lines[1].contains("title=unenforced-policy%3A inconclusive::"), "{lines:#?}");
    }

    #[test]
    fn one_that_is_inconclusive_or_erroneous_has_one_annotation_with_its_cause() {
        let only = |mut result: RunResult| {
            result.scenarios[0].warnings.push("the port-forward was reconnected once".to_owned());
            let mut lines = github_annotations(&result);
            assert_eq!(lines.len(), 1, "{lines:#?}");
            lines.remove(0)
        };
        assert_eq!(
            only(sample::inconclusive()),
            "::error file=scenarios/quickstart.yaml,line=33,title=worker-loses-nats%3A inconclusive::the fault `nats-cut` could \
             not be proven: the network plugin does not seem to enforce NetworkPolicies; and 1 more"
        );
        let mut few = sample::inconclusive();
        few.scenarios[0].reason = "`partition`: 12 requests are too few for p95; at least 60 are needed".to_owned();
        few.scenarios[0].cause = Some(Cause::Expectation(2));
        assert!(only(few).contains("line=39,"), "the line of the expectation");
        assert_eq!(
            only(sample::errored()),
            "::error file=scenarios/quickstart.yaml,title=worker-loses-nats%3A error::\
             networkpolicy/shakedown-nats-cut-k3x9 could not be removed%0A\
             left behind: networkpolicy/shakedown-nats-cut-k3x9 in namespace dynamo; \
             remove it with: kubectl delete networkpolicy shakedown-nats-cut-k3x9 -n dynamo"
        );
        assert!(only(sample::stillborn()).contains("::the cluster cannot be reached"));
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
