//! Judges a run: pure, from the plan and the observations.

use shakedown_schemas::result::{
    Evidence, ExpectationResult, FaultResult, LoadInfo, LoadSeries, PhaseResult, Proof, Recovery, Verdict,
};
use shakedown_schemas::scenario::Direction;

use super::clocks;
use super::context::Execution;
use super::run::RunRecord;
use super::traffic;
use crate::plan::Plan;
use crate::timeline::Breach;
use shakedown_faults::effect::{self, Traffic};
use shakedown_judge as judge;

/// The answers.
pub(super) struct Judged {
    pub expectations: Vec<ExpectationResult>,
    pub faults: Vec<FaultResult>,
    pub phases: Vec<PhaseResult>,
    pub series: Vec<LoadSeries>,
    pub recoveries: Vec<Recovery>,
    /// Warnings for the report.
    pub warnings: Vec<String>,
}

impl Execution<'_> {
    /// Judges a run.
    pub(super) fn judge(&self, plan: &Plan, seen: &RunRecord) -> Judged {
        let scenario = &self.document.scenario;
        let (observations, seed) = (&seen.outcome.observations, self.options.seed);
        let mut warnings = judge::transients(scenario, observations);
        warnings.extend(judge::drifts(observations, seed));
        warnings.extend(judge::late(observations));
        for (phase, span) in observations.phases.iter().enumerate() {
            warnings.extend(observations.loads.iter().filter_map(|load| judge::waits(load, phase, &span.name)));
        }
        warnings.extend(of_loads(&seen.loads));
        let faults = self.faults(plan, seen, &mut warnings);
        let recoveries = judge::recoveries(scenario, observations, &|phase| acting_s(&faults, phase));
        let mut phases = judge::phases(scenario, observations);
        let targets = faults.iter().flat_map(|fault| fault.targets.iter().map(|pod| (fault.name.as_str(), pod)));
        judge::join(&mut phases, &targets.collect::<Vec<_>>(), &seen.loads);
        Judged {
            expectations: self.expectations(seen),
            faults,
            phases,
            series: judge::series(observations),
            recoveries,
            warnings,
        }
    }

    /// The answers to the expectations. An early end of the run comes first, because it explains the rest.
    fn expectations(&self, seen: &RunRecord) -> Vec<ExpectationResult> {
        let (scenario, outcome) = (&self.document.scenario, &seen.outcome);
        let line = |path: &str| self.document.line(path);
        let mut answers = judge::expectations(scenario, &outcome.observations, self.options.seed, &line);
        if !self.context.inject_anyway {
            judge::demote(scenario, &mut answers);
        }
        let mut early = Vec::new();
        if let Some(breach) = &outcome.breach {
            early.push(stopped(breach, outcome.faults.values(), line(&breach.path)));
        }
        if let Some(reason) = &outcome.burned {
            let phase = outcome.observations.phases.last().map_or("", |span| &span.name);
            early.push(burned(reason, phase));
        }
        if !outcome.refused.is_empty() {
            let first = scenario.phases.iter().position(|phase| !phase.faults.is_empty());
            let line = first.and_then(|index| line(&format!("phases[{}]", index.saturating_sub(1))));
            let phase = outcome.observations.phases.last().map_or("", |span| &span.name);
            early.push(unhealthy(&outcome.refused, phase, line));
        } else {
            early.extend(judge::unserved(scenario, &outcome.observations, &answers));
        }
        early.extend(answers);
        early
    }

    /// The faults with their places in the scenario, their proofs, now including the evidence of the requests, and their
    /// effects. The effect is only described: it proves nothing.
    fn faults(&self, plan: &Plan, seen: &RunRecord, warnings: &mut Vec<String>) -> Vec<FaultResult> {
        let felt = judge::effects(&self.document.scenario, &seen.outcome.observations);
        let concluded = plan.faults.iter().filter_map(|spec| {
            let result = seen.outcome.faults.get(&spec.plan.name)?;
            let mut fault = FaultResult { phase: spec.phase.clone(), line: spec.line, ..result.clone() };
            clocks::look(&mut fault, spec, &seen.outcome);
            let others: Vec<&str> = plan
                .faults
                .iter()
                .filter(|other| other.phase == spec.phase && other.plan.name != spec.plan.name)
                .filter(|other| seen.outcome.faults.get(&other.plan.name).is_some_and(|it| it.injected_s.is_some()))
                .map(|other| other.plan.name.as_str())
                .collect();
            let traffic = traffic::of(&fault.phase, &felt, &others);
            let direction = spec.direction.unwrap_or(Direction::Both);
            warnings.extend(effect::conclude(&mut fault, &spec.plan.effect, direction, &traffic));
            fault.felt = match &traffic {
                _ if fault.injected_s.is_none() => None,
                Traffic::Changed { .. } => Some(true),
                Traffic::Unchanged { hint, .. } if hint.is_empty() => Some(false),
                Traffic::Shared { .. }
                | Traffic::Unchanged { .. }
                | Traffic::Incomparable { .. }
                | Traffic::Unknown => None,
            };
            if fault.injected_s.is_some()
                && let Some(words) = judge::changed(&fault.phase, &felt)
            {
                let at_s = fault.undoing_s.or(fault.injected_s).unwrap_or_default();
                let (shows, holds) = (Proof::Effective, true);
                fault.evidence.push(Evidence { at_s, shows, holds, detail: format!("effect: {words}") });
            }
            Some(fault)
        });
        concluded.collect()
    }
}

/// From when all injected faults of a phase acted: claimed first, if a later observation proved it, else proven. `None` when one
/// of them was neither.
fn acting_s(faults: &[FaultResult], phase: &str) -> Option<f64> {
    let injected = || faults.iter().filter(|fault| fault.phase == phase && fault.injecting_s.is_some());
    let all = injected().map(|fault| fault.claimed_s.or(fault.proven_s));
    all.reduce(|a, b| a.zip(b).map(|(a, b)| a.max(b))).flatten()
}

/// Warnings about how the sending of the loads affects their numbers.
fn of_loads(loads: &[LoadInfo]) -> Vec<String> {
    let closed = loads.iter().filter(|load| !load.open_loop).map(|load| judge::closed_loop_warning(&load.name));
    let forwarded = loads.iter().filter(|load| load.reach == "port-forward").map(|load| {
        let anew = match load.reconnects {
            0 => String::new(),
            times => format!(" and reconnected {times} times"),
        };
        format!("load {} went through a port-forward of the API server, which adds its own latency{anew}", load.name)
    });
    let peculiar = loads.iter().filter(|load| !load.peculiarities.is_empty()).map(|load| {
        let all = load.peculiarities.join("; it ");
        format!(
            "the server of load {} deviates from the API, although no request failed because of it: it {all}",
            load.name
        )
    });
    closed.chain(forwarded).chain(peculiar).collect()
}

/// An unhealthy or unsteady baseline as an inconclusive expectation: no fault was injected, so the run shows nothing.
fn unhealthy(problems: &[String], phase: &str, line: Option<u32>) -> ExpectationResult {
    ExpectationResult {
        observed_text: "unfit".to_owned(),
        limit_text: "healthy and steady".to_owned(),
        reason: format!(
            "no fault was injected, because the baseline is not healthy and steady: {} (--inject-anyway ignores this)",
            problems.join("; ")
        ),
        line,
        ..ExpectationResult::new(judge::BASELINE, phase, "", "the baseline is healthy and steady")
    }
}

/// A fuse that burned down before the end of the run, as an inconclusive expectation.
fn burned(reason: &str, phase: &str) -> ExpectationResult {
    ExpectationResult {
        observed_text: "burned down".to_owned(),
        limit_text: "pushed until the end".to_owned(),
        reason: format!("the run ended early: {reason}"),
        ..ExpectationResult::new("fuse", phase, "", "the fuse outlives the faults")
    }
}

/// A stop condition that held, as an expectation that failed. It says that faults were undone if there were any.
fn stopped<'a>(breach: &Breach, faults: impl Iterator<Item = &'a FaultResult>, line: Option<u32>) -> ExpectationResult {
    let mut injected = faults.filter(|fault| fault.injecting_s.is_some()).peekable();
    let undone = match injected.peek().is_some() && injected.all(|fault| fault.undo == Verdict::Pass) {
        true => "; every fault was undone",
        false => "",
    };
    ExpectationResult {
        verdict: Verdict::Fail,
        observed: breach.observed,
        observed_text: breach.observed_text.clone(),
        unit: breach.unit,
        samples: breach.samples,
        limit_text: breach.limit_text.clone(),
        reason: format!("a stop condition held: {}{undone}", breach.reason),
        line,
        ..ExpectationResult::new("abort_if", &breach.phase, &breach.load, breach.title.as_str())
    }
}
