//! Whether the requests of two phases differ in nothing but the faults. With another pace or other data, a change of the
//! requests proves no fault: the service is slower at another rate, or with heavier requests.

use std::borrow::Cow;

use shakedown_schemas::Scenario;

use super::stats::{Placed, judged, total};
use super::transient;
use shakedown_observe::LoadObservations;

/// Why the requests of a load in two phases cannot be compared. None if they can. The pace of every load counts, because the
/// loads may share a service.
pub(super) fn incomparable(
    scenario: &Scenario,
    load: &LoadObservations,
    (first, phase): (usize, usize),
) -> Option<String> {
    let pace = scenario.load.keys().find_map(|load| scenario.other_pace(load, first, phase));
    if let Some(words) = pace {
        return Some(format!("{words}, which may be the only cause of a change"));
    }
    let few = |at: usize| scenario.too_few_rounds(&load.name, at, total(load, at).requests());
    let words = [first, phase].into_iter().find_map(few)?;
    Some(format!("{words}, so that other data may be the only cause of a change (`order: random` avoids this)"))
}

/// The load with as many requests of these phases as are whole rounds of its data in order: then both have the same data.
pub(super) fn rounds<'a>(
    scenario: &Scenario,
    load: &'a LoadObservations,
    phases: [usize; 2],
) -> Cow<'a, LoadObservations> {
    let Some(cycle) = cycle(scenario, load) else { return Cow::Borrowed(load) };
    phases.into_iter().fold(Cow::Borrowed(load), |load, phase| match surplus_from(&load, phase, cycle) {
        None => load,
        Some(from_ns) => Cow::Owned(transient::unjudged(&load, phase, |at_ns| at_ns >= from_ns)),
    })
}

/// The moment from which the judged requests of a phase exceed whole rounds. None if they do not.
fn surplus_from(load: &LoadObservations, phase: usize, cycle: u64) -> Option<u64> {
    let cells: Vec<Placed<'_>> = judged(load, phase).collect();
    let mut surplus = total(load, phase).requests() % cycle;
    let last = cells.iter().rev().take_while(|it| {
        let is_surplus = surplus > 0;
        surplus = surplus.saturating_sub(it.cell.requests());
        is_surplus
    });
    last.last().map(|it| it.start_ns)
}

/// The number of requests after which the load's data repeats.
fn cycle(scenario: &Scenario, load: &LoadObservations) -> Option<u64> {
    scenario.load.get(&load.name)?.cycle.filter(|cycle| *cycle > 0)
}
