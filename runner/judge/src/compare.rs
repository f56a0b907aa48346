//! Compares the same scenario in two or more results and finds the answers and verdicts that changed significantly.
//!
//! - Scenarios are found by name, and by file and name where a result has several of that name (see `SharedNames`).
//! - A scenario's verdict counts next to its answers: a run that was stopped has few of them. It is worse if it no longer
//!   passes, and so are a failing answer to a new expectation and a missing scenario.
//! - An answer changed if its interval and the other's do not overlap. In a history, the newest interval is compared with
//!   the span of all earlier ones. Trials are ignored there, and so are runs in the sandbox if the newest was not in it.
//! - Answers without an interval (counts, censored recovery times) changed if their verdict changed.
//! - If the limit changed, the verdicts answer different questions, and only the measured values are compared: by their
//!   intervals, or without them by what the earlier value means under the new limit.
//! - The limits define which direction is worse: up with only `max`, down with only `min`.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::{ExpectationResult, Identity, NotRun, ScenarioResult, SharedNames, Trial, Verdict};

use super::text;

/// The change of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moved {
    /// Significantly worse, or it no longer holds.
    Worse,
    /// It changed significantly, but neither direction is worse.
    Elsewhere,
    /// Significantly better, or it now holds.
    Better,
    /// Inconclusive on one side or both, or without a value that the new limit can be applied to.
    Unclear,
    /// No significant change of the value, but the limit in the scenario is another one.
    OtherLimit,
    /// Only one side has this expectation or scenario, and it does not fail.
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

/// The title of the change of a scenario's verdict. That of an answer names its phase.
const VERDICT: &str = "verdict";

/// One answer or one verdict, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The scenario, with its file if another one has the same name.
    pub scenario: String,
    /// The expectation: phase, title, and the load. `verdict` for the verdict of the whole scenario.
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

/// Two results, scenario by scenario in the order of the second, and then the scenarios that it does not have. Nothing if
/// they have no scenario in common.
pub fn compare(before: &RunResult, after: &RunResult) -> Vec<Change> {
    let mut shared = SharedNames::default();
    for result in [before, after] {
        let left = result.not_run.iter().map(NotRun::identity);
        shared.learn(result.scenarios.iter().map(ScenarioResult::identity).chain(left));
    }
    let [old, new] =
        [before, after].map(|result| result.scenarios.iter().map(ScenarioResult::identity).collect::<Vec<_>>());
    let mut changes = Vec::new();
    let mut found: BTreeSet<Identity<'_>> = BTreeSet::new();
    for (scenario, it) in after.scenarios.iter().zip(&new) {
        let label = shared.label(*it);
        let is_it = |at: &usize| old[*at].find_in(&new, &shared).is_some_and(|back| new[back] == *it);
        match it.find_in(&old, &shared).filter(is_it) {
            Some(at) => {
                found.insert(old[at]);
                changes.extend(both(&label, &[&before.scenarios[at]], scenario));
            }
            None => {
                let now = scenario.outcome();
                let not_there = "not in the earlier result".to_owned();
                changes.push(Change::of_verdict(label, not_there, now.word().to_owned(), if_new(now)));
            }
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    for (scenario, it) in before.scenarios.iter().zip(&old).filter(|(_, it)| !found.contains(it)) {
        let left = after.not_run.iter().find(|left| left.identity() == *it);
        let why = left.map_or_else(|| "not in the later result".to_owned(), |it| format!("did not run: {}", it.reason));
        changes.push(Change::of_verdict(shared.label(*it), scenario.outcome().word().to_owned(), why, Moved::Worse));
    }
    changes
}

/// For each scenario, the newest run against all earlier ones. Scenarios with one run are ignored. So are trials, whose
/// correct answers differ.
pub fn history(results: &[RunResult]) -> Vec<Change> {
    let mut shared = SharedNames::default();
    for result in results {
        shared.learn(result.scenarios.iter().map(ScenarioResult::identity));
    }
    let mut by_scenario: IndexMap<Identity<'_>, Vec<&ScenarioResult>> = IndexMap::new();
    for scenario in results.iter().flat_map(|run| &run.scenarios).filter(|it| it.trial.is_none()) {
        by_scenario.entry(shared.common(scenario.identity())).or_default().push(scenario);
    }
    by_scenario.sort_unstable_by(|one, _, other, _| (one.name, one.file).cmp(&(other.name, other.file)));
    let newest = |mut runs: Vec<&ScenarioResult>| {
        runs.sort_by_key(|run| run.started_at);
        // The same result may be in two folders.
        runs.dedup_by_key(|run| run.started_at);
        let Some(newest) = runs.pop() else { return Vec::new() };
        runs.retain(|run| run.in_sandbox() == newest.in_sandbox());
        if runs.is_empty() { Vec::new() } else { both(&shared.label(newest.identity()), &runs, newest) }
    };
    by_scenario.into_values().flat_map(newest).collect()
}

impl Change {
    /// Whether it is that of a whole scenario.
    pub fn is_verdict(&self) -> bool {
        self.title == VERDICT
    }

    /// Of a scenario's verdict.
    fn of_verdict(scenario: String, before: String, after: String, moved: Moved) -> Self {
        Self { scenario, title: VERDICT.to_owned(), before, after, moved }
    }
}

/// A verdict without an earlier one.
const fn if_new(verdict: Verdict) -> Moved {
    match verdict {
        Verdict::Fail | Verdict::Error => Moved::Worse,
        Verdict::Pass | Verdict::Inconclusive => Moved::NewOrGone,
    }
}

/// One scenario's current verdict and answers against those of at least one earlier run.
fn both(label: &str, earlier: &[&ScenarioResult], now: &ScenarioResult) -> Vec<Change> {
    let then: Vec<IndexMap<Key<'_>, &ExpectationResult>> = earlier.iter().map(|run| answers(run)).collect();
    let new = answers(now);
    let mut changes = Vec::new();
    let change = |it: &ExpectationResult, before: String, after: String, moved: Moved| Change {
        scenario: label.to_owned(),
        title: if it.load.is_empty() {
            format!("{}: {}", it.phase, it.title)
        } else {
            format!("{}: {} [{}]", it.phase, it.title, it.load)
        },
        before,
        after,
        moved,
    };
    // Of the answers whose verdict changed between pass and fail.
    let mut turned = Vec::new();
    for (key, it) in &new {
        let before: Vec<&ExpectationResult> = then.iter().filter_map(|run| run.get(key).copied()).collect();
        changes.push(match before.as_slice() {
            [] => change(it, "not asked".to_owned(), shown(it), if_new(it.verdict)),
            before @ [.., last] => {
                let limit = other_limit(last, it);
                let note = limit.map_or_else(String::new, |limit| format!("; the limit changed: {limit}"));
                change(it, spanned(before), format!("{}{note}", shown(it)), moved(before, it))
            }
        });
        let last = before.last().map(|it| it.verdict);
        turned.extend(changes.last().filter(|_| last != Some(it.verdict)).map(|change| change.moved));
    }
    if let Some(last) = then.last() {
        let gone = last.iter().filter(|(key, _)| !new.contains_key(*key));
        changes.extend(gone.map(|(_, it)| change(it, shown(it), "not asked".to_owned(), Moved::NewOrGone)));
    }
    // A full cut must fail: only whether it did can become worse.
    if now.trial == Some(Trial::Overkill) {
        changes.clear();
        turned.clear();
    }
    changes.insert(0, verdict(label, earlier, now, &turned));
    changes
}

/// The change of the scenario's verdict. `turned` are the answers with another verdict than before.
fn verdict(label: &str, earlier: &[&ScenarioResult], now: &ScenarioResult, turned: &[Moved]) -> Change {
    // With the same limits, only a change of the service changes the verdict of an answer.
    let by_limits = |way| {
        let is_clear = |it: &Moved| matches!(it, Moved::Worse | Moved::Elsewhere | Moved::Better | Moved::OtherLimit);
        !turned.contains(&way) && turned.iter().any(is_clear)
    };
    let last = earlier.last().map_or(Verdict::Inconclusive, |it| it.outcome());
    let moved = match (last, now.outcome()) {
        (then, now) if then == now => Moved::Same,
        (Verdict::Pass, Verdict::Fail) if by_limits(Moved::Worse) => Moved::OtherLimit,
        (Verdict::Fail, Verdict::Pass) if by_limits(Moved::Better) => Moved::OtherLimit,
        (Verdict::Pass, Verdict::Fail | Verdict::Error) => Moved::Worse,
        (Verdict::Fail | Verdict::Error, Verdict::Pass) => Moved::Better,
        _ => Moved::Unclear,
    };
    let before = match earlier {
        [one] => one.outcome().word().to_owned(),
        several => {
            let passed = several.iter().filter(|it| it.outcome() == Verdict::Pass).count();
            format!("{passed} of {} passed", several.len())
        }
    };
    Change::of_verdict(label.to_owned(), before, now.outcome().word().to_owned(), moved)
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
mod tests;
