//! `prometheus`: the values of a query.

use std::collections::BTreeMap;

use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{Over, Prometheus};

use crate::answer::Answer;
use crate::limits::Limits;
use crate::text;
use crate::transient::{self, Transient};
use shakedown_observe::{Observations, SeriesSeen};

/// The default share of a phase's values that must be numbers.
const MIN_COVERAGE: f64 = 0.75;

/// The values of the phase made one, alone or divided by those of an earlier phase. Missing data is inconclusive, and so is a
/// ratio to a value that is not above 0.
pub(super) fn answer(
    observations: &Observations,
    phase: usize,
    it: &Prometheus,
    series: &BTreeMap<usize, Result<SeriesSeen, String>>,
) -> Answer {
    let limits = Limits { min: it.min, max: it.max };
    let earlier = it.to.as_ref().and_then(|to| observations.phase(to));
    let value_of = |phase: usize, left_out: &[bool]| -> Result<(f64, usize), String> {
        let name = &observations.phases[phase].name;
        let seen = match series.get(&phase) {
            None => return Err(format!("Prometheus was not queried for `{name}`")),
            Some(Err(why)) => return Err(format!("`{name}`: {why}")),
            Some(Ok(seen)) => seen,
        };
        let is_left_out = |at: usize| left_out.get(at).is_some_and(|out| *out);
        let counted = seen.values.iter().enumerate().filter(|(at, value)| value.is_finite() && !is_left_out(*at));
        let finite: Vec<f64> = counted.map(|(_, value)| *value).collect();
        let no_data = || format!("Prometheus has no data for `{name}`{}{}", without_uncounted(seen), warned(seen));
        let value = one(it.over, &finite).ok_or_else(no_data)?;
        let expected = seen.expected.max(seen.values.len());
        let at_least = it.min_coverage.map_or(MIN_COVERAGE, |share| share.fraction());
        if left_out.is_empty() && (finite.len() as f64) < at_least * expected as f64 {
            return Err(format!(
                "Prometheus has {} of {expected} values for `{name}`, and {} are needed (`min_coverage`){}{}",
                finite.len(),
                text::percent(at_least),
                without_uncounted(seen),
                warned(seen)
            ));
        }
        Ok((value, finite.len()))
    };
    let (value, samples) = match value_of(phase, &[]) {
        Ok(found) => found,
        Err(why) => return Answer::inconclusive(why).naming_phase(),
    };
    let mut terms = vec![(observations.phases[phase].name.clone(), value, samples)];
    let mut unusual = Vec::new();
    let (observed, unit, shown) = match &it.to {
        None => (value, Unit::Count, text::digits(value)),
        Some(to) => {
            let Some(earlier) = earlier.filter(|earlier| observations.phases[*earlier].complete) else {
                return Answer::inconclusive(format!("the comparison phase `{to}` never began or ended early"));
            };
            let (under, count) = match value_of(earlier, &[]) {
                Ok(found) => found,
                Err(why) => return Answer::inconclusive(why),
            };
            let values = series.get(&earlier).and_then(|seen| seen.as_ref().ok()).map_or(&[][..], |seen| &seen.values);
            unusual = unusual_values(observations, earlier, values)
                .into_iter()
                .filter_map(|(left_out, words)| Some((value_of(earlier, &left_out).ok()?.0, words)))
                .collect();
            terms.push((to.clone(), under, count));
            let Some(ratio) = ratio(value, under) else { return Answer::inconclusive(undefined(to, under)) };
            (ratio, Unit::Times, format!("{}x", text::digits(ratio)))
        }
    };
    let mut answer = Answer::new(unit, limits, text::digits).observed(observed, shown, None);
    answer.samples = terms.iter().map(|(_, _, count)| *count as u64).min().unwrap_or_default();
    for (phase, value, count) in &terms {
        let values = text::counted(*count as u64, "value");
        answer.term(&format!("{phase} {}", it.over.word()), format!("{} ({values})", text::digits(*value)));
    }
    for seen in series.values().flatten() {
        let odd = uncounted(seen);
        if !odd.is_empty() {
            answer.term("left out", odd);
        }
        if !seen.warnings.is_empty() {
            answer.term("the server warns", text::quoted(seen.warnings.iter().cloned()));
        }
    }
    answer.term("decided by", "the observed value".to_owned());
    let times = it.to.as_ref().map_or_else(String::new, |to| format!(" times the {to}'s"));
    let why = format!(
        "the {} of the query was {}{times}, {}",
        it.over.word(),
        text::digits(observed),
        limits.against(observed, text::digits)
    );
    let verdict = |observed: f64| if limits.hold(observed) { Verdict::Pass } else { Verdict::Fail };
    let mut answer = answer.verdict(verdict(observed), why);
    let beyond = |seen: &SeriesSeen| {
        // The values that the answer is about.
        let counted =
            if it.over == Over::End { seen.values.last().map_or(&[][..], std::slice::from_ref) } else { &seen.values };
        let has = |value: f64, other: Over| it.over != other && counted.contains(&value);
        limits.max.is_some() && has(f64::INFINITY, Over::Min)
            || limits.min.is_some() && has(f64::NEG_INFINITY, Over::Max)
    };
    // No finite limit admits an infinite value.
    let mut seen = [Some(phase), earlier].into_iter().flatten().filter_map(|phase| series.get(&phase)?.as_ref().ok());
    if let Some(seen) = seen.find(|seen| beyond(seen))
        && answer.verdict == Verdict::Pass
    {
        let why = format!("{}, and an infinite value passes no limit{}", answer.reason, without_uncounted(seen));
        answer = answer.verdict(Verdict::Inconclusive, why);
    }
    if let Some(to) = &it.to {
        for (under, words) in unusual {
            let other = match ratio(value, under) {
                None => Answer::inconclusive(undefined(to, under)),
                Some(without) => Answer::new(unit, limits, text::digits)
                    .verdict(verdict(without), format!("{} times the {to}'s", text::digits(without))),
            };
            transient::second_opinion(&mut answer, &other, to, &words, true);
        }
    }
    let asked = [Some(phase), earlier].into_iter().flatten();
    for asked in asked {
        if let Some(doubt) = doubts(&observations.phases[asked].name, series.get(&asked)) {
            let why = format!("{}; {doubt}", answer.reason);
            answer = answer.verdict(Verdict::Inconclusive, why);
            answer.names_phase |= asked == phase;
        }
    }
    answer
}

/// A ratio to a value above 0. Below 0, a larger value would give a smaller ratio.
fn ratio(value: f64, under: f64) -> Option<f64> {
    Some(value / under).filter(|ratio| under > 0.0 && ratio.is_finite())
}

fn undefined(to: &str, under: f64) -> String {
    format!("the value of `{to}` is {}: the ratio is undefined", text::digits(under))
}

/// Why the values of a phase may be wrong.
fn doubts(phase: &str, seen: Option<&Result<SeriesSeen, String>>) -> Option<String> {
    let doubts = &seen?.as_ref().ok()?.doubts;
    (!doubts.is_empty())
        .then(|| format!("the answer for `{phase}` may lack data: {}", text::quoted(doubts.iter().cloned())))
}

/// The values of a phase that its other readings leave out: those of a transient or a jump of its requests, otherwise those
/// of a transient of the values themselves. Each reading has a description.
fn unusual_values(observations: &Observations, phase: usize, values: &[f64]) -> Vec<(Vec<bool>, String)> {
    let span = &observations.phases[phase];
    let of_loads = observations.loads.iter().flat_map(|load| Transient::all(load, phase));
    let covered = |it: Transient| (it.covers(span.judged_from_ns, span.judged_to_ns, values.len()), it.words());
    let found: Vec<_> = of_loads.map(covered).filter(|(covered, _)| covered.contains(&true)).collect();
    if !found.is_empty() {
        return found;
    }
    let of_values = || {
        let stretch = transient::of_values(values)?;
        let mean = |is_in: bool| {
            let part =
                values.iter().enumerate().filter(|(at, value)| stretch.contains(at) == is_in && value.is_finite());
            let part: Vec<f64> = part.map(|(_, value)| *value).collect();
            text::digits(one(Over::Mean, &part).unwrap_or_default())
        };
        let words = format!(
            "the mean of its values {} to {} was {}, and {} in the rest",
            stretch.start + 1,
            stretch.end,
            mean(true),
            mean(false)
        );
        Some(((0..values.len()).map(|at| stretch.contains(&at)).collect(), words))
    };
    of_values().into_iter().collect()
}

/// The values that do not count: `2 values are NaN`. Empty without any.
fn uncounted(seen: &SeriesSeen) -> String {
    let count = |is: fn(&f64) -> bool| seen.values.iter().filter(|value| is(value)).count();
    let kinds = [
        ("of another time", seen.elsewhere),
        ("NaN", count(|value| value.is_nan())),
        ("+Inf", count(|value| *value == f64::INFINITY)),
        ("-Inf", count(|value| *value == f64::NEG_INFINITY)),
    ];
    let words = kinds.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| match count {
        1 => format!("1 value is {kind}"),
        _ => format!("{count} values are {kind}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The same, for the end of a sentence.
fn without_uncounted(seen: &SeriesSeen) -> String {
    let odd = uncounted(seen);
    if odd.is_empty() { odd } else { format!(": {odd}") }
}

/// The server's warnings about its answer.
fn warned(seen: &SeriesSeen) -> String {
    match seen.warnings.is_empty() {
        true => String::new(),
        false => format!("; the server warns: {}", text::quoted(seen.warnings.iter().cloned())),
    }
}

fn one(over: Over, values: &[f64]) -> Option<f64> {
    match over {
        Over::Mean => (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64),
        Over::Max => values.iter().copied().reduce(f64::max),
        Over::Min => values.iter().copied().reduce(f64::min),
        Over::End => values.last().copied(),
    }
}
