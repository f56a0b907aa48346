//! From answers to one verdict, one sentence and one exit code.

use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{
    ExpectationResult, FaultResult, Leftover, PodChange, PodEvent, ScenarioResult, Verdict,
};
use shakedown_schemas::scenario::FaultInfo;

use super::text;

/// The kind of the answer with the reason why no fault was injected.
pub const BASELINE: &str = "baseline";

/// The verdict of a scenario and the sentence that says why: the worst of its expectations, its faults' injections
/// and removals, the run's errors and its leftovers. A scenario without expectations is inconclusive.
pub fn scenario_verdict(
    expectations: &[ExpectationResult],
    faults: &[FaultResult],
    errors: &[String],
    leftovers: &[Leftover],
) -> (Verdict, String) {
    let mut findings: Vec<(Verdict, String)> = Vec::new();
    findings.extend(leftovers.iter().map(|it| (Verdict::Error, format!("{} was left behind: {}", it.what, it.error))));
    findings.extend(errors.iter().map(|error| (Verdict::Error, error.clone())));
    // The reason why no fault was injected comes before its consequences.
    let refused = expectations.iter().find(|it| it.kind == BASELINE);
    findings.extend(refused.map(|it| (it.verdict, it.reason.clone())));
    for fault in faults.iter().filter(|fault| refused.is_none() || fault.state != FaultState::Planned) {
        let problem = fault.problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
        let name = &fault.name;
        let injection = match fault.injection {
            Verdict::Pass => None,
            Verdict::Inconclusive => Some(format!("the fault `{name}` could not be proven{problem}")),
            Verdict::Fail | Verdict::Error => Some(format!("the fault `{name}` could not be injected{problem}")),
        };
        findings.extend(injection.map(|sentence| (fault.injection, sentence)));
        if fault.undo != Verdict::Pass {
            findings.push((fault.undo, format!("the removal of the fault `{name}` was not confirmed{problem}")));
        }
    }
    let mut loads = expectations.iter().map(|it| &it.load).filter(|load| !load.is_empty());
    let first = loads.next();
    let several = loads.any(|load| Some(load) != first);
    for it in expectations.iter().filter(|it| it.verdict != Verdict::Pass && it.kind != BASELINE) {
        let phase = format!("`{}`", it.phase);
        let place = match (it.reason.contains(&phase), several && !it.load.is_empty()) {
            (true, false) => String::new(),
            (true, true) => format!("load `{}`: ", it.load),
            (false, false) => format!("{phase}: "),
            (false, true) => format!("{phase} of load `{}`: ", it.load),
        };
        findings.push((it.verdict, format!("{place}{}", it.reason)));
    }
    let worst = findings.iter().map(|(verdict, _)| *verdict).max().unwrap_or_default();
    if worst == Verdict::Pass {
        return if expectations.is_empty() {
            (Verdict::Inconclusive, "inconclusive: the scenario has no expectations".to_owned())
        } else {
            (Verdict::Pass, passed(expectations.len() as u64, faults.len() as u64))
        };
    }
    let word = match worst {
        Verdict::Fail => "failed",
        other => other.word(),
    };
    let mut worst_ones = findings.iter().filter(|(verdict, _)| *verdict == worst);
    let first = worst_ones.next().map_or("", |(_, sentence)| sentence.as_str());
    let more = match worst_ones.count() as u64 {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    (worst, format!("{word}: {first}{more}"))
}

fn passed(expectations: u64, faults: u64) -> String {
    let hold = if expectations == 1 { "holds" } else { "hold" };
    let held = format!("{} {hold}", text::counted(expectations, "expectation"));
    match faults {
        0 => format!("passed: {held}"),
        count => format!("passed: {held}, {} applied and undone", text::counted(count, "fault")),
    }
}

/// Limitations of a pass for its headline: faults that only their engine claims, that had no effect on any request, or that
/// restarted a target.
pub fn remarks(result: &ScenarioResult) -> Vec<String> {
    let injected = || result.faults.iter().filter(|fault| fault.injected_s.is_some());
    let claimed = injected().filter(|fault| fault.is_claimed()).map(|fault| {
        let why = fault.claimed_because.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        format!("the fault `{}` is claimed by its engine ({}), not proven{why}", fault.name, fault.engine)
    });
    let unfelt = injected()
        .filter(|fault| fault.felt == Some(false))
        .map(|fault| format!("`{}` had no effect on any request", fault.name));
    let restarted = result.pod_events.iter().filter(|event| event.change == PodChange::Restarted).filter_map(|event| {
        let did = injected().find(|fault| made_restart(fault, event))?;
        Some(format!("the target {} started again under `{}`", event.pod, did.name))
    });
    let mut remarks: Vec<String> = Vec::new();
    for remark in claimed.chain(unfelt).chain(restarted) {
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    remarks
}

/// Whether a target restarted while a fault acted that should not restart it. The cluster's timestamps have a resolution of
/// 1 s.
fn made_restart(fault: &FaultResult, event: &PodEvent) -> bool {
    let is_target = fault.targets.iter().any(|pod| pod.name == event.pod && pod.namespace == event.namespace);
    let from_s = fault.injecting_s.unwrap_or(f64::INFINITY) - 1.0;
    let to_s = fault.undone_s.unwrap_or(f64::INFINITY) + 1.0;
    let is_meant = FaultInfo::of(&fault.kind).is_some_and(FaultInfo::restarts_targets);
    is_target && !is_meant && (from_s..to_s).contains(&event.at_s)
}

/// The exit code of a command that ran these scenarios: the first of 6 (leftovers), 3 (error), 1 (fail) and 4 (inconclusive) that
/// occurred, otherwise 0; 5 without scenarios. A failure of an overkill run is a pass. An interruption has its own code, which
/// the command line sets.
pub fn exit_code(scenarios: &[ScenarioResult]) -> u8 {
    let left =
        |it: &ScenarioResult| !it.leftovers.is_empty() || it.faults.iter().any(|fault| fault.state == FaultState::Left);
    let any = |verdict| scenarios.iter().any(|it| it.outcome() == verdict);
    if scenarios.is_empty() {
        5
    } else if scenarios.iter().any(left) {
        6
    } else if any(Verdict::Error) {
        3
    } else if any(Verdict::Fail) {
        1
    } else if any(Verdict::Inconclusive) {
        4
    } else {
        0
    }
}

#[cfg(test)]
mod tests;
