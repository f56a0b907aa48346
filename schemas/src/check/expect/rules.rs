//! Checks that several kinds of expectations share: their references, and that their limits can be met, can be missed
//! and can be observed.

use crate::check::{Findings, selector, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{At, CountLimits, PodSelector};
use crate::units::short;

/// Checks limits on a value that cannot be negative: none is negative, and `max` is above zero.
pub(crate) fn range(at: At<'_>, both: [(&str, Option<f64>); 2], what: &str, findings: &mut Findings<'_>) {
    for (key, limit) in both {
        if let Some(limit) = limit.filter(|limit| !limit.is_finite() || *limit < 0.0) {
            findings.push(
                &at.key(key),
                Diagnostic::error(
                    Code::LimitRange,
                    format!("{what} never below 0, and this limit is {}", short(limit)),
                )
                .help(format!("write a positive limit, such as `{key}: 1.5`")),
            );
        }
    }
}

/// Checks limits on a count.
pub(crate) fn counts(at: At<'_>, limits: CountLimits, findings: &mut Findings<'_>) {
    self::limits(at, limits.min.map(|it| it as f64), limits.max.map(|it| it as f64), findings);
}

/// Checks that there is a limit, and that a value can meet both limits.
pub(crate) fn limits(at: At<'_>, min: Option<f64>, max: Option<f64>, findings: &mut Findings<'_>) {
    let (path, example) = (at.path, at.kind.facts.limit);
    match (min, max) {
        (None, None) => {
            let kind = path.rsplit('.').next().unwrap_or_default();
            findings.push(
                path,
                Diagnostic::error(Code::Limits, format!("`{kind}` has neither `min` nor `max`, so it cannot fail"))
                    // No value is below zero.
                    .help(match example {
                        "0" => "write `max: 0`, or `min: 1`".to_owned(),
                        _ => format!("write `min: {example}` or `max: {example}`"),
                    }),
            );
        }
        (Some(min), Some(max)) if min > max => findings.push(
            &format!("{path}.min"),
            Diagnostic::error(Code::Limits, "`min` is greater than `max`, so every value fails").help("swap them"),
        ),
        (Some(min), None) if min <= 0.0 => always(path, findings),
        _ => {}
    }
}

/// Reports an expectation that cannot fail.
pub(crate) fn always(path: &str, findings: &mut Findings<'_>) {
    findings.push(
        path,
        Diagnostic::warning(Code::AlwaysTrue, "every value is within these limits: this expectation cannot fail")
            .help("tighten a limit, or remove the expectation"),
    );
}

/// Checks that a phase exists, and precedes the phase that refers to it.
pub(crate) fn earlier(at: At<'_>, name: &str, findings: &mut Findings<'_>) {
    let At { phases, phase: index, .. } = at;
    let path = &at.key("to");
    match phases.iter().position(|phase| phase.name == name) {
        Some(at) if at < index => {}
        Some(at) => {
            let what = if at == index { "is this phase itself" } else { "comes after this one" };
            let before: Vec<&str> = phases[..index].iter().map(|phase| phase.name).collect();
            let problem = Diagnostic::error(
                Code::PhaseOrder,
                format!("the phase `{name}` {what}, so it cannot be compared with"),
            );
            findings.push(
                path,
                match before.as_slice() {
                    [] => problem.help("put a phase without faults before this one, such as `baseline`"),
                    _ => problem.help(format!("earlier phases are {}", crate::diagnostic::words(&before))),
                },
            );
        }
        None => {
            // A phase with an invalid name may be the one that is meant.
            let doubtful = (0..phases.len()).any(|at| findings.map.damaged(&format!("phases[{at}].name")))
                || findings.map.gone("phases");
            if !doubtful {
                let known: Vec<&str> = phases[..index].iter().map(|phase| phase.name).collect();
                let mut problem = unknown(Code::UnknownPhase, "phase", name, &known);
                if known.is_empty() {
                    problem =
                        problem.help("put a phase without faults before this one and name it, such as `baseline`");
                }
                findings.push(path, problem);
            }
        }
    }
}

/// Checks that the expectation selects pods.
pub(crate) fn selected(at: At<'_>, selector: Option<&PodSelector>, findings: &mut Findings<'_>) {
    let Some(selector) = selector else {
        if !at.phases.iter().any(|phase| phase.has_faults) {
            findings.push(
                at.path,
                Diagnostic::error(
                    Code::NothingThere,
                    "the scenario has no fault with pods, so this expectation needs a selector",
                )
                .help("select the pods: `select: {labels: {app: worker}}`"),
            );
        }
        return;
    };
    selector::selector(&at.key("select"), selector, findings);
    for (key, is_there) in [("count", selector.count.is_some()), ("percent", selector.percent.is_some())] {
        if is_there {
            findings.push(
                &at.key(&format!("select.{key}")),
                Diagnostic::error(Code::Narrowing, "an expectation always applies to all matching pods")
                    .help(format!("remove `{key}`")),
            );
        }
    }
}
