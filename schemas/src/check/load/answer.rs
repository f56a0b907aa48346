//! Checks of the conditions on answers.

use jsonpath_rust::parser::parse_json_path;

use super::characters::is_token;
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic, words};
use crate::pattern;
use crate::scenario::{Check, JsonCheck};

/// The longest JSONPath, in bytes. A longer one is a mistake, and its parser recurses for every bracket.
const MAX_PATH: usize = 500;

/// The help for a text that is not the name of a header.
pub(super) const HEADER_NAMES: &str = "a name has letters, digits and `-`, such as `X-Request-Id`";

/// Checks a `check`. Only answers of models have a `finish_reason`.
pub(crate) fn check(path: &str, check: Option<&Check>, is_model: bool, findings: &mut Findings<'_>) {
    let Some(check) = check else { return };
    let path = format!("{path}.check");
    for (index, status) in check.status.iter().enumerate() {
        if !(200..=599).contains(status) {
            findings.push(
                &format!("{path}.status[{index}]"),
                Diagnostic::error(Code::Request, format!("no final answer has status {status}"))
                    .help("write one from 200 to 599"),
            );
        }
    }
    for (name, it) in &check.headers {
        let path = format!("{path}.headers.{name}");
        if !is_token(name) {
            let message = format!("`{name}` is not the name of a header");
            findings.push_at_key(&path, Diagnostic::error(Code::Request, message).help(HEADER_NAMES));
        }
        let wants_text = it.equals.is_some() || it.contains.is_some() || it.matches.is_some();
        if !wants_text && it.exists.is_none() {
            findings.push(
                &path,
                Diagnostic::error(Code::NothingThere, format!("the check of the header `{name}` has no condition"))
                    .help("write `{exists: true}`, or one of `equals`, `contains` and `matches`"),
            );
        } else if wants_text && it.exists == Some(false) {
            findings.push(
                &format!("{path}.exists"),
                Diagnostic::error(Code::AnswerCheck, "a missing header has no text to compare")
                    .help("remove `exists`, or the condition on the text"),
            );
        }
        some_text(&format!("{path}.contains"), it.contains.as_deref(), "every text", findings);
        expression(&format!("{path}.matches"), it.matches.as_deref(), findings);
    }
    some_text(&format!("{path}.contains"), check.contains.as_deref(), "every body", findings);
    if let Some(matches) = &check.matches {
        let path = format!("{path}.matches");
        some_text(&path, Some(matches), "every body", findings);
        if let Err(error) = pattern::compile(matches) {
            findings.push(&path, not_an_expression(&error));
        }
    }
    if !is_model && !check.finish_reason.is_empty() {
        findings.push_at_key(
            &format!("{path}.finish_reason"),
            Diagnostic::error(Code::AnswerCheck, "only answers of an `openai` load have a `finish_reason`")
                .help("use `json: [{path: \"$.choices[0].finish_reason\", equals: stop}]`"),
        );
    }
    if !is_model && check.same_as.is_some() {
        findings.push_at_key(
            &format!("{path}.same_as"),
            Diagnostic::error(Code::AnswerCheck, "only answers of an `openai` load are compared")
                .help("use `contains`, `matches` or `json`"),
        );
    }
    for (index, reason) in check.finish_reason.iter().enumerate() {
        some_text(&format!("{path}.finish_reason[{index}]"), Some(reason), "every reason", findings);
    }
    for (index, it) in check.json.iter().enumerate() {
        json(&format!("{path}.json[{index}]"), it, findings);
    }
}

/// Checks a JSONPath. `path` leads to it.
pub(super) fn json_path(path: &str, text: &str, findings: &mut Findings<'_>) {
    if text.len() > MAX_PATH {
        let message = format!("this path is longer than {MAX_PATH} bytes");
        let problem = Diagnostic::error(Code::AnswerCheck, message);
        findings.push(path, problem.help("search for a part of the path, such as `$..price`"));
    } else if parse_json_path(text).is_err() {
        let better = if text.starts_with('$') { None } else { Some(format!("$.{}", text.trim_start_matches('.'))) };
        let better = better.filter(|better| parse_json_path(better).is_ok());
        findings.push(
            path,
            Diagnostic::error(Code::AnswerCheck, format!("`{text}` is not a JSON path")).help(match better {
                Some(better) => format!("write `{better}`"),
                None => "a path begins with `$`, such as `$.items[0].price` or `$.items[*].name`".to_owned(),
            }),
        );
    }
}

fn json(path: &str, it: &JsonCheck, findings: &mut Findings<'_>) {
    json_path(&format!("{path}.path"), &it.path, findings);
    let all = [
        ("equals", it.equals.is_some()),
        ("not_equals", it.not_equals.is_some()),
        ("contains", it.contains.is_some()),
        ("matches", it.matches.is_some()),
        ("exists", it.exists.is_some()),
    ];
    let given: Vec<&str> = all.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    match given.as_slice() {
        [_] => {}
        [] => findings.push(
            path,
            Diagnostic::error(Code::ExactlyOne, "the check of this path has no condition")
                .help("write `exists: true`, or one of `equals`, `not_equals`, `contains` and `matches`"),
        ),
        [_, second, ..] => findings.push_at_key(
            &format!("{path}.{second}"),
            Diagnostic::error(Code::ExactlyOne, format!("this check has several conditions: {}", words(&given)))
                .help("split it into several checks with the same path"),
        ),
    }
    some_text(&format!("{path}.contains"), it.contains.as_deref(), "every text", findings);
    expression(&format!("{path}.matches"), it.matches.as_deref(), findings);
}

/// Refuses an empty text, which every text contains.
fn some_text(path: &str, text: Option<&str>, what: &str, findings: &mut Findings<'_>) {
    if text == Some("") {
        findings.push(
            path,
            Diagnostic::error(Code::NothingThere, format!("{what} contains the empty text"))
                .help("write text, or remove the key"),
        );
    }
}

/// Checks a regular expression. `path` leads to it.
pub(super) fn expression(path: &str, text: Option<&str>, findings: &mut Findings<'_>) {
    some_text(path, text, "every text", findings);
    if let Some(Err(error)) = text.map(regex::Regex::new) {
        let error = error.to_string();
        findings.push(path, not_an_expression(error.lines().last().unwrap_or_default().trim_start_matches("error: ")));
    }
}

fn not_an_expression(error: &str) -> Diagnostic {
    Diagnostic::error(Code::InvalidValue, format!("this is not a regular expression: {error}"))
        .help("escape special characters with `\\`: `\\(`")
}
