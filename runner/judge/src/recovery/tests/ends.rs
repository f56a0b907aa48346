//! A recovery is judged to the end of what was observed, against a baseline that answers.

use super::*;

/// "Recovered after 0s" was said of a service that never answered: the timeouts were the baseline's p95, and the tolerance was
/// more than its success rate.
#[test]
fn a_baseline_that_hardly_ever_answers_is_no_reference() {
    let run = |answers: fn(u64) -> bool, tolerance: &str| {
        let observations = Timeline::new(20.0)
            .phase("baseline", 20.0)
            .fault_phase("cut", 20.0)
            .phase("recovery", 30.0)
            .answer(|it| if answers(it.index) { it.ok_in(50.0) } else { it.timeout() })
            .observe();
        assert_eq!(seen(&scenario(json!({"max": "15s", "tolerance": tolerance})), &observations), []);
        judge(&observations, json!({"max": "15s", "tolerance": tolerance}))
    };
    for (answers, tolerance, why) in [
        ((|_| false) as fn(u64) -> bool, "1%", "no request of the baseline `baseline` succeeded"),
        (|index| index % 8 == 0, "1%", "the baseline `baseline` has 50 requests that succeeded, and 60 are needed"),
        (|index| index % 10 > 0, "1%", "40 of 400 requests of the baseline `baseline` never ended: its p95 is unknown"),
        (
            |index| index % 40 > 0,
            "98%",
            "the baseline `baseline` has a success rate of 97.5%, which is within the tolerance",
        ),
    ] {
        let result = run(answers, tolerance);
        check(&result, Verdict::Inconclusive, "nothing");
        assert!(result.reason.starts_with(why), "{}", result.reason);
    }
}

/// A closed loop of two workers, each of which sends every 100 ms, until they hang for some seconds. 10 requests are a window.
fn closed(rate: f64, hangs: impl Fn(f64) -> Option<f64>) -> Observations {
    let mut observations = Timeline::new(rate)
        .phase("baseline", 20.0)
        .fault_phase("cut", 20.0)
        .phase("recovery", 30.0)
        .answer(|it| match it.phase {
            "cut" => it.refused(),
            // The request on which a worker hangs is due within the last interval before it.
            "recovery" => match hangs(it.into + 2.0 / rate) {
                Some(seconds) => Outcome { ms: seconds * 1000.0, ..it.timeout() },
                None => it.ok_in(50.0),
            },
            _ => it.ok_in(50.0),
        })
        .observe();
    observations.loads[0].is_open = false;
    let segment = &mut observations.loads[0].segments[2];
    for (cell, at) in segment.cells.iter_mut().zip(0_u32..) {
        if hangs(f64::from(at) * 0.25).is_some() {
            *cell = Cell::default();
        }
    }
    observations
}

/// A hang after `hold` has no requests, and so no window that is known to be bad: "recovered after 0s", although the service hung
/// for the last 14 s.
#[test]
fn a_closed_loop_that_hangs_later_relapses() {
    let at_end = closed(20.0, |into| (into >= 16.0).then_some(60.0));
    let result = judge(&at_end, json!({"max": "15s", "tolerance": "10%"}));
    check(&result, Verdict::Fail, "> 30s");
    assert!(result.reason.contains("(first after 0s; relapsed once, at 16s)"), "{}", result.reason);
    let record = seen(&scenario(json!({"max": "15s", "tolerance": "10%"})), &at_end).remove(0);
    assert_eq!((record.recovered_s, record.relapses_s.as_slice()), (None, &[56.0][..]));
    assert_eq!(record.out_of_tolerance_s, 34.0);

    let between = closed(20.0, |into| (8.0..16.0).contains(&into).then_some(8.0));
    let result = judge(&between, json!({"max": "15s", "tolerance": "10%"}));
    check(&result, Verdict::Fail, "16s ± 1s");

    // A load that has no workers in the end has nothing to wait for.
    let idle = closed(20.0, |into| (into >= 16.0).then_some(0.05));
    check(&judge(&idle, json!({"max": "15s", "tolerance": "10%"})), Verdict::Pass, "0s ± 1s");
}

/// The last requests before the end are too few for a window, and none of them is well.
#[test]
fn what_ends_with_a_few_bad_requests_is_open() {
    let mut observations = down_while(|into| into >= 26.0);
    observations.loads[0].is_open = false;
    for (cell, at) in observations.loads[0].segments[2].cells.iter_mut().zip(0..) {
        if at > 26 * 4 {
            *cell = Cell::default();
        }
    }
    let result = judge(&observations, json!({"max": "15s"}));
    check(&result, Verdict::Inconclusive, "> 30s");
}

/// Windows of 10 s at 2/s: what was shorter than one at the end of the run was never looked at, up to 9.5 s.
#[test]
fn an_outage_in_the_last_part_of_a_window_is_a_relapse() {
    let run = |seconds: f64, down_from: f64| {
        let observations = Timeline::new(2.0)
            .phase("baseline", 40.0)
            .fault_phase("cut", 8.0)
            .phase("recovery", seconds)
            .answer(move |it| match it.phase {
                "cut" => it.refused(),
                "recovery" if it.into >= down_from => it.refused(),
                _ => it.ok_in(50.0),
            })
            .observe();
        let settings = json!({"max": "12s"});
        (judge(&observations, settings.clone()), seen(&scenario(settings), &observations).remove(0))
    };
    let (result, record) = run(19.5, 11.0);
    check(&result, Verdict::Fail, "> 19.5s");
    assert!(result.reason.contains("relapsed once, at 10s"), "{}", result.reason);
    assert_eq!((record.onset_s, record.recovered_s, record.seen_until_s), (Some(40.0), None, Some(67.5)));
    // Less than ten requests belong to the window before them.
    let (result, _) = run(14.0, 10.5);
    check(&result, Verdict::Fail, "> 14s");
    check(&run(14.0, 99.0).0, Verdict::Pass, "0s ± 10s");
    check(&run(19.5, 99.0).0, Verdict::Pass, "0s ± 10s");
}

/// A fault's phase of 4 s at 2/s has eight requests, of which nothing can be said.
#[test]
fn a_phase_without_a_known_window_has_no_record_of_its_fault() {
    let observations = Timeline::new(2.0)
        .phase("baseline", 40.0)
        .fault_phase("cut", 4.0)
        .phase("recovery", 30.0)
        .answer(|it| if it.phase == "cut" { it.refused() } else { it.ok_in(50.0) })
        .observe();
    assert_eq!(seen(&scenario(json!({"max": "12s"})), &observations), []);
}
