//! The sentences that answers share.

use serde_json::json;

use super::*;
use crate::testing::{Timeline, scenario};

fn at_most(unit: Unit, max: f64) -> Answer {
    let show = if unit == Unit::Fraction { text::percent } else { text::digits };
    Answer::new(unit, Limits { min: None, max: Some(max) }, show)
}

fn sampling(decide: Decide) -> Sampling {
    Sampling { min_samples: None, decide, confidence: None }
}

#[test]
fn a_phase_to_compare_with_began_and_lasted() {
    let scenario = scenario(&json!([{"name": "baseline", "duration": "20s"}, {"name": "cut", "duration": "20s"}]));
    let seen = Timeline::new(20.0).phase("baseline", 20.0).phase("cut", 5.0).edit(|it| it.complete = false).observe();
    let complete = |name: &str| {
        let asked = Asked {
            scenario: &scenario,
            observations: &seen,
            load: &seen.loads[0],
            usual: None,
            phase: 1,
            to: seen.phase(name),
            path: "",
            seed: 1,
        };
        asked.complete_phase(name)
    };
    assert_eq!(complete("baseline"), Ok(0));
    assert_eq!(complete("cut").unwrap_err(), "the comparison phase `cut` ended early");
    assert_eq!(complete("recovery").unwrap_err(), "the comparison phase `recovery` never began");
}

#[test]
fn names_the_counted_unit_of_the_minimum() {
    let requests = Rules::new(sampling(Decide::Point), 60);
    let decided = at_most(Unit::Times, 3.0).observed(2.0, "2x".to_owned(), None).decide(&requests, "it rose");
    assert_eq!((decided.verdict, decided.terms["requests needed"].as_str()), (Verdict::Pass, "60"));
    let gaps = requests.counting("token gap");
    let few = at_most(Unit::Times, 3.0).too_few(&gaps, "", "p95 needs", &[("baseline", 60), ("cut", 59)], false);
    assert_eq!((few.verdict, few.terms["token gaps needed"].as_str()), (Verdict::Inconclusive, "60"));
    assert_eq!(
        few.reason,
        "`cut` has 59 token gaps, and p95 needs 60: lengthen the phase, raise the load, or set `min_samples`"
    );
}

#[test]
fn an_undecided_interval_names_the_needed_length() {
    let rules = Rules::new(sampling(Decide::Interval), 20);
    let reason = |unit: Unit, value: f64, interval: Option<[f64; 2]>, max: f64| {
        let mut answer = at_most(unit, max).observed(value, String::new(), interval);
        answer.samples = 320;
        answer.decide(&rules, "it was so").reason
    };
    assert_eq!(
        reason(Unit::Times, 2.0, Some([1.0, 3.0]), 2.25),
        "it was so (1 to 3), expected at most 2.25; both phases about 16 times as long would decide"
    );
    let hundred = reason(Unit::Seconds, 2.0, Some([0.75, 3.25]), 2.125);
    assert!(hundred.ends_with("; a phase about 100 times as long would decide"), "{hundred}");
    let near = "; the value is too close to the limit to decide in a phase of reasonable length";
    assert!(reason(Unit::Seconds, 2.0, Some([1.0, 3.0]), 2.03125).ends_with(near), "1,024 times as long");
    // None of 320, with a limit of 1 in 1,000: 3,838 are needed, where the root of the time would say 45,000.
    let shares = reason(Unit::Fraction, 0.0, Some([0.0, 0.0119]), 0.001);
    assert!(shares.ends_with("; a phase about 12 times as long would decide"), "{shares}");
    let short = "; the phase is too short: an interval needs at least 6 s";
    assert!(reason(Unit::Times, 2.0, None, 3.0).ends_with(short));
}
