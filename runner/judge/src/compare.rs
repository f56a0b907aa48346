//! Compares the same scenario in two or more results and finds the answers that changed significantly.
//!
//! - An answer changed if its interval and the other's do not overlap. In a history, the newest interval is compared with
//!   the span of all earlier ones. Control and overkill runs are ignored.
//! - Answers without an interval (counts, censored recovery times) changed if their verdict changed.
//! - The limits define which direction is worse: up with only `max`, down with only `min`.

use indexmap::IndexMap;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::{ExpectationResult, ScenarioResult, Verdict};

use super::text;

/// The change of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
    /// Significantly worse, or it does not hold any more.
    Worse,
    /// It changed significantly, but neither direction is worse.
    Elsewhere,
    /// Significantly better, or it holds now.
    Better,
    /// Inconclusive on one side or both.
    Unclear,
    /// Only one side has this expectation.
    NewOrGone,
    /// No significant change.
    Same,
}

impl Moved {
    /// In a word or two.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Elsewhere => "moved",
            Self::Better => "better",
            Self::Unclear => "unclear",
            Self::NewOrGone => "new or gone",
            Self::Same => "same",
        }
    }
}

/// One answer, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The scenario.
    pub scenario: String,
    /// The expectation: phase, title, and the load.
    pub title: String,
    /// The earlier answer in words, with its interval.
    pub before: String,
    /// The later answer.
    pub after: String,
    /// The change.
    pub moved: Moved,
}

/// The identity of an expectation: its phase, load and kind, and its number among those that share these. The title is not
/// part of it, because it contains the limits, which may change.
type Key<'a> = (&'a str, &'a str, &'a str, usize);

fn answers(scenario: &ScenarioResult) -> IndexMap<Key<'_>, &ExpectationResult> {
    let mut found: IndexMap<Key<'_>, &ExpectationResult> = IndexMap::new();
    for it in &scenario.expectations {
        let asked = (it.phase.as_str(), it.load.as_str(), it.kind.as_str());
        let number = found.keys().filter(|(phase, load, kind, _)| (*phase, *load, *kind) == asked).count();
        found.insert((asked.0, asked.1, asked.2, number), it);
    }
    found
}

/// Two results, scenario by scenario in the order of the second. Scenarios that only one of them has are left out.
pub fn compare(before: &RunResult, after: &RunResult) -> Vec<Change> {
    let mut changes = Vec::new();
    for now in &after.scenarios {
        if let Some(then) = before.scenarios.iter().find(|it| it.name == now.name) {
            changes.extend(both(&[then], now));
        }
    }
    changes
}

/// For each scenario, the newest run against all earlier ones. Scenarios with one run are ignored. So are control and
/// overkill runs, whose correct answers differ.
pub fn history(results: &[RunResult]) -> Vec<Change> {
    let mut by_name: IndexMap<&str, Vec<&ScenarioResult>> = IndexMap::new();
    for scenario in results.iter().flat_map(|run| &run.scenarios).filter(|it| it.trial.is_none()) {
        by_name.entry(&scenario.name).or_default().push(scenario);
    }
    by_name.sort_unstable_keys();
    let newest = |mut runs: Vec<&ScenarioResult>| {
        runs.sort_by_key(|run| run.started_at);
        // The same result may be in two folders.
        runs.dedup_by_key(|run| run.started_at);
        let newest = runs.pop();
        newest.filter(|_| !runs.is_empty()).map_or_else(Vec::new, |newest| both(&runs, newest))
    };
    by_name.into_values().flat_map(newest).collect()
}

/// One scenario's current answers against those of at least one earlier run.
fn both(earlier: &[&ScenarioResult], now: &ScenarioResult) -> Vec<Change> {
    let then: Vec<IndexMap<Key<'_>, &ExpectationResult>> = earlier.iter().map(|run| answers(run)).collect();
    let new = answers(now);
    let mut changes = Vec::new();
    let change = |it: &ExpectationResult, before: String, after: String, moved: Moved| Change {
        scenario: now.name.clone(),
        title: if it.load.is_empty() {
            format!("{}: {}", it.phase, it.title)
        } else {
            format!("{}: {} [{}]", it.phase, it.title, it.load)
        },
        before,
        after,
        moved,
    };
    for (key, it) in &new {
        let before: Vec<&ExpectationResult> = then.iter().filter_map(|run| run.get(key).copied()).collect();
        changes.push(match before.as_slice() {
            [] => change(it, "not asked".to_owned(), shown(it), Moved::NewOrGone),
            before => change(it, spanned(before), shown(it), moved(before, it)),
        });
    }
    if let Some(last) = then.last() {
        let gone = last.iter().filter(|(key, _)| !new.contains_key(*key));
        changes.extend(gone.map(|(_, it)| change(it, shown(it), "not asked".to_owned(), Moved::NewOrGone)));
    }
    changes
}

/// An answer in words: its verdict, its value, its interval.
fn shown(it: &ExpectationResult) -> String {
    let interval = it.interval.map_or_else(String::new, |interval| format!(" ({})", text::interval(it.unit, interval)));
    format!("{} {}{interval}", it.verdict.word(), it.observed_text)
}

fn spanned(before: &[&ExpectationResult]) -> String {
    match before {
        [one] => shown(one),
        several => {
            let passed = several.iter().filter(|it| it.verdict == Verdict::Pass).count();
            let span = span(several)
                .map_or_else(String::new, |[low, high]| format!(", {}", text::interval(several[0].unit, [low, high])));
            format!("{passed} of {} passed{span}", several.len())
        }
    }
}

/// The span of these intervals. None if an answer has no interval.
fn span(answers: &[&ExpectationResult]) -> Option<[f64; 2]> {
    let mut span: Option<[f64; 2]> = None;
    for it in answers {
        let [low, high] = it.interval?;
        let [lowest, highest] = span.unwrap_or([low, high]);
        span = Some([lowest.min(low), highest.max(high)]);
    }
    span
}

fn moved(before: &[&ExpectationResult], now: &ExpectationResult) -> Moved {
    let Some(last) = before.last() else { return Moved::NewOrGone };
    match (last.verdict, now.verdict) {
        (Verdict::Pass, Verdict::Fail) => return Moved::Worse,
        (Verdict::Fail, Verdict::Pass) => return Moved::Better,
        (Verdict::Inconclusive | Verdict::Error, _) | (_, Verdict::Inconclusive | Verdict::Error) => {
            return Moved::Unclear;
        }
        _ => {}
    }
    let (Some([low, high]), Some([least, most])) = (now.interval, span(before)) else { return Moved::Same };
    let (up, down) = (low > most, high < least);
    match (now.min.is_some(), now.max.is_some()) {
        _ if !up && !down => Moved::Same,
        (false, true) => {
            if up {
                Moved::Worse
            } else {
                Moved::Better
            }
        }
        (true, false) => {
            if down {
                Moved::Worse
            } else {
                Moved::Better
            }
        }
        _ => Moved::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;
    use shakedown_schemas::result::{Trial, Unit};

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
        let others = [Moved::Elsewhere, Moved::Better, Moved::Unclear, Moved::NewOrGone, Moved::Same];
        assert_eq!(others.map(Moved::word), ["moved", "better", "unclear", "new or gone", "same"]);
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

    #[test]
    fn other_limits_are_the_same_question_and_another_kind_is_not() {
        let renamed = |it: &mut ExpectationResult| it.title = "p95 at most 9 times baseline".to_owned();
        assert_eq!(between(|_| {}, renamed), Moved::Same);
        let twice = |second: [f64; 2]| {
            let mut run = run(|_| {});
            let mut it = run.scenarios[0].expectations[0].clone();
            it.interval = Some(second);
            run.scenarios[0].expectations.push(it);
            run
        };
        let moved = |changes: Vec<Change>| changes.iter().map(|it| it.moved).collect::<Vec<_>>();
        let second = moved(compare(&twice([1.8, 2.2]), &twice([2.5, 2.6])));
        assert_eq!(second, [Moved::Same, Moved::Worse], "two of a kind are told apart by their order");
        let changes = compare(&run(|_| {}), &run(|it| it.kind = "other".to_owned()));
        assert_eq!(changes.iter().map(|it| it.moved).collect::<Vec<_>>(), [Moved::NewOrGone, Moved::NewOrGone]);
        assert_eq!((changes[0].before.as_str(), changes[1].after.as_str()), ("not asked", "not asked"));
        let mut other = run(|_| {});
        other.scenarios[0].name = "other".to_owned();
        assert!(compare(&run(|_| {}), &other).is_empty());
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
}
