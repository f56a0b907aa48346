//! Workflow commands for GitHub Actions: annotates the lines of the scenario file that did not pass.

use shakedown_schemas::result::{RunResult, Verdict};

use crate::sentences;
use crate::tame::tamed;
use crate::text::one_line;

/// GitHub shows at most ten annotations of a kind for a step.
const LIMIT: usize = 10;

/// At most ten `::error` commands, one for each expectation, fault or scenario that did not pass: failures first, then
/// errors, then inconclusive ones. Print each on its own line.
pub fn github_annotations(result: &RunResult) -> Vec<String> {
    let result = tamed(result);
    let mut found: Vec<(u8, String)> = Vec::new();
    for scenario in &result.scenarios {
        let mut add = |verdict: Verdict, line: Option<u32>, title: &str, message: &str| {
            found.push((sentences::rank(verdict), command(&scenario.file, line, title, message)));
        };
        for it in scenario.expectations.iter().filter(|it| it.verdict != Verdict::Pass) {
            add(it.verdict, it.line, &format!("{}: {}", it.phase, it.title), &it.reason);
        }
        for it in &scenario.faults {
            let problem = it.problem.as_deref().unwrap_or("see the report for its evidence");
            if it.injection != Verdict::Pass {
                add(it.injection, it.line, &format!("fault {} was not proven", it.name), problem);
            }
            if it.undo != Verdict::Pass {
                add(it.undo, it.line, &format!("fault {} was not undone", it.name), problem);
            }
        }
        for it in &scenario.leftovers {
            let title = "left behind in the cluster";
            add(Verdict::Error, None, title, &format!("{}; remove it with: {}", it.what, it.command));
        }
        for it in &scenario.errors {
            add(Verdict::Error, None, &scenario.name, it);
        }
        let silent = scenario.expectations.iter().all(|it| it.verdict == Verdict::Pass)
            && scenario.faults.iter().all(|it| sentences::fault_verdict(it) == Verdict::Pass)
            && scenario.leftovers.is_empty()
            && scenario.errors.is_empty();
        if silent && scenario.verdict != Verdict::Pass {
            add(scenario.verdict, None, &scenario.name, &scenario.reason);
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().take(LIMIT).map(|(_, command)| command).collect()
}

fn command(file: &str, line: Option<u32>, title: &str, message: &str) -> String {
    let mut out = format!("::error file={}", property(file));
    if let Some(line) = line {
        out.push_str(&format!(",line={line}"));
    }
    out.push_str(&format!(",title={}::{}", property(&one_line(title)), data(message)));
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
                "::error file=scenarios/quickstart.yaml,line=39,title=partition%3A p95 at most 3 times baseline::\
                 p95 rose to 3.8 times baseline's (3.4 to 4.3), allowed 3",
                "::error file=scenarios/quickstart.yaml,line=44,title=recovery%3A recovered within 15s::\
                 not recovered within the 29.7s that were watched, allowed 15s",
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
        assert_eq!(lines.len(), 10);
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
    fn hostile_text_cannot_end_a_command() {
        for line in github_annotations(&sample::hostile()) {
            assert!(!line.contains(['\n', '\r', '\0', '\u{1b}']), "{line}");
            let (head, _) = line.strip_prefix("::").and_then(|rest| rest.split_once("::")).unwrap();
            assert!(head.starts_with("error file=") && head.matches(',').count() <= 2, "{head}");
            assert!(line.len() < 60_000);
        }
    }
}
