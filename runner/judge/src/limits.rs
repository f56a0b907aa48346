//! Limits, and the comparison of an observed value or its interval with them.

use shakedown_schemas::result::Verdict;
use shakedown_schemas::scenario::Decide;

/// The tolerance for rounding at a limit.
const SLACK: f64 = 1e-9;

/// An inclusive range; a side without a limit is open.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Limits {
    /// The smallest value that passes.
    pub(super) min: Option<f64>,
    /// The largest value that passes.
    pub(super) max: Option<f64>,
}

impl Limits {
    /// True when the value is at least the smallest that passes.
    pub(super) fn high_enough(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min - SLACK * min.abs().max(1.0))
    }

    /// True when the value is at most the largest that passes.
    pub(super) fn low_enough(&self, value: f64) -> bool {
        self.max.is_none_or(|max| value <= max + SLACK * max.abs().max(1.0))
    }

    /// True when the value passes.
    pub(super) fn hold(&self, value: f64) -> bool {
        self.high_enough(value) && self.low_enough(value)
    }

    /// The verdict for a value, or for its interval with `decide: interval`.
    pub(super) fn judge(&self, decide: Decide, value: f64, interval: Option<[f64; 2]>) -> Verdict {
        match (decide, interval) {
            (Decide::Point, _) if self.hold(value) => Verdict::Pass,
            (Decide::Point, _) => Verdict::Fail,
            (Decide::Interval, None) => Verdict::Inconclusive,
            (Decide::Interval, Some([low, high])) => {
                if self.hold(low) && self.hold(high) {
                    Verdict::Pass
                } else if !self.high_enough(high) || !self.low_enough(low) {
                    Verdict::Fail
                } else {
                    Verdict::Inconclusive
                }
            }
        }
    }

    /// The limits in words: `at least 80%`, `at most 3`, `80% to 90%`.
    pub(super) fn text(&self, show: impl Fn(f64) -> String) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("{} to {}", show(min), show(max)),
            (Some(min), None) => format!("at least {}", show(min)),
            (None, Some(max)) => format!("at most {}", show(max)),
            (None, None) => "any".to_owned(),
        }
    }

    /// The limit in a sentence about this value: the one that it misses, otherwise all of them.
    pub(super) fn against(&self, value: f64, show: impl Fn(f64) -> String) -> String {
        match (self.min, self.max) {
            (_, Some(max)) if !self.low_enough(value) => format!("allowed {}", show(max)),
            (Some(min), _) if !self.high_enough(value) => format!("expected at least {}", show(min)),
            _ => format!("expected {}", self.text(show)),
        }
    }

    /// The reference of a ratio that misses these limits for the test against drift, and whether the ratio is above it:
    /// the limit, or 1 (no change) if 1 is within the limit. None for a ratio that holds.
    pub(super) fn drift(&self, ratio: f64) -> Option<(f64, bool)> {
        if !self.low_enough(ratio) {
            self.max.map(|max| (max.min(1.0), true))
        } else if !self.high_enough(ratio) {
            self.min.map(|min| (min.max(1.0), false))
        } else {
            None
        }
    }

    /// How far a ratio may move from 1 before it reaches the nearest limit, as a factor of at least 1. None without a limit
    /// above 0.
    pub(super) fn room(&self) -> Option<f64> {
        let factors = [self.min, self.max].into_iter().flatten().filter(|limit| *limit > 0.0);
        factors.map(|limit| limit.max(1.0 / limit)).reduce(f64::min)
    }

    /// How many times as long a phase must be for its interval to exclude each limit within it. `factor` returns this for
    /// one limit.
    pub(super) fn longer(&self, [low, high]: [f64; 2], factor: impl Fn(f64) -> f64) -> f64 {
        let inside = |limit: &f64| low <= *limit && *limit <= high;
        [self.min, self.max].into_iter().flatten().filter(inside).map(factor).fold(1.0, f64::max)
    }
}

/// How many times as long a phase must be for the interval of a value to exclude a limit within it, if the interval shrinks
/// with the root of the time.
pub(super) fn by_root(value: f64, [low, high]: [f64; 2], limit: f64) -> f64 {
    let half = if limit < value { value - low } else { high - value };
    (half / (limit - value)).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(min: Option<f64>, max: Option<f64>) -> Limits {
        Limits { min, max }
    }

    #[test]
    fn distinguishes_drift_from_no_change() {
        let both = limits(Some(0.8), Some(1.25));
        assert_eq!([both.drift(1.3), both.drift(0.7), both.drift(1.0)], [Some((1.0, true)), Some((1.0, false)), None]);
        let faster = limits(None, Some(0.5));
        assert_eq!([faster.drift(0.6), faster.drift(0.5)], [Some((0.5, true)), None], "no change is too slow as well");
        let slower = limits(Some(1.1), Some(3.0));
        assert_eq!([slower.drift(1.0), slower.drift(3.5)], [Some((1.1, false)), Some((1.0, true))]);
    }

    #[test]
    fn the_room_of_a_ratio_is_the_nearest_limit() {
        let room = |min, max| limits(min, max).room();
        assert_eq!(
            [room(None, Some(3.0)), room(Some(0.5), Some(3.0)), room(Some(0.0), None)],
            [Some(3.0), Some(2.0), None]
        );
        assert_eq!(room(None, Some(0.8)), Some(1.25), "below 1 as well");
    }

    #[test]
    fn both_limits_are_inclusive() {
        let both = limits(Some(1.0), Some(2.0));
        for (value, verdict) in [
            (1.0, Verdict::Pass),
            (2.0, Verdict::Pass),
            (1.5, Verdict::Pass),
            (0.99, Verdict::Fail),
            (2.01, Verdict::Fail),
        ] {
            assert_eq!(both.judge(Decide::Point, value, None), verdict, "{value}");
        }
        let rounding = limits(Some(99.9 / 100.0), None);
        assert!(rounding.hold(999.0 / 1000.0));
        // The tolerance scales with the value: a thousandth at a million, and no more.
        let large = limits(Some(1e6), Some(1e6));
        assert!(large.hold(1e6 - 5e-4) && large.hold(1e6 + 5e-4));
        assert!(!large.hold(1e6 - 2e-3) && !large.hold(1e6 + 2e-3));
    }

    #[test]
    fn an_interval_decides_only_as_a_whole() {
        let both = limits(Some(1.0), Some(2.0));
        for (interval, verdict) in [
            ([1.0, 2.0], Verdict::Pass),
            ([0.9, 1.5], Verdict::Inconclusive),
            ([1.5, 2.1], Verdict::Inconclusive),
            ([0.5, 0.9], Verdict::Fail),
            ([2.1, 3.0], Verdict::Fail),
            ([0.5, 3.0], Verdict::Inconclusive),
        ] {
            assert_eq!(both.judge(Decide::Interval, 1.5, Some(interval)), verdict, "{interval:?}");
        }
        assert_eq!(both.judge(Decide::Interval, 1.5, None), Verdict::Inconclusive);
    }

    #[test]
    fn limits_in_words() {
        let show = |value: f64| format!("{value}s");
        assert_eq!(limits(Some(1.0), None).text(show), "at least 1s");
        assert_eq!(limits(Some(1.0), Some(2.0)).text(show), "1s to 2s");
        assert_eq!(limits(Some(1.0), Some(2.0)).against(3.0, show), "allowed 2s");
        assert_eq!(limits(Some(1.0), Some(2.0)).against(1.5, show), "expected 1s to 2s");
        assert_eq!(limits(Some(1.0), Some(2.0)).against(0.5, show), "expected at least 1s");
        assert_eq!(limits(None, Some(2.0)).against(0.5, show), "expected at most 2s");
    }

    #[test]
    fn advice_follows_the_root_of_the_time() {
        assert_eq!([by_root(2.0, [0.0, 4.0], 3.0), by_root(2.0, [0.0, 6.0], 3.0)], [4.0, 16.0]);
        assert_eq!([by_root(2.0, [0.0, 6.0], 1.0), by_root(2.0, [1.0, 6.0], 1.0)], [4.0, 1.0]);
        assert_eq!([by_root(2.0, [0.0, 6.0], 2.0), by_root(2.0, [2.0, 6.0], 2.0)], [f64::INFINITY; 2]);
    }

    #[test]
    fn advice_is_for_the_limits_that_the_interval_holds() {
        let longest = |it: Limits, factor: fn(f64) -> f64| it.longer([1.0, 3.0], factor);
        assert_eq!(longest(limits(Some(0.9), Some(3.1)), |_| 50.0), 1.0, "it holds neither");
        assert_eq!(longest(limits(Some(1.0), Some(3.0)), |limit| limit * 10.0), 30.0, "the longer one counts");
        assert_eq!(longest(limits(Some(1.0), Some(3.1)), |limit| limit * 10.0), 10.0);
    }

    proptest! {
        #[test]
        fn an_interval_is_never_bolder_than_its_point(
            min in proptest::option::of(0.0_f64..5.0), max in proptest::option::of(0.0_f64..5.0),
            value in 0.0_f64..5.0, below in 0.0_f64..2.0, above in 0.0_f64..2.0,
        ) {
            let limits = limits(min, max);
            let interval = limits.judge(Decide::Interval, value, Some([value - below, value + above]));
            let point = limits.judge(Decide::Point, value, None);
            prop_assert!(interval == Verdict::Inconclusive || interval == point);
        }
    }
}
