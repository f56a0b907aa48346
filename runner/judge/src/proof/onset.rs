//! Failures that begin with a fault and end soon: the test for a single clump of failures.
//!
//! Failures of one cause are clustered, so that their number proves nothing: one clump in the phase and none in the
//! baseline has a chance of one half. The moment is more significant. A service with spontaneous clumps of failures has
//! them at any moment. It is rare that the only one of a whole run begins with the fault, however frequent they are. The
//! test assumes nothing about the length of clumps and their number of requests.

use shakedown_observe::{LoadObservations, Observations, PhasePart};

use crate::stats::{Placed, SECOND_NS, cells};

/// The fewest failures that make a clump.
const FEWEST: u64 = 5;

/// A clump of failures at the start of a phase, with no other failure in the compared time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Onset {
    /// The failures of the phase.
    failures: u64,
    /// From the strike until the first failed request was due, in seconds.
    delay_s: f64,
    /// The time without failures, in seconds: the phases without faults from the baseline on, and the second half of the
    /// phase.
    free_s: f64,
}

impl Onset {
    /// The clump of a phase with faults. None if the phase does not begin with failures, or if there are other failures.
    pub(super) fn of(observations: &Observations, load: &LoadObservations, first: usize, phase: usize) -> Option<Self> {
        let span = observations.phases.get(phase)?;
        let strike_ns = span.acts_from_ns();
        let active_ns = span.active_ns.max(strike_ns);
        let half_ns = active_ns + span.judged_to_ns.saturating_sub(active_ns) / 2;
        let end_ns = |it: &Placed<'_>| it.start_ns + it.length_ns;
        let is_free = |it: &Placed<'_>| {
            let plain = it.mark.phase >= first && !observations.phases[it.mark.phase].has_faults && it.is_judged();
            plain || (it.mark.phase == phase && it.is_judged() && it.start_ns >= half_ns)
        };
        // A clump that began before the strike did not begin with it.
        let is_right_before = |it: &Placed<'_>| end_ns(it) <= strike_ns && end_ns(it) + SECOND_NS > strike_ns;
        let (mut failures, mut delay_ns, mut free_ns) = (0, None, 0);
        // Requests in flight were due before the fault, so their due moments say nothing about it.
        for it in cells(load).filter(|it| it.mark.part != PhasePart::InFlight) {
            let failed = it.cell.requests() - it.cell.succeeded;
            if failed > 0 && (is_free(&it) || is_right_before(&it)) {
                return None;
            }
            // Time without requests shows nothing.
            if is_free(&it) && it.cell.requests() > 0 {
                free_ns += it.length_ns;
            }
            if it.mark.phase == phase && failed > 0 && end_ns(&it) > strike_ns {
                failures += failed;
                delay_ns = delay_ns.or(Some(end_ns(&it).saturating_sub(strike_ns)));
            }
        }
        let seconds = |ns: u64| ns as f64 / SECOND_NS as f64;
        (failures >= FEWEST).then_some(())?;
        Some(Self { failures, delay_s: seconds(delay_ns?), free_s: seconds(free_ns) })
    }

    /// The chance of this clump in a service whose clumps begin at any moment with the same rate: none in the time without
    /// failures and one within the delay, `exp(-rate free) (1 - exp(-rate delay))`, at the rate that maximises it.
    pub(super) fn chance(&self) -> f64 {
        if self.free_s <= 0.0 || self.delay_s <= 0.0 {
            return 1.0;
        }
        let whole = self.free_s + self.delay_s;
        (self.free_s / whole).powf(self.free_s / self.delay_s) * self.delay_s / whole
    }

    pub(super) fn words(&self) -> String {
        format!(
            "{} failures, the first at most {:.2} s after the injection began, and none in {:.0} s without the fault or \
             late in it",
            self.failures, self.delay_s, self.free_s
        )
    }
}

#[cfg(test)]
mod tests {
    use shakedown_observe::Failure;

    use super::*;
    use crate::testing::{Outcome, Request, Timeline, near};

    /// A baseline of 60 s, a phase of 60 s and a recovery of 60 s at 20/s with failures in some stretches, by phase.
    fn onset(fails: impl Fn(&str, f64) -> bool) -> Option<Onset> {
        let observations = Timeline::new(20.0)
            .phase("baseline", 60.0)
            .fault_phase("cut", 60.0)
            .phase("recovery", 60.0)
            .answer(|it: Request<'_>| if fails(it.phase, it.into) { it.refused() } else { it.ok_in(50.0) })
            .observe();
        Onset::of(&observations, &observations.loads[0], 0, 1)
    }

    #[test]
    fn the_only_failures_of_a_run_begin_with_the_fault() {
        let clump = onset(|phase, into| phase == "cut" && (0.3..1.0).contains(&into)).unwrap();
        assert_eq!(clump, Onset { failures: 14, delay_s: 0.5, free_s: 150.0 });
        // The largest of exp(-150 x) (1 - exp(-0.5 x)), found by a search in another program.
        near(clump.chance(), 0.001_224_3, 1e-6);
        let long = onset(|phase, into| phase == "cut" && into < 29.0).unwrap();
        assert_eq!((long.delay_s, long.free_s), (0.25, 150.0));
    }

    #[test]
    fn other_failures_and_a_late_start_invalidate_the_proof() {
        let at_start = |phase: &str, into: f64| phase == "cut" && into < 0.7;
        assert!(onset(|phase, into| at_start(phase, into) || (phase == "baseline" && into < 0.01)).is_none());
        assert!(onset(|phase, into| at_start(phase, into) || (phase == "baseline" && into > 59.9)).is_none());
        assert!(onset(|phase, into| at_start(phase, into) || (phase == "recovery" && into < 0.01)).is_none());
        assert!(onset(|phase, into| at_start(phase, into) || (phase == "cut" && into > 59.0)).is_none());
        assert!(onset(|phase, into| phase == "cut" && into < 0.15).is_none(), "three failures are no clump");
        let late = onset(|phase, into| phase == "cut" && (20.0..21.0).contains(&into)).unwrap();
        assert!(late.chance() > 0.03, "{late:?}");
    }

    /// Requests that were in flight at the strike were due seconds before it. They neither begin the clump nor end the proof.
    #[test]
    fn requests_in_flight_at_the_strike_do_not_move_the_clump() {
        let stall = |it: &Request<'_>| Outcome { failure: Some(Failure::Stalled), ..it.ok_in(8_000.0) };
        let observations = Timeline::new(20.0)
            .phase("baseline", 60.0)
            .fault_phase("cut", 60.0)
            .strikes()
            .phase("recovery", 60.0)
            .answer(|it| match (it.phase, it.into) {
                ("baseline", into) if into >= 55.0 => stall(&it),
                ("cut", into) if (0.3..1.0).contains(&into) => it.refused(),
                _ => it.ok_in(50.0),
            })
            .observe();
        let clump = Onset::of(&observations, &observations.loads[0], 0, 1).unwrap();
        assert_eq!((clump.failures, clump.delay_s), (14, 0.5));
    }
}
