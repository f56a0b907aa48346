//! Checks that the load generator kept its schedule. If it did not, its delays cannot be separated from those of the
//! service: the phase is inconclusive in either of these cases.
//!
//! - The generator is too late if its lateness exceeds [`LIMIT_US`] and half of the median latency in one request of 100:
//!   requests then arrived in bursts instead of on their schedule.
//! - One of 1,000 requests was never sent because the generator was too late, or because it or the port-forward could not
//!   make a connection. Such a request says nothing about the service.
//! - A tenth of these limits gives a warning.
//! - Below the limits, a percentile of the latency that exceeds its limit is inconclusive if it would hold without the
//!   generator's lateness at the same percentile ([`share_of`]).
//! - A window of a recovery that is slow only by this lateness is unknown ([`within`]).

use super::{stats, text};
use shakedown_observe::{Cell, Failure, LoadObservations, Observations, PhasePart, Timings};

/// The limit of the lateness's p99 that always applies, in microseconds.
const LIMIT_US: f64 = 250_000.0;

/// Its limit as a share of the median latency.
const SHARE: f64 = 0.5;

/// The share of requests that are not sent from which on a phase is inconclusive.
const LOST: f64 = 0.001;

/// The next step on a busy machine.
const BUSY: &str = "this machine was too busy: stop other programs, use more cores or lower the rate";

/// The failures of requests that the generator or the port-forward lost: the cause, and the next step. Requests that
/// were not sent because of `max_in_flight` are not among them, because a slow service is a part of the cause.
const UNSENT: [(Failure, &str, &str); 3] = [
    (Failure::NotSentLate, "the generator was too late", BUSY),
    (
        Failure::NotSentConnections,
        "this machine ran out of file descriptors or ports",
        "raise the limit of open files (`ulimit -n`) or lower the rate",
    ),
    (
        Failure::NotSentForward,
        "the port-forward could not be opened",
        "check the connection to the API server, or use a `url` that this machine reaches without a port-forward",
    ),
];

/// The deviation of the generator from its schedule.
#[derive(Debug, Clone)]
struct Deviation {
    /// As a share of its limit.
    share: f64,
    words: String,
    /// The next step.
    advice: String,
    /// What the results include below the limit.
    includes: &'static str,
}

/// The timings of the requests that the expectations of a phase judge.
pub(super) fn timings(load: &LoadObservations, phase: usize) -> Timings {
    let mut sum = Timings::default();
    let judged = load.segments.iter().filter(|it| it.mark.phase == phase && it.mark.part == PhasePart::Judged);
    judged.for_each(|segment| sum.merge(&segment.timings));
    sum
}

/// The maximum share of the generator's lateness in a percentile of the latency, in seconds.
pub(super) fn share_of(load: &LoadObservations, phase: usize, quantile: f64) -> f64 {
    timings(load, phase).lateness.quantile(quantile).unwrap_or(0.0) / 1e6
}

/// The lateness at this quantile of some requests, in microseconds: the part of their latency there that may be the generator's.
pub(super) fn within(requests: &Cell, quantile: f64) -> f64 {
    let (all, late) = (requests.requests() as f64, requests.late.len() as f64);
    // The others were not late, and are the first ones.
    let above = late - all * (1.0 - quantile);
    if above > 1e-9 { requests.late.quantile(above / late).unwrap_or(0.0) } else { 0.0 }
}

/// The requests of a phase that were not sent, without those that waited for `max_in_flight`.
fn unsent(total: &Cell) -> Option<Deviation> {
    let count = |failure| total.failed.get(&failure).copied().unwrap_or(0);
    let found: Vec<_> = UNSENT.iter().filter(|(failure, ..)| count(*failure) > 0).collect();
    let lost = found.iter().map(|(failure, ..)| count(*failure)).sum::<u64>() as f64 / total.requests().max(1) as f64;
    let causes: Vec<&str> = found.iter().map(|(_, cause, _)| *cause).collect();
    let advice: Vec<&str> = found.iter().map(|(.., advice)| *advice).collect();
    (!found.is_empty()).then(|| Deviation {
        share: lost / LOST,
        words: format!("{} of the requests were not sent because {}", text::percent(lost), causes.join(" or ")),
        advice: advice.join("; "),
        includes: "they count as failures, but the service is not the cause",
    })
}

/// The lateness of the requests of a phase that were sent.
fn late(timings: &Timings, total: &Cell) -> Option<Deviation> {
    let p99 = timings.lateness.quantile(0.99)?;
    let limit = (total.latency.quantile(0.5).unwrap_or(0.0) * SHARE).max(LIMIT_US);
    let limit_text = text::seconds(limit / 1e6);
    Some(Deviation {
        share: p99 / limit,
        words: format!("1% of the requests were sent at least {} late (limit {limit_text})", text::seconds(p99 / 1e6)),
        advice: BUSY.to_owned(),
        includes: "its latencies include part of this delay",
    })
}

/// The largest deviation of the generator in a phase. None if there is none.
fn deviation(load: &LoadObservations, phase: usize) -> Option<Deviation> {
    let total = stats::total(load, phase);
    let all = [unsent(&total), late(&timings(load, phase), &total)].into_iter().flatten();
    all.max_by(|one, other| one.share.total_cmp(&other.share))
}

/// Why the results of a load in a phase cannot be separated from the delays of the machine. None if they can.
pub(super) fn too_late(load: &LoadObservations, phase: usize) -> Option<String> {
    let Deviation { words, advice, .. } = deviation(load, phase).filter(|it| it.share >= 1.0)?;
    Some(format!("the load generator could not keep its schedule: {words}; {advice}"))
}

/// The warnings about the deviations of the generator: one for each kind, with the largest of them. Empty if it kept its
/// schedule.
pub fn warnings(observations: &Observations) -> Vec<String> {
    /// Whether it is too late and what the results include, the largest deviation, and the phases by load.
    type Kind<'a> = ((bool, &'static str), Deviation, Vec<(&'a str, Vec<String>)>);
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for load in &observations.loads {
        for (phase, span) in observations.phases.iter().enumerate() {
            let Some(found) = deviation(load, phase).filter(|it| it.share >= 0.1) else { continue };
            let kind = (found.share >= 1.0, found.includes);
            let at = kinds.iter().position(|it| it.0 == kind).unwrap_or_else(|| {
                kinds.push((kind, Deviation { share: 0.0, ..found.clone() }, Vec::new()));
                kinds.len() - 1
            });
            let (_, most, places) = &mut kinds[at];
            let phase = format!("`{}`", span.name);
            match places.last_mut().filter(|(name, _)| *name == load.name) {
                Some((_, phases)) => phases.push(phase),
                None => places.push((&load.name, vec![phase])),
            }
            if found.share > most.share {
                *most = found;
            }
        }
    }
    let text = |((is_too_late, includes), most, places): Kind<'_>| {
        let (what, weight) = match is_too_late {
            true => ("did not keep the schedule", "its results cannot be judged"),
            false => ("was a little behind the schedule", includes),
        };
        let places: Vec<String> =
            places.iter().map(|(load, phases)| format!("load `{load}` in {}", text::list(phases))).collect();
        format!("the load generator {what} of {}: {}; {weight}", text::list(&places), most.words)
    };
    kinds.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Timeline;
    use shakedown_observe::PhaseSpan;

    /// The warnings about loads of one phase.
    fn told(loads: &[&LoadObservations]) -> Vec<String> {
        let phases = vec![PhaseSpan { name: "p".to_owned(), ..PhaseSpan::default() }];
        let loads = loads.iter().map(|it| (*it).clone()).collect();
        warnings(&Observations { phases, loads, ..Observations::default() })
    }

    /// Requests with a latency of `ms`. One in fifty is sent `late_ms` late, and `lost` of 1,000 are never sent.
    fn observe(ms: f64, late_ms: u64, lost: u64) -> LoadObservations {
        let answer = move |it: crate::testing::Request<'_>| {
            let mut outcome = it.ok_in(ms);
            outcome.failure = (it.index % 1000 < lost).then_some(Failure::NotSentLate);
            outcome
        };
        let mut load = Timeline::new(100.0).phase("p", 20.0).answer(answer).observe().loads.remove(0);
        let lateness = &mut load.segments[0].timings.lateness;
        lateness.record_n(100, 1960);
        lateness.record_n(late_ms * 1000, 40);
        load
    }

    #[test]
    fn a_late_generator_has_a_reason() {
        for (ms, late_ms, lost, is_too_late, is_told) in [
            (10.0, 15, 0, false, false),
            (10.0, 40, 0, false, true),
            (10.0, 300, 0, true, true),
            (800.0, 300, 0, false, true),
            (800.0, 30, 0, false, false),
            (800.0, 450, 0, true, true),
            (10.0, 1, 2, true, true),
            (10.0, 1, 1, true, true),
        ] {
            let load = observe(ms, late_ms, lost);
            let (too_late, warning) = (too_late(&load, 0), told(&[&load]).pop());
            assert_eq!((too_late.is_some(), warning.is_some()), (is_too_late, is_told), "{ms} {late_ms} {warning:?}");
            assert_eq!(too_late.is_some(), warning.is_some_and(|it| it.contains("its results cannot be judged")));
        }
        let words = too_late(&observe(10.0, 300, 0), 0).unwrap();
        assert!(words.contains("sent at least 300ms late (limit 250ms)"), "{words}");
        let words = too_late(&observe(10.0, 1, 2), 0).unwrap();
        assert!(words.contains("0.2% of the requests were not sent"), "{words}");
    }

    #[test]
    fn one_warning_names_all_phases_and_loads_with_the_largest_deviation() {
        let timeline = Timeline::new(100.0).phase("baseline", 20.0).phase("cut", 20.0);
        let mut observations = timeline.answer(|it| it.ok_in(10.0)).observe();
        for (segment, late_us) in observations.loads[0].segments.iter_mut().zip([42_000, 46_000]) {
            segment.timings.lateness.record_n(late_us, 2000);
        }
        let other = LoadObservations { name: "other".to_owned(), ..observe(10.0, 300, 0) };
        observations.loads.push(LoadObservations { name: "more".to_owned(), ..observe(10.0, 40, 0) });
        let load = observations.loads[0].name.clone();
        let found = warnings(&observations);
        assert_eq!(
            found,
            [format!(
                "the load generator was a little behind the schedule of load `{load}` in `baseline` and `cut` and load `more` in \
                 `baseline`: 1% of the requests were sent at least 46ms late (limit 250ms); its latencies include part of this \
                 delay"
            )]
        );
        observations.loads.push(other);
        let found = warnings(&observations);
        assert!(found[1].contains("did not keep the schedule of load `other` in `baseline`: 1% "), "{found:?}");
    }

    /// 10,000 requests, of which `lost` fail in this way.
    fn lose(failure: Failure, lost: u64) -> LoadObservations {
        let answer = move |it: crate::testing::Request<'_>| {
            let mut outcome = it.ok_in(10.0);
            outcome.failure = (it.index < lost).then_some(failure);
            outcome
        };
        let mut load = Timeline::new(500.0).phase("p", 20.0).answer(answer).observe().loads.remove(0);
        load.segments[0].timings.lateness.record_n(100, 10_000 - lost);
        load
    }

    #[test]
    fn requests_that_the_generator_or_the_port_forward_lost_are_not_the_service_s_failures() {
        for (failure, cause) in [
            (Failure::NotSentLate, "the generator was too late"),
            (Failure::NotSentConnections, "ran out of file descriptors or ports"),
            (Failure::NotSentForward, "the port-forward could not be opened"),
        ] {
            let why = too_late(&lose(failure, 10), 0).unwrap();
            assert!(why.contains("0.1% of the requests were not sent because") && why.contains(cause), "{why}");
            assert!(failure == Failure::NotSentLate || !why.contains("too busy"), "{why}");
            // From a tenth of the limit on there is a warning.
            let few = lose(failure, 1);
            assert_eq!(too_late(&few, 0), None);
            assert!(told(&[&few])[0].contains("they count as failures"));
        }
        // A slow service is a part of the cause.
        assert_eq!(too_late(&lose(Failure::NotSentLimit, 5_000), 0), None);
        assert_eq!(too_late(&lose(Failure::Refused, 5_000), 0), None);
    }

    #[test]
    fn a_failed_port_forward_fails_no_expectation() {
        use shakedown_schemas::result::Verdict;
        for (failure, verdict) in [
            (Failure::NotSentForward, Verdict::Inconclusive),
            (Failure::NotSentConnections, Verdict::Inconclusive),
            (Failure::Refused, Verdict::Fail),
        ] {
            let mut observations = Timeline::new(500.0).phase("p", 20.0).observe();
            observations.loads = vec![lose(failure, 2_000)];
            let scenario = crate::testing::scenario(&serde_json::json!([
                {"name": "p", "duration": "20s", "expect": [{"success_rate": {"min": "99%"}}]},
            ]));
            let result = crate::expectations(&scenario, &observations, 1, &|_| None).remove(0);
            assert_eq!(result.verdict, verdict, "{}", result.reason);
        }
    }

    #[test]
    fn only_the_judged_part_of_a_phase_counts() {
        let seen = Timeline::new(10.0).phase("first", 10.0).phase("second", 10.0).settle(4.0).undoing(2.0).observe();
        let mut load = seen.loads.into_iter().next().unwrap();
        for segment in &mut load.segments {
            let late_us = match (segment.mark.phase, segment.mark.part) {
                (0, _) => 1_000,
                (_, PhasePart::Judged) => 20_000,
                _ => 400_000,
            };
            segment.timings.lateness.record_n(late_us, 5);
        }
        assert_eq!(load.segments.len(), 4);
        assert_eq!((timings(&load, 0).lateness.len(), timings(&load, 1).lateness.len()), (5, 5));
        for (phase, expected) in [(0, 0.001), (1, 0.02), (2, 0.0)] {
            let share = share_of(&load, phase, 0.99);
            assert!((share - expected).abs() <= 0.001 * expected, "{phase}: {share}");
        }
    }

    #[test]
    fn requests_that_were_not_late_come_first_in_the_lateness_of_a_window() {
        let mut cell = Cell { succeeded: 20, ..Cell::default() };
        cell.late.record_n(100_000, 2);
        let at = |quantile| (within(&cell, quantile) / 1e3).round();
        assert_eq!([0.5, 0.9, 0.95, 1.0].map(at), [0.0, 0.0, 100.0, 100.0]);
        assert!(within(&Cell { succeeded: 20, ..Cell::default() }, 0.95).abs() < 1e-9);
    }

    #[test]
    fn a_load_without_a_schedule_cannot_be_late() {
        let load = Timeline::new(100.0).phase("p", 20.0).observe().loads.remove(0);
        assert_eq!((too_late(&load, 0), told(&[&load])), (None, Vec::new()));
    }
}
