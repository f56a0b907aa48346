//! Whether a fault changed something in the run's own requests. A fault that nobody noticed shows nothing about the
//! service: where a phase demands an effect and has none, it is inconclusive.

use shakedown_schemas::Scenario;
use shakedown_schemas::result::{ExpectationResult, Unit, Verdict};
use shakedown_schemas::scenario::{Effect, RecoveryTime};

use super::bootstrap::{self, Windows};
use super::expectations::one;
use super::numbers::wilson;
use super::question::Question;
use super::recovery::{baseline_index, onset};
use super::stats::{judged, total};
use super::{samples, text};
use shakedown_observe::chance::Chance;
use shakedown_observe::{Cell, Histogram, LoadObservations, Observations};

/// The confidence of "anything changed": several things are looked at, and one of them must not change by chance.
const CONFIDENCE: f64 = 0.999;

/// A change of a percentile up to this factor is none.
const NOISE: f64 = 1.1;

/// Whether two intervals have nothing in common.
const fn apart([low, high]: [f64; 2], [least, most]: [f64; 2]) -> bool {
    high < least || most < low
}

/// What the faults of a phase changed in the requests of a load, in words; nothing when there is nothing to compare with.
fn changes(observations: &Observations, load: &LoadObservations, phase: usize, seed: u64) -> Vec<String> {
    let mut found = Vec::new();
    let Ok(first) = baseline_index(observations) else { return found };
    let (before, during) = (total(load, first), total(load, phase));
    let (n, m) = (before.requests(), during.requests());
    if n.min(m) >= samples::FLOOR
        && apart(wilson(before.succeeded, n, CONFIDENCE), wilson(during.succeeded, m, CONFIDENCE))
    {
        let rate = |cell: &Cell| text::percent(cell.succeeded as f64 / cell.requests() as f64);
        found.push(format!("success rate {} to {}", rate(&before), rate(&during)));
    }
    let pick: fn(&Cell) -> &Histogram = |cell| &cell.latency;
    for (quantile, name) in [(0.5, "p50"), (0.95, "p95")] {
        let needed = samples::percentile(quantile);
        if before.latency.len() < needed || during.latency.len() < needed {
            continue;
        }
        let chance = Chance::new(seed, &["effect", &load.name, &phase.to_string(), name]);
        let (over, under) = (Windows::new(judged(load, phase), pick), Windows::new(judged(load, first), pick));
        let interval = bootstrap::ratio(&over, &under, quantile, CONFIDENCE, chance);
        let (a, b) = (before.latency.quantile(quantile), during.latency.quantile(quantile));
        if let (Some(interval), Some(a), Some(b)) = (interval, a, b)
            && apart(interval, [1.0, 1.0])
            && (b / a > NOISE || a / b > NOISE)
        {
            found.push(format!("{name} {} to {}", text::seconds(a / 1e6), text::seconds(b / 1e6)));
        }
    }
    if found.is_empty()
        && let Some(at_s) = onset(observations, load, phase, &RecoveryTime::default())
    {
        found.push(format!("out of tolerance from {} on", text::seconds(at_s)));
    }
    found
}

/// What the faults of each phase changed, in a sentence by phase; nothing for a phase without faults, and for one whose
/// requests went on as before.
pub fn evidence(observations: &Observations, seed: u64) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (phase, span) in observations.phases.iter().enumerate().filter(|(_, span)| span.has_faults) {
        let by_load = observations.loads.iter().filter_map(|load| {
            let changes = changes(observations, load, phase, seed);
            (!changes.is_empty()).then(|| format!("load {}: {}", load.name, changes.join(", ")))
        });
        let words: Vec<String> = by_load.collect();
        if !words.is_empty() {
            found.push((span.name.clone(), format!("the requests changed ({})", words.join("; "))));
        }
    }
    found
}

/// The answer to a phase's `effect`: one, from all the loads that it asks. Any of them suffices.
pub(super) fn result(
    scenario: &Scenario,
    observations: &Observations,
    phase: usize,
    wanted: &Effect,
    seed: u64,
    line: Option<u32>,
) -> ExpectationResult {
    let name = &scenario.phases[phase].name;
    let mut result = ExpectationResult {
        phase: name.clone(),
        load: String::new(),
        kind: "effect".to_owned(),
        title: "effect: anything that requests notice".to_owned(),
        verdict: Verdict::Inconclusive,
        observed: None,
        observed_text: "nothing".to_owned(),
        unit: Unit::Count,
        interval: None,
        censored: false,
        samples: 0,
        min: None,
        max: None,
        limit_text: "any change".to_owned(),
        reason: String::new(),
        terms: indexmap::IndexMap::new(),
        line,
    };
    let Some(span) = observations.phases.get(phase) else {
        result.reason = format!("`{name}` never began");
        return result;
    };
    let Some(expectation) = wanted.expectation() else {
        let level = text::percent(CONFIDENCE);
        let rule = format!("{level} intervals of success rate, p50 and p95, or a window out of tolerance");
        result.terms.insert("decided by".to_owned(), rule);
        result.samples = observations.loads.iter().map(|load| total(load, phase).requests()).sum();
        let found = evidence(observations, seed).into_iter().find(|(phase, _)| *phase == span.name);
        (result.verdict, result.reason, result.observed_text) = match found {
            Some((_, words)) => (Verdict::Pass, words, "a change".to_owned()),
            None => (Verdict::Inconclusive, unnoticed(name), "no change".to_owned()),
        };
        return result;
    };
    let question = Question::of(&expectation);
    let path = format!("phases[{phase}].effect");
    let loads = scenario.load.keys().filter(|load| expectation.load().is_none_or(|asked| asked == *load));
    let answers = loads.map(|load| (load, one(scenario, observations, phase, &expectation, load, &path, seed)));
    // A pass before anything else, then what can be told before what cannot.
    let rank = |verdict: Verdict| match verdict {
        Verdict::Pass => 0,
        Verdict::Fail => 1,
        Verdict::Inconclusive | Verdict::Error => 2,
    };
    result.title = format!("effect: {}", question.title);
    result.limit_text = question.limit_text;
    result.unit = question.unit;
    (result.min, result.max) = (question.limits.min, question.limits.max);
    if let Some((load, answer)) = answers.min_by_key(|(_, answer)| rank(answer.verdict)) {
        result.load = load.clone();
        result.reason = match answer.verdict {
            Verdict::Fail => format!("{}: {}", unnoticed(name), answer.reason),
            _ => answer.reason.clone(),
        };
        result.verdict = if answer.verdict == Verdict::Pass { Verdict::Pass } else { Verdict::Inconclusive };
        (result.observed, result.observed_text) = (answer.observed, answer.observed_text);
        (result.interval, result.censored) = (answer.interval, answer.censored);
        (result.samples, result.terms) = (answer.samples, answer.terms);
    }
    result
}

fn unnoticed(phase: &str) -> String {
    format!(
        "the faults of `{phase}` did not change what they must change, so that holding up against them shows nothing"
    )
}

#[cfg(test)]
mod tests;
