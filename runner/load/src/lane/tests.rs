//! One lane without sockets: when its requests are due, and when it may nap.

use serde_json::json;
use shakedown_observe::{Mark, PhasePart};

use super::*;
use crate::tests::planned_at;

/// A lane that never gets a connection. Its load has these options, as in a scenario.
fn lane(load: serde_json::Value) -> Rc<Lane> {
    let target = Arc::new(Target::new(&planned_at(([127, 0, 0, 1], 1).into(), load)).unwrap());
    let marks = Arc::new(Marks::default());
    marks.begin(Mark { at_ns: 0, phase: 0, part: PhasePart::Judged });
    let start = LaneStart {
        ledger: Arc::new(Ledger::new(Arc::clone(&marks))),
        gauges: Arc::new(Gauges::new(1, 1)),
        marks,
        part: 0,
        of_all: (0, 1),
        limit: 1000,
        starter: Starter::new(&target.pacing, 1, "load", (0, 1)),
        zero: Instant::now(),
        target,
    };
    Lane::new(start, Arc::new(Control::new()), |_, _| {})
}

/// The due moments of the requests until `end_ns`, in microseconds, with the lane's own ticks.
fn due_us(lane: &Rc<Lane>, end_ns: u64) -> Vec<u64> {
    lane.tick(0, 0);
    loop {
        let now_ns = lane.next_tick_ns();
        if now_ns >= end_ns {
            return lane.state.borrow().waiting.iter().map(|job| job.due_ns / 1000).collect();
        }
        lane.tick(now_ns, 0);
    }
}

#[test]
fn requests_of_one_wake_up_are_due_together() {
    let limited = |rate: &str| lane(json!({"http": {}, "rate": rate, "max_in_flight": 1000, "timeout": "1s"}));
    assert_eq!(due_us(&limited("3000/s"), 1_000_000), [0, 333, 666]);
    assert_eq!(due_us(&limited("5000/s"), 1_000_000), [0, 400, 400, 800, 800]);
}

#[test]
fn only_answers_that_nothing_waits_for_are_read_later() {
    let reads = |load| lane(load).reads;
    assert_eq!(reads(json!({"http": {}, "rate": "10/s"})), Reads::Later);
    assert_eq!(reads(json!({"http": {}, "concurrency": 2})), Reads::AtOnce, "its next request waits for the answer");
    assert_eq!(reads(json!({"http": {}, "version": "http2", "rate": "10/s"})), Reads::AtOnce, "streams share a window");
    let fresh = json!({"http": {}, "connections": "per_request", "rate": "10/s"});
    assert_eq!(reads(fresh), Reads::AtOnce, "each request has a handshake");
    let tokens = json!({"openai": {"model": "m", "prompt": "p", "max_tokens": 1, "stream": true}, "concurrency": 2});
    assert_eq!(reads(tokens), Reads::Together);
}

#[test]
fn a_lane_stays_awake_while_a_connection_needs_it() {
    let lane = lane(json!({"http": {}, "rate": "10/s"}));
    let (one, other) = (Connection::new(None, 0), Connection::new(None, 1));
    let wait = Duration::from_millis(1);
    lane.chunk(&one);
    assert_eq!(lane.nap(0, wait), None, "when the answer arrived is not known");
    one.arrived.set(Some(Instant::now()));
    lane.chunk(&one);
    assert_eq!(lane.nap(0, wait), Some(wait));
    assert_eq!(lane.nap(0, Duration::from_millis(3)), None, "a long sleep may as well be ended by an answer");
    lane.busy(&one, true);
    lane.busy(&one, true);
    lane.busy(&other, true);
    lane.busy(&one, false);
    assert_eq!(lane.nap(0, wait), None, "the other connection is in the middle of an answer");
    lane.busy(&other, false);
    assert_eq!(lane.nap(0, wait), Some(wait));
    lane.large();
    assert_eq!(lane.nap(0, wait), None, "large answers need reads");
    assert_eq!(lane.nap(lane.now_ns() + LARGE_NS, wait), Some(wait));
}

#[test]
fn chunks_are_read_together_while_they_are_many() {
    let tokens = json!({"openai": {"model": "m", "prompt": "p", "max_tokens": 1, "stream": true}, "concurrency": 2});
    let lane = lane(tokens);
    let wait = Duration::from_millis(5);
    let one = Connection::new(None, 0);
    one.arrived.set(Some(Instant::now()));
    assert_eq!(lane.nap(CHUNKS_NS, wait), None);
    (0..79).for_each(|_| lane.chunk(&one));
    assert_eq!(lane.nap(2 * CHUNKS_NS, wait), None, "fewer than two wake-ups would be one");
    (0..80).for_each(|_| lane.chunk(&one));
    assert_eq!(lane.nap(3 * CHUNKS_NS, wait), Some(TOGETHER));
    assert_eq!(lane.nap(3 * CHUNKS_NS, TOGETHER / 2), Some(TOGETHER / 2), "a request is due before");
    assert_eq!(lane.nap(4 * CHUNKS_NS, wait), None, "no chunk came since");
}
