//! One lane without sockets: when its requests are due, and when it may nap.

use serde_json::json;
use shakedown_observe::{Mark, PhasePart};

use super::*;
use crate::tests::planned_at;
use crate::tunnel::{NoTunnel, Tunnel};

/// A lane that never gets a connection. Its load has these options, as in a scenario.
fn lane(load: serde_json::Value) -> Rc<Lane> {
    lane_of(Target::new(&planned_at(([127, 0, 0, 1], 1).into(), load)).unwrap())
}

fn lane_of(target: Target) -> Rc<Lane> {
    let target = Arc::new(target);
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

/// A request that is due at once.
fn job() -> Job {
    Job {
        number: 0,
        due_ns: 0,
        in_flight: 1,
        late_us: None,
        sent_us: None,
        limited: false,
        can_be_late: true,
        resent: false,
        setup_us: 0,
        step: 0,
    }
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
fn only_an_open_loop_that_reads_small_whole_answers_naps() {
    let naps = |load| lane(load).naps;
    assert!(naps(json!({"http": {}, "rate": "10/s"})));
    assert!(!naps(json!({"http": {}, "concurrency": 2})), "its next request waits for the answer");
    assert!(!naps(json!({"http": {}, "version": "http2", "rate": "10/s"})), "streams share a window");
    assert!(!naps(json!({"http": {}, "connections": "per_request", "rate": "10/s"})), "each request has a handshake");
    let tokens = json!({"openai": {"model": "m", "prompt": "p", "max_tokens": 1, "stream": true}, "rate": "10/s"});
    assert!(!naps(tokens), "each token has a moment of its own");
}

/// Five connections are in the making, and some of them hang. Requests are no queue for the ones that are made or refused.
#[test]
fn a_connection_serves_or_fails_the_request_that_it_was_opened_for() {
    let lane = lane(json!({"http": {}, "rate": "10/s"}));
    {
        let mut state = lane.state.borrow_mut();
        state.waiting = (0..5).map(|number| Job { number, ..job() }).collect();
        // No others than these.
        (state.may_grow_ns, state.open) = (u64::MAX, 5);
        (0..5).for_each(|_| lane.open(&mut state, None));
    }
    let opened = lane.state.borrow().connections.clone();
    let waiting = || lane.state.borrow().waiting.iter().map(|job| job.number).collect::<Vec<_>>();
    let has = |at: usize| opened[at].job.get().map(|job: Job| job.number);
    lane.connect_failed(&opened[3], true, Some(Failed::new(Failure::Refused, "refused")));
    assert_eq!(waiting(), [0, 1, 2, 4]);
    lane.connected(&opened[4], true);
    assert!(lane.free(&opened[4]));
    assert_eq!((waiting(), has(4)), (vec![0, 1, 2], Some(4)));
    // Free for another one, it takes the one that waited longest. The connection of that one is for nobody.
    opened[4].job.set(None);
    assert!(lane.free(&opened[4]));
    assert_eq!((waiting(), has(4)), (vec![1, 2], Some(0)));
    lane.connect_failed(&opened[0], true, Some(Failed::new(Failure::Refused, "refused")));
    assert_eq!(waiting(), [1, 2], "its request was sent");
    lane.connected(&opened[2], true);
    assert!(lane.free(&opened[2]));
    assert_eq!((waiting(), has(2)), (vec![1], Some(2)));
}

#[test]
fn a_lane_stays_awake_while_a_connection_needs_it() {
    let lane = lane(json!({"http": {}, "rate": "10/s"}));
    let (one, other) = (Connection::new(None, 0), Connection::new(None, 1));
    lane.received(&one);
    assert!(!lane.can_nap(0), "when the answer arrived is not known");
    one.arrived.set(Some(Instant::now()));
    lane.received(&one);
    assert!(lane.can_nap(0));
    lane.busy(&one, true);
    lane.busy(&one, true);
    lane.busy(&other, true);
    lane.busy(&one, false);
    assert!(!lane.can_nap(0), "the other connection is in the middle of an answer");
    lane.busy(&other, false);
    assert!(lane.can_nap(0));
    lane.state.borrow_mut().waiting.push_back(job());
    assert!(!lane.can_nap(0), "a request waits for the end of another one");
    lane.state.borrow_mut().waiting.clear();
    assert!(lane.can_nap(0));
    lane.large();
    assert!(!lane.can_nap(0), "large answers need reads");
    assert!(lane.can_nap(lane.now_ns() + LARGE_NS));
}

#[test]
fn a_later_step_at_the_limit_belongs_to_an_iteration_that_was_sent() {
    let lane = lane(json!({"http": {}, "rate": "10/s"}));
    let connections = (0..lane.limit).map(|index| Rc::new(Connection::new(None, index)));
    lane.state.borrow_mut().connections = connections.collect();
    let why = |step: u16, making: Failure| {
        let mut state = lane.state.borrow_mut();
        state.waiting = [Job { step, late_us: Some(0), ..job() }].into();
        lane.why_it_waits(&state, 0, making)
    };
    assert_eq!(why(0, Failure::Timeout), Failure::NotSentLimit);
    assert_eq!([Failure::Timeout, Failure::Unfinished].map(|it| why(1, it)), [Failure::Timeout, Failure::Unfinished]);
    assert_eq!(why(1, Failure::NotSentForward), Failure::Timeout, "no tunnel is being opened");
}

#[test]
fn a_lane_sleeps_until_the_timeout_of_a_request_that_waited_for_a_tunnel() {
    let lane = lane(json!({"http": {}, "rate": "1/s", "timeout": "1s"}));
    lane.state.borrow_mut().young = MAX_YOUNG;
    lane.state.borrow_mut().waiting = [Job { setup_us: 400_000, ..job() }].into();
    assert_eq!(lane.next_tick_ns(), 1_400_000_000);
}

/// A tunnel that never opens.
#[derive(Debug)]
struct Silent;

impl Tunnel for Silent {
    fn open(&self) -> futures::future::BoxFuture<'static, Result<std::net::TcpStream, NoTunnel>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waited_at_the_limit_waited_for_no_tunnel() {
    let mut target = Target::new(&planned_at(([127, 0, 0, 1], 1).into(), json!({"http": {}, "rate": "1/s"}))).unwrap();
    target.tunnel = Some(Arc::new(Silent));
    let lane = lane_of(target);
    lane.state.borrow_mut().tunnelled.begin(0);
    tokio::time::advance(Duration::from_secs(1)).await;
    let state = lane.state.borrow();
    let setup_us = |limited: bool| lane.set_up(&state, Job { limited, ..job() }).setup_us;
    assert_eq!([false, true].map(setup_us), [1_000_000, 0]);
}
