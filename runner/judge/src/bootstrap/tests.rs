//! Windows, ranks and excess by hand, whole intervals against another program's, and the width that theory knows.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::stats::judged;
use crate::testing::Timeline;

fn windows(rate: f64, seconds: f64, mut ms: impl FnMut(u64) -> f64) -> Windows {
    let observations = Timeline::new(rate).phase("p", seconds).answer(|it| it.ok_in(ms(it.index))).observe();
    Windows::new(judged(&observations.loads[0], 0), |cell| &cell.latency)
}

/// Log-normal latencies: exp(sigma * z) around 100 ms.
fn log_normal(chance: &mut Chance, sigma: f64) -> f64 {
    100.0 * (sigma * chance.normal()).exp()
}

#[track_caller]
fn near(actual: [f64; 2], expected: [f64; 2]) {
    let is_near = |(actual, expected): (f64, f64)| (actual / expected - 1.0).abs() < 1e-6;
    assert!(actual.into_iter().zip(expected).all(is_near), "{actual:?} is not {expected:?}");
}

#[test]
fn ranks_match_the_histogram_and_are_interpolated() {
    let all = windows(50.0, 20.0, |index| 10.0 + (index * 37 % 100) as f64);
    assert_eq!((all.len(), all.values()), (20, 1000));
    let mut histogram = Histogram::default();
    (0..1000_u64).for_each(|index| histogram.record(10_000 + (index * 37 % 100) * 1000));
    for quantile in [0.01, 0.5, 0.95, 0.99] {
        let (ours, exact) = (all.ranked(quantile * 1000.0).exp(), histogram.quantile(quantile).unwrap());
        assert!((ours / exact - 1.0).abs() < 0.001, "{ours} {exact}");
    }
    // Ten of each: ranks 991 to 1,000 are 109 ms.
    let (last, before) = (all.ranked(1000.0), all.ranked(990.0));
    assert!(last > before);
    assert_eq!((all.ranked(991.0), all.ranked(1e9)), (last, last));
    assert!((all.ranked(990.25) - (before * 0.75 + last * 0.25)).abs() < 1e-12);
    assert_eq!(all.ranked(-5.0), all.ranked(1.0));
}

#[test]
fn long_phases_are_merged() {
    let hour = windows(2.0, 3600.0, |_| 10.0);
    assert_eq!((hour.len(), hour.window_s, hour.block()), (200, 18.0, 1));
    let minute = windows(2.0, 60.0, |_| 10.0);
    assert_eq!((minute.len(), minute.window_s, minute.block()), (60, 1.0, 5));
    assert_eq!(windows(2.0, 401.0, |_| 10.0).block(), 2, "two seconds and a half, rounded");
    assert_eq!(windows(2.0, 8.0, |_| 10.0).block(), 2, "three blocks at least");
    assert_eq!(windows(2.0, 20.25, |_| 10.0).len(), 20, "a rest of a quarter joins the last window");
    assert_eq!(windows(2.0, 20.5, |_| 10.0).len(), 21, "half a window is one");
}

#[test]
fn excess_above_the_percentile_sums_to_zero() {
    // Five values in each window: 1, 2, 3, 4, 5 ms; in the last one all of them are 5 ms.
    let all = windows(5.0, 6.0, |index| if index >= 25 { 5.0 } else { 1.0 + (index % 5) as f64 });
    // At 0.8 it is 5 ms: ten of the 30 values, of which six belong above it.
    let check = |quantile: f64, expected: [f64; 6]| {
        let excess = all.excess(quantile);
        assert!(excess.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{excess:?}");
    };
    check(0.8, [-0.4, -0.4, -0.4, -0.4, -0.4, 2.0]);
    // At 0.5 it is 3 ms, none of which belongs above it.
    check(0.5, [-0.5, -0.5, -0.5, -0.5, -0.5, 2.5]);
}

#[test]
fn drift_needs_six_windows() {
    // Slower in its second half, at once.
    let drift = |seconds: f64| windows(20.0, seconds, |index| if index < 60 { 10.0 } else { 20.0 }).drift(0.5);
    assert!(drift(6.0).is_some_and(|factor| factor > DRIFT));
    assert_eq!(drift(5.0), None);
}

#[test]
fn a_constant_has_an_interval_without_width() {
    let all = windows(20.0, 30.0, |_| 50.0);
    let [low, high] = percentile(&all, 0.95, 0.95, Chance::new(1, &[])).unwrap();
    assert!((low - high).abs() < 1e-6 && (low / 50_000.0 - 1.0).abs() < 0.001);
    near(ratio(&all, &all, 0.95, 0.95, Chance::new(1, &[])).unwrap(), [1.0, 1.0]);
    assert_eq!(all.drift(0.95), None);
}

#[test]
fn short_and_empty_phases_have_none() {
    let (long, short, empty) =
        (windows(20.0, 6.0, |_| 50.0), windows(20.0, 5.0, |_| 50.0), windows(0.01, 30.0, |_| 50.0));
    let chance = || Chance::new(1, &[]);
    assert!(percentile(&long, 0.95, 0.95, chance()).is_some());
    assert_eq!(percentile(&short, 0.95, 0.95, chance()), None);
    assert_eq!((empty.values(), ratio(&long, &short, 0.5, 0.95, chance())), (1, None));
    let observations = Timeline::new(20.0).phase("p", 30.0).answer(|it| it.refused()).observe();
    let nothing = Windows::new(judged(&observations.loads[0], 0), |cell| &cell.latency);
    assert_eq!((nothing.len(), nothing.values(), nothing.drift(0.5)), (30, 0, None));
    assert_eq!(percentile(&nothing, 0.5, 0.95, chance()), None);
}

/// Every step of it, against a second program that was written from the description alone (in another language).
#[test]
fn whole_intervals_agree_with_another_program() {
    let pattern = |index: u64| 10.0 + (index * 7919 % 101) as f64;
    let slower = |index: u64| pattern(index) + if (100..300).contains(&index) { 30.0 } else { 0.0 };
    let (over, under) = (windows(20.0, 24.0, slower), windows(20.0, 20.0, pattern));
    let chance = || Chance::new(1, &["a"]);
    for (quantile, wide, narrow, of_ratio, drift) in [
        (0.5, [42_991.5, 102_097.516_092], [56_015.5, 88_031.5], [0.728_774_484, 1.699_286_018], 17.215_291_713),
        (
            0.95,
            [102_620.148_930, 139_967.5],
            [109_358.490_225, 139_967.5],
            [0.974_045_207, 1.333_131_730],
            26.763_597_092,
        ),
    ] {
        near(percentile(&over, quantile, 0.95, chance()).unwrap(), wide);
        near(percentile(&over, quantile, 0.8, chance()).unwrap(), narrow);
        near(ratio(&over, &under, quantile, 0.95, chance()).unwrap(), of_ratio);
        near([over.drift(quantile).unwrap(); 2], [drift; 2]);
    }
}

/// The large-sample interval of a ratio of medians of log-normals is known: its half-width is
/// `1.96 * sqrt(2) * sigma * sqrt(pi / 2) / sqrt(n)` in logarithms. Ours knows the variance from seven terms of each
/// phase, which makes it wider by `t / z` with about 14 degrees of freedom: 1.09.
#[test]
fn the_interval_of_a_ratio_has_the_analytic_width() {
    let runs = 24;
    let mut half = 0.0;
    for seed in 0..runs {
        let mut chance = Chance::new(seed, &["sample"]);
        let over = windows(20.0, 200.0, |_| 2.0 * log_normal(&mut chance, 0.5));
        let under = windows(20.0, 200.0, |_| log_normal(&mut chance, 0.5));
        let [low, high] = ratio(&over, &under, 0.5, 0.95, Chance::new(seed, &["draw"])).unwrap();
        half += (high / low).ln() / 2.0 / runs as f64;
    }
    let analytic = 1.96 * 2.0_f64.sqrt() * 0.5 * (std::f64::consts::PI / 2.0).sqrt() / 4000.0_f64.sqrt();
    assert!((0.98..1.2).contains(&(half / analytic)), "{half} against {analytic}");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_does_not() {
    let mut chance = Chance::new(3, &["x"]);
    let all = windows(20.0, 30.0, |_| log_normal(&mut chance, 0.5));
    let interval = |seed| percentile(&all, 0.95, 0.95, Chance::new(seed, &["a"])).unwrap().map(f64::to_bits);
    assert_eq!(interval(1), interval(1));
    let different: BTreeSet<[u64; 2]> = (1..10).map(interval).collect();
    assert!(different.len() > 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn more_confidence_is_never_narrower(seed in 0_u64..1000, sigma in 0.1_f64..1.0) {
        let mut chance = Chance::new(seed, &["y"]);
        let all = windows(20.0, 24.0, |_| log_normal(&mut chance, sigma));
        let at = |confidence| percentile(&all, 0.9, confidence, Chance::new(seed, &[])).unwrap();
        let ([low, high], [wide_low, wide_high]) = (at(0.8), at(0.95));
        prop_assert!(wide_low <= low && low <= high && high <= wide_high);
    }
}
