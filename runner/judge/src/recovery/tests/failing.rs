//! A service of which some requests fail all the time.

use super::*;
use shakedown_observe::chance::Chance;

/// How many of 60 runs have each verdict: pass, and fail. These shares of requests fail in the baseline and after the cut, in which
/// all do.
fn verdicts(before: f64, after: f64) -> (usize, usize) {
    let verdicts: Vec<Verdict> = (0..60)
        .map(|seed| {
            let mut chance = Chance::new(seed, &["failing"]);
            let observations = observe(|it| {
                let share = if it.phase == "recovery" { after } else { before };
                if it.phase == "cut" || chance.uniform() < share { it.refused() } else { it.ok_in(50.0) }
            });
            judge(&observations, json!({"max": "10s", "hold": "5s"})).verdict
        })
        .collect();
    let count = |verdict| verdicts.iter().filter(|it| **it == verdict).count();
    (count(Verdict::Pass), count(Verdict::Fail))
}

/// With 1 % of failures all the time, hardly a run recovered, and none with 3 %.
#[test]
fn failures_as_before_are_within_tolerance() {
    for (share, least) in [(0.0, 60), (0.005, 52), (0.01, 54), (0.03, 57)] {
        let (passed, failed) = verdicts(share, share);
        assert!(passed >= least, "{share}: {passed} of 60 pass, {failed} fail");
    }
}

/// More failures than before are no recovery, even if they are too few in each window.
#[test]
fn more_failures_than_before_are_no_recovery() {
    for (before, after, most) in [(0.0, 0.03, 0), (0.01, 0.1, 0), (0.01, 0.06, 6), (0.03, 0.15, 0)] {
        let (passed, failed) = verdicts(before, after);
        assert!(passed <= most, "{before} to {after}: {passed} of 60 pass, {failed} fail");
    }
}
