//! What is steady and what is not, on synthetic requests, and the statistics behind it on numbers whose answer is known.

use super::*;
use crate::stats::judged;
use crate::testing::shapes::{Service, Shape};
use crate::testing::{Timeline, near};

fn look(rate: f64, seconds: f64, ms: impl Fn(f64) -> f64) -> Option<String> {
    let observations = Timeline::new(rate).phase("p", seconds).answer(|it| it.ok_in(ms(it.into))).observe();
    unsteady(judged(&observations.loads[0], 0))
}

#[test]
fn a_constant_and_a_short_stretch_are_steady() {
    assert_eq!(look(20.0, 30.0, |_| 50.0), None);
    let doubling = |into: f64| 50.0 * into.exp2();
    assert_eq!(look(20.0, 9.0, doubling), None, "nine windows are too few");
    assert!(look(20.0, 10.0, doubling).is_some(), "ten are enough");
    assert_eq!(look(1.0, 30.0, |into| 50.0 + into * 50.0), None, "three windows of ten requests");
    assert_eq!(windows(&[]), Vec::<Cell>::new());
    assert_eq!(look(0.01, 60.0, |_| 50.0), None);
}

#[test]
fn trends_are_detected_in_both_directions() {
    assert_eq!(
        look(20.0, 30.0, |into| 100.0 * (1.0 + into / 30.0)).as_deref(),
        Some("p50 rises throughout, from 107ms to 205ms")
    );
    let falls = look(20.0, 30.0, |into| 200.0 * (1.0 - into / 60.0)).unwrap();
    assert!(falls.starts_with("p50 falls throughout, from 205ms to 107ms"), "{falls}");
    assert_eq!(look(20.0, 30.0, |into| 100.0 * (1.0 + into / 75.0)), None, "by 40 % only");
    assert_eq!(look(20.0, 30.0, |into| 2.0 + into / 10.0), None, "three milliseconds more are nothing");
}

#[test]
fn jumps_are_reported_with_their_time() {
    let at = |second: f64| move |into: f64| if into < second { 100.0 } else { 180.0 };
    assert_eq!(look(20.0, 30.0, at(12.0)).as_deref(), Some("p50 jumps from 100ms to 180ms after 40% of the phase"));
    assert_eq!(look(20.0, 30.0, |into| if into < 15.0 { 100.0 } else { 145.0 }), None, "too little");
    assert_eq!(look(20.0, 30.0, at(28.5)), None, "two seconds at the end");
}

#[test]
fn detects_a_share_of_failures_that_begins() {
    let failing = |from: f64, every: u64| {
        let observations = Timeline::new(20.0)
            .phase("p", 30.0)
            .answer(|it| if it.into >= from && it.index % every == 0 { it.refused() } else { it.ok_in(50.0) })
            .observe();
        unsteady(judged(&observations.loads[0], 0))
    };
    assert_eq!(failing(12.0, 10).as_deref(), Some("the success rate jumps from 100% to 90% after 40% of the phase"));
    assert_eq!(failing(0.0, 10), None, "as many all along");
    assert_eq!(failing(12.0, 50), None, "one of fifty");
}

/// Services that drift by themselves do not keep the gate shut: that is another thing than a baseline that is not one.
#[test]
fn shapes_of_real_services_are_steady() {
    for shape in Shape::ALL {
        let cries: usize = (0..100)
            .map(|seed| {
                let mut service = Service::new(shape, seed);
                let observations =
                    Timeline::new(20.0).phase("p", 30.0).answer(|it| it.ok_in(service.answer_ms(it.at))).observe();
                usize::from(unsteady(judged(&observations.loads[0], 0)).is_some())
            })
            .sum();
        // A level that drifts by 30 % from second to second is hardly steady.
        assert!(cries <= if shape == Shape::Drifting(0.30) { 3 } else { 0 }, "{shape}: {cries} of 100");
    }
}

/// Whatever differs matters.
const PLAIN: Measure =
    Measure { name: "it", of: |_| None, matters: |from, to| (from - to).abs() > 0.0, shown: text::digits };

/// As many values as asked, alternately so much above and below those of a rule.
fn noisy(count: usize, noise: f64, rule: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..count).map(|at| rule(at) + if at % 2 == 0 { noise } else { -noise }).collect()
}

#[test]
fn the_numbers_behind_it() {
    assert_eq!(middle(vec![3.0, 1.0, 2.0]), 2.0);
    assert_eq!(middle(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    near(inflation(&[2.0, 1.0, 0.0]), 1.4 / 0.6, 1e-12);
    near(inflation(&[1.0, 1.0, 1.0, 1.0]), 7.0, 1e-12);
    near(inflation(&[1.0, -1.0, 1.0, -1.0]), 1.0, 1e-12);
    near(inflation(&[1.0; 100]), 1.95 / 0.05, 1e-9);
    assert_eq!(inflation(&[0.0; 5]), 1.0);
    near(variance(&[2.0, 1.0, 0.0]), 5.0 * 1.4 / 0.6, 1e-12);
    near(variance(&[1.0, -1.0, 1.0, -1.0]), 2.0, 1e-12);
    assert!((SUCCESS.matters)(0.05, 0.0) && !(SUCCESS.matters)(0.049, 0.0) && !(SUCCESS.matters)(0.99, 0.97));
    let latency = |from: f64, to: f64| (LATENCY.matters)((from * 1e3).ln(), (to * 1e3).ln());
    assert!(latency(100.0, 151.0) && latency(151.0, 100.0) && latency(1.0, 11.1));
    assert!(!latency(100.0, 149.0) && !latency(1.0, 10.9), "in milliseconds");
}

#[test]
fn windows_hold_ten_requests_or_more_and_are_two_hundred_at_most() {
    let held = |rate: f64, seconds: f64| {
        let observations = Timeline::new(rate).phase("p", seconds).observe();
        let windows = windows(&judged(&observations.loads[0], 0).collect::<Vec<_>>());
        (windows.len(), windows.iter().map(Cell::requests).min().unwrap_or_default())
    };
    assert_eq!(held(20.0, 30.0), (30, 20));
    assert_eq!(held(10.0, 30.0), (30, 10));
    assert_eq!(held(9.6, 30.0), (30, 9), "a little less is enough");
    assert_eq!(held(5.0, 30.0), (15, 10));
    assert_eq!(held(5.0, 31.0), (15, 10), "the last second is no whole window");
    assert_eq!(held(20.0, 200.0), (200, 20));
    assert_eq!(held(20.0, 400.0), (200, 40));
    assert_eq!(held(20.0, 401.0), (133, 60));
}

/// A slope whose standard error is known: twelve values one above and below a line leave a variance of 12 / 10.
#[test]
fn a_trend_exceeds_four_and_a_half_standard_errors() {
    let error = (1.2_f64 * 12.0 / (12.0 * 143.0)).sqrt();
    let words = |slope: f64| trend(&noisy(12, 1.0, |at| slope * at as f64), &PLAIN);
    assert_eq!(words(4.505 * error).as_deref(), Some("it rises throughout, from 0 to 4.54"));
    assert_eq!(words(-4.505 * error).as_deref(), Some("it falls throughout, from 0 to -4.54"));
    assert_eq!(words(4.495 * error), None);
    assert_eq!(words(-4.495 * error), None);
    assert_eq!(trend(&[7.0; 12], &Measure { matters: |_, _| true, ..PLAIN }), None, "no slope is none");
    let level = |slope: f64| trend(&noisy(12, 1.0, |at| 7.0 + slope * at as f64), &PLAIN);
    assert_eq!(level(1.0).as_deref(), Some("it rises throughout, from 7 to 18"));
    assert_eq!(trend(&noisy(12, 1.0, |at| at as f64), &Measure { matters: |_, _| false, ..PLAIN }), None);
}

/// Pettitt's chance of 11 and 11 separate values is 0.00075, that of 10 and 10 is 0.0016.
#[test]
fn a_jump_is_hardly_chance() {
    let step = |half: usize| (0..2 * half).map(|at| if at < half { 0.0 } else { 1.0 }).collect::<Vec<_>>();
    assert_eq!(jump(&step(11), &PLAIN).as_deref(), Some("it jumps from 0 to 1 after 50% of the phase"));
    assert_eq!(jump(&step(10), &PLAIN), None);
    assert_eq!(jump(&[1.0; 30], &PLAIN), None);
    assert_eq!(jump(&step(11), &Measure { matters: |_, _| false, ..PLAIN }), None);
    // 12 and 12 have a chance of 0.00035, which neighbours that are alike, with a correlation of a sixth, make 0.004.
    let with = |pairs: &[(usize, f64)]| {
        let mut values = step(12);
        pairs.iter().for_each(|(at, value)| values[*at] += value);
        jump(&values, &PLAIN)
    };
    assert!(with(&[(2, -0.1), (5, -0.1), (20, 0.1)]).is_some());
    assert_eq!(with(&[(2, -0.1), (3, -0.1), (5, -0.1)]), None);
    // Of two places that are equally good it is the first.
    let mut tie = [vec![0.0; 12], vec![0.5], vec![1.0; 12]].concat();
    assert_eq!(jump(&tie, &PLAIN).as_deref(), Some("it jumps from 0 to 1 after 48% of the phase"));
    tie.iter_mut().for_each(|value| *value = 0.0 - *value);
    assert_eq!(jump(&tie, &PLAIN).as_deref(), Some("it jumps from 0 to -1 after 48% of the phase"));
}

/// One value of each side that is so far out leaves a variance of 2 / 22 of its square, and medians as they were.
#[test]
fn a_jump_is_four_and_a_half_standard_errors() {
    let words = |errors: f64, low: usize, high: usize| {
        let out = 1.0 / errors / (2.0_f64 / 22.0 * (1.0 / low as f64 + 1.0 / high as f64)).sqrt();
        let mut values = [vec![7.0; low], vec![8.0; high]].concat();
        values[2] -= out;
        values[22] += out;
        jump(&values, &PLAIN)
    };
    assert_eq!(words(4.6, 12, 12).as_deref(), Some("it jumps from 7 to 8 after 50% of the phase"));
    assert_eq!(words(4.4, 12, 12), None);
    assert!(words(4.6, 11, 13).is_some());
    assert_eq!(words(4.4, 11, 13), None);
}

/// A side that rises by a third of the jump and more is no level.
#[test]
fn a_jump_is_between_two_levels() {
    let words = |before: f64, after: f64| {
        let steps = |part: usize, rise: f64| rise * (part / 8) as f64 / 2.0;
        let rule = |at: usize| if at < 24 { steps(at, before) } else { 1.0 + steps(at - 24, after) - after / 2.0 };
        jump(&noisy(48, 0.3, rule), &PLAIN)
    };
    // The medians are 1 - 0.28 / 2 apart, and a third of that is 0.287.
    assert_eq!(words(0.28, 0.0).as_deref(), Some("it jumps from 0.14 to 1 after 50% of the phase"));
    assert_eq!(words(0.3, 0.0), None);
    assert!(words(0.0, 0.28).is_some());
    assert_eq!(words(0.0, 0.35), None);
}
