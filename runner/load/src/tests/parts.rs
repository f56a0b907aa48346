//! A divided load: the shares of a schedule, counted separately and merged, equal the whole at any pace.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;
use shakedown_schemas::scenario::Scenario;

use super::super::job::Job;
use super::super::pacing::{Pacing, Starter};
use super::super::record::{AnswerTraits, Batch, Ledger, Record};
use shakedown_observe::{Failure, LoadObservations, Mark, Marks, PhasePart};

/// A simulated service: the outcome of a request depends only on its due moment.
fn answered(due_ns: u64) -> Record {
    let draw = |salt: u64| (due_ns ^ salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let failure = match draw(1) % 20 {
        0 => Some(Failure::Timeout),
        1 => Some(Failure::Status(503)),
        2 => Some(Failure::NotSentLimit),
        _ => None,
    };
    let sent_us = (failure != Some(Failure::NotSentLimit)).then(|| (draw(2) % 500) as u32);
    let job = Job {
        number: 0,
        due_ns,
        in_flight: 1,
        late_us: Some((draw(3) % 90) as u32),
        sent_us,
        limited: false,
        setup_us: 0,
        can_be_late: true,
        resent: false,
        step: 0,
    };
    let first_byte_us = sent_us.map(|_| (draw(4) % 9_000) as u32);
    Record {
        job,
        latency_us: 500 + (draw(5) % 60_000) as u32,
        first_byte_us,
        tokens: None,
        failure,
        is_stuck: false,
        traits: AnswerTraits::default(),
        good: 0,
        lost: 0,
        is_unmatched: false,
    }
}

/// The observations of one share in a run with these phases, with this tick interval.
fn run(pacing: &Pacing, marks: &[Mark], end_ns: u64, part: (usize, usize), tick: Duration) -> LoadObservations {
    let known = Arc::new(Marks::default());
    let ledger = Ledger::new(Arc::clone(&known));
    let mut starter = Starter::new(pacing, 7, "load", part);
    let mut issued = 0;
    let mut to_come = marks.iter().copied().peekable();
    let mut now_ns = 0;
    while now_ns < end_ns {
        now_ns = (now_ns + tick.as_nanos() as u64).min(end_ns);
        while let Some(mark) = to_come.next_if(|mark| mark.at_ns < now_ns) {
            known.begin(mark);
        }
        starter.follow(&known.all(), now_ns);
        let records: Vec<Record> = std::iter::from_fn(|| starter.due_before(now_ns)).map(answered).collect();
        issued += records.len() as u64;
        ledger.take(&mut Batch { records, ..Batch::default() }, issued, now_ns);
    }
    ledger.close(end_ns)
}

fn any_pace() -> impl Strategy<Value = serde_json::Value> {
    let rate = || prop_oneof![Just(0), 1_u32..40, 40_u32..300].prop_map(|rate| format!("{rate}/s"));
    prop_oneof![
        rate().prop_map(|rate| json!(rate)),
        (rate(), rate(), 1_u32..3)
            .prop_map(|(from, to, over)| json!({"from": from, "to": to, "over": format!("{over}s")})),
        proptest::collection::vec(rate(), 2..5).prop_map(|steps| json!({"steps": steps})),
    ]
}

proptest! {
    #[test]
    fn parts_of_any_pace_merge_to_the_whole(
        paces in proptest::collection::vec((any_pace(), 200_u64..3_000, any::<bool>()), 1..4),
        is_poisson in any::<bool>(),
        parts in 2_usize..6,
        tick_ms in 20_u64..400,
    ) {
        let phase = |(index, (pace, millis, _)): (usize, &(serde_json::Value, u64, bool))| {
            json!({"name": format!("p{index}"), "duration": format!("{millis}ms"), "load": {"load": {"rate": pace}}})
        };
        let scenario: Scenario = serde_json::from_value(json!({
            "version": 1,
            "name": "parts",
            "load": {"load": {
                "http": {"url": "http://h"},
                "rate": "1/s",
                "arrival": if is_poisson { "poisson" } else { "steady" },
            }},
            "phases": paces.iter().enumerate().map(phase).collect::<Vec<_>>(),
        })).unwrap();
        let mut marks = Vec::new();
        let mut at_ns = 0;
        for (phase, (_, millis, has_faults)) in paces.iter().enumerate() {
            for (part, lasts_ns) in [(PhasePart::Injecting, 70_000_000), (PhasePart::Judged, millis * 1_000_000)] {
                if part == PhasePart::Judged || *has_faults {
                    marks.push(Mark { at_ns, phase, part });
                    at_ns += lasts_ns;
                }
            }
        }
        let pacing = Pacing::in_phases("load", &scenario).unwrap();
        let tick = Duration::from_millis(tick_ms);
        let whole = run(&pacing, &marks, at_ns, (0, 1), Duration::from_millis(50));
        prop_assert_eq!(whole.issued, whole.requests());
        let mut merged = LoadObservations::default();
        (0..parts).for_each(|part| merged.merge(run(&pacing, &marks, at_ns, (part, parts), tick)));
        prop_assert_eq!(merged, whole);
    }
}
