//! The minimum number of requests for each question. Fewer make the answer inconclusive, never a pass. `min_samples` of the
//! expectation overrides each rule.

pub(super) use shakedown_schemas::samples::{FLOOR, percentile, success_rate};

use super::numbers::binomial_at_most;
use shakedown_schemas::samples::FLOOR_FOR_FAILURE;

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
