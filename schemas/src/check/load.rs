//! Checks of one load: its target and its pace. The files next to this one check its requests and its conditions on
//! answers.

pub(crate) mod answer;
mod capture;
mod characters;
mod data;
pub(crate) mod request;
pub(crate) mod target;
mod transport;

use super::Findings;
use super::pace::MAX_AT_ONCE;
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Load, LoadKindInfo};
pub(crate) use data::{Place, Rows};

/// Checks a load. Returns the number of requests after which its data in order repeats.
pub(super) fn check(path: &str, load: &Load, findings: &mut Findings<'_>) -> Option<u64> {
    let all = load.all_sent();
    match all.as_slice() {
        [] => {
            let hint = |kind: &LoadKindInfo| format!("`{}: {}`", kind.name, kind.facts.hint);
            let hints: Vec<String> = Load::KINDS.iter().map(hint).collect();
            findings.push(
                path,
                Diagnostic::error(Code::ExactlyOne, "this load has no kind of request")
                    .help(format!("write {}", hints.join(" or "))),
            );
        }
        [_] => {}
        [first, second, ..] => findings.push_at_key(
            &format!("{path}.{}", second.kind()),
            Diagnostic::error(
                Code::ExactlyOne,
                format!("this load has both `{}` and `{}`", first.kind(), second.kind()),
            )
            .help("keep one, or split it into two loads"),
        ),
    }
    match (&load.rate, load.concurrency) {
        (None, None) => findings.push(
            path,
            Diagnostic::error(Code::ExactlyOne, "this load has no pace")
                .help("write `rate: 20/s` (open loop), or `concurrency: 8` (closed loop)"),
        ),
        (Some(_), Some(_)) => findings.push_at_key(
            &format!("{path}.concurrency"),
            Diagnostic::error(Code::ExactlyOne, "this load has both `rate` and `concurrency`").help(
                "keep `rate` for requests on a schedule, or `concurrency` for workers that wait for their answers",
            ),
        ),
        _ => {}
    }
    in_flight(&format!("{path}.max_in_flight"), load.max_in_flight, findings);
    if load.max_in_flight.is_some() && load.concurrency.is_some() && load.rate.is_none() && !findings.map.gone(path) {
        findings.push_at_key(
            &format!("{path}.max_in_flight"),
            Diagnostic::error(Code::LoadLimit, "`max_in_flight` is for `rate`")
                .help("remove it: `concurrency` already limits the concurrent requests"),
        );
    }
    if load.timeout.is_zero() {
        findings.push(
            &format!("{path}.timeout"),
            Diagnostic::error(Code::ZeroDuration, "this timeout is zero").help("write `timeout: 30s`"),
        );
    }
    transport::check(path, load, findings);
    let mut rows = Rows::new(path, load.feeder.as_ref(), findings);
    rows.groups_by_body = load.group_by.as_ref().is_some_and(|it| it.json.is_some());
    for sent in all {
        unused(path, sent.info(), findings);
        sent.check(&format!("{path}.{}", sent.kind()), &mut rows, findings);
    }
    let cycle = rows.finish(findings);
    if let Some(by) = &load.group_by {
        capture::group(&format!("{path}.group_by"), by, findings);
    }
    cycle
}

/// Refuses the keys of a load that its kind does not use.
fn unused(path: &str, kind: &LoadKindInfo, findings: &mut Findings<'_>) {
    for key in Load::BY_KIND.iter().filter(|key| !kind.facts.uses.contains(key)) {
        let at = format!("{path}.{key}");
        if findings.map.has(&at) {
            let text = format!("`{key}` has no meaning for `{}`", kind.name);
            findings.push_at_key(&at, Diagnostic::error(Code::Transport, text).help("remove it"));
        }
    }
}

fn in_flight(path: &str, value: Option<u32>, findings: &mut Findings<'_>) {
    if let Some(value) = value.filter(|value| !(1..=MAX_AT_ONCE).contains(value)) {
        findings.push(
            path,
            Diagnostic::error(Code::LoadLimit, format!("`max_in_flight` is {value}, outside 1 to {MAX_AT_ONCE}"))
                .help("write `max_in_flight: 1000`"),
        );
    }
}
