//! How many requests a load sends in a phase.

use crate::check::Findings;
use crate::scenario::{Arrival, Expectation, Including, Load, Model, Scenario, ThinkTime, Workers};

/// How many requests of a load are judged in a phase.
pub(super) struct Count {
    /// With its pace alone.
    pub usual: f64,
    /// With the most that a fault can add; none where that is not known.
    pub most: Option<f64>,
}

pub(super) fn count(scenario: &Scenario, name: &str, load: &Load, index: usize) -> Option<Count> {
    let phase = &scenario.phases[index];
    let seconds = phase.duration.as_secs_f64();
    let settled = phase.settle.as_secs_f64();
    let (usual, at_once) = match scenario.model(name, index)? {
        Model::Open(pace) => {
            let usual = pace.requests(phase.duration, seconds) - pace.requests(phase.duration, settled);
            // By chance, or at the edges of the phase.
            let chance = if load.arrival == Some(Arrival::Poisson) { 5.0 * usual.sqrt() } else { 0.0 };
            (usual, chance + 1.0 + pace.highest() * load.timeout.as_secs_f64() * at_fault(scenario, index))
        }
        Model::Closed(workers) if workers.most() == 0 => (0.0, 0.0),
        // How many a worker sends depends on the service, unless it waits.
        Model::Closed(workers) => match (load.think_time, workers) {
            (Some(ThinkTime::Constant(time)), Workers::Constant(workers)) if !time.is_zero() => {
                (f64::from(workers) * ((seconds - settled) / time.as_secs_f64()).ceil(), f64::from(workers))
            }
            _ => return None,
        },
    };
    let is_open = phase.faults.is_empty() || phase.including.iter().all(|it| *it == Including::InFlight);
    Some(Count { usual, most: is_open.then_some(usual + at_once) })
}

/// 1 where requests that a fault met in flight count as well.
fn at_fault(scenario: &Scenario, index: usize) -> f64 {
    let phase = &scenario.phases[index];
    if phase.faults.is_empty() || phase.including.is_empty() { 0.0 } else { 1.0 }
}

/// The loads that an expectation covers.
pub(super) fn asked<'s>(
    scenario: &'s Scenario,
    expectation: &'s Expectation,
) -> impl Iterator<Item = (&'s str, &'s Load)> {
    let loads = scenario.load.iter().map(|(name, load)| (name.as_str(), load));
    loads.filter(|(name, _)| expectation.load().is_none_or(|load| load == *name))
}

/// True if a load sends nothing in a phase.
pub(super) fn is_silent(scenario: &Scenario, name: &str, index: usize) -> bool {
    match scenario.model(name, index) {
        Some(Model::Open(pace)) => pace.highest() <= 0.0,
        Some(Model::Closed(workers)) => workers.most() == 0,
        None => false,
    }
}

/// True if the file's values for a load in a phase are known to be invalid.
pub(super) fn is_doubtful(index: usize, load: &str, findings: &Findings<'_>) -> bool {
    let damaged = |key: &str| findings.map.damaged(&format!("phases[{index}].{key}"));
    ["duration", "settle", "load", "faults", "including"].into_iter().any(damaged)
        || findings.map.damaged(&format!("load.{load}"))
}
