//! The problems found in a scenario, and the rules on names that all parts of it share.

use std::sync::Arc;

use super::map::Map;
use crate::diagnostic::{Code, Diagnostic, suggestion};
use crate::files::Reader;

/// The problems found so far, and the positions of values in the file.
pub(crate) struct Findings<'m> {
    pub(crate) map: &'m Map,
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) reader: Reader,
}

impl Findings<'_> {
    /// Adds a problem at a path, unless the value there is already known to be invalid.
    pub(crate) fn push(&mut self, path: &str, problem: Diagnostic) {
        if !self.map.damaged(path) {
            self.push_anyway(path, problem);
        }
    }

    fn push_anyway(&mut self, path: &str, problem: Diagnostic) {
        let span = self.map.value(path);
        self.found.push(match span {
            Some(span) => problem.at(span),
            None => problem,
        });
    }

    /// The contents of the file named at a path. None if it cannot be read, which is reported.
    pub(crate) fn read(&mut self, path: &str, name: &str) -> Option<Arc<[u8]>> {
        if self.map.damaged(path) {
            return None;
        }
        match self.reader.read(name) {
            Ok(bytes) => Some(bytes),
            Err(message) => {
                let help = "paths are relative to the folder of the scenario file";
                self.push(path, Diagnostic::error(Code::File, message).help(help));
                None
            }
        }
    }

    /// Adds a problem at a key instead of its value.
    pub(crate) fn push_at_key(&mut self, path: &str, problem: Diagnostic) {
        if !self.map.damaged(path) {
            self.found.push(match self.map.key(path) {
                Some(span) => problem.at(span),
                None => problem,
            });
        }
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 100
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn bad_name(text: &str, what: &str) -> Option<Diagnostic> {
    if is_name(text) {
        return None;
    }
    let problem = if text.is_empty() {
        Diagnostic::error(Code::Name, format!("this {what} is empty"))
    } else if text.len() > 100 {
        Diagnostic::error(Code::Name, format!("this {what} is longer than 100 characters"))
    } else {
        Diagnostic::error(Code::Name, format!("`{text}` cannot be a {what}"))
    };
    let better: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' }).collect();
    let better = better.trim_matches(['-', '_', '.']);
    let rule = "names have letters, digits, `-`, `_` and `.`, and begin with a letter or digit";
    if what == "tag" && text.contains([',', ' ']) {
        let tags: Vec<&str> = text.split([',', ' ']).filter(|it| is_name(it)).collect();
        return Some(problem.help(format!("write `tags: [{}]`", tags.join(", "))));
    }
    Some(problem.help(match is_name(better) && text.is_ascii() {
        true => format!("{rule}: `{better}`"),
        false => rule.to_owned(),
    }))
}

/// Checks a name that is a value.
pub(crate) fn name(text: &str, what: &str, path: &str, findings: &mut Findings<'_>) {
    if let Some(problem) = bad_name(text, what) {
        findings.push(path, problem);
    }
}

/// Checks a name that is a key.
pub(crate) fn key_name(text: &str, what: &str, path: &str, findings: &mut Findings<'_>) {
    if let Some(problem) = bad_name(text, &format!("{what}'s name")) {
        findings.push_at_key(path, problem);
    }
}

/// True for a valid name of a namespace or a service in Kubernetes (a DNS label, RFC 1123).
pub(crate) fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Checks the name of a namespace, a service or a container.
pub(crate) fn dns_label(text: &str, what: &str, path: &str, findings: &mut Findings<'_>) {
    if !is_dns_label(text) {
        let message = if text.is_empty() {
            format!("this {what} is empty")
        } else {
            format!("`{text}` cannot be the name of a {what}")
        };
        findings.push(
            path,
            Diagnostic::error(Code::Name, message).help(
                "Kubernetes takes up to 63 lower-case letters, digits and `-`, with a letter or digit at both ends",
            ),
        );
    }
}

/// The error for a reference to something that the file does not have.
pub(crate) fn unknown(code: Code, what: &str, name: &str, known: &[&str]) -> Diagnostic {
    Diagnostic::error(code, format!("there is no {what} `{name}`"))
        .label(format!("no such {what}"))
        .maybe_help(suggestion(name, known, what))
}
