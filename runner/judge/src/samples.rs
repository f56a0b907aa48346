//! The minimum number of requests for each question. Fewer make the answer inconclusive, never a pass. `min_samples` of the
//! expectation overrides each rule.

use super::numbers::binomial_at_most;

/// Below this number every answer is inconclusive.
pub(super) const FLOOR: u64 = 20;

/// Below this number not even a failure is decided.
const FLOOR_FOR_FAILURE: u64 = 10;

/// Requests for a percentile, in each of its terms.
///
/// The largest of `n` independent values lies above the true percentile `p` with chance `1 - p^n`. Unless that is at
/// least 95 %, the sample need not contain a single value beyond the percentile, and "p99" is only another word for
/// "the largest": `n >= ln 0.05 / ln p` (Hahn and Meeker, "Statistical Intervals", distribution-free bounds), which is
/// 59 for p95, 299 for p99 and 2,995 for p99.9. Rounded up to tens (60, 300, 3,000), and never under 20. Percentiles
/// below the median mirror: p5 needs as many as p95.
pub(super) fn percentile(fraction: f64) -> u64 {
    let far = fraction.max(1.0 - fraction);
    let bound = (0.05_f64.ln() / far.ln()).ceil() as u64;
    bound.div_ceil(10).saturating_mul(10).max(FLOOR)
}

/// Requests for a limit on the success rate.
///
/// One chance failure must not decide alone: with `n` requests the best rate after a perfect one is `1 - 1/n`, and it
/// still meets `min: t` when `n >= 1 / (1 - t)`: 100 for 99 %. `max: t` mirrors (`n >= 1 / t`). Never under 20, and
/// never more than 300: by the rule of three, 300 requests without a failure show with 95 % that fewer than one
/// percent fail, and finer limits (99.9 %, 100 %) are then about the requests of this run, which were all counted.
/// For a claim about the service, use `decide: interval`.
pub(super) fn success_rate(min: Option<f64>, max: Option<f64>) -> u64 {
    let alone = |margin: f64| (1.0 / margin - 1e-9).ceil().min(300.0) as u64;
    let low = min.map_or(0, |limit| alone(1.0 - limit));
    let high = max.map_or(0, alone);
    low.max(high).max(FLOOR)
}

/// True when the few successes contradict "at least this share succeeds" even in a small sample: an exact one-sided
/// binomial test at half of the error rate of the confidence level. It needs ten requests, because requests at the very
/// beginning of a phase are not independent.
pub(super) fn too_few(successes: u64, n: u64, share: f64, confidence: f64) -> bool {
    n >= FLOOR_FOR_FAILURE && binomial_at_most(successes, n, share) < (1.0 - confidence) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentiles_need_their_tail() {
        for (percent, need) in [(50.0, 20), (90.0, 30), (95.0, 60), (99.0, 300), (99.9, 3000), (5.0, 60), (1.0, 300)] {
            assert_eq!(percentile(percent / 100.0), need, "p{percent}");
        }
    }

    #[test]
    fn success_rates_need_room_for_one_failure() {
        for (min, need) in [(0.5, 20), (0.8, 20), (0.95, 20), (0.99, 100), (0.995, 200), (0.999, 300), (1.0, 300)] {
            assert_eq!(success_rate(Some(min), None), need, "{min}");
        }
        assert_eq!(success_rate(None, Some(0.01)), 100);
        assert_eq!(success_rate(None, Some(0.0)), 300);
        assert_eq!(success_rate(Some(0.5), Some(0.01)), 100);
        assert_eq!(success_rate(None, Some(1.0)), 20);
    }

    #[test]
    fn a_small_sample_can_refute_but_one_chance_failure_cannot() {
        assert!(too_few(0, 10, 0.8, 0.95));
        assert!(!too_few(0, 9, 0.8, 0.95), "nine are never enough");
        assert!(!too_few(9, 10, 0.99, 0.95), "one failure in ten happens in one of ten runs at 99 %");
        assert!(too_few(7, 10, 0.99, 0.95));
        assert!(!too_few(8, 10, 0.8, 0.95));
        // Five or fewer of ten have a chance of 3.3 % at 80 %, four or fewer one of 0.6 %.
        assert!(!too_few(5, 10, 0.8, 0.95) && too_few(4, 10, 0.8, 0.95));
        assert!(!too_few(0, 10, 1.0, 1.0), "nothing is ever certain");
    }

    proptest! {
        #[test]
        fn stricter_limits_never_need_fewer(low in 0.0_f64..1.0, more in 0.0_f64..1.0) {
            let high = low + (1.0 - low) * more;
            prop_assert!(success_rate(Some(low), None) <= success_rate(Some(high), None));
        }

        #[test]
        fn room_for_one_failure_is_what_was_promised(limit in 0.0_f64..0.996) {
            let n = success_rate(Some(limit), None) as f64;
            prop_assert!((n - 1.0) / n >= limit - 1e-9);
        }
    }
}
