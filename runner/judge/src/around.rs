//! The requests around the faults of a phase: those in flight when the first fault struck, and those that were due while the
//! injection waited for them and while the faults were being injected and undone. Reports show them separately, and the phase
//! defines which of them its expectations include.
//!
//! - A request that was due before the strike and had not ended by then belongs to the fault's phase, not to the previous
//!   one: its outcome is an effect of the fault. With answers of 10 to 60 s these requests are the main damage.
//! - Requests in flight at a given moment take longer than others, because a longer request is more likely to be in flight.
//!   If the durations of answers differ widely, a percentile that includes them is higher even without a fault, and
//!   `including: []` excludes them.
//! - Rates and counts of requests use the moment at which each request was due. For these, requests stay in the phase in
//!   which they were due.

use std::borrow::Cow;

use shakedown_observe::{Cell, LoadObservations, Mark, Observations, PhasePart, Segment};
use shakedown_schemas::Scenario;
use shakedown_schemas::result::Around;
use shakedown_schemas::scenario::{Expectation, Including};

use super::answer::named;
use super::stats::{Placed, cells, stats, sum};
use super::{seconds, text};

/// The observations as the different kinds of expectations use them.
pub(super) struct Views<'a> {
    /// Each group separate.
    pub(super) plain: &'a Observations,
    /// With the groups that phases include in their judged parts.
    included: Cow<'a, Observations>,
    /// Each request in the phase in which it was due.
    by_due: Cow<'a, Observations>,
}

impl<'a> Views<'a> {
    pub(super) fn new(scenario: &Scenario, plain: &'a Observations) -> Self {
        Self { plain, included: included(scenario, plain), by_due: by_due(plain) }
    }

    /// The observations that an expectation uses.
    pub(super) fn of(&self, expectation: &Expectation) -> &Observations {
        if expectation.demands().recovery.is_some() {
            self.plain
        } else if is_by_due(expectation) {
            &self.by_due
        } else {
            &self.included
        }
    }
}

/// True when an expectation counts requests by their due moment, independent of the groups around a fault.
pub(super) fn is_by_due(expectation: &Expectation) -> bool {
    expectation.info().facts.counts_work || expectation.demands().recovery.is_some()
}

/// The part of a group's requests.
const fn part(group: Including) -> PhasePart {
    match group {
        Including::InFlight => PhasePart::InFlight,
        Including::Waiting => PhasePart::Waiting,
        Including::Injection => PhasePart::Injecting,
        Including::Removal => PhasePart::Undoing,
    }
}

/// The cells of the requests that were in flight when the first fault of a phase struck.
pub(super) fn in_flight(load: &LoadObservations, phase: usize) -> impl Iterator<Item = Placed<'_>> {
    of_part(load, phase, PhasePart::InFlight)
}

fn of_part(load: &LoadObservations, phase: usize, part: PhasePart) -> impl Iterator<Item = Placed<'_>> {
    cells(load).filter(move |placed| placed.mark.phase == phase && placed.mark.part == part)
}

fn total(load: &LoadObservations, phase: usize, part: PhasePart) -> Cell {
    sum(&of_part(load, phase, part).map(|placed| placed.cell).collect::<Vec<_>>(), Cell::merge)
}

/// The groups of a phase with requests, each by itself.
pub(super) fn around(scenario: &Scenario, load: &LoadObservations, phase: usize) -> Vec<Around> {
    let included = scenario.phases.get(phase).map(|phase| phase.including.as_slice()).unwrap_or_default();
    let group = |group: Including| {
        let requests = total(load, phase, part(group));
        let of_group = load.segments.iter().filter(|it| it.mark.phase == phase && it.mark.part == part(group));
        let length_s = match group {
            Including::InFlight => 0.0,
            _ => of_group.map(|it| seconds(it.end_ns.saturating_sub(it.mark.at_ns))).sum(),
        };
        let stats = stats(&requests, length_s);
        (stats.requests > 0).then(|| Around { group, included: included.contains(&group), length_s, stats })
    };
    Including::ALL.into_iter().filter_map(group).collect()
}

/// The terms about the groups of the phase: the requests in flight, and the other groups if they had failures.
pub(super) fn terms(
    scenario: &Scenario,
    observations: &Observations,
    load: &str,
    phase: usize,
) -> Vec<(String, String)> {
    let Some(load) = observations.load(load) else { return Vec::new() };
    let term = |it: Around| {
        let requests = total(load, phase, part(it.group));
        let failed = it.stats.requests - it.stats.succeeded;
        if it.group != Including::InFlight && failed == 0 {
            return None;
        }
        let name = match it.group {
            Including::InFlight => "in flight when the fault struck",
            Including::Waiting => "due while the injection waited for answers",
            Including::Injection => "due during the injection",
            Including::Removal => "due during the removal",
        };
        let failures = if failed == 0 { String::new() } else { format!(", {failed} failed ({})", named(&requests)) };
        let counted = if it.included { "included" } else { "not included" };
        Some((name.to_owned(), format!("{}{failures}; {counted}", text::requests(it.stats.requests))))
    };
    around(scenario, load, phase).into_iter().filter_map(term).collect()
}

/// Each request in the phase in which it was due.
fn by_due(observations: &Observations) -> Cow<'_, Observations> {
    let stretches: Vec<Cow<'_, [Segment]>> = observations.loads.iter().map(LoadObservations::stretches).collect();
    if stretches.iter().all(|it| matches!(it, Cow::Borrowed(_))) {
        return Cow::Borrowed(observations);
    }
    let stretches: Vec<Vec<Segment>> = stretches.into_iter().map(Cow::into_owned).collect();
    let mut changed = observations.clone();
    for (load, segments) in changed.loads.iter_mut().zip(stretches) {
        load.segments = segments;
    }
    Cow::Owned(changed)
}

/// With the groups that phases include in their judged parts.
fn included<'a>(scenario: &Scenario, observations: &'a Observations) -> Cow<'a, Observations> {
    let included = |mark: Mark| {
        let phase = scenario.phases.get(mark.phase)?;
        phase.including.iter().copied().find(|group| part(*group) == mark.part)
    };
    let mut segments = observations.loads.iter().flat_map(|load| &load.segments);
    if !segments.any(|segment| included(segment.mark).is_some()) {
        return Cow::Borrowed(observations);
    }
    let mut changed = observations.clone();
    for load in &mut changed.loads {
        let all = std::mem::take(&mut load.segments);
        let mut met: Vec<Segment> = Vec::new();
        for mut segment in all {
            match included(segment.mark) {
                Some(Including::InFlight) => met.push(at_once(segment, observations)),
                Some(_) => {
                    segment.mark.part = PhasePart::Judged;
                    load.segments.push(segment);
                }
                None => load.segments.push(segment),
            }
        }
        for segment in met {
            let at = load.segments.partition_point(|it| it.mark.at_ns < segment.mark.at_ns);
            load.segments.insert(at, segment);
        }
    }
    Cow::Owned(changed)
}

/// Requests in flight as one cell of the judged part, at the moment at which the phase's faults were in place.
fn at_once(segment: Segment, observations: &Observations) -> Segment {
    let phase = segment.mark.phase;
    let at_ns = observations.phases.get(phase).map_or(segment.mark.at_ns, |span| span.judged_from_ns);
    let cell = sum(&segment.cells.iter().collect::<Vec<_>>(), Cell::merge);
    let mark = Mark { at_ns, phase, part: PhasePart::Judged };
    Segment { cells: vec![cell], timings: segment.timings, ..Segment::new(mark, at_ns) }
}

#[cfg(test)]
mod tests;
