//! Compares the same scenario in two or more results and finds the answers that changed significantly.
//!
//! - An answer changed if its interval and the other's do not overlap. In a history, the newest interval is compared with
//!   the span of all earlier ones. Control and overkill runs are ignored.
//! - Answers without an interval (counts, censored recovery times) changed if their verdict changed.
//! - If the limit changed, the verdicts answer different questions, and only the measured values are compared: by their
//!   intervals, or without them by what the earlier value means under the new limit.
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
    /// Inconclusive on one side or both, or without a value that the new limit can be applied to.
    Unclear,
    /// No significant change of the value, but the limit in the scenario is another one.
    OtherLimit,
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
            Self::OtherLimit => "other limit",
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
    /// The later answer. It says so if the limit changed.
    pub after: String,
    /// The change.
    pub moved: Moved,
}

/// The identity of an expectation: its phase, load, kind and title without the limit, which may change, and its number among
/// those that share these.
type Key<'a> = (&'a str, &'a str, &'a str, String, usize);

fn answers(scenario: &ScenarioResult) -> IndexMap<Key<'_>, &ExpectationResult> {
    let mut found: IndexMap<Key<'_>, &ExpectationResult> = IndexMap::new();
    for it in &scenario.expectations {
        let key = |number| (it.phase.as_str(), it.load.as_str(), it.kind.as_str(), it.unlimited_title(), number);
        let number = (0..).find(|number| !found.contains_key(&key(*number))).unwrap_or_default();
        found.insert(key(number), it);
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
            before => {
                let limit = before.last().and_then(|last| other_limit(last, it));
                let note = limit.map_or_else(String::new, |limit| format!("; the limit changed: {limit}"));
                change(it, spanned(before), format!("{}{note}", shown(it)), moved(before, it))
            }
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

/// Both limits in words, if they differ.
fn other_limit(then: &ExpectationResult, now: &ExpectationResult) -> Option<String> {
    let differs = (then.min, then.max, &then.limit_text) != (now.min, now.max, &now.limit_text);
    let words =
        |it: &ExpectationResult| if it.limit_text.is_empty() { "none".to_owned() } else { it.limit_text.clone() };
    differs.then(|| format!("{} before, {} now", words(then), words(now)))
}

fn moved(before: &[&ExpectationResult], now: &ExpectationResult) -> Moved {
    let Some(last) = before.last() else { return Moved::NewOrGone };
    let has_other_limit = other_limit(last, now).is_some();
    let has_intervals = now.interval.is_some() && span(before).is_some();
    let then = if has_other_limit && !has_intervals { under(last, now) } else { Some(last.verdict) };
    match (then, now.verdict) {
        (None | Some(Verdict::Inconclusive | Verdict::Error), _) | (_, Verdict::Inconclusive | Verdict::Error) => {
            return Moved::Unclear;
        }
        _ if has_other_limit && has_intervals => {}
        (Some(Verdict::Pass), Verdict::Fail) => return Moved::Worse,
        (Some(Verdict::Fail), Verdict::Pass) => return Moved::Better,
        _ => {}
    }
    match by_value(before, now) {
        Moved::Same if has_other_limit => Moved::OtherLimit,
        moved => moved,
    }
}

/// The verdict that an earlier value has under the limit of a later one. None if the value does not show it.
fn under(then: &ExpectationResult, now: &ExpectationResult) -> Option<Verdict> {
    if !matches!(then.verdict, Verdict::Pass | Verdict::Fail) {
        return Some(then.verdict);
    }
    let value = then.observed?;
    let exceeds = now.max.is_some_and(|max| value > max);
    let holds = !exceeds && now.min.is_none_or(|min| value >= min);
    // The true value is at least the observed one.
    match then.censored {
        true if exceeds => Some(Verdict::Fail),
        true => None,
        false => Some(if holds { Verdict::Pass } else { Verdict::Fail }),
    }
}

/// By the intervals alone.
fn by_value(before: &[&ExpectationResult], now: &ExpectationResult) -> Moved {
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
        let others =
            [Moved::Elsewhere, Moved::Better, Moved::Unclear, Moved::OtherLimit, Moved::NewOrGone, Moved::Same];
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
