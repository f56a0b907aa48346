//! The timeline with fakes that write a log, on paused time: what happens, in which order, and when.

mod fakes;
mod generated;

use std::time::Duration;

use shakedown_schemas::event::FaultState;
use shakedown_schemas::result::Verdict;

use self::fakes::{Behaviour, Case, FAULT, play, play_gated, play_slowly, play_until, stopped, three_phases};
use super::Stop;
use shakedown_observe::PhasePart;

#[tokio::test(start_paused = true)]
async fn a_phase_counts_from_the_injection_and_ends_with_the_confirmed_undo() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], None).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n10.0 inject cut\n30.5 undo cut\n40.7 load ends");
    assert_eq!(
        case.marks,
        [
            (0.0, 0, PhasePart::Judged),
            (10.0, 1, PhasePart::Injecting),
            (10.5, 1, PhasePart::Settling),
            (15.5, 1, PhasePart::Judged),
            (30.5, 1, PhasePart::Undoing),
            (30.7, 2, PhasePart::Judged),
        ]
    );
    let during = &case.outcome.observations.phases[1];
    assert!(during.complete && during.has_faults);
    assert_eq!(during.removed_ns.map(|ns| (ns as f64 / 1e8).round()), Some(307.0));
    let fault = &case.outcome.faults[0];
    assert_eq!((fault.state, fault.injection, fault.undo), (FaultState::Undone, Verdict::Pass, Verdict::Pass));
    assert!(case.outcome.errors.is_empty() && case.outcome.leftovers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn faults_start_after_and_last_for() {
    let body = r#"{"pods": {"name": "p"}, "from": [{"service": "s"}], "after": "3s", "for": "4s"}"#;
    let case = play(&three_phases(body), &[("cut", Behaviour::Works)], None).await;
    // It is active from 13.5 on: its time and the phase's end count from then.
    assert_eq!(case.log.text(), "10.0 gate after 1\n13.0 inject cut\n17.5 undo cut\n40.5 load ends");
    assert_eq!(case.marks[1], (10.0, 1, PhasePart::Settling));
    assert_eq!(case.outcome.faults[0].injection, Verdict::Pass);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_is_active_late_gets_its_time() {
    let late = [("cut", Behaviour::IsActiveLate)];
    let case = play(&three_phases(&FAULT.replace("}]}", r#"}], "after": "3s"}"#)), &late, None).await;
    // Active from 24.5 on, with 17 s of its phase to go.
    assert_eq!(case.log.text(), "10.0 gate after 1\n13.0 inject cut\n41.5 undo cut\n51.7 load ends");
    assert_eq!(case.outcome.faults[0].injection, Verdict::Pass);
    let case = play(&three_phases(&FAULT.replace("}]}", r#"}], "after": "3s", "for": "5s"}"#)), &late, None).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n13.0 inject cut\n29.5 undo cut\n51.5 load ends");
    assert_eq!(case.outcome.faults[0].injection, Verdict::Pass);
    assert!(case.outcome.observations.phases[1].complete);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_was_over_before_its_phase_counted_proves_nothing() {
    let brief = FAULT.replace("}]}", r#"}], "for": "4s"}"#);
    let phases = format!(
        r#"[{{"name": "during", "duration": "20s",
              "faults": {{"brief": {{"partition": {brief}}}, "late": {{"partition": {FAULT}}}}}}}]"#
    );
    let faults = [("brief", Behaviour::Works), ("late", Behaviour::IsActiveLate)];
    let case = play(&phases, &faults, None).await;
    assert_eq!(
        case.log.text(),
        "0.0 gate after 0\n0.0 inject brief\n0.0 inject late\n4.5 undo brief\n31.5 undo late\n31.7 load ends"
    );
    let (brief, late) = (&case.outcome.faults["brief"], &case.outcome.faults["late"]);
    assert_eq!((brief.injection, late.injection), (Verdict::Inconclusive, Verdict::Pass));
    assert_eq!(brief.problem.as_deref(), Some("in place for 0s of its planned 4s"));
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_a_signal_cuts_short_proves_nothing() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(20.5)).await;
    let fault = &case.outcome.faults[0];
    assert_eq!((fault.injection, fault.undo), (Verdict::Inconclusive, Verdict::Pass));
    assert_eq!(fault.problem.as_deref(), Some("in place for 10s of its planned 20s"));
    // Nine tenths suffice.
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(29.0)).await;
    assert_eq!(case.outcome.faults[0].injection, Verdict::Pass);
}

#[tokio::test(start_paused = true)]
async fn a_signal_undoes_and_ends_the_load_at_once() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(12.0)).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n10.0 inject cut\n12.0 undo cut\n12.0 load is cut short");
    assert_eq!(case.outcome.errors, ["interrupted by SIGINT"]);
    assert!(!case.outcome.observations.phases[1].complete);
    assert_eq!(case.outcome.observations.phases.len(), 2, "the last phase never began");
}

/// At any moment before the undo is confirmed, however close to its end: the fault may not have lasted. After it, nothing is
/// lost.
#[tokio::test(start_paused = true)]
async fn a_fuse_that_burns_down_takes_the_proof_from_every_fault_that_is_not_undone() {
    let faults = [("cut", Behaviour::Works)];
    for (at, problem) in [
        (5.0, Some("not injected: it burned")),
        (10.2, Some("ended early by its fuse: it burned")),
        (20.5, Some("ended early by its fuse: it burned")),
        (29.9, Some("ended early by its fuse: it burned")),
        (39.0, None),
    ] {
        let stop = Some((at, Stop::Fuse("it burned".to_owned())));
        let Case { outcome, .. } = stopped(Duration::ZERO, "[]", &three_phases(FAULT), &faults, stop, &[]).await;
        let fault = &outcome.faults[0];
        let verdict = if problem.is_some() { Verdict::Inconclusive } else { Verdict::Pass };
        assert_eq!((fault.injection, fault.undo, fault.problem.as_deref()), (verdict, Verdict::Pass, problem), "{at}");
        assert_eq!((outcome.burned.as_deref(), outcome.errors.len()), (Some("it burned"), 0), "{at}");
        assert!(outcome.observations.phases.last().is_some_and(|span| !span.complete), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_injection_cuts_it_off_and_undoes_it_twice() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(10.2)).await;
    // A request that was under way gets a moment, and what it does late is undone a second later.
    let log = "10.0 gate after 1\n10.0 inject cut\n10.2 load is cut short\n10.2 undo cut\n11.2 undo cut";
    assert_eq!(case.log.text(), log);
    assert_eq!(case.outcome.faults[0].state, FaultState::Undone);
}

#[tokio::test(start_paused = true)]
async fn a_failed_injection_is_undone_and_ends_the_run() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::FailsToInject)], None).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n10.0 inject cut\n10.5 undo cut\n10.7 load ends");
    assert_eq!(case.outcome.errors, ["fault cut could not be injected: the pod is gone"]);
    assert_eq!(case.outcome.faults[0].injection, Verdict::Error);
    assert_eq!(case.outcome.faults[0].state, FaultState::Undone);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_made_nothing_is_not_undone() {
    for (behaviour, state) in
        [(Behaviour::MakesNothing, FaultState::NothingToUndo), (Behaviour::IsUnclear, FaultState::Unclear)]
    {
        let case = play(&three_phases(FAULT), &[("cut", behaviour)], None).await;
        let fault = &case.outcome.faults[0];
        assert_eq!((fault.state, fault.injection, fault.undo), (state, Verdict::Error, Verdict::Pass));
        // Whatever its driver says, it is read back.
        assert_eq!(case.log.text(), "10.0 gate after 1\n10.0 inject cut\n10.5 undo cut\n10.7 load ends");
        assert_eq!(fault.undone_s.is_some(), state == FaultState::NothingToUndo);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_undoes_too() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::PanicsInProof)], None).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n10.0 inject cut\n10.5 undo cut\n10.7 load ends");
    assert!(case.outcome.errors[0].contains("boom"), "{:?}", case.outcome.errors);
}

#[tokio::test(start_paused = true)]
async fn an_unproven_fault_stays_and_is_inconclusive() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::NeverProven)], None).await;
    let fault = &case.outcome.faults[0];
    assert_eq!((fault.injection, fault.undo, fault.proven_s), (Verdict::Inconclusive, Verdict::Pass, None));
    assert!(fault.problem.as_deref().unwrap().starts_with("not proven"));
    assert!(case.outcome.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_claimed_fault_is_proven_once_it_is_seen() {
    let of = async |behaviour| play(&three_phases(FAULT), &[("cut", behaviour)], None).await.outcome.faults[0].clone();
    let seen = of(Behaviour::SeenLater).await;
    let tenths = |at: Option<f64>| at.map(|at| (at * 10.0).round() / 10.0);
    assert_eq!((tenths(seen.claimed_s), tenths(seen.proven_s)), (Some(10.5), Some(18.5)));
    assert_eq!((seen.is_claimed(), seen.injection, seen.undo), (false, Verdict::Pass, Verdict::Pass));
    let unseen = of(Behaviour::NeverSeen).await;
    assert_eq!((unseen.is_claimed(), unseen.injection), (true, Verdict::Pass));
    // Its objects are no proof that the cluster enforces them.
    let applied = of(Behaviour::IsApplied).await;
    assert_eq!((applied.is_claimed(), applied.injection, applied.undo), (true, Verdict::Pass, Verdict::Pass));
    let refuted = of(Behaviour::SeenTooLittle).await;
    assert_eq!((refuted.proven_s, refuted.injection), (None, Verdict::Inconclusive));
    assert_eq!(refuted.problem.as_deref(), Some("not proven: seen"));
}

#[tokio::test(start_paused = true)]
async fn a_stretch_without_proof_is_recorded_and_makes_a_fault_inconclusive_from_a_limit_on() {
    for (lasts, to_s, problem) in [
        (Some(1_800), 16.8, None),
        // More than a tenth of its time.
        (Some(2_500), 17.5, Some("in place for 20s of its planned 20s, 2.5s of which are without proof")),
        (Some(6_000), 21.0, Some("not proven from 15.0s to 21.0s, for more than 5s: blind")),
        (None, 30.5, Some("not proven from 15.0s to 30.5s, for more than 5s: blind")),
    ] {
        let case = play(&three_phases(FAULT), &[("cut", Behaviour::IsBlind(lasts))], None).await;
        let fault = &case.outcome.faults[0];
        let [stretch] = &fault.unproven[..] else { panic!("{:?}", fault.unproven) };
        assert!((stretch.from_s - 15.0).abs() < 0.05 && (stretch.to_s - to_s).abs() < 0.05, "{stretch:?}");
        assert_eq!(stretch.why, "blind");
        let verdict = if problem.is_some() { Verdict::Inconclusive } else { Verdict::Pass };
        assert_eq!(fault.injection, verdict, "{lasts:?}: {:?}", fault.problem);
        let problem_of_fault = fault.problem.clone().unwrap_or_default();
        assert!(problem_of_fault.contains(problem.unwrap_or_default()), "{lasts:?}: {problem_of_fault}");
    }
}

/// It acts for 20 s on three targets from 10.5 s on.
#[tokio::test(start_paused = true)]
async fn a_fault_is_proven_by_the_average_time_on_its_targets() {
    for (lost, at_s, holds) in [
        (1, 10, false),
        (1, 24, false),
        (1, 25, true),
        (2, 14, false),
        (2, 27, false),
        (2, 28, true),
        (3, 14, false),
        (3, 28, false),
        (3, 29, true),
    ] {
        let case = play(&three_phases(FAULT), &[("cut", Behaviour::Loses(lost, at_s))], None).await;
        let fault = &case.outcome.faults[0];
        let verdict = if holds { Verdict::Pass } else { Verdict::Inconclusive };
        assert_eq!(fault.injection, verdict, "{lost} of 3 at {at_s} s: {:?}", fault.problem);
        if (lost, at_s) == (2, 14) {
            let problem = "in place for 9s of its planned 20s, on average of its 3 targets";
            assert_eq!(fault.problem.as_deref(), Some(problem));
            let lost: Vec<&str> = fault.unproven.iter().map(|it| it.why.as_str()).collect();
            assert_eq!(lost, ["w-0 is gone", "w-1 is gone"], "named once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_undo_is_repeated_until_it_is_proven() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::StaysAtFirst)], None).await;
    assert_eq!(case.log.text().matches("undo cut").count(), 3);
    assert_eq!(case.outcome.faults[0].undo, Verdict::Pass);
}

#[tokio::test(start_paused = true)]
async fn what_stays_is_left_behind_and_said() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::NeverGone)], None).await;
    assert_eq!(case.outcome.faults[0].state, FaultState::Left);
    assert_eq!(case.outcome.faults[0].undo, Verdict::Error);
    assert_eq!(case.outcome.leftovers.len(), 1);
    assert!(case.log.text().matches("undo cut").count() > 10, "{}", case.log.text());
    assert_eq!(case.retries, 1, "the same problem is reported once");
    assert_eq!(case.messages.len(), 1, "and counted: {:?}", case.messages);
    assert_eq!(case.outcome.observations.phases[1].removed_ns, None);
}

#[tokio::test(start_paused = true)]
async fn problems_that_take_turns_are_reported_once_each_and_counted() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::FailsInTwoWays)], None).await;
    assert_eq!((case.outcome.faults[0].state, case.retries), (FaultState::Left, 2));
    let tries = case.log.text().matches("undo cut").count();
    assert!(tries > 10, "{tries}");
    let more: Vec<usize> = case
        .messages
        .iter()
        .filter_map(|message| message.split_once('(')?.1.split_once(" times more): reason ")?.0.parse().ok())
        .collect();
    assert_eq!(more.len(), 2, "{:?}", case.messages);
    // Each was reported once, and the last try ended the undo.
    assert_eq!(more.iter().sum::<usize>() + 2 + 1, tries);
    let text = case.log.text();
    let last = text.lines().rev().find(|line| line.ends_with("undo cut")).and_then(|line| line.split(' ').next());
    let (last, begun): (f64, f64) = (last.unwrap().parse().unwrap(), case.outcome.faults[0].undoing_s.unwrap());
    assert!(last - begun <= 60.0, "giving up takes at most the undo's limit: {begun} to {last}");
}

#[tokio::test(start_paused = true)]
async fn a_recovery_that_goes_on_is_a_problem_only_at_the_end_of_the_limit() {
    for (seconds, problem) in [(20, None), (600, Some("it goes on"))] {
        let case = play(&three_phases(FAULT), &[("cut", Behaviour::IsRecovered(seconds))], None).await;
        let fault = &case.outcome.faults[0];
        assert_eq!((fault.state == FaultState::Left, fault.problem.as_deref()), (problem.is_some(), problem));
        assert_eq!((case.retries, case.messages), (0, vec![]), "{seconds}");
    }
}

/// Each try lists what a Schedule has made, kind by kind.
#[tokio::test(start_paused = true)]
async fn a_recovery_is_not_asked_about_more_than_once_a_second() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::IsAtIt)], None).await;
    let tries = case.log.text().matches("undo cut").count();
    assert!((30..=70).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn several_faults_are_injected_and_undone_together() {
    let phases = format!(
        r#"[{{"name": "during", "duration": "20s", "faults": {{"a": {{"partition": {FAULT}}}, "b": {{"partition": {FAULT}}}}}}}]"#
    );
    let case = play(&phases, &[("a", Behaviour::Works), ("b", Behaviour::FailsToInject)], None).await;
    assert_eq!(case.log.text(), "0.0 gate after 0\n0.0 inject a\n0.0 inject b\n0.5 undo a\n0.5 undo b\n0.7 load ends");
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_the_search_for_a_proof() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::NeverProven)], Some(12.1)).await;
    assert!(case.log.text().starts_with("10.0 gate after 1\n10.0 inject cut\n12."), "{}", case.log.text());
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_finds_something_ends_the_run_before_its_first_fault() {
    let problems = ["too slow"];
    let case =
        play_gated(Duration::ZERO, "[]", &three_phases(FAULT), &[("cut", Behaviour::Works)], None, &problems).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n10.0 dismiss cut\n10.0 load ends");
    assert_eq!(case.outcome.refused, problems);
    assert!(case.outcome.errors.is_empty() && case.outcome.breach.is_none());
    assert_eq!(case.outcome.observations.phases.len(), 1);
    assert_eq!(case.outcome.faults[0].state, FaultState::Planned);
}

#[tokio::test(start_paused = true)]
async fn a_phase_whose_faults_are_left_out_is_one_with_faults() {
    let case = play(&three_phases(FAULT), &[], None).await;
    assert_eq!(case.log.text(), "10.0 gate after 1\n40.0 load ends");
    let during = &case.outcome.observations.phases[1];
    assert!(during.has_faults && during.complete);
    assert_eq!(during.removed_ns, Some(during.judged_to_ns));
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_was_never_injected_is_dismissed() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::Works)], Some(3.0)).await;
    assert_eq!(case.log.text(), "3.0 load is cut short\n3.0 dismiss cut");
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_panics_is_tried_again() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::PanicsInUndo)], None).await;
    assert_eq!(case.outcome.faults[0].state, FaultState::Undone);
    assert_eq!(case.log.text().matches("undo cut").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_undo_that_hangs_ends_at_its_limit() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::HangsInUndo)], None).await;
    assert_eq!(case.outcome.faults[0].state, FaultState::Left);
    assert!((100.0..101.5).contains(&case.outcome.duration.as_secs_f64()), "{:?}", case.outcome.duration);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_did_not_last_loses_its_proof() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::DoesNotLast)], None).await;
    let fault = &case.outcome.faults[0];
    assert_eq!((fault.injection, fault.undo), (Verdict::Inconclusive, Verdict::Pass));
    assert!(fault.problem.as_deref().unwrap().contains("lasted"), "{fault:?}");
}

/// When it went is unknown: the time since the last look does not count.
#[tokio::test(start_paused = true)]
async fn a_fault_that_its_undo_finds_gone_is_unproven_since_the_last_look() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::IsMissed)], None).await;
    let fault = &case.outcome.faults[0];
    let [stretch] = &fault.unproven[..] else { panic!("{fault:?}") };
    assert_eq!(Some(stretch.to_s), fault.undoing_s);
    assert!((0.9..1.2).contains(&(stretch.to_s - stretch.from_s)), "{stretch:?}");
    assert!(stretch.why.starts_with("it is gone, between"), "{stretch:?}");
    assert_eq!(fault.injection, Verdict::Pass);
    let short = r#"{"pods": {"name": "p"}, "from": [{"service": "s"}], "for": "2s"}"#;
    let case = play(&three_phases(short), &[("cut", Behaviour::IsMissed)], None).await;
    let fault = &case.outcome.faults[0];
    assert_eq!(fault.injection, Verdict::Inconclusive, "{fault:?}");
    let problem = fault.problem.as_deref().unwrap();
    assert!(problem.contains("in place for 2s of its planned 2s, 1s of which are without proof"), "{problem}");
}

/// A look that shows nothing is repeated, the very last one as well.
#[tokio::test(start_paused = true)]
async fn a_fault_whose_last_looks_show_nothing_loses_its_proof() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::IsSeenNowAndThen)], None).await;
    assert_eq!(case.outcome.faults[0].injection, Verdict::Pass, "{:?}", case.outcome.faults[0]);
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::NeverSeenAgain)], None).await;
    let fault = &case.outcome.faults[0];
    assert_eq!(fault.injection, Verdict::Inconclusive);
    assert!(fault.problem.as_deref().unwrap().ends_with("until its end: the log is empty"), "{fault:?}");
}

/// Between the proof and the last looks.
#[tokio::test(start_paused = true)]
async fn a_proven_fault_is_sampled_until_its_end() {
    let case = play(&three_phases(FAULT), &[("cut", Behaviour::IsSampled)], None).await;
    let fault = &case.outcome.faults[0];
    assert!(matches!(&fault.unproven[..], [it] if it.why == "open" && it.to_s - it.from_s < 1.1), "{fault:?}");
    assert_eq!(fault.injection, Verdict::Pass);
}

#[tokio::test(start_paused = true)]
async fn a_stop_condition_undoes_once_it_held_for_long_enough() {
    let faults = [("cut", Behaviour::Works)];
    let rate = r#"[{"success_rate": {"below": "50%", "for": "4s"}}]"#;
    let case = play_until(rate, &three_phases(FAULT), &faults, None).await;
    // 4 of 10 succeed from 10.5 on: after 4 s the share of the last 4 s is below a half, and not much earlier.
    let breach = case.outcome.breach.expect("a breach");
    assert_eq!((breach.phase.as_str(), breach.load.as_str()), ("during", "l"));
    assert_eq!(breach.path, "abort_if[0].success_rate");
    let undone: f64 = case.log.text().lines().nth(2).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((13.0..=14.6).contains(&undone), "{}", case.log.text());
    assert!(case.log.text().contains("load is cut short"), "{}", case.log.text());
    assert!(case.outcome.errors.is_empty(), "an early stop is no error");
    assert_eq!(case.outcome.observations.phases.len(), 2);

    let latency = r#"[{"latency": {"percentile": "p50", "above": "2s", "for": "4s"}}]"#;
    let case = play_until(latency, &three_phases(FAULT), &faults, None).await;
    assert!(case.outcome.breach.expect("a breach").reason.starts_with("p50 of load `l` was"));
    for never in [
        r#"[{"success_rate": {"below": "40%", "for": "4s"}}]"#,
        r#"[{"success_rate": {"below": "50%", "for": "35s"}}]"#,
        r#"[{"latency": {"percentile": "p50", "above": "4s", "for": "4s"}}]"#,
    ] {
        assert_eq!(play_until(never, &three_phases(FAULT), &faults, None).await.outcome.breach, None, "{never}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_phase_watches_only_itself() {
    let phases = |phase: usize| {
        let mut phases: serde_json::Value = serde_json::from_str(&three_phases(FAULT)).unwrap();
        phases[phase]["abort_if"] = serde_json::json!([{"success_rate": {"below": "50%", "for": "4s"}}]);
        phases.to_string()
    };
    let faults = [("cut", Behaviour::Works)];
    assert_eq!(play(&phases(0), &faults, None).await.outcome.breach, None);
    assert_eq!(play(&phases(2), &faults, None).await.outcome.breach, None);
    let breach = play(&phases(1), &faults, None).await.outcome.breach.expect("a breach");
    assert_eq!(breach.path, "phases[1].abort_if[0].success_rate");
}

#[tokio::test(start_paused = true)]
async fn a_fault_waits_for_the_answers_that_the_phase_before_is_owed() {
    for (latency, injected) in [(3.0, "13.0 inject cut"), (60.0, "20.0 inject cut")] {
        let latency = Duration::from_secs_f64(latency);
        let case = play_slowly(latency, "[]", &three_phases(FAULT), &[("cut", Behaviour::Works)], None).await;
        assert!(case.log.text().contains(&format!("\n{injected}")), "{latency:?}: {}", case.log.text());
        assert_eq!(
            case.marks[1],
            (10.0, 1, PhasePart::Waiting),
            "what is due meanwhile is of neither phase's judged part"
        );
    }
}
