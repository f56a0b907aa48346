use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn shape(pace: serde_json::Value, seconds: u64) -> Shape {
    Shape::new(&serde_json::from_value(pace).unwrap(), Duration::from_secs(seconds))
}

fn constant(rate: f64) -> Shape {
    Shape { legs: Vec::new(), last: rate }
}

fn mark(at_ns: u64, phase: usize, part: PhasePart) -> Mark {
    Mark { at_ns, phase, part }
}

fn judged(seconds: &[f64]) -> Vec<Mark> {
    let at = |(phase, seconds): (usize, &f64)| mark((seconds * 1e9) as u64, phase, PhasePart::Judged);
    seconds.iter().enumerate().map(at).collect()
}

fn all(arrival: Arrival, curve: &Curve, part: (u64, u64), end_ns: u64) -> Vec<u64> {
    let mut schedule = Schedule::new((arrival, 20), 7, "load", part);
    schedule.follow(curve.clone());
    std::iter::from_fn(|| schedule.take_before(end_ns)).collect()
}

fn even(curve: &Curve, end_ns: u64) -> Vec<u64> {
    all(Arrival::Steady, curve, (0, 1), end_ns)
}

#[test]
fn a_constant_rate_is_exact() {
    let curve = |rate| Curve::new(&[constant(rate)], &[]);
    assert_eq!(even(&curve(4.0), SECOND), [0, 250_000_000, 500_000_000, 750_000_000]);
    for rate in [1.0, 3.0, 7.5, 400.0, 1_000.0, 20_000.0] {
        let due = even(&curve(rate), 10 * SECOND);
        assert_eq!(due.len() as f64, rate * 10.0, "{rate}");
        assert!(due.is_sorted());
    }
    assert_eq!(even(&curve(0.0), u64::MAX), [] as [u64; 0]);
}

#[test]
fn a_phase_does_not_depend_on_knowing_the_next_one() {
    for (steps, milliseconds) in [(json!(["3/s", "35/s", "5/s", "169/s"]), 2430), (json!(["7/s", "30/s"]), 2000)] {
        for milliseconds in milliseconds - 100..milliseconds + 100 {
            let pace = serde_json::from_value(json!({"steps": steps})).unwrap();
            let shapes = [Shape::new(&pace, Duration::from_millis(milliseconds)), constant(0.0)];
            let end_ns = (70 + milliseconds) * 1_000_000;
            let marks = [
                mark(0, 0, PhasePart::Injecting),
                mark(70_000_000, 0, PhasePart::Judged),
                mark(end_ns, 1, PhasePart::Judged),
            ];
            let known = even(&Curve::new(&shapes, &marks), u64::MAX);
            assert_eq!(known, even(&Curve::new(&shapes, &marks[..2]), end_ns), "{steps} {milliseconds}");
        }
    }
}

#[test]
fn requests_due_soon_are_sent_together() {
    for (rate, parts, waits_ns) in [
        (0.0, 1, None),
        (1_000.0, 1, Some(0)),
        (5_000.0, 1, Some(200_000)),
        (7_000.0, 1, Some(142_857)),
        (20_000.0, 3, Some(150_000)),
    ] {
        let mut schedule = Schedule::new((Arrival::Steady, 1), 7, "load", (0, parts));
        schedule.follow(Curve::new(&[constant(rate)], &[]));
        assert_eq!(schedule.release_ns(200_000), waits_ns, "{rate}");
        // The pacer wakes a little later and takes all of them.
        let taken = std::iter::from_fn(|| schedule.take_before(waits_ns? + 10)).count() as u64;
        assert_eq!(
            taken,
            waits_ns.map_or(0, |waits_ns| 1 + (waits_ns as f64 * rate / parts as f64 / 1e9).round() as u64)
        );
    }
    // On a ramp the current rate counts.
    let mut schedule = Schedule::new((Arrival::Steady, 1), 7, "load", (0, 1));
    schedule.follow(Curve::new(&[shape(json!({"from": "100/s", "to": "10000/s"}), 10)], &judged(&[0.0])));
    assert_eq!(schedule.release_ns(200_000), Some(0));
    while schedule.take_before(9 * SECOND).is_some() {}
    let due_ns = schedule.due_ns().unwrap();
    assert!((due_ns + 100_000..=due_ns + 200_000).contains(&schedule.release_ns(200_000).unwrap()));
}

#[test]
fn a_boundary_between_equal_paces_changes_nothing() {
    let one = Curve::new(&[constant(3.0)], &judged(&[0.0]));
    let two = Curve::new(&[constant(3.0), constant(3.0)], &judged(&[0.0, 10.1]));
    assert_eq!(even(&two, 20 * SECOND), even(&one, 20 * SECOND));
}

#[test]
fn a_ramp_sends_the_area_under_it() {
    for (pace, requests) in [
        (json!({"from": "0/s", "to": "200/s"}), 1000),
        (json!({"from": "200/s", "to": "0/s"}), 1000),
        (json!({"from": "100/s", "to": "20/s", "over": "5s"}), 400),
        (json!({"steps": ["10/s", "50/s", "0/s", "40/s"], "each": "2s"}), 280),
        (json!({"steps": ["20/s", "60/s"]}), 400),
    ] {
        let curve = Curve::new(&[shape(pace.clone(), 10)], &judged(&[0.0]));
        let due = even(&curve, 10 * SECOND);
        assert!(due.len().abs_diff(requests) <= 1, "{pace}: {}", due.len());
        assert!(due.is_sorted());
    }
    // From 0/s to 200/s in 10 s: after x seconds 10 x² are due, so request i is due after sqrt(i / 10).
    let curve = Curve::new(&[shape(json!({"from": "0/s", "to": "200/s"}), 10)], &judged(&[0.0]));
    for (number, due) in even(&curve, 10 * SECOND).into_iter().enumerate() {
        assert!((due as f64 / 1e9 - (number as f64 / 10.0).sqrt()).abs() < 1e-6, "{number}: {due}");
    }
}

#[test]
fn a_shape_waits_until_the_faults_are_in_place() {
    let shapes = [constant(10.0), shape(json!({"from": "20/s", "to": "40/s"}), 10)];
    let begun = [mark(0, 0, PhasePart::Judged), mark(5 * SECOND, 1, PhasePart::Injecting)];
    let early = Curve::new(&shapes, &begun);
    assert_eq!(even(&early, 9 * SECOND).len(), 130);
    let active =
        [begun.as_slice(), &[mark(9 * SECOND, 1, PhasePart::Settling), mark(11 * SECOND, 1, PhasePart::Judged)]]
            .concat();
    let curve = Curve::new(&shapes, &active);
    assert_eq!(even(&curve, 9 * SECOND), even(&early, 9 * SECOND));
    assert_eq!(even(&curve, 19 * SECOND).len(), 130 + 300);
    // The removal of the faults takes longer than planned: the last rate continues.
    let undoing = [active.as_slice(), &[mark(19 * SECOND, 1, PhasePart::Undoing)]].concat();
    assert_eq!(even(&Curve::new(&shapes, &undoing), 21 * SECOND).len(), 130 + 300 + 80);
}

#[test]
fn a_rate_of_zero_sends_nothing() {
    let curve = Curve::new(&[constant(10.0), constant(0.0), constant(5.0)], &judged(&[0.0, 2.0, 4.0]));
    let due = even(&curve, 6 * SECOND);
    assert_eq!(due.len(), 30);
    assert!(due.iter().all(|due| !(2 * SECOND..4 * SECOND).contains(due)), "{due:?}");
    let paused = Curve::new(&[constant(10.0), constant(0.0)], &judged(&[0.0, 2.0]));
    assert_eq!(even(&paused, u64::MAX).len(), 20);
}

#[test]
fn poisson_arrivals_have_the_right_rate_and_variance_and_repeat() {
    let curve =
        Curve::new(&[constant(500.0), shape(json!({"from": "0/s", "to": "1000/s"}), 100)], &judged(&[0.0, 100.0]));
    let due = all(Arrival::Poisson, &curve, (0, 1), 200 * SECOND);
    let per_second = |second: u64| due.iter().filter(|due| **due / SECOND == second).count() as f64;
    let mean = (0..100).map(per_second).sum::<f64>() / 100.0;
    let variance = (0..100).map(|second| (per_second(second) - mean).powi(2)).sum::<f64>() / 99.0;
    // Four standard errors around 500 and 1.
    assert!((mean - 500.0).abs() < 9.0 && (variance / mean - 1.0).abs() < 0.57, "{mean} {variance}");
    let ramp = due.iter().filter(|due| **due >= 100 * SECOND).count() as f64;
    assert!((ramp - 50_000.0).abs() < 900.0, "{ramp}");
    assert_eq!(due, all(Arrival::Poisson, &curve, (0, 1), 200 * SECOND));
    let mut other = Schedule::new((Arrival::Poisson, 1), 8, "load", (0, 1));
    other.follow(curve);
    assert_ne!(other.due_ns(), Some(due[0]));
}

/// A service with three backends in turn, one of them slow, and a probe of 10/s next to a load of 20/s: two of three
/// requests are the load's. Evenly spaced, they are always the same two.
#[test]
fn jitter_reaches_every_backend_of_a_round_robin_at_the_exact_rate() {
    let curve = Curve::new(&[constant(20.0)], &[]);
    let probe = all(Arrival::Steady, &Curve::new(&[constant(10.0)], &[]), (0, 1), 60 * SECOND);
    let met = |arrival| {
        let load = all(arrival, &curve, (0, 1), 60 * SECOND);
        // The probe arrives slightly after the load's request of the same moment.
        let mut order: Vec<(u64, bool)> = load.into_iter().map(|due| (due, true)).collect();
        order.extend(probe.iter().map(|due| (due + 1_000_000, false)));
        order.sort_unstable();
        let mut met = [0_u32; 3];
        order.iter().enumerate().filter(|(_, (_, is_load))| *is_load).for_each(|(turn, _)| met[turn % 3] += 1);
        met
    };
    assert_eq!(met(Arrival::Steady), [600, 0, 600], "it keeps step with the probe");
    let jittered = met(Arrival::Jittered);
    assert!(jittered.iter().all(|requests| (200..600).contains(requests)), "{jittered:?}");
    let due = all(Arrival::Jittered, &curve, (0, 1), 60 * SECOND);
    for second in 0..60 {
        assert_eq!(due.iter().filter(|due| **due / SECOND == second).count(), 20, "second {second}");
    }
    assert_eq!(due, all(Arrival::default(), &curve, (0, 1), 60 * SECOND), "it is the default, and repeats");
}

#[test]
fn a_block_is_a_second_or_a_fraction_of_one() {
    let block = |rate| constant(rate).block();
    let blocks = [0.1, 1.0, 7.0, 20.0, 50.0, 100.0, 4500.0, 23.0].map(block);
    assert_eq!(blocks, [1, 1, 7, 20, 10, 20, 20, 20]);
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let rate = prop_oneof![Just(0.0), 0.1_f64..50.0, 50.0_f64..400.0];
    let leg = (0_u64..4_000, rate.clone(), rate.clone(), any::<bool>()).prop_map(|(millis, from, to, is_flat)| Leg {
        lasts: Duration::from_millis(millis),
        from,
        to: if is_flat { from } else { to },
    });
    (proptest::collection::vec(leg, 0..4), rate).prop_map(|(legs, last)| Shape { legs, last })
}

proptest! {
    /// Whenever phases begin, and however late a share learns of it, the shares together are the whole: each request once,
    /// and in each phase as many as its pace requires.
    #[test]
    fn shares_that_learn_of_phases_late_equal_the_whole(
        shapes in proptest::collection::vec(any_shape(), 1..5),
        lengths in proptest::collection::vec(1_u64..5_000, 4),
        parts in 1_u64..6,
        arrival in prop_oneof![Just(Arrival::Steady), Just(Arrival::Jittered), Just(Arrival::Poisson)],
        tick_ms in 1_u64..700,
    ) {
        let mut marks = Vec::new();
        let mut at_ns = 0;
        for (phase, length) in (0..shapes.len()).zip(&lengths) {
            if length % 3 == 0 {
                marks.push(mark(at_ns, phase, PhasePart::Injecting));
                at_ns += length * 300_000;
            }
            marks.push(mark(at_ns, phase, PhasePart::Judged));
            at_ns += length * 1_000_000;
        }
        let end_ns = at_ns;
        let whole = all(arrival, &Curve::new(&shapes, &marks), (0, 1), end_ns);
        prop_assert!(whole.is_sorted());
        let mut joined = Vec::new();
        for part in 0..parts {
            let mut schedule = Schedule::new((arrival, 20), 7, "load", (part, parts));
            let mut now_ns = 0;
            while now_ns < end_ns {
                now_ns = (now_ns + tick_ms * 1_000_000).min(end_ns);
                let known: Vec<Mark> = marks.iter().copied().filter(|mark| mark.at_ns < now_ns).collect();
                schedule.follow(Curve::new(&shapes, &known));
                while let Some(due) = schedule.take_before(now_ns) {
                    joined.push(due);
                }
            }
        }
        joined.sort_unstable();
        prop_assert_eq!(&joined, &whole);
        if arrival != Arrival::Poisson {
            let curve = Curve::new(&shapes, &marks);
            let ends = marks.iter().skip(1).map(|mark| mark.at_ns).chain([end_ns]);
            for (from, to) in marks.iter().map(|mark| mark.at_ns).zip(ends) {
                let due = whole.iter().filter(|due| (from..to).contains(due)).count() as f64;
                let asked = curve.count(to) - curve.count(from);
                let most = if arrival == Arrival::Jittered { 20.0 } else { 1.0 };
                prop_assert!((due - asked).abs() <= most + 1e-6, "{} of {}", due, asked);
            }
        }
    }
}
