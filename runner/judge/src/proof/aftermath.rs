//! Changes that an earlier fault has left: they prove no later one.
//!
//! A service that does not recover from a fault differs from the baseline in every later phase. So a phase with faults is also
//! compared with the last phase without any, if there was a fault before that. Only the second half of that phase counts: in the
//! first one, a service that recovers is still recovering. If that half differs from the baseline by more than a weak test
//! allows, the requests must also have changed since then.

use shakedown_observe::{LoadObservations, Observations};
use shakedown_schemas::scenario::RecoveryTime;

use super::change::{OutOfTolerance, TESTS, chances, during, lasting};
use super::onset::Onset;
use crate::recovery::Band;
use crate::transient::unjudged;

/// The share of unaffected phases that the weak test takes for affected ones. It proves nothing, and takes only weak proofs
/// away.
const WEAK: f64 = 0.05;

/// What an earlier fault has left, in words, if the requests of a phase have not changed since then. None without an earlier
/// fault.
pub(super) fn lingering(
    observations: &Observations,
    load: &LoadObservations,
    (first, phase): (usize, usize),
) -> Option<String> {
    let spans = &observations.phases;
    let earlier = spans.get(..phase)?.iter().position(|span| span.has_faults)?;
    let rest = (earlier..phase).rev().find(|at| !spans[*at].has_faults)?;
    let span = &spans[rest];
    let half_ns = span.judged_from_ns + span.judged_to_ns.saturating_sub(span.judged_from_ns) / 2;
    let (whole, load) = (load, &unjudged(load, rest, |at_ns| at_ns < half_ns));
    let band = Band::new(observations, load, &RecoveryTime::default()).ok();
    let windows = |before: usize, is_rest: bool| {
        let band = band.as_ref()?;
        let windows = band.own_windows(observations, load, before);
        let then = if is_rest { band.own_windows(observations, load, rest) } else { during(band, load, &spans[phase]) };
        Some(OutOfTolerance::between(band, windows, then))
    };
    let weak = WEAK / TESTS as f64;
    let left = lasting(load, (first, rest), &windows(first, true).unwrap_or_default(), weak);
    if left.is_empty() {
        return None;
    }
    let (chance, chance_of_onset) = chances(observations);
    let is_onset = Onset::of(observations, whole, first, phase).is_some_and(|it| it.chance() < chance_of_onset);
    let since = lasting(load, (rest, phase), &windows(rest, false).unwrap_or_default(), chance);
    (since.is_empty() && !is_onset).then(|| {
        format!(
            "`{}`, after an earlier fault and before this one, already differs from the baseline ({}), and the requests have not \
             changed since then",
            span.name,
            left.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::compare;
    use crate::testing::shapes::{Service, Shape};
    use crate::testing::{Outcome, Request, Timeline};

    /// How many of 20 runs prove the second fault of a run by its requests. Each phase takes 60 s.
    fn proven(shape: Shape, mut answer: impl FnMut(Request<'_>, f64) -> Outcome) -> usize {
        let is_proven = |seed: &u64| {
            let mut service = Service::new(shape, *seed);
            let timeline = Timeline::new(20.0).phase("baseline", 60.0).fault_phase("first", 60.0);
            let timeline = timeline.phase("rest", 60.0).fault_phase("second", 60.0);
            let observations = timeline
                .answer(|it| {
                    // Each run has another moment within the second.
                    let at = it.at + *seed as f64 * 0.37;
                    let ms = service.answer_ms(it.at);
                    answer(Request { at, ..it }, ms)
                })
                .observe();
            !compare(&observations, &observations.loads[0], 3).unwrap().changes.is_empty()
        };
        (0..20).filter(is_proven).count()
    }

    /// The second fault does nothing. The service never recovered from the first one, and that "proved" the second one.
    #[test]
    fn a_service_that_has_not_recovered_proves_no_second_fault() {
        let fails = |it: &Request<'_>, period: f64, bad: f64| it.phase != "baseline" && it.at % period < bad;
        for (period, bad) in [(6.0, 1.0), (10.0, 2.0), (3.0, 0.5)] {
            let seen =
                proven(Shape::Independent, |it, ms| if fails(&it, period, bad) { it.refused() } else { it.ok_in(ms) });
            assert!(seen <= 1, "{seen} of 20: {bad} s of {period} s");
        }
        for times in [1.3, 1.5, 1.8, 2.5] {
            let seen =
                proven(Shape::Independent, |it, ms| it.ok_in(if it.phase == "baseline" { ms } else { ms * times }));
            assert!(seen <= 1, "{seen} of 20: {times} times slower");
        }
    }

    /// It recovered, at once or after 20 s, or did not: the second fault is proven by what it changes.
    #[test]
    fn a_second_fault_with_an_effect_is_proven() {
        let in_twenty = |index: u64| index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < (1 << 32) / 20;
        for recovers_s in [0.0, 20.0] {
            let is_down = |it: &Request<'_>| it.phase == "first" || it.phase == "rest" && it.into < recovers_s;
            let doubled = |it: Request<'_>, ms: f64| match it.phase {
                _ if is_down(&it) => it.refused(),
                "second" => it.ok_in(ms * 2.0),
                _ => it.ok_in(ms),
            };
            let failing = |it: Request<'_>, ms: f64| match it.phase {
                _ if is_down(&it) => it.refused(),
                "second" if in_twenty(it.index) => it.refused(),
                _ => it.ok_in(ms),
            };
            for shape in [Shape::Independent, Shape::HeavyTailed, Shape::Pauses] {
                assert_eq!((proven(shape, doubled), proven(shape, failing)), (20, 20), "{shape}, {recovers_s} s");
            }
        }
        let worse = |it: Request<'_>, ms: f64| match it.phase {
            "baseline" => it.ok_in(ms),
            "second" if it.index.is_multiple_of(2) => it.refused(),
            _ => it.ok_in(ms * 1.5),
        };
        assert_eq!(proven(Shape::Independent, worse), 20);
    }
}
