//! Checks of the values that a step takes from its answer, and of the value that names a group.

use indexmap::IndexMap;

use super::answer;
use super::characters::is_token;
use crate::check::Findings;
use crate::diagnostic::{Code, Diagnostic, words};
use crate::scenario::{Capture, GroupBy, is_plain};

/// The most values that one step captures.
const MOST: usize = 20;

/// Checks the captures of a step. `path` leads to the step.
pub(super) fn check(path: &str, captures: &IndexMap<String, Capture>, findings: &mut Findings<'_>) {
    let path = format!("{path}.capture");
    if captures.len() > MOST {
        let message = format!("this step captures {} values, more than {MOST}", captures.len());
        findings.push_at_key(&path, Diagnostic::error(Code::LoadLimit, message).help("capture what later steps use"));
    }
    for (name, it) in captures {
        let path = format!("{path}.{name}");
        if !is_plain(name) || name.len() > 100 {
            findings.push_at_key(
                &path,
                Diagnostic::error(Code::Name, format!("`{name}` cannot be the name of a captured value"))
                    .help("use letters, digits and `_`, and begin with a letter: `{{ capture.order_id }}`"),
            );
        }
        let given = [
            ("json", it.json.is_some()),
            ("header", it.header.is_some()),
            ("cookie", it.cookie.is_some()),
            ("regex", it.regex.is_some()),
        ];
        one_of(
            &path,
            &given,
            "`{json: $.access_token}`, `{header: Location}`, `{cookie: sid}` or `{regex: \"id=(\\\\d+)\"}`",
            findings,
        );
        json(&path, it.json.as_deref(), findings);
        header(&path, it.header.as_deref(), findings);
        if let Some(cookie) = it.cookie.as_deref().filter(|cookie| !is_token(cookie)) {
            findings.push(
                &format!("{path}.cookie"),
                Diagnostic::error(Code::Request, format!("`{cookie}` is not the name of a cookie"))
                    .help("write the name alone, without its value: `cookie: sid`"),
            );
        }
        answer::expression(&format!("{path}.regex"), it.regex.as_deref(), findings);
    }
}

/// Checks a `group_by`. `path` leads to it.
pub(super) fn group(path: &str, it: &GroupBy, findings: &mut Findings<'_>) {
    let given = [("header", it.header.is_some()), ("json", it.json.is_some())];
    one_of(path, &given, "`{header: x-worker-id}` or `{json: $.served_by}`", findings);
    json(path, it.json.as_deref(), findings);
    header(path, it.header.as_deref(), findings);
}

fn one_of(path: &str, all: &[(&str, bool)], help: &str, findings: &mut Findings<'_>) {
    let given: Vec<&str> = all.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    match given.as_slice() {
        [_] => {}
        [] => findings.push_at_key(
            path,
            Diagnostic::error(Code::ExactlyOne, "this does not say where the value is").help(format!("write {help}")),
        ),
        [_, second, ..] => findings.push_at_key(
            &format!("{path}.{second}"),
            Diagnostic::error(Code::ExactlyOne, format!("this value has several sources: {}", words(&given)))
                .help("keep one of them"),
        ),
    }
}

fn json(path: &str, text: Option<&str>, findings: &mut Findings<'_>) {
    if let Some(text) = text {
        answer::json_path(&format!("{path}.json"), text, findings);
    }
}

fn header(path: &str, name: Option<&str>, findings: &mut Findings<'_>) {
    if let Some(name) = name.filter(|name| !is_token(name)) {
        findings.push(
            &format!("{path}.header"),
            Diagnostic::error(Code::Request, format!("`{name}` is not the name of a header"))
                .help(answer::HEADER_NAMES),
        );
    }
}
