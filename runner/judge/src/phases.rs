//! The phases as executed, with the measurements of each load's requests and of the load generator. Nothing here judges.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{PhaseLoad, PhaseResult};

use super::stats::{judged_seconds, stats, total};
use super::{around, failed, generator, hdr, parts, seconds};
use shakedown_observe::{Observations, Outcomes, PhaseSpan};

/// The number of phases before the first one with faults. None without faults.
pub(super) fn before_faults(scenario: &Scenario) -> usize {
    scenario.phases.iter().position(|phase| !phase.faults.is_empty()).unwrap_or_default()
}

/// The phases as executed, with the statistics of each load's judged requests.
pub fn phases(scenario: &Scenario, observations: &Observations) -> Vec<PhaseResult> {
    let phase = |(index, span): (usize, &PhaseSpan)| PhaseResult {
        name: span.name.clone(),
        start_s: seconds(span.start_ns),
        active_s: seconds(span.active_ns),
        judged_from_s: seconds(span.judged_from_ns),
        judged_to_s: seconds(span.judged_to_ns),
        end_s: seconds(span.end_ns),
        planned_s: seconds(span.planned_ns),
        loads: observations
            .loads
            .iter()
            .map(|load| {
                let sum = total(load, index);
                let (steps, groups) = parts::parts(load, index, judged_seconds(span));
                PhaseLoad {
                    load: load.name.clone(),
                    stats: stats(&sum, judged_seconds(span)),
                    around: around::around(scenario, load, index),
                    latency_hdr: hdr::hdr(&Outcomes::of(&sum).distribution()),
                    generator: Some(generator::generator(scenario, load, index, span)),
                    samples: failed::samples(load, index, &sum),
                    steps,
                    groups,
                }
            })
            .collect(),
    };
    observations.phases.iter().enumerate().map(phase).collect()
}
