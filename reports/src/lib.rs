//! Reports: renders a result as JUnit, HTML and Markdown. Pure functions of the result, so the same result always gives the
//! same bytes. No tokio, no kube, no reqwest.
//!
//! Every report starts from a copy of the result with sanitised texts (see `tame`), and escapes every text for its own
//! format. [`sentences`] contains the sentences that reports share, and [`text`] makes text safe to show. The terminal uses
//! these modules too.

mod annotations;
mod history;
mod html;
mod junit;
mod markdown;
mod matrix;
#[cfg(any(test, feature = "testing"))]
pub mod sample;
pub mod sentences;
mod svg;
mod tame;
pub mod text;

pub use annotations::{GITHUB_GROUP_END, github_annotations, github_group, github_problem};
pub use history::{History, history};
pub use html::html;
pub use junit::{junit, junit_with};
pub use markdown::markdown;
pub use tame::{tamed, tamed_event};

/// A report could not be rendered. This is a defect of the program: every result can be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The HTML template failed.
    #[error("the HTML report could not be rendered: {0}")]
    Template(#[from] minijinja::Error),
    /// The XML could not be written.
    #[error("the JUnit report could not be written: {0}")]
    Xml(#[from] quick_junit::SerializeError),
    /// The data of a chart could not be written as JSON.
    #[error("the data of a chart could not be written: {0}")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::{RunResult, ScenarioResult, Trial, Verdict};
    use shakedown_schemas::{texts, words};
    use shakedown_secrets::{MASK, Redactor};

    use super::*;

    /// An overkill run that failed as it must was red on the page and in the summary, and green in JUnit.
    #[test]
    fn an_overkill_run_has_one_colour_in_every_report() {
        for (mut result, outcome) in [
            (sample::failing(), Verdict::Pass),
            (sample::passing(), Verdict::Fail),
            (sample::inconclusive(), Verdict::Fail),
            (sample::errored(), Verdict::Error),
        ] {
            result.scenarios.iter_mut().for_each(|it| it.trial = Some(Trial::Overkill));
            let outcomes = result.scenarios.iter().map(ScenarioResult::outcome);
            result.verdict = outcomes.max().unwrap_or_default();
            assert_eq!(result.verdict, outcome);
            let summary = markdown(&result);
            let head = summary.lines().next().unwrap_or_default();
            assert!(head.contains(&format!(" {}: ", words::verdict(outcome))), "{summary}");
            let page = html(&result).unwrap();
            let class = format!("<article class=\"scenario {}\"", outcome.word());
            assert!(page.contains(&class), "{class}");
            let annotations = github_annotations(&result);
            let is_error = |it: &String| it.starts_with("::error");
            assert_eq!(annotations.iter().any(is_error), outcome != Verdict::Pass, "{annotations:#?}");
            let xml = junit(&result).unwrap();
            assert_eq!(xml.contains(r#"failures="0" errors="0""#), outcome == Verdict::Pass, "{xml}");
            let said = sentences::headline(&result.scenarios[0]);
            for text in [&summary, &xml] {
                let said = said.split(':').next().unwrap_or_default();
                assert!(text.contains(said), "{said} is not in\n{text}");
            }
        }
    }

    /// Plants a secret in every text of a result, and searches for it in every report.
    #[test]
    fn no_report_contains_a_planted_secret() {
        let secret = "sup3r-s3cret";
        let text = serde_json::to_string(&sample::failing()).unwrap();
        let mut planted = serde_json::from_str::<RunResult>(&text).unwrap();
        texts::of_result(&mut planted, &mut |text, _| text.push_str(secret));
        let redactor = Redactor::default();
        redactor.learn(secret);
        let clean = redactor.result(&planted);
        let outputs = [
            serde_json::to_string(&clean).unwrap(),
            html(&clean).unwrap(),
            junit(&clean).unwrap(),
            markdown(&clean),
            github_annotations(&clean).join("\n"),
        ];
        for (index, output) in outputs.iter().enumerate() {
            assert!(!output.contains(secret), "output {index}");
            assert!(output.contains(MASK), "output {index}");
        }
        assert!(html(&planted).unwrap().contains(secret), "it is shown where nothing takes it out");
    }
}
