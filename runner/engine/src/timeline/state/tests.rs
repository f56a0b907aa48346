//! The state of a run as data: a script of events at their times, and the actions that they lead to.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Event {
    LoadStarted,
    Nothing,
    Answers,
    Gate(bool),
    Active(usize),
    Failed(usize),
    Undone(usize),
    Over(usize),
    LoadFinished,
}

/// A phase of 2 s, and one of 10 s with a fault of 4 s, one for the whole phase, and one that begins after 3 s.
fn state(zero: Instant) -> RunState {
    let plan = |seconds, has_faults| Plan { duration: SECOND * seconds, has_faults };
    let timings = vec![
        FaultTiming::new(1, Duration::ZERO, Some(SECOND * 4)),
        FaultTiming::new(1, Duration::ZERO, None),
        FaultTiming::new(1, SECOND * 3, None),
    ];
    let mut state = RunState::new(vec![plan(2, false), plan(10, true)], timings, SECOND, true);
    assert_eq!(actions(&mut state, zero, zero), "");
    state
}

/// The actions that are due now, in order.
fn actions(state: &mut RunState, zero: Instant, now: Instant) -> String {
    let mut taken = Vec::new();
    while let Some(action) = state.next(now) {
        match action {
            Action::Count(phase) => state.counts_from(phase, now),
            Action::CheckUntil(fault, undo) => {
                taken.push(format!("CheckUntil({fault}, {})", (undo - zero).as_secs()));
                continue;
            }
            _ => {}
        }
        taken.push(format!("{action:?}"));
    }
    taken.join(" ")
}

fn enter(state: &mut RunState, event: Event, zero: Instant, now: Instant) {
    match event {
        Event::LoadStarted => state.load_started(zero, true),
        Event::Nothing => {}
        Event::Answers => state.answers_came(),
        Event::Gate(may_inject) => state.gate_said(may_inject),
        Event::Active(fault) => state.active(fault, now),
        Event::Failed(fault) => state.failed(fault),
        Event::Undone(fault) => state.undone(fault, true),
        Event::Over(fault) => state.over(fault),
        Event::LoadFinished => state.load_finished(),
    }
}

/// A whole run: the third fault is active 2 s late, and the phase ends 2 s later for it.
const SCRIPT: [(u32, Event, &str); 19] = [
    (0, Event::LoadStarted, "LoadBegins Begin(0) Count(0)"),
    (1, Event::Nothing, ""),
    (2, Event::Nothing, "Judged(0) End(0)"),
    (2, Event::Answers, "AskGate"),
    (2, Event::Gate(true), "Begin(1) Inject(0) Inject(1)"),
    (3, Event::Active(1), ""),
    (4, Event::Active(0), "CheckUntil(0, 8) Count(1)"),
    (7, Event::Nothing, "Inject(2)"),
    (8, Event::Nothing, "Undo(0)"),
    (8, Event::Undone(0), ""),
    (9, Event::Active(2), ""),
    (10, Event::Over(0), ""),
    (11, Event::Nothing, "CheckUntil(1, 16) CheckUntil(2, 16)"),
    (16, Event::Nothing, "Judged(1) Undo(1) Undo(2)"),
    (17, Event::Undone(2), ""),
    (18, Event::Undone(1), "End(1)"),
    (18, Event::Over(1), ""),
    (18, Event::Over(2), "Settled FinishLoad"),
    (20, Event::LoadFinished, ""),
];

#[test]
fn every_event_leads_to_the_actions_that_are_due() {
    let zero = Instant::now();
    let mut state = state(zero);
    for (at, event, expected) in SCRIPT {
        let now = zero + SECOND * at;
        enter(&mut state, event, zero, now);
        assert_eq!(actions(&mut state, zero, now), expected, "{event:?} at {at} s");
        assert!(state.wake().is_none_or(|wake| wake > now), "awake without an action after {event:?} at {at} s");
    }
    assert!(state.is_over());
}

#[test]
fn from_every_state_an_end_undoes_what_was_injected_and_injects_no_more() {
    let zero = Instant::now();
    for ending in [Ending::Stopped, Ending::Failed] {
        for length in 0..=SCRIPT.len() {
            let mut state = state(zero);
            let mut now = zero;
            for (at, event, _) in &SCRIPT[..length] {
                now = zero + SECOND * *at;
                enter(&mut state, *event, zero, now);
                _ = actions(&mut state, zero, now);
            }
            let to_undo: Vec<usize> = (0..3).filter(|fault| state.timings()[*fault].needs_undo()).collect();
            state.end(ending);
            let taken = actions(&mut state, zero, now);
            for fault in 0..3 {
                let undone = taken.contains(&format!("Undo({fault})"));
                assert_eq!(undone, to_undo.contains(&fault), "{ending:?} after {length} events: {taken}");
            }
            assert!(!taken.contains("Inject"), "{ending:?} after {length} events: {taken}");
            // Every undo that was commanded ends, and so does the run.
            for fault in 0..3 {
                enter(&mut state, Event::Undone(fault), zero, now);
                enter(&mut state, Event::Over(fault), zero, now);
            }
            enter(&mut state, Event::LoadStarted, zero, now);
            _ = actions(&mut state, zero, now);
            enter(&mut state, Event::LoadFinished, zero, now);
            assert!(
                !actions(&mut state, zero, now).contains("Inject") && state.is_over(),
                "{ending:?} after {length} events: {state:?}"
            );
        }
    }
}

#[test]
fn a_gate_that_refuses_and_an_injection_that_fails_end_the_run() {
    let zero = Instant::now();
    let until = |state: &mut RunState, count: usize| {
        for (at, event, _) in &SCRIPT[..count] {
            enter(state, *event, zero, zero + SECOND * *at);
            _ = actions(state, zero, zero + SECOND * *at);
        }
    };
    let mut refused = state(zero);
    until(&mut refused, 4);
    enter(&mut refused, Event::Gate(false), zero, zero + SECOND * 2);
    assert_eq!(actions(&mut refused, zero, zero + SECOND * 2), "Dismiss(0) Dismiss(1) Dismiss(2)");
    let mut failed = state(zero);
    until(&mut failed, 6);
    enter(&mut failed, Event::Failed(0), zero, zero + SECOND * 3);
    assert_eq!(actions(&mut failed, zero, zero + SECOND * 3), "Judged(1) Undo(0) Undo(1)");
}

#[test]
fn requests_that_are_not_answered_hold_a_fault_up_for_a_limited_time() {
    let zero = Instant::now();
    let mut state = state(zero);
    for (at, event, _) in &SCRIPT[..3] {
        enter(&mut state, *event, zero, zero + SECOND * *at);
        _ = actions(&mut state, zero, zero + SECOND * *at);
    }
    assert_eq!(state.wake(), Some(zero + SECOND * 3));
    assert_eq!(actions(&mut state, zero, zero + SECOND * 3), "Unanswered AskGate");
}
