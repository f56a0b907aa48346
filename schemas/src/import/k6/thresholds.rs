//! The thresholds of a script as expectations.

use super::super::draft::Out;
use super::super::read::{Fields, Notes, text};
use crate::source::{Node, Value};

/// An expectation of each phase.
#[derive(Debug)]
pub(super) struct Threshold {
    pub kind: &'static str,
    pub limits: Vec<(String, Out)>,
    /// The only load that it is about.
    pub load: Option<String>,
    pub line: u32,
    /// It counts single requests, and an expectation counts iterations.
    pub of_requests: bool,
}

/// The expectations of the options. A threshold without one has a note.
pub(super) fn read(options: &Fields, notes: &mut Notes) -> Vec<Threshold> {
    let Some(all) = options.map("thresholds") else { return Vec::new() };
    let mut found = Vec::new();
    for key in all.keys() {
        let Some(node) = all.node(key) else { continue };
        let (metric, tag) = match key.split_once('{') {
            Some((metric, tag)) => (metric, Some(tag.trim_end_matches('}'))),
            None => (key, None),
        };
        let load = tag.and_then(|tag| tag.strip_prefix("scenario:")).map(str::to_owned);
        let rules: Vec<&Node> = match &node.value {
            Value::Seq(items) => items.iter().collect(),
            _ => vec![node],
        };
        for rule in rules {
            let written = condition(rule, notes).unwrap_or_default();
            match of(metric, &written).filter(|_| tag.is_none() || load.is_some()) {
                Some((kind, limits, of_requests)) => {
                    found.push(Threshold { kind, limits, load: load.clone(), line: rule.span.line, of_requests });
                }
                None => notes.at(rule, format!("the threshold `{key}: {written}` is not carried over")),
            }
        }
    }
    found
}

/// The text of a rule, alone or in a map.
fn condition(rule: &Node, notes: &mut Notes) -> Option<String> {
    let Some(fields) = Fields::of(rule, "threshold.") else { return text(rule) };
    let written = fields.text("threshold");
    fields.finish(notes);
    written
}

/// The kind of an expectation, its keys, and whether it is about all requests.
type Same = (&'static str, Vec<(String, Out)>, bool);

/// The expectation that is the same as a rule of a metric.
fn of(metric: &str, rule: &str) -> Option<Same> {
    let at = rule.find(['<', '>'])?;
    let (what, rest) = (rule[..at].trim(), &rule[at..]);
    let is_most = rest.starts_with('<');
    let value: f64 = rest.trim_start_matches(['<', '>', '=']).trim().parse().ok().filter(|it| *it >= 0.0)?;
    let limit = |key: &str, value: String| (key.to_owned(), Out::Text(value));
    match (metric, what, is_most) {
        ("http_req_duration", _, true) => {
            let percentile = if what == "med" { "50" } else { what.strip_prefix("p(")?.strip_suffix(')')? };
            let is_one = percentile.parse::<f64>().is_ok_and(|it| it > 0.0 && it < 100.0);
            let limits = vec![limit("percentile", format!("p{percentile}")), limit("max", format!("{value}ms"))];
            is_one.then_some(("latency", limits, true))
        }
        ("http_req_failed", "rate", true) if value < 1.0 => {
            Some(("success_rate", vec![limit("min", percent(1.0 - value))], true))
        }
        ("checks", "rate", false) if value <= 1.0 => Some(("success_rate", vec![limit("min", percent(value))], false)),
        ("iterations", "count", false) => Some(("requests", vec![("min".to_owned(), count(value))], false)),
        ("http_reqs", "count", false) => Some(("requests", vec![("min".to_owned(), count(value))], true)),
        _ => None,
    }
}

fn count(value: f64) -> Out {
    Out::plain(format!("{}", value.ceil()))
}

/// A share without the noise of binary fractions.
fn percent(share: f64) -> String {
    let text = format!("{:.6}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
