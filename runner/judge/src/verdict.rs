//! Combines answers into one verdict, one sentence and one exit code.

use std::collections::BTreeSet;

use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::{
    Cause, ExpectationResult, FaultResult, Leftover, PodChange, PodEvent, ScenarioResult, Verdict,
};
use shakedown_schemas::scenario::FaultInfo;

use super::text;

/// The kind of the answer with the reason why no fault was injected.
pub const BASELINE: &str = "baseline";

/// The verdict of a scenario.
#[derive(Debug, PartialEq)]
pub struct Conclusion {
    /// The verdict.
    pub verdict: Verdict,
    /// The reason for the verdict, in one sentence.
    pub reason: String,
    /// What the reason is about. None for a pass, and for a scenario without expectations.
    pub cause: Option<Cause>,
}

/// The verdict of a scenario: the worst of its expectations, its faults' injections and removals, the run's errors and its
/// leftovers. A scenario without expectations is inconclusive.
pub fn scenario_verdict(
    expectations: &[ExpectationResult],
    faults: &[FaultResult],
    errors: &[String],
    leftovers: &[Leftover],
) -> Conclusion {
    let mut findings: Vec<(Verdict, Cause, String)> = Vec::new();
    findings.extend(
        leftovers.iter().enumerate().map(|(at, it)| {
            (Verdict::Error, Cause::Leftover(at), format!("{} was left behind: {}", it.what, it.error))
        }),
    );
    let errors = errors.iter().enumerate();
    findings.extend(errors.map(|(at, error)| (Verdict::Error, Cause::Error(at), error.clone())));
    // The reason why no fault was injected comes before its consequences.
    let refused = expectations.iter().enumerate().find(|(_, it)| it.kind == BASELINE);
    findings.extend(refused.map(|(at, it)| (it.verdict, Cause::Expectation(at), it.reason.clone())));
    for (at, fault) in faults.iter().enumerate() {
        if refused.is_some() && fault.state == FaultState::Planned {
            continue;
        }
        let problem = fault.problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
        let name = &fault.name;
        let injection = match fault.injection {
            Verdict::Pass => None,
            Verdict::Inconclusive => Some(format!("the fault `{name}` could not be proven{problem}")),
            Verdict::Fail | Verdict::Error => Some(format!("the fault `{name}` could not be injected{problem}")),
        };
        findings.extend(injection.map(|sentence| (fault.injection, Cause::Fault(at), sentence)));
        if fault.undo != Verdict::Pass {
            let sentence = format!("the removal of the fault `{name}` was not confirmed{problem}");
            findings.push((fault.undo, Cause::Fault(at), sentence));
        }
    }
    let mut loads = expectations.iter().map(|it| &it.load).filter(|load| !load.is_empty());
    let first = loads.next();
    let several = loads.any(|load| Some(load) != first);
    let decided = |it: &ExpectationResult| it.verdict != Verdict::Pass && it.kind != BASELINE;
    for (at, it) in expectations.iter().enumerate().filter(|(_, it)| decided(it)) {
        let phase = format!("`{}`", it.phase);
        let place = match (it.reason_names_phase, several && !it.load.is_empty()) {
            (true, false) => String::new(),
            (true, true) => format!("load `{}`: ", it.load),
            (false, false) => format!("{phase}: "),
            (false, true) => format!("{phase} of load `{}`: ", it.load),
        };
        findings.push((it.verdict, Cause::Expectation(at), format!("{place}{}", it.reason)));
    }
    let verdict = findings.iter().map(|(verdict, ..)| *verdict).max().unwrap_or_default();
    let mut worst = findings.into_iter().filter(|(one, ..)| *one == verdict && *one != Verdict::Pass);
    let Some((_, cause, sentence)) = worst.next() else {
        return if expectations.is_empty() {
            let reason = "the scenario has no expectations".to_owned();
            Conclusion { verdict: Verdict::Inconclusive, reason, cause: None }
        } else {
            let reason = passed(expectations.len() as u64, faults.len() as u64);
            Conclusion { verdict: Verdict::Pass, reason, cause: None }
        };
    };
    let more = match worst.count() as u64 {
        0 => String::new(),
        count => format!("; and {count} more"),
    };
    Conclusion { verdict, reason: sentence + &more, cause: Some(cause) }
}

fn passed(expectations: u64, faults: u64) -> String {
    let hold = if expectations == 1 { "holds" } else { "hold" };
    let held = format!("{} {hold}", text::counted(expectations, "expectation"));
    match faults {
        0 => held,
        count => format!("{held}, {} applied and undone", text::counted(count, "fault")),
    }
}

/// Limitations of a pass for its headline: faults that only their engine claims, that had no effect on any request, or that
/// restarted a target.
pub fn remarks(result: &ScenarioResult) -> Vec<String> {
    let injected = || result.faults.iter().filter(|fault| fault.injected_s.is_some());
    let claimed = injected().filter(|fault| fault.is_claimed()).map(|fault| {
        let why = fault.claimed_because.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        match fault.engine.as_str() {
            "network-policy" => format!("the fault `{}` is applied, not proven{why}", fault.name),
            engine => format!("the fault `{}` is claimed by its engine ({engine}), not proven{why}", fault.name),
        }
    });
    let restarts: Vec<(&FaultResult, String)> = result
        .pod_events
        .iter()
        .filter(|event| event.change == PodChange::Restarted)
        .filter_map(|event| {
            let did = injected().find(|fault| made_restart(fault, event, acts_until(result, fault)))?;
            Some((did, format!("the target {} restarted {}", event.pod, when(did, event))))
        })
        .collect();
    let unfelt = injected().filter(|fault| fault.felt == Some(false)).map(|fault| {
        let own = restarts.iter().filter(|(did, _)| did.name == fault.name).map(|(_, text)| text.clone());
        let own: BTreeSet<String> = own.collect();
        let but = if own.is_empty() { "" } else { ", but " };
        format!(
            "`{}` had no effect on any request{but}{}",
            fault.name,
            text::list(&own.into_iter().collect::<Vec<_>>())
        )
    });
    let felt = restarts.iter().filter(|(fault, _)| fault.felt != Some(false));
    let restarted = felt.map(|(_, text)| text.clone());
    let mut remarks: Vec<String> = Vec::new();
    for remark in claimed.chain(unfelt).chain(restarted) {
        if !remarks.contains(&remark) {
            remarks.push(remark);
        }
    }
    remarks
}

/// Until when a restart of a target may be a fault's doing: the next phase with faults, or the end of the run.
fn acts_until(result: &ScenarioResult, fault: &FaultResult) -> f64 {
    let later = result.phases.iter().skip_while(|phase| phase.name != fault.phase).skip(1);
    let starts = later.filter(|phase| result.faults.iter().any(|it| it.phase == phase.name)).map(|phase| phase.start_s);
    starts.min_by(f64::total_cmp).unwrap_or(f64::INFINITY)
}

/// Whether a fault that should not restart its targets made this one restart: while it acted, or after its undo and before
/// this moment. The cluster's timestamps have a resolution of 1 s.
fn made_restart(fault: &FaultResult, event: &PodEvent, until_s: f64) -> bool {
    let is_target = fault.targets.iter().any(|pod| pod.name == event.pod && pod.namespace == event.namespace);
    let from_s = fault.injecting_s.unwrap_or(f64::INFINITY) - 1.0;
    let to_s = fault.undone_s.map_or(f64::INFINITY, |undone_s| until_s.max(undone_s + 1.0));
    let is_meant = FaultInfo::of(&fault.kind).is_some_and(FaultInfo::restarts_targets);
    is_target && !is_meant && (from_s..to_s).contains(&event.at_s)
}

/// When a target restarted, relative to a fault.
fn when(fault: &FaultResult, event: &PodEvent) -> String {
    match fault.undone_s.map(|undone_s| event.at_s - undone_s).filter(|after_s| *after_s >= 1.0) {
        Some(after_s) => format!("{} after `{}`", text::seconds(after_s.round()), fault.name),
        None => format!("during `{}`", fault.name),
    }
}

/// The exit code of a command that ran these scenarios: the first of 6 (leftovers), 3 (error), 1 (fail) and 4 (inconclusive)
/// that occurred, otherwise 0; 5 without scenarios. A failure of an overkill run is a pass. An interruption has its own code,
/// which the command line sets.
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
