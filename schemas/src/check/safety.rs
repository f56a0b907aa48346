//! Checks of the stop conditions and the blast radius: their references, and that they can hold and can be observed.

use super::load::target::url_address;
use super::{Findings, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{BlastRadius, Scenario, Scheme, StopCondition};
use crate::units::Duration;

pub(super) fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    let total: std::time::Duration = scenario.phases.iter().map(|phase| phase.duration.get()).sum();
    conditions("abort_if", &scenario.abort_if, scenario, ("scenario", total.into(), "phases"), findings);
    for (index, phase) in scenario.phases.iter().enumerate() {
        let path = format!("phases[{index}]");
        let duration = format!("{path}.duration");
        conditions(
            &format!("{path}.abort_if"),
            &phase.abort_if,
            scenario,
            ("phase", phase.duration, &duration),
            findings,
        );
    }
    if let Some(radius) = &scenario.blast_radius {
        blast_radius(radius, findings);
    }
}

/// `of` is the scenario or phase that they belong to: its noun, its duration, and the path of the duration.
fn conditions(
    path: &str,
    conditions: &[StopCondition],
    scenario: &Scenario,
    of: (&str, Duration, &str),
    findings: &mut Findings<'_>,
) {
    for (index, condition) in conditions.iter().enumerate() {
        let path = format!("{path}[{index}].{}", condition.kind());
        one(&path, condition, findings);
        let (what, duration, place) = of;
        if condition.lasts().is_zero() {
            findings.push(
                &format!("{path}.for"),
                Diagnostic::error(Code::ZeroDuration, "a condition without a duration could hold by chance")
                    .help("write `for: 10s`"),
            );
        } else if condition.lasts() >= duration && !duration.is_zero() && !findings.map.damaged(place) {
            findings.push(
                &format!("{path}.for"),
                Diagnostic::error(
                    Code::StopCondition,
                    format!("this stops the run after {}, but its {what} lasts only {duration}", condition.lasts()),
                )
                .help("shorten `for`: a condition that cannot hold in time has no effect"),
            );
        }
        if let Some(name) = condition.load()
            && !scenario.load.contains_key(name)
            && !findings.map.gone("load")
        {
            let known: Vec<&str> = scenario.load.keys().map(String::as_str).collect();
            findings.push(&format!("{path}.load"), unknown(Code::UnknownLoad, "load", name, &known));
        }
    }
}

fn one(path: &str, condition: &StopCondition, findings: &mut Findings<'_>) {
    match condition {
        StopCondition::SuccessRate(it) if it.below.fraction() <= 0.0 => findings.push(
            &format!("{path}.below"),
            Diagnostic::error(Code::StopCondition, "a share is never below 0 %: this never stops the run")
                .help("write `below: 50%`"),
        ),
        StopCondition::Latency(it) if it.above.is_zero() => findings.push(
            &format!("{path}.above"),
            Diagnostic::error(Code::StopCondition, "every answer takes longer than 0 s: this always stops the run")
                .help("write `above: 2s`"),
        ),
        StopCondition::Http(it) => {
            // A probe may have a path and a query.
            let base = it.url.split(['?', '#']).next().unwrap_or_default();
            url_address(&format!("{path}.url"), base, Scheme::HTTP, findings);
            for (key, value) in [("every", it.every), ("timeout", it.timeout)] {
                if value.is_zero() {
                    findings.push(
                        &format!("{path}.{key}"),
                        Diagnostic::error(Code::ZeroDuration, format!("`{key}` is zero"))
                            .help(format!("write `{key}: 1s`")),
                    );
                }
            }
        }
        StopCondition::SuccessRate(_) | StopCondition::Latency(_) => {}
    }
}

fn blast_radius(radius: &BlastRadius, findings: &mut Findings<'_>) {
    if radius.max_pods.is_none() && radius.max_percent.is_none() {
        findings.push(
            "blast_radius",
            Diagnostic::error(Code::BlastRadius, "this blast radius has no limit")
                .help("write `blast_radius: {max_pods: 3}` or `blast_radius: {max_percent: 50%}`"),
        );
    }
    if radius.max_pods == Some(0) {
        findings.push(
            "blast_radius.max_pods",
            Diagnostic::error(Code::BlastRadius, "a limit of zero pods refuses every fault")
                .help("write `max_pods: 1`, or remove the faults"),
        );
    }
    if radius.max_percent.is_some_and(|percent| percent.fraction() <= 0.0) {
        findings.push(
            "blast_radius.max_percent",
            Diagnostic::error(Code::BlastRadius, "a limit of zero pods refuses every fault")
                .help("write `max_percent: 50%`, or remove the faults"),
        );
    }
}
