//! Whether a percentile changed relative to an earlier phase by more than the drift of both phases.
//!
//! Without a change, the same share of values exceeds the earlier phase's percentile in both phases: 5 % above p95. This
//! share is tested (Mathisen, "A method of testing the hypothesis that two samples are from the same population", Annals of
//! Mathematical Statistics 14, 1943), with the long-run variances of the shares in both phases ([`LongRun`]), because
//! requests are not independent, and with Student's quantile.
//!
//! The interval of the ratio answers the same question but must also estimate the size of the ratio. For that it reaches
//! into the tail of the earlier phase, which has few values, and is often too wide to distinguish even a doubling from no
//! change. On the other hand a share is bounded by 0 and 1: in a phase with a large drift, only the interval detects a
//! large change.

use super::bootstrap::Windows;
use super::long_run::{FEWEST_WINDOWS, LongRun};
use super::numbers::{freedom_of_sum, student_quantile};

/// The change of a percentile relative to `times` that of an earlier phase, in one direction, as a multiple of the
/// smallest significant change: more than 1 is significant, less than 0 is a change in the other direction. It grows
/// with the root of the time. None where either phase has too few windows.
pub(super) fn moved(
    (phase, earlier): (&Windows, &Windows),
    quantile: f64,
    (times, slower): (f64, bool),
    confidence: f64,
) -> Option<f64> {
    if phase.len().min(earlier.len()) < FEWEST_WINDOWS || phase.values() == 0 || earlier.values() == 0 {
        return None;
    }
    // A value equal to the percentile counts against either direction.
    let above = phase.above(earlier.logarithm_at(quantile) + times.ln(), !slower);
    let all = phase.values() as f64;
    let share = above.iter().map(|(above, _)| above).sum::<f64>() / all;
    let apart: Vec<f64> = above.iter().map(|(above, of)| above - share * of).collect();
    let of_phase = spread(&apart, all);
    let of_earlier = spread(&earlier.excess(quantile), earlier.values() as f64);
    let freedom = freedom_of_sum(of_phase, of_earlier);
    let least = student_quantile(0.5 + confidence / 2.0, freedom) * (of_phase.0 + of_earlier.0).sqrt();
    let expected = 1.0 - quantile;
    let difference = if slower { share - expected } else { expected - share };
    Some(difference / least.max(f64::MIN_POSITIVE))
}

/// The variance of a share of this many values, from the spread of the counts of its windows, and its degrees of
/// freedom.
fn spread(apart: &[f64], values: f64) -> (f64, f64) {
    let LongRun { variance, freedom } = LongRun::of(apart);
    (variance * apart.len() as f64 / (values * values), freedom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::judged;
    use crate::testing::{Timeline, near};

    /// Two phases of `seconds` at 20/s. Answers in the second take `factor` times as long.
    fn look(seconds: f64, factor: f64, question: (f64, bool)) -> Option<f64> {
        let observations = Timeline::new(20.0)
            .phase("a", seconds)
            .phase("b", seconds)
            .answer(|it| {
                // Every second a little slower than the one before, four times over, and five requests of 20 slower still.
                let level = 100.0 + (it.into as u64 % 4) as f64 * 10.0 + (it.index % 20 / 15) as f64 * 5.0;
                it.ok_in(if it.phase == "b" { level * factor } else { level })
            })
            .observe();
        let windows = |phase| Windows::new(judged(&observations.loads[0], phase), |cell| &cell.latency);
        moved((&windows(1), &windows(0)), 0.5, question, 0.95)
    }

    #[test]
    fn detects_a_change_in_its_direction() {
        let (slower, faster) = ((1.0, true), (1.0, false));
        assert!(look(40.0, 1.3, slower).unwrap() > 1.0 && look(40.0, 1.3, faster).unwrap() < -1.0);
        assert!(look(40.0, 0.7, slower).unwrap() < -1.0 && look(40.0, 0.7, faster).unwrap() > 1.0);
        assert!(look(40.0, 1.0, slower).unwrap() <= 0.0 && look(40.0, 1.0, faster).unwrap() <= 0.0);
        assert!(look(40.0, 1.3, (1.3, true)).unwrap().abs() < 1.0, "it is 1.3 times");
        assert!(look(40.0, 1.3, (1.6, false)).unwrap() > 1.0, "it is less than 1.6 times");
    }

    /// One window per second, in which the given number of 20 requests takes 200 ms and the others 100 ms. In a second of
    /// `None` all are refused.
    fn seconds(slow: &[Option<u64>]) -> Windows {
        let observations = Timeline::new(20.0)
            .phase("a", slow.len() as f64)
            .answer(|it| match slow[it.into as usize] {
                Some(slow) => it.ok_in(if it.index % 20 < slow { 200.0 } else { 100.0 }),
                None => it.refused(),
            })
            .observe();
        Windows::new(judged(&observations.loads[0], 0), |cell| &cell.latency)
    }

    /// Half of the earlier phase's requests are above its median, and 112 of the phase's 160.
    #[test]
    fn is_the_difference_of_shares_in_standard_errors() {
        let earlier = [10, 12, 9, 8, 11, 10, 12, 8, 7, 13];
        let phase = [14, 15, 13, 16, 12, 15, 14, 13];
        let variance = |slow: &[u64], mean: f64, all: f64| {
            let LongRun { variance, freedom } =
                LongRun::of(&slow.iter().map(|it| *it as f64 - mean).collect::<Vec<_>>());
            (variance / slow.len() as f64 / (all / slow.len() as f64).powi(2), freedom)
        };
        let (now, before) = (variance(&phase, 14.0, 160.0), variance(&earlier, 10.0, 200.0));
        let chance = student_quantile(0.975, freedom_of_sum(now, before)) * (now.0 + before.0).sqrt();
        let both = (&seconds(&phase.map(Some)), &seconds(&earlier.map(Some)));
        near(moved(both, 0.5, (1.0, true), 0.95).unwrap(), (112.0 / 160.0 - 0.5) / chance, 1e-9);
    }

    #[test]
    fn too_short_or_empty_phases_are_undecided() {
        assert!(look(6.0, 1.3, (1.0, true)).is_some());
        assert_eq!(look(5.0, 1.3, (1.0, true)), None);
        let (some, none) = (seconds(&[Some(10); 8]), seconds(&[None; 8]));
        assert_eq!(moved((&none, &some), 0.5, (1.0, true), 0.95), None);
        assert_eq!(moved((&some, &none), 0.5, (1.0, true), 0.95), None);
    }
}
