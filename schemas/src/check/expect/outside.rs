//! Checks of the expectations about what others saw: pods, Prometheus, logs.

use super::{Findings, earlier, fault, limits};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Logs, PodSelector, Pods, Prometheus, Scenario};

pub(super) fn pods(path: &str, scenario: &Scenario, index: usize, it: &Pods, findings: &mut Findings<'_>) {
    if it.restarts.is_none() && it.ready_within.is_none() {
        findings.push(
            path,
            Diagnostic::error(Code::Limits, "`pods` asks for nothing: nothing could fail")
                .help("write `restarts: {max: 0}` or `ready_within: 30s`"),
        );
    }
    if let Some(restarts) = it.restarts {
        let number = |limit: Option<u64>| limit.map(|limit| limit as f64);
        limits(&format!("{path}.restarts"), number(restarts.min), number(restarts.max), "0", findings);
    }
    let phase = &scenario.phases[index];
    if let Some(within) = it
        .ready_within
        .filter(|within| *within >= phase.duration && !findings.map.damaged(&format!("phases[{index}].duration")))
    {
        findings.push(
            &format!("{path}.ready_within"),
            Diagnostic::error(
                Code::LimitRange,
                format!("the phase lasts {}: pods that are ready after {within} could not be seen", phase.duration),
            )
            .help("lengthen the phase, or allow less"),
        );
    }
    selected(path, scenario, it.select.as_ref(), findings);
}

pub(super) fn prometheus(path: &str, scenario: &Scenario, index: usize, it: &Prometheus, findings: &mut Findings<'_>) {
    limits(path, it.min, it.max, "2", findings);
    if let Some(to) = &it.to {
        earlier(&format!("{path}.to"), scenario, index, to, findings);
    }
    let rest = it.url.strip_prefix("http://").or_else(|| it.url.strip_prefix("https://"));
    if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/') || rest.contains(char::is_whitespace)) {
        findings.push(
            &format!("{path}.url"),
            Diagnostic::error(Code::Url, format!("`{}` is not a URL of HTTP", it.url))
                .help("write one such as `http://prometheus.monitoring:9090`"),
        );
    }
    if it.query.trim().is_empty() {
        findings.push(
            &format!("{path}.query"),
            Diagnostic::error(Code::NothingThere, "this query is empty").help("write one such as `sum(up)`"),
        );
    }
    if it.step.is_some_and(|step| step.is_zero()) {
        findings.push(
            &format!("{path}.step"),
            Diagnostic::error(Code::ZeroDuration, "a step of no time never ends").help("write `step: 1s`"),
        );
    }
}

pub(super) fn logs(path: &str, scenario: &Scenario, it: &Logs, findings: &mut Findings<'_>) {
    limits(path, it.min.map(|it| it as f64), it.max.map(|it| it as f64), "0", findings);
    if it.matches.is_empty() {
        findings.push(
            &format!("{path}.matches"),
            Diagnostic::error(Code::NothingThere, "every line matches an empty pattern").help("write what to look for"),
        );
    } else if let Err(error) = regex::Regex::new(&it.matches) {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        findings.push(
            &format!("{path}.matches"),
            Diagnostic::error(Code::InvalidValue, format!("this is not a regular expression: {last}"))
                .help("`\\` takes the meaning of a character away: `\\(`"),
        );
    }
    selected(path, scenario, it.select.as_ref(), findings);
}

/// That it is known which pods are meant.
fn selected(path: &str, scenario: &Scenario, selector: Option<&PodSelector>, findings: &mut Findings<'_>) {
    let Some(selector) = selector else {
        let none = (0..scenario.phases.len()).all(|index| !super::has_faults(scenario, index, findings));
        if none {
            findings.push(
                path,
                Diagnostic::error(Code::NothingThere, "there is no fault whose pods could be meant")
                    .help("say which pods: `select: {labels: {app: worker}}`"),
            );
        }
        return;
    };
    fault::selector(&format!("{path}.select"), selector, findings);
    for (key, is_there) in [("count", selector.count.is_some()), ("percent", selector.percent.is_some())] {
        if is_there {
            findings.push(
                &format!("{path}.select.{key}"),
                Diagnostic::error(Code::Narrowing, "an expectation looks at all the pods that match")
                    .help(format!("leave `{key}` out")),
            );
        }
    }
}
