//! The rate of false alarms of a gate: the same scenario runs many times without faults. Every failure is a false
//! alarm.

use indexmap::IndexMap;
use shakedown_schemas::result::{ExpectationResult, Identity, ScenarioResult, SharedNames, Unit, Verdict};

use super::answer::CONFIDENCE;
use super::numbers::{student_quantile, wilson};
use super::text;

/// The fewest runs for which a threshold is suggested: fewer do not show how the values vary.
const RUNS: usize = 5;

/// One expectation over all control runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// The scenario, with its file if another one has the same name.
    pub scenario: String,
    /// The expectation: phase, title, and the load.
    pub title: String,
    /// The number of runs with this expectation.
    pub runs: u64,
    /// The number of runs in which it failed.
    pub false_alarms: u64,
    /// The number of runs in which it was inconclusive.
    pub inconclusive: u64,
    /// The 95 % interval of the share of false alarms.
    pub interval: [f64; 2],
    /// The smallest, median and largest observed value, in words. None without observed values.
    pub observed: Option<[String; 3]>,
    /// The suggested limit, in words. None if the present limit has enough margin, or if there is too little data.
    pub suggestion: Option<String>,
}

/// The results of control runs for each expectation, in the order of the file.
pub fn calibrate(runs: &[ScenarioResult]) -> Vec<Calibration> {
    let mut shared = SharedNames::default();
    shared.learn(runs.iter().map(ScenarioResult::identity));
    let mut by_question: IndexMap<(Identity<'_>, String), Vec<&ExpectationResult>> = IndexMap::new();
    for run in runs {
        for it in &run.expectations {
            let load = if it.load.is_empty() { String::new() } else { format!(" [{}]", it.load) };
            let title = format!("{}: {}{load}", it.phase, it.title);
            by_question.entry((run.identity(), title)).or_default().push(it);
        }
    }
    let one = |((scenario, title), answers): ((Identity<'_>, String), Vec<&ExpectationResult>)| {
        let count = |verdict| answers.iter().filter(|it| it.verdict == verdict).count() as u64;
        let (runs, false_alarms) = (answers.len() as u64, count(Verdict::Fail));
        let mut values: Vec<f64> = answers.iter().filter_map(|it| it.observed).collect();
        values.sort_by(f64::total_cmp);
        let words = |value: f64| text::worded(answers[0].unit, value);
        let observed = values
            .first()
            .zip(values.last())
            .map(|(least, most)| [words(*least), words(values[values.len() / 2]), words(*most)]);
        Calibration {
            scenario: shared.label(scenario),
            title,
            runs,
            false_alarms,
            inconclusive: count(Verdict::Inconclusive),
            interval: wilson(false_alarms, runs, CONFIDENCE),
            observed,
            suggestion: suggestion(answers[0], &values),
        }
    };
    by_question.into_iter().map(one).collect()
}

/// A limit that the next control run misses with a chance of 1 in 1,000, if its value has the same distribution: the
/// prediction interval of a normal sample, `mean + t * s * sqrt(1 + 1/n)`, of logarithms for positive values other than
/// shares. None unless it is beyond the current limit.
fn suggestion(it: &ExpectationResult, values: &[f64]) -> Option<String> {
    if values.len() < RUNS {
        return None;
    }
    let logarithmic = it.unit != Unit::Fraction && values.iter().all(|value| *value > 0.0);
    let scaled: Vec<f64> = values.iter().map(|value| if logarithmic { value.ln() } else { *value }).collect();
    let n = scaled.len() as f64;
    let mean = scaled.iter().sum::<f64>() / n;
    let deviation = (scaled.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let reach = student_quantile(0.999, n - 1.0) * deviation * (1.0 + 1.0 / n).sqrt();
    let back = |value: f64| if logarithmic { value.exp() } else { value };
    let (low, high) = (back(mean - reach), back(mean + reach));
    let low = if it.unit == Unit::Fraction { low.max(0.0) } else { low };
    let min = it.min.filter(|min| low < *min).map(|_| format!("min: {}", text::worded(it.unit, low)));
    let max = it.max.filter(|max| high > *max).map(|_| format!("max: {}", text::worded(it.unit, high)));
    match (min, max) {
        (None, None) => None,
        (one, other) => Some(one.into_iter().chain(other).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;

    fn runs(values: &[f64], max: f64) -> Vec<ScenarioResult> {
        let one = |value: &f64| {
            let mut scenario = sample::passing().scenarios.remove(0);
            scenario.expectations.truncate(1);
            let it = &mut scenario.expectations[0];
            (it.unit, it.observed, it.min, it.max) = (Unit::Times, Some(*value), None, Some(max));
            it.verdict = if *value <= max { Verdict::Pass } else { Verdict::Fail };
            scenario
        };
        values.iter().map(one).collect()
    }

    #[test]
    fn false_alarms_have_a_rate_and_an_interval() {
        let values: Vec<f64> = (0..20).map(|run| 1.0 + f64::from(run % 5) * 0.05).collect();
        let table = calibrate(&runs(&values, 1.15));
        assert_eq!(table.len(), 1);
        let row = &table[0];
        assert_eq!((row.runs, row.false_alarms, row.inconclusive), (20, 4, 0));
        // Published: 4 of 20 by Wilson, 0.0807 to 0.4160.
        assert!((row.interval[0] - 0.0807).abs() < 1e-3 && (row.interval[1] - 0.4160).abs() < 1e-3, "{row:?}");
        assert_eq!(row.observed, Some(["1".to_owned(), "1.1".to_owned(), "1.2".to_owned()]));
        let suggested: f64 = row.suggestion.as_deref().unwrap().strip_prefix("max: ").unwrap().parse().unwrap();
        assert!((1.3..1.45).contains(&suggested), "{suggested}");
    }

    /// The runs of both were counted as one: 2 of 4 false alarms.
    #[test]
    fn scenarios_of_one_name_in_two_files_are_two() {
        let mut both = [runs(&[1.0, 1.0], 2.0), runs(&[3.0, 3.0], 2.0)].concat();
        both[2..].iter_mut().for_each(|it| it.file = "b/s.yaml".to_owned());
        let rows = calibrate(&both);
        let rows: Vec<_> = rows.iter().map(|it| (it.scenario.as_str(), it.runs, it.false_alarms)).collect();
        let first = format!("worker-loses-nats ({})", both[0].file);
        assert_eq!(rows, [(first.as_str(), 2, 0), ("worker-loses-nats (b/s.yaml)", 2, 2)]);
    }

    #[test]
    fn a_limit_with_room_stays_and_few_runs_suggest_nothing() {
        let row = |values: &[f64], max: f64| calibrate(&runs(values, max)).remove(0);
        assert_eq!(row(&[1.0, 1.05, 1.1, 0.95, 1.0, 1.02], 3.0).suggestion, None);
        assert_eq!(row(&[1.0, 1.2, 1.4, 0.9], 1.1).suggestion, None);
        let mut unsure = runs(&[1.0, 1.0], 2.0);
        unsure[0].expectations[0].verdict = Verdict::Inconclusive;
        unsure[0].expectations[0].observed = None;
        unsure[1].expectations[0].observed = None;
        let row = calibrate(&unsure).remove(0);
        assert_eq!((row.inconclusive, row.observed, row.interval[0]), (1, None, 0.0));
    }
    /// For five values in steps of 1 around 2, the next one is within 7.173 * 1.581 * sqrt(1.2) = 12.42 of 2, where 7.173
    /// is Student's 99.9 % for four degrees of freedom.
    #[test]
    fn suggestions_are_the_limits_of_what_comes_next() {
        let of = |unit: Unit, values: [f64; 5], min: Option<f64>, max: Option<f64>| {
            let mut runs = runs(&values, 0.0);
            let it = &mut runs[0].expectations[0];
            (it.unit, it.min, it.max) = (unit, min, max);
            calibrate(&runs).remove(0).suggestion
        };
        let suggests = |text: &str| Some(text.to_owned());
        let steps = [0.0, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(of(Unit::Count, steps, Some(-10.0), Some(14.0)), suggests("min: -10.4, max: 14.4"));
        assert_eq!(of(Unit::Count, steps, Some(-11.0), Some(14.0)), suggests("max: 14.4"));
        assert_eq!(of(Unit::Count, steps, Some(-11.0), Some(15.0)), None, "there is room");
        // Positive values vary by factors: two to the power of these steps.
        let powers = steps.map(f64::exp2);
        assert_eq!(of(Unit::Times, powers, Some(0.001), Some(20_000.0)), suggests("min: 0.000728, max: 21986"));
        // Shares do not, and none is below zero.
        let shares = steps.map(|step| 0.9 + step / 100.0);
        assert_eq!(of(Unit::Fraction, shares, Some(0.9), None), suggests("min: 79.58%"));
        assert_eq!(of(Unit::Fraction, steps.map(|step| step / 10.0), Some(0.05), None), suggests("min: 0%"));
        assert_eq!(of(Unit::Times, [1.0; 5], Some(1.0), Some(1.0)), None, "it keeps to its limits exactly");
    }
}
