//! A load generator that is late makes requests slow that the service answers as before.

use super::*;

/// Answers take 50 ms, and 300 ms in the fifth second after the removal, in which the generator is late by so much. The down time
/// ends after two seconds.
fn late_by(late_ms: u64) -> Observations {
    let mut observations = observe(|it| match (it.phase, it.into as u64) {
        ("cut", _) | ("recovery", 0..2) => it.refused(),
        ("recovery", 4) => it.ok_in(300.0),
        _ => it.ok_in(50.0),
    });
    for cell in &mut observations.loads[0].segments[2].cells[16..20] {
        cell.late.record_n(late_ms * 1000, if late_ms == 0 { 0 } else { cell.requests() });
    }
    observations
}

#[test]
fn a_window_that_is_slow_only_by_the_generator_s_lateness_is_no_relapse() {
    let run = |late_ms| seen(&scenario(json!({"max": "15s", "hold": "2s"})), &late_by(late_ms)).remove(0);
    assert_eq!(run(0).relapses_s, [44.0]);
    assert_eq!(run(100).relapses_s, [44.0], "it is slow without that as well");
    let late = run(250);
    assert_eq!((late.relapses_s.as_slice(), late.recovered_s, late.out_of_tolerance_s), (&[][..], Some(42.0), 22.0));
}

#[test]
fn a_late_window_neither_begins_nor_ends_a_good_run() {
    check(&judge(&late_by(250), json!({"max": "3s", "hold": "5s"})), Verdict::Pass, "2s ± 1s");
    check(&judge(&late_by(100), json!({"max": "3s", "hold": "5s"})), Verdict::Fail, "5s ± 1s");
}

/// One late request of twenty is no excuse for nineteen slow ones.
#[test]
fn the_lateness_of_few_requests_excuses_no_others() {
    let mut observations = late_by(0);
    observations.loads[0].segments[2].cells[16].late.record(250_000);
    assert_eq!(seen(&scenario(json!({"max": "15s", "hold": "2s"})), &observations)[0].relapses_s, [44.0]);
}
