//! Checks of the expectations: what they refer to, and whether their limits can be met, can fail and can be seen.

mod outside;

use super::{Findings, fault, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Effect, Expectation, LatencyOf, LatencyRatio, RecoveryTime, Scenario};
use crate::units::{Duration, short};

/// The shortest window in which recovery is looked for: shorter ones hold too few requests for a percentile.
const SHORTEST_WINDOW: Duration = Duration::from_millis(250);

/// Below this, the chance differences between two phases of the same service decide about a ratio of percentiles.
const TIGHT_RATIO: f64 = 1.25;

pub(super) fn check(scenario: &Scenario, findings: &mut Findings<'_>) {
    for (index, phase) in scenario.phases.iter().enumerate() {
        for (number, expectation) in phase.expect.iter().enumerate() {
            let path = format!("phases[{index}].expect[{number}].{}", expectation.kind());
            one(&path, scenario, index, expectation, findings);
        }
        if phase.effect.is_some() && !has_faults(scenario, index, findings) {
            findings.push(
                &format!("phases[{index}].effect"),
                Diagnostic::error(Code::Effect, "this phase has no fault whose effect could be seen")
                    .help("move `effect` to the phase with the fault, or leave it out"),
            );
        }
        if let Some(expectation) = phase.effect.as_ref().and_then(Effect::expectation) {
            let path = format!("phases[{index}].effect.{}", expectation.kind());
            one(&path, scenario, index, &expectation, findings);
        }
    }
}

/// Whether a phase has faults; those that were taken out because they are wrong are faults all the same.
fn has_faults(scenario: &Scenario, index: usize, findings: &Findings<'_>) -> bool {
    let key = format!("phases[{index}].faults");
    !scenario.phases[index].faults.is_empty()
        || findings.map.has(&key) && findings.map.damaged(&key)
        || findings.map.gone(&key)
}

fn one(path: &str, scenario: &Scenario, index: usize, expectation: &Expectation, findings: &mut Findings<'_>) {
    load(path, scenario, expectation, findings);
    only_of_latency(path, expectation, findings);
    let seconds = |limit: Option<Duration>| limit.map(Duration::as_secs_f64);
    let number = |limit: Option<u64>| limit.map(|limit| limit as f64);
    match expectation {
        Expectation::SuccessRate(it) => {
            limits(path, it.min.map(|it| it.fraction()), it.max.map(|it| it.fraction()), "99%", findings);
            let everything = it.min.is_none_or(|min| min.fraction() <= 0.0)
                && it.max.is_none_or(|max| max.fraction() >= 1.0)
                && (it.min.is_some() || it.max.is_some());
            if everything {
                always(path, findings);
            }
        }
        Expectation::Latency(it) | Expectation::TimeToFirstToken(it) => {
            limits(path, seconds(it.min), seconds(it.max), "500ms", findings);
            no_time(&format!("{path}.max"), it.max, "no answer takes no time", findings);
        }
        Expectation::InterTokenLatency(it) => limits(path, seconds(it.min), seconds(it.max), "100ms", findings),
        Expectation::LatencyRatio(it)
        | Expectation::TimeToFirstTokenRatio(it)
        | Expectation::InterTokenLatencyRatio(it) => ratio(path, scenario, index, it, findings),
        Expectation::OutputTokensPerSecond(it) => {
            limits(path, it.min, it.max, "100", findings);
            range(path, [("min", it.min), ("max", it.max)], "tokens per second are", findings);
        }
        Expectation::OutputTokensPerSecondRatio(it) | Expectation::ThroughputRatio(it) => {
            limits(path, it.min, it.max, "0.8", findings);
            range(path, [("min", it.min), ("max", it.max)], "a ratio is", findings);
            earlier(&format!("{path}.to"), scenario, index, &it.to, findings);
        }
        Expectation::Errors(it) => {
            let kinds = it.kinds();
            if kinds.is_empty() {
                findings.push(
                    path,
                    Diagnostic::error(Code::Limits, "`errors` names no kind of failure: nothing could fail")
                        .help("write `errors: {any: {max: 0}}`"),
                );
            }
            for (kind, it) in kinds {
                limits(&format!("{path}.{kind}"), number(it.min), number(it.max), "0", findings);
            }
        }
        Expectation::Stuck(it) => {
            limits(path, number(it.min), number(it.max), "0", findings);
            if !(1.0..=10.0).contains(&it.times) {
                findings.push(
                    &format!("{path}.times"),
                    Diagnostic::error(
                        Code::LimitRange,
                        format!("requests are listened to for 1 to 10 times their timeout, not {}", short(it.times)),
                    )
                    .help("write `times: 2`; for less than the timeout ask for `latency`"),
                );
            }
        }
        Expectation::RecoveryTime(it) => recovery(path, scenario, index, it, findings),
        Expectation::Requests(it) => {
            limits(path, number(it.min), number(it.max), "100", findings);
            if it.min == Some(0) && it.max.is_none() {
                always(path, findings);
            }
        }
        Expectation::Pods(it) => outside::pods(path, scenario, index, it, findings),
        Expectation::Prometheus(it) => outside::prometheus(path, scenario, index, it, findings),
        Expectation::Logs(it) => outside::logs(path, scenario, it, findings),
    }
}

/// That `of` is not asked of tokens: a request without any has no time to its first one.
fn only_of_latency(path: &str, expectation: &Expectation, findings: &mut Findings<'_>) {
    let of = match expectation {
        Expectation::TimeToFirstToken(it) | Expectation::InterTokenLatency(it) => it.of,
        Expectation::TimeToFirstTokenRatio(it) | Expectation::InterTokenLatencyRatio(it) => it.of,
        _ => LatencyOf::All,
    };
    if !of.is_all() {
        findings.push(
            &format!("{path}.of"),
            Diagnostic::error(Code::Limits, "`of` is only for `latency` and `latency_ratio`")
                .help("leave it out: only requests that brought tokens count here"),
        );
    }
}

/// That limits on what cannot be negative are not, and that something is below the largest.
fn range(path: &str, both: [(&str, Option<f64>); 2], what: &str, findings: &mut Findings<'_>) {
    for (key, limit) in both {
        if let Some(limit) = limit.filter(|limit| !limit.is_finite() || *limit < 0.0) {
            findings.push(
                &format!("{path}.{key}"),
                Diagnostic::error(
                    Code::LimitRange,
                    format!("{what} never below 0, and this limit is {}", short(limit)),
                ),
            );
        }
    }
}

fn load(path: &str, scenario: &Scenario, expectation: &Expectation, findings: &mut Findings<'_>) {
    if let Some(name) = expectation.load() {
        // A load that is itself wrong is there all the same.
        let there = scenario.load.contains_key(name) || findings.map.gone("load");
        if !there {
            let known: Vec<&str> = scenario.load.keys().map(String::as_str).collect();
            findings.push(&format!("{path}.load"), unknown(Code::UnknownLoad, "load", name, &known));
        }
    }
}

fn limits(path: &str, min: Option<f64>, max: Option<f64>, example: &str, findings: &mut Findings<'_>) {
    match (min, max) {
        (None, None) => {
            let kind = path.rsplit('.').next().unwrap_or_default();
            findings.push(
                path,
                Diagnostic::error(Code::Limits, format!("`{kind}` has neither `min` nor `max`: nothing could fail"))
                    .help(format!("write `min: {example}` or `max: {example}`")),
            );
        }
        (Some(min), Some(max)) if min > max => findings.push(
            &format!("{path}.min"),
            Diagnostic::error(Code::Limits, "`min` is more than `max`: no value is between them").help("swap them"),
        ),
        _ => {}
    }
}

fn always(path: &str, findings: &mut Findings<'_>) {
    findings.push(
        path,
        Diagnostic::warning(Code::AlwaysTrue, "every value is within these limits: this expectation cannot fail")
            .help("tighten a limit, or remove the expectation"),
    );
}

fn no_time(path: &str, limit: Option<Duration>, why: &str, findings: &mut Findings<'_>) {
    if limit.is_some_and(Duration::is_zero) {
        findings.push(path, Diagnostic::error(Code::LimitRange, format!("{why}: nothing can meet this limit")));
    }
}

fn ratio(path: &str, scenario: &Scenario, index: usize, it: &LatencyRatio, findings: &mut Findings<'_>) {
    limits(path, it.min, it.max, "3", findings);
    for (key, limit) in [("min", it.min), ("max", it.max)] {
        if let Some(limit) = limit.filter(|limit| !limit.is_finite() || *limit < 0.0 || (key == "max" && *limit == 0.0))
        {
            findings.push(
                &format!("{path}.{key}"),
                Diagnostic::error(
                    Code::LimitRange,
                    format!("a ratio is more than 0, and this limit is {}", short(limit)),
                )
                .help("`3` means three times as long"),
            );
        }
    }
    if let Some(max) = it.max.filter(|max| *max > 0.0 && *max < TIGHT_RATIO) {
        findings.push(
            &format!("{path}.max"),
            Diagnostic::warning(
                Code::TightRatio,
                format!(
                    "a ratio of percentiles varies by chance: at most {} times asks for very many requests",
                    short(max)
                ),
            )
            .help("with fewer, chance alone may miss it: allow `1.25` or more, or write `decide: interval`"),
        );
    }
    earlier(&format!("{path}.to"), scenario, index, &it.to, findings);
}

/// That a phase is there, and comes before the one that refers to it.
fn earlier(path: &str, scenario: &Scenario, index: usize, name: &str, findings: &mut Findings<'_>) {
    match scenario.phases.iter().position(|phase| phase.name == name) {
        Some(at) if at < index => {}
        Some(at) => {
            let what = if at == index { "is this phase itself" } else { "comes after this one" };
            let before: Vec<&str> = scenario.phases[..index].iter().map(|phase| phase.name.as_str()).collect();
            let problem = Diagnostic::error(
                Code::PhaseOrder,
                format!("the phase `{name}` {what}: there is nothing to compare with yet"),
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
            // A phase whose name is wrong may be the one that is meant.
            let doubtful = (0..scenario.phases.len()).any(|at| findings.map.damaged(&format!("phases[{at}].name")))
                || findings.map.gone("phases");
            if !doubtful {
                let known: Vec<&str> = scenario.phases[..index].iter().map(|phase| phase.name.as_str()).collect();
                let mut problem = unknown(Code::UnknownPhase, "phase", name, &known);
                if known.is_empty() {
                    problem =
                        problem.help("put a phase without faults before this one and name that, such as `baseline`");
                }
                findings.push(path, problem);
            }
        }
    }
}

fn recovery(path: &str, scenario: &Scenario, index: usize, it: &RecoveryTime, findings: &mut Findings<'_>) {
    let phase = &scenario.phases[index];
    limits(path, it.min.map(Duration::as_secs_f64), it.max.map(Duration::as_secs_f64), "15s", findings);
    if let Some(to) = &it.to {
        earlier(&format!("{path}.to"), scenario, index, to, findings);
    }
    after_faults(path, scenario, index, it, findings);
    let duration_known = !findings.map.damaged(&format!("phases[{index}].duration"));
    if it.hold >= phase.duration && duration_known {
        findings.push(
            &format!("{path}.hold"),
            Diagnostic::error(
                Code::RecoveryWindow,
                format!(
                    "the service must hold for {}, and its phase lasts {}: recovery could never be seen",
                    it.hold, phase.duration
                ),
            )
            .help("lengthen the phase, or shorten `hold`"),
        );
    } else if let Some(max) = it.max.filter(|max| duration_known && max.get() + it.hold.get() > phase.duration.get()) {
        findings.push(
            &format!("{path}.max"),
            Diagnostic::warning(
                Code::RecoveryWindow,
                format!(
                    "a recovery after {max} that holds for {} needs more than the phase's {}",
                    it.hold, phase.duration
                ),
            )
            .help("lengthen the phase: a recovery that is not seen in time counts as none"),
        );
    }
    if it.window < SHORTEST_WINDOW {
        findings.push(
            &format!("{path}.window"),
            Diagnostic::error(Code::RecoveryWindow, format!("a window of {} is too short to be judged", it.window))
                .help(format!("write `window: {SHORTEST_WINDOW}` or more")),
        );
    } else if it.window > it.hold {
        let key = if findings.map.has(&format!("{path}.window")) { "window" } else { "hold" };
        findings.push(
            &format!("{path}.{key}"),
            Diagnostic::error(
                Code::RecoveryWindow,
                format!("a window of {} does not fit into a hold of {}", it.window, it.hold),
            )
            .help("lengthen `hold`, or shorten `window`"),
        );
    }
    if !it.latency_tolerance.is_finite() || it.latency_tolerance < 1.0 {
        findings.push(
            &format!("{path}.latency_tolerance"),
            Diagnostic::error(
                Code::RecoveryWindow,
                format!(
                    "with a tolerance of {} times not even the baseline itself would count as recovered",
                    short(it.latency_tolerance)
                ),
            )
            .help("write `latency_tolerance: 2`"),
        );
    }
    if it.tolerance.fraction() >= 1.0 {
        findings.push(
            &format!("{path}.tolerance"),
            Diagnostic::error(
                Code::RecoveryWindow,
                "with this tolerance a service that answers nothing counts as recovered",
            )
            .help("write `tolerance: 1%`"),
        );
    }
}

/// That there is a fault to recover from, removed before this phase, and a baseline before that fault.
fn after_faults(path: &str, scenario: &Scenario, index: usize, it: &RecoveryTime, findings: &mut Findings<'_>) {
    match (0..index).find(|at| has_faults(scenario, *at, findings)) {
        None => findings.push(
            path,
            Diagnostic::error(
                Code::NoRecovery,
                "no phase before this one has a fault: there is nothing to recover from",
            )
            .help("ask for `recovery_time` in the phase after the one with the fault"),
        ),
        Some(0) if it.to.is_none() => findings.push(
            path,
            Diagnostic::error(
                Code::NoRecovery,
                "no phase comes before the first fault: there is no baseline to recover to",
            )
            .help("put a phase without faults at the beginning, such as `baseline`, or name one by `to`"),
        ),
        Some(_) => {}
    }
}
