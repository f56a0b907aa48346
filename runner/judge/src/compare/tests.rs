//! Comparisons of two results and of many.

use super::*;
use shakedown_reports::sample;
use shakedown_schemas::result::{Trial, Unit};

/// The changes of the answers alone.
fn of_answers(changes: Vec<Change>) -> Vec<Change> {
    changes.into_iter().filter(|it| !it.is_verdict()).collect()
}

fn compare(before: &RunResult, after: &RunResult) -> Vec<Change> {
    of_answers(super::compare(before, after))
}

fn history(results: &[RunResult]) -> Vec<Change> {
    of_answers(super::history(results))
}

fn run(change: impl Fn(&mut ExpectationResult)) -> RunResult {
    let mut run = sample::passing();
    run.scenarios.truncate(1);
    let scenario = &mut run.scenarios[0];
    scenario.expectations.truncate(1);
    let it = &mut scenario.expectations[0];
    (it.verdict, it.unit, it.min, it.max) = (Verdict::Pass, Unit::Times, None, Some(3.0));
    (it.observed, it.interval) = (Some(2.0), Some([1.8, 2.2]));
    change(it);
    run
}

fn between(before: impl Fn(&mut ExpectationResult), after: impl Fn(&mut ExpectationResult)) -> Moved {
    let changes = compare(&run(before), &run(after));
    assert_eq!(changes.len(), 1);
    changes[0].moved
}

#[test]
fn only_values_outside_the_interval_changed() {
    let at = |low: f64, high: f64| move |it: &mut ExpectationResult| it.interval = Some([low, high]);
    assert_eq!(between(|_| {}, at(2.1, 2.6)), Moved::Same);
    assert_eq!(between(|_| {}, at(2.2, 2.6)), Moved::Same, "they touch");
    assert_eq!(between(|_| {}, at(1.0, 1.8)), Moved::Same, "and so do these");
    assert_eq!(between(|_| {}, at(2.3, 2.6)), Moved::Worse);
    assert_eq!(between(|_| {}, at(1.0, 1.5)), Moved::Better);
    let least = |low: f64, high: f64| {
        move |it: &mut ExpectationResult| (it.interval, it.min, it.max) = (Some([low, high]), Some(1.0), None)
    };
    assert_eq!(between(least(1.8, 2.2), least(1.0, 1.5)), Moved::Worse);
    assert_eq!(between(least(1.8, 2.2), least(2.5, 3.0)), Moved::Better);
    let neither =
        |low: f64| move |it: &mut ExpectationResult| (it.interval, it.min) = (Some([low, low + 0.1]), Some(1.0));
    assert_eq!(between(neither(1.0), neither(2.0)), Moved::Elsewhere);
    assert_eq!(between(neither(1.0), neither(1.05)), Moved::Same);
}

#[test]
fn a_change_in_words() {
    let change = |after: fn(&mut ExpectationResult)| compare(&run(|_| {}), &run(after)).remove(0);
    let worse = change(|it| (it.verdict, it.interval, it.observed_text) = (Verdict::Fail, None, "4x".to_owned()));
    let words = [worse.before.as_str(), worse.after.as_str(), worse.moved.word()];
    assert_eq!(words, ["pass 100% (1.8 to 2.2)", "fail 4x", "worse"]);
    let others = [Moved::Elsewhere, Moved::Better, Moved::Unclear, Moved::OtherLimit, Moved::NewOrGone, Moved::Same];
    assert_eq!(others.map(Moved::word), ["moved", "better", "unclear", "other limit", "new or gone", "same"]);
}

#[test]
fn verdicts_count_before_intervals() {
    let is = |verdict: Verdict| move |it: &mut ExpectationResult| it.verdict = verdict;
    assert_eq!(between(is(Verdict::Pass), is(Verdict::Fail)), Moved::Worse);
    assert_eq!(between(is(Verdict::Fail), is(Verdict::Pass)), Moved::Better);
    assert_eq!(between(is(Verdict::Fail), is(Verdict::Fail)), Moved::Same);
    assert_eq!(between(is(Verdict::Pass), is(Verdict::Inconclusive)), Moved::Unclear);
    assert_eq!(between(is(Verdict::Inconclusive), is(Verdict::Fail)), Moved::Unclear);
    let count = |verdict: Verdict| move |it: &mut ExpectationResult| (it.interval, it.verdict) = (None, verdict);
    assert_eq!(between(count(Verdict::Pass), count(Verdict::Pass)), Moved::Same);
}

/// A verdict that another limit gave was called better, though the service did the same.
#[test]
fn with_another_limit_only_the_values_are_compared() {
    let with = |max: f64, verdict: Verdict, interval: Option<[f64; 2]>| {
        move |it: &mut ExpectationResult| {
            it.limit_text = format!("at most {max}");
            it.title = format!("p95 {} times baseline", it.limit_text);
            (it.max, it.verdict, it.interval) = (Some(max), verdict, interval);
        }
    };
    let (tight, wide) = ([1.8, 2.2], [1.9, 2.3]);
    let failed = with(1.5, Verdict::Fail, Some(tight));
    assert_eq!(between(failed, with(9.0, Verdict::Pass, Some(wide))), Moved::OtherLimit);
    assert_eq!(between(with(9.0, Verdict::Pass, Some(wide)), failed), Moved::OtherLimit);
    assert_eq!(between(failed, with(9.0, Verdict::Pass, Some([3.0, 4.0]))), Moved::Worse, "it passes now");
    assert_eq!(between(failed, with(0.2, Verdict::Fail, Some([0.3, 0.4]))), Moved::Better, "it still fails");
    let change = compare(&run(failed), &run(with(9.0, Verdict::Pass, Some(wide)))).remove(0);
    assert!(change.after.ends_with("; the limit changed: at most 1.5 before, at most 9 now"), "{}", change.after);
    // Without intervals: the earlier value, 2, under the new limit.
    let count = |max, verdict| with(max, verdict, None);
    assert_eq!(between(count(1.0, Verdict::Fail), count(5.0, Verdict::Pass)), Moved::OtherLimit);
    assert_eq!(between(count(5.0, Verdict::Pass), count(1.0, Verdict::Fail)), Moved::OtherLimit);
    assert_eq!(between(count(5.0, Verdict::Pass), count(3.0, Verdict::Fail)), Moved::Worse);
    let censored = |it: &mut ExpectationResult| {
        count(1.0, Verdict::Fail)(it);
        it.censored = true;
    };
    assert_eq!(between(censored, count(5.0, Verdict::Pass)), Moved::Unclear, "it took at least 2");
    let later = |day: i64| {
        let mut run = run(with(9.0, Verdict::Pass, Some(wide)));
        run.scenarios[0].started_at = jiff::Timestamp::from_second(86_400 * day).unwrap();
        run
    };
    assert_eq!(history(&[run(failed), later(20_700)])[0].moved, Moved::OtherLimit, "and over many runs");
}

#[test]
fn other_limits_are_the_same_question_and_another_kind_is_not() {
    let percentile = |it: &mut ExpectationResult| it.title = it.title.replace("success rate", "p99");
    let changes = compare(&run(|_| {}), &run(percentile));
    assert_eq!(changes.iter().map(|it| it.moved).collect::<Vec<_>>(), [Moved::NewOrGone; 2], "another question");
    let twice = |second: [f64; 2]| {
        let mut run = run(|_| {});
        let mut it = run.scenarios[0].expectations[0].clone();
        it.interval = Some(second);
        run.scenarios[0].expectations.push(it);
        run
    };
    let moved = |changes: Vec<Change>| changes.iter().map(|it| it.moved).collect::<Vec<_>>();
    let second = moved(compare(&twice([1.8, 2.2]), &twice([2.5, 2.6])));
    assert_eq!(second, [Moved::Same, Moved::Worse], "two of a kind differ by their order");
    let changes = compare(&run(|_| {}), &run(|it| it.kind = "other".to_owned()));
    assert_eq!(changes.iter().map(|it| it.moved).collect::<Vec<_>>(), [Moved::NewOrGone, Moved::NewOrGone]);
    assert_eq!((changes[0].before.as_str(), changes[1].after.as_str()), ("not asked", "not asked"));
    let mut other = run(|_| {});
    other.scenarios[0].name = "other".to_owned();
    assert!(super::compare(&run(|_| {}), &other).is_empty());
}

#[test]
fn the_newest_run_is_compared_with_all_earlier_ones() {
    let on = |day: i64, low: f64, high: f64| {
        let mut run = run(|it| it.interval = Some([low, high]));
        run.scenarios[0].started_at = jiff::Timestamp::from_second(86_400 * day).unwrap();
        run
    };
    let results = |newest: RunResult| vec![newest, on(2, 2.0, 2.4), on(1, 1.0, 1.4), on(2, 2.0, 2.4)];
    let moved = |newest| history(&results(newest)).remove(0);
    let same = moved(on(3, 1.5, 1.6));
    assert_eq!((same.moved, same.before.as_str()), (Moved::Same, "2 of 2 passed, 1 to 2.4"));
    assert_eq!(moved(on(3, 2.5, 2.6)).moved, Moved::Worse);
    assert_eq!(moved(on(3, 0.5, 0.6)).moved, Moved::Better);
    assert!(history(&[on(1, 1.0, 1.4)]).is_empty());
    let mut control = on(4, 9.0, 9.1);
    control.scenarios[0].trial = Some(Trial::Control);
    assert_eq!(history(&[results(on(3, 1.5, 1.6)), vec![control]].concat()), [same], "a control run is no measure");
}

/// The changes of the verdicts: scenario, before, after, and how it moved.
fn verdicts(changes: &[Change]) -> Vec<[&str; 4]> {
    let all = changes.iter().filter(|it| it.is_verdict());
    all.map(|it| [it.scenario.as_str(), it.before.as_str(), it.after.as_str(), it.moved.word()]).collect()
}

/// A run of one scenario with this verdict and one answer.
fn ended(verdict: Verdict, answer: impl Fn(&mut ExpectationResult)) -> RunResult {
    let mut run = run(answer);
    run.scenarios[0].verdict = verdict;
    run
}

/// A run that a stop condition ended was "6 unclear, 1 new or gone".
#[test]
fn a_run_that_was_stopped_is_worse() {
    let mut stopped = ended(Verdict::Fail, |it| it.verdict = Verdict::Inconclusive);
    let mut condition = stopped.scenarios[0].expectations[0].clone();
    (condition.kind, condition.verdict) = ("abort_if".to_owned(), Verdict::Fail);
    stopped.scenarios[0].expectations.push(condition);
    let passed = ended(Verdict::Pass, |_| {});
    let changes = super::compare(&passed, &stopped);
    let moved: Vec<Moved> = changes.iter().map(|it| it.moved).collect();
    assert_eq!(moved, [Moved::Worse, Moved::Unclear, Moved::Worse], "the verdict, the answer, the condition");
    assert_eq!(verdicts(&changes), [["worker-loses-nats", "pass", "fail", "worse"]]);
    let back = super::compare(&stopped, &passed);
    let moved: Vec<Moved> = back.iter().map(|it| it.moved).collect();
    assert_eq!(moved, [Moved::Better, Moved::Unclear, Moved::NewOrGone]);
}

#[test]
fn verdicts_of_scenarios_are_compared() {
    let (p, f, i, e) = (Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Error);
    for (before, after, moved) in [
        (p, p, "same"),
        (p, f, "worse"),
        (p, e, "worse"),
        (p, i, "unclear"),
        (f, p, "better"),
        (e, p, "better"),
        (i, f, "unclear"),
        (f, e, "unclear"),
        (e, e, "same"),
    ] {
        let changes = super::compare(&ended(before, |_| {}), &ended(after, |_| {}));
        assert_eq!(verdicts(&changes), [["worker-loses-nats", before.word(), after.word(), moved]]);
    }
    let on = |day: i64, verdict| {
        let mut run = ended(verdict, |_| {});
        run.scenarios[0].started_at = jiff::Timestamp::from_second(86_400 * day).unwrap();
        run
    };
    let changes = super::history(&[on(1, f), on(3, f), on(2, p)]);
    assert_eq!(verdicts(&changes), [["worker-loses-nats", "1 of 2 passed", "fail", "worse"]]);
}

#[test]
fn a_verdict_that_follows_from_another_limit_is_not_worse() {
    let with = |max: f64, verdict: Verdict, interval: [f64; 2]| {
        ended(verdict, |it| {
            it.limit_text = format!("at most {max}");
            (it.max, it.verdict, it.interval) = (Some(max), verdict, Some(interval));
        })
    };
    let moved = |before, after| super::compare(&before, &after)[0].moved;
    let (wide, tight) = (with(9.0, Verdict::Pass, [1.8, 2.2]), with(1.5, Verdict::Fail, [1.9, 2.3]));
    assert_eq!(moved(wide.clone(), tight.clone()), Moved::OtherLimit);
    assert_eq!(moved(tight.clone(), wide.clone()), Moved::OtherLimit);
    assert_eq!(moved(wide.clone(), with(0.2, Verdict::Fail, [0.3, 0.4])), Moved::OtherLimit, "it is even faster");
    assert_eq!(moved(wide, with(1.5, Verdict::Fail, [3.0, 4.0])), Moved::Worse);
    assert_eq!(moved(tight, with(9.0, Verdict::Pass, [0.3, 0.4])), Moved::Better);
}

/// Several scenarios as one result: the file, the name and the verdict of each.
fn suite(scenarios: &[(&str, &str, Verdict)]) -> RunResult {
    let mut whole = run(|_| {});
    let one = whole.scenarios.remove(0);
    for (file, name, verdict) in scenarios {
        let mut it = one.clone();
        (it.file, it.name, it.verdict) = ((*file).to_owned(), (*name).to_owned(), *verdict);
        it.expectations[0].verdict = *verdict;
        whole.scenarios.push(it);
    }
    whole
}

/// The second of two files with one name was compared with the first: a result differed from itself, and its failure from
/// before was the same.
#[test]
fn scenarios_of_one_name_in_two_files_are_two() {
    let (p, f) = (Verdict::Pass, Verdict::Fail);
    let of = |a, b, folder: &str| {
        suite(&[(&format!("{folder}a/s.yaml"), "checkout", a), (&format!("{folder}b/s.yaml"), "checkout", b)])
    };
    for folder in ["", "./", "/ci/work/"] {
        let changes = super::compare(&of(f, p, ""), &of(f, f, folder));
        let moved: Vec<Moved> = changes.iter().map(|it| it.moved).collect();
        assert_eq!(moved, [Moved::Same, Moved::Same, Moved::Worse, Moved::Worse], "{folder}");
        assert!(changes[3].scenario.ends_with("b/s.yaml)"), "{}", changes[3].scenario);
        let same = super::compare(&of(f, p, folder), &of(f, p, ""));
        assert!(same.iter().all(|it| it.moved == Moved::Same), "{same:?}");
    }
    let on = |day: i64, mut run: RunResult| {
        let at = jiff::Timestamp::from_second(86_400 * day).unwrap();
        run.scenarios.iter_mut().for_each(|it| it.started_at = at);
        run
    };
    let changes = super::history(&[on(1, of(p, p, "")), on(2, of(f, p, "./")), on(3, of(f, f, ""))]);
    let expected = [
        ["checkout (a/s.yaml)", "1 of 2 passed", "fail", "same"],
        ["checkout (b/s.yaml)", "2 of 2 passed", "fail", "worse"],
    ];
    assert_eq!(verdicts(&changes), expected);
    // A name without another is enough: the file was moved.
    let moved = super::compare(&suite(&[("a.yaml", "checkout", p)]), &suite(&[("b/c.yaml", "checkout", p)]));
    assert_eq!(verdicts(&moved), [["checkout", "pass", "pass", "same"]]);
}

#[test]
fn a_scenario_that_is_missing_is_worse_and_a_new_one_is_if_it_fails() {
    let (p, f) = (Verdict::Pass, Verdict::Fail);
    let before = suite(&[("a.yaml", "a", p), ("b.yaml", "b", p), ("c.yaml", "c", f)]);
    let mut after = suite(&[("d.yaml", "d", f), ("a.yaml", "a", p), ("e.yaml", "e", p)]);
    let reason = "the run was interrupted".to_owned();
    after.not_run.push(NotRun { name: "c".to_owned(), file: "./c.yaml".to_owned(), reason });
    let expected = [
        ["d", "not in the earlier result", "fail", "worse"],
        ["a", "pass", "pass", "same"],
        ["e", "not in the earlier result", "pass", "new or gone"],
        ["b", "pass", "not in the later result", "worse"],
        ["c", "fail", "did not run: the run was interrupted", "worse"],
    ];
    assert_eq!(verdicts(&super::compare(&before, &after)), expected);
    // Which of two files was moved is not known.
    let changes = super::compare(&suite(&[("s.yaml", "x", p)]), &suite(&[("a/s.yaml", "x", p), ("b/s.yaml", "x", p)]));
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn of_overkill_runs_only_the_outcome_counts() {
    let overkill = |verdict| {
        let mut run = ended(verdict, |it| it.verdict = verdict);
        run.scenarios[0].trial = Some(Trial::Overkill);
        run
    };
    let changes = super::compare(&overkill(Verdict::Fail), &overkill(Verdict::Pass));
    assert_eq!((changes.len(), verdicts(&changes)), (1, vec![["worker-loses-nats", "pass", "fail", "worse"]]));
}

#[test]
fn a_history_compares_the_sandbox_with_itself() {
    let on = |day: i64, sandbox: bool, verdict| {
        let mut run = ended(verdict, |_| {});
        let scenario = &mut run.scenarios[0];
        scenario.started_at = jiff::Timestamp::from_second(86_400 * day).unwrap();
        scenario.cluster.as_mut().unwrap().sandbox = sandbox;
        run
    };
    let runs = [on(1, false, Verdict::Fail), on(2, true, Verdict::Pass), on(3, false, Verdict::Fail)];
    assert_eq!(verdicts(&super::history(&runs)), [["worker-loses-nats", "fail", "fail", "same"]]);
    assert!(super::history(&runs[..2]).is_empty());
}
