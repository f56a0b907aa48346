//! What must hold across the fields of a scenario, checked on the typed value and told at the place in the file. Only
//! what can be known without a cluster. What a single value may look like is in `units` and the types.

mod expect;
mod fault;
mod load;
mod map;
mod pace;
mod phase;
mod safety;

pub(crate) use map::Map;

use std::sync::Arc;

use crate::diagnostic::{Code, Diagnostic, suggestion};
use crate::files::{Files, Reader};
use crate::scenario::{SCENARIO_VERSION, Scenario};

/// The problems that are being found, and where things are in the file.
struct Findings<'m> {
    map: &'m Map,
    found: Vec<Diagnostic>,
    reader: Reader,
}

/// Checks everything, and reads the files that the scenario names. Nothing is said about values that are already known to
/// be wrong.
pub(crate) fn scenario(scenario: &Scenario, map: &Map, reader: Reader) -> (Vec<Diagnostic>, Files) {
    let mut findings = Findings { map, found: Vec::new(), reader };
    head(scenario, &mut findings);
    for (name, load) in &scenario.load {
        load::check(&format!("load.{name}"), load, &mut findings);
    }
    pace::check(scenario, &mut findings);
    phase::check(scenario, &mut findings);
    expect::check(scenario, &mut findings);
    safety::check(scenario, &mut findings);
    (findings.found, findings.reader.files)
}

fn head(scenario: &Scenario, findings: &mut Findings<'_>) {
    if scenario.version != SCENARIO_VERSION {
        findings.push(
            "version",
            Diagnostic::error(Code::Version, format!("this program reads version 1, not {}", scenario.version))
                .help("write `version: 1`, or use a newer shakedown"),
        );
    }
    name(&scenario.name, "name", "name", findings);
    for (index, tag) in scenario.tags.iter().enumerate() {
        name(tag, "tag", &format!("tags[{index}]"), findings);
    }
    if let Some(namespace) = &scenario.namespace {
        dns_label(namespace, "namespace", "namespace", findings);
    }
    if scenario.load.is_empty() {
        findings.push(
            "load",
            Diagnostic::error(Code::NothingThere, "there is no load: without requests nothing can be observed")
                .help("write `load: {main: {http: {service: \"shop:80\"}, rate: 20/s}}`"),
        );
    }
    if scenario.phases.is_empty() {
        findings.push(
            "phases",
            Diagnostic::error(Code::NothingThere, "there is no phase: nothing would happen")
                .help("write `phases: [{name: baseline, duration: 30s}]`"),
        );
    }
    for load in scenario.load.keys() {
        key_name(load, "load", &format!("load.{load}"), findings);
    }
}

impl Findings<'_> {
    /// Adds a problem at a path, unless what stands there is already known to be wrong.
    fn push(&mut self, path: &str, problem: Diagnostic) {
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

    /// The contents of a file that is named at a path; none after a problem there.
    fn read(&mut self, path: &str, name: &str) -> Option<Arc<[u8]>> {
        if self.map.damaged(path) {
            return None;
        }
        match self.reader.read(name) {
            Ok(bytes) => Some(bytes),
            Err(message) => {
                let help = "files are looked for beside the scenario's file";
                self.push(path, Diagnostic::error(Code::File, message).help(help));
                None
            }
        }
    }

    /// The same, at the key and not at its value.
    fn push_at_key(&mut self, path: &str, problem: Diagnostic) {
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
    Some(problem.help(match is_name(better) && text.is_ascii() {
        true => format!("{rule}: `{better}`"),
        false => rule.to_owned(),
    }))
}

/// A name that stands as a value.
fn name(text: &str, what: &str, path: &str, findings: &mut Findings<'_>) {
    if let Some(problem) = bad_name(text, what) {
        findings.push(path, problem);
    }
}

/// A name that stands as a key.
fn key_name(text: &str, what: &str, path: &str, findings: &mut Findings<'_>) {
    if let Some(problem) = bad_name(text, &format!("{what}'s name")) {
        findings.push_at_key(path, problem);
    }
}

/// True for what Kubernetes takes as the name of a namespace or a service (RFC 1123).
fn is_dns_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// A namespace or service, by name.
fn dns_label(text: &str, what: &str, path: &str, findings: &mut Findings<'_>) {
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

/// A reference to a thing of the file that is not there.
fn unknown(code: Code, what: &str, name: &str, known: &[&str]) -> Diagnostic {
    Diagnostic::error(code, format!("there is no {what} `{name}`"))
        .label(format!("no such {what}"))
        .maybe_help(suggestion(name, known, what))
}
