//! Checks of HTTP requests: methods, paths, headers and bodies.

use indexmap::IndexMap;

use super::answer;
use super::capture;
use super::characters::{is_of_path, is_token};
use super::data::{Place, Rows};
use crate::check::{Findings, name};
use crate::diagnostic::{Code, Diagnostic, words};
use crate::scenario::{Check, Http, HttpRequest, HttpStep, RequestText, Source, TextPart};

/// The largest weight. A larger one is a typing error.
const MAX_WEIGHT: u32 = 1_000_000;

pub(crate) fn http(path: &str, http: &Http, rows: &mut Rows, findings: &mut Findings<'_>) {
    headers(path, &http.headers, rows, findings);
    answer::check(path, http.check.as_ref(), false, findings);
    if rows.groups_by_body
        || http.all_requests().iter().any(|it| it.check.as_ref().is_some_and(Check::reads_body))
        || http.steps.iter().any(captures_from_body)
    {
        plain_answers(path, &http.headers, findings);
    }
    let lists = [("requests", http.requests.is_empty()), ("steps", http.steps.is_empty())].into_iter();
    let given: Vec<&str> = lists
        .filter(|(list, is_empty)| !is_empty || findings.map.gone(&format!("{path}.{list}")))
        .map(|(list, _)| list)
        .collect();
    if given.is_empty() {
        if let Some(alone) = http.all_requests().first() {
            request(path, alone, rows, findings);
        }
        for (list, example) in
            [("requests", "{name: home, path: /}"), ("steps", "{name: login, path: /login}, {name: home, path: /}")]
        {
            let at = format!("{path}.{list}");
            if findings.map.has(&at) {
                findings.push(
                    &at,
                    Diagnostic::error(Code::NothingThere, format!("the list of {list} is empty"))
                        .help(format!("write `{list}: [{example}]`, or remove the key")),
                );
            }
        }
        return;
    }
    for list in given {
        for key in ["method", "path", "body", "body_file", "body_template"] {
            let at = format!("{path}.{key}");
            if findings.map.has(&at) {
                findings.push_at_key(
                    &at,
                    Diagnostic::error(Code::ExactlyOne, format!("`{key}` cannot be combined with `{list}`"))
                        .help(format!("move it into the {list}")),
                );
            }
        }
    }
    if findings.map.has(&format!("{path}.requests")) && findings.map.has(&format!("{path}.steps")) {
        findings.push_at_key(
            &format!("{path}.steps"),
            Diagnostic::error(Code::ExactlyOne, "`steps` cannot be combined with `requests`")
                .help("keep `steps` for a sequence of one user, or `requests` for independent requests"),
        );
    }
    for (index, it) in http.requests.iter().enumerate() {
        let path = format!("{path}.requests[{index}]");
        unique_name("request", &it.name, http.requests[..index].iter().map(|it| &it.name), &path, findings);
        if !(1..=MAX_WEIGHT).contains(&it.weight) {
            findings.push(
                &format!("{path}.weight"),
                Diagnostic::error(Code::LoadLimit, format!("`weight` is {}, outside 1 to {MAX_WEIGHT}", it.weight))
                    .help("write `weight: 1`, or remove a request that is never sent"),
            );
        }
        headers(&path, &it.headers, rows, findings);
        answer::check(&path, it.check.as_ref(), false, findings);
        if rows.groups_by_body || it.check.as_ref().or(http.check.as_ref()).is_some_and(Check::reads_body) {
            plain_answers(&path, &it.headers, findings);
        }
        request(&path, it, rows, findings);
    }
    steps(path, http, rows, findings);
}

/// Whether a value that the step captures is in the body.
fn captures_from_body(it: &HttpStep) -> bool {
    it.capture.values().any(|it| it.json.is_some() || it.regex.is_some())
}

/// Checks a sequence. A step may use what earlier steps capture.
fn steps(path: &str, http: &Http, rows: &mut Rows, findings: &mut Findings<'_>) {
    let all = http.steps.iter().zip(http.all_requests());
    for (index, (it, whole)) in all.enumerate() {
        let path = format!("{path}.steps[{index}]");
        unique_name("step", &it.name, http.steps[..index].iter().map(|it| &it.name), &path, findings);
        rows.at_step(&http.steps, index);
        headers(&path, &it.headers, rows, findings);
        answer::check(&path, it.check.as_ref(), false, findings);
        capture::check(&path, &it.capture, findings);
        if rows.groups_by_body || captures_from_body(it) || whole.check.as_ref().is_some_and(Check::reads_body) {
            plain_answers(&path, &it.headers, findings);
        }
        let alone = HttpRequest { headers: IndexMap::new(), check: None, ..whole };
        request(&path, &alone, rows, findings);
    }
}

/// Checks the name of a request or step against those before it.
fn unique_name<'n>(
    what: &str,
    it: &str,
    mut before: impl Iterator<Item = &'n String>,
    path: &str,
    findings: &mut Findings<'_>,
) {
    name(it, what, &format!("{path}.name"), findings);
    if before.any(|other| other == it) {
        findings.push(
            &format!("{path}.name"),
            Diagnostic::error(Code::DuplicateName, format!("two {what}s are named `{it}`"))
                .help(format!("give each {what} a unique name: the result lists their counts by name")),
        );
    }
}

fn request(path: &str, it: &HttpRequest, rows: &mut Rows, findings: &mut Findings<'_>) {
    method(path, &it.method, findings);
    if let Some(text) = &it.path {
        target(path, text, findings);
        rows.check(&format!("{path}.path"), text, Place::Path, findings);
    }
    if let Some(body) = &it.body {
        rows.check(&format!("{path}.body"), body, Place::Body, findings);
    }
    let bodies = [
        ("body", it.body.is_some()),
        ("body_file", it.body_file.is_some()),
        ("body_template", it.body_template.is_some()),
    ];
    let given: Vec<&str> = bodies.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    if let [_, second, ..] = given.as_slice() {
        findings.push_at_key(
            &format!("{path}.{second}"),
            Diagnostic::error(Code::ExactlyOne, format!("this request has {}", words(&given))).help("keep one of them"),
        );
    }
    if let Some(file) = &it.body_file {
        findings.read(&format!("{path}.body_file"), file);
    }
    if let Some(file) = &it.body_template {
        let at = format!("{path}.body_template");
        let Some(bytes) = findings.read(&at, file) else { return };
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| "it is not UTF-8; use `body_file` to send arbitrary bytes".to_owned());
        match text.and_then(RequestText::parse) {
            Ok(text) => rows.check(&at, &text, Place::Body, findings),
            Err(error) => findings.push(
                &at,
                Diagnostic::error(Code::File, format!("in `{file}`: {error}"))
                    .help(format!("mend `{file}`, or send it unchanged with `body_file`")),
            ),
        }
    }
}

fn method(path: &str, method: &str, findings: &mut Findings<'_>) {
    if !is_token(method) {
        findings.push(
            &format!("{path}.method"),
            Diagnostic::error(Code::Request, format!("`{method}` is not an HTTP method")).help("write `method: GET`"),
        );
    } else if method.bytes().any(|b| b.is_ascii_lowercase()) {
        findings.push(
            &format!("{path}.method"),
            Diagnostic::error(Code::Request, format!("the method `{method}` must be in capital letters"))
                .help(format!("write `method: {}`", method.to_ascii_uppercase())),
        );
    }
}

fn target(path: &str, target: &RequestText, findings: &mut Findings<'_>) {
    let begins = target.parts().first().is_some_and(|part| match part {
        TextPart::Text(text) => text.starts_with('/'),
        // The value of a `Location` header can be the whole path.
        TextPart::Data(data) => matches!(data.source, Source::Capture(_)),
    });
    if !begins || !target.texts().all(|text| text.chars().all(is_of_path)) {
        findings.push(
            &format!("{path}.path"),
            Diagnostic::error(Code::Request, format!("`{target}` is not the path of a request")).help(
                match format!("/{target}") {
                    path if !begins && path.chars().all(is_of_path) => format!("write `path: {path}`"),
                    _ => "a path begins with `/` and has no spaces, such as `/checkout?step=1`".to_owned(),
                },
            ),
        );
    }
}

/// Refuses headers that allow an answer to be compressed in a way that is not unpacked, when the body is read: anything
/// but `gzip`.
pub(crate) fn plain_answers(path: &str, headers: &IndexMap<String, RequestText>, findings: &mut Findings<'_>) {
    for (name, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept-encoding")) {
        let text: String = value.texts().collect();
        let mut codings = text.split(',').map(|coding| coding.split(';').next().unwrap_or_default().trim());
        let is_read =
            |coding: &str| coding.is_empty() || ["identity", "gzip"].iter().any(|it| coding.eq_ignore_ascii_case(it));
        if codings.any(|coding| !is_read(coding)) {
            let message = format!("`{name}: {text}` lets the server compress a body that is searched");
            findings.push(
                &format!("{path}.headers.{name}"),
                Diagnostic::error(Code::AnswerCheck, message)
                    .help(format!("write `{name}: gzip`, or remove the header: other codings are not decompressed")),
            );
        }
    }
}

pub(crate) fn headers(
    path: &str,
    headers: &IndexMap<String, RequestText>,
    rows: &mut Rows,
    findings: &mut Findings<'_>,
) {
    for (name, value) in headers {
        let path = format!("{path}.headers.{name}");
        if !is_token(name) {
            let message = format!("`{name}` is not the name of a header");
            findings.push_at_key(&path, Diagnostic::error(Code::Request, message).help(answer::HEADER_NAMES));
        }
        if ["content-length", "transfer-encoding"].iter().any(|it| name.eq_ignore_ascii_case(it)) {
            let message = format!("the header `{name}` follows from the body");
            findings.push_at_key(&path, Diagnostic::error(Code::Request, message).help("remove it"));
        }
        let earlier = headers.keys().take_while(|other| *other != name).find(|other| other.eq_ignore_ascii_case(name));
        if let Some(earlier) = earlier {
            let message = format!("`{name}` is the header `{earlier}`: case does not count in names of headers");
            findings.push_at_key(&path, Diagnostic::error(Code::Request, message).help("remove one of them"));
        }
        if value.texts().any(|text| text.chars().any(char::is_control)) {
            findings.push(
                &path,
                Diagnostic::error(
                    Code::Request,
                    format!("the header `{name}` has a line break or another control character"),
                )
                .help("write it on one line"),
            );
        }
        rows.check(&path, value, Place::Header, findings);
    }
}
