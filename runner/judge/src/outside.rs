//! Expectations about other observations than requests: `pods`, `prometheus` and `logs`. Each has a rule for missing
//! data: without observations they never pass.

mod prometheus;

use std::collections::{BTreeMap, BTreeSet};

use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{Collected, Expectation, Logs, Pods};

use super::answer::Answer;
use super::limits::Limits;
use super::{counts, seconds, text};
use shakedown_observe::{LinesSeen, Observations, Outside, PhaseSpan, PodsSeen};

/// The longest time between two samples of the pods that does not count as a gap, in nanoseconds.
const LONGEST_GAP_NS: u64 = 5_000_000_000;

/// The answer to such an expectation.
pub(super) fn answer(observations: &Observations, phase: usize, expectation: &Expectation, path: &str) -> Answer {
    let seen = observations.outside.get(path);
    match (expectation.collected(), seen) {
        (Some(Collected::Pods(it)), Some(Outside::Pods(looks))) => pods(observations, phase, it, looks),
        (Some(Collected::Prometheus(it)), Some(Outside::Series(series))) => {
            prometheus::answer(observations, phase, it, series)
        }
        (Some(Collected::Logs(it)), Some(Outside::Lines(lines))) => logs(observations, phase, it, lines),
        (Some(Collected::Pods(_) | Collected::Prometheus(_) | Collected::Logs(_)) | None, _) => {
            Answer::inconclusive("not observed: the run ended first".to_owned())
        }
    }
}

/// The samples within a stretch, and the last one before it.
fn within(looks: &[PodsSeen], from_ns: u64, to_ns: u64) -> Vec<&PodsSeen> {
    let first = looks.partition_point(|look| look.at_ns <= from_ns).saturating_sub(1);
    looks[first..].iter().take_while(|look| look.at_ns <= to_ns).collect()
}

/// The restarts of containers between the first sample and the last. A pod that was created meanwhile began with none.
fn restarts(looks: &[&PodsSeen]) -> u64 {
    let mut before: BTreeMap<&str, u64> = BTreeMap::new();
    let mut sum = 0;
    for (index, look) in looks.iter().enumerate() {
        for (uid, pod) in &look.pods {
            let had = before.insert(uid, pod.restarts).unwrap_or(if index == 0 { pod.restarts } else { 0 });
            sum += pod.restarts.saturating_sub(had);
        }
    }
    sum
}

fn ready(look: &PodsSeen) -> usize {
    look.pods.values().filter(|pod| pod.ready).count()
}

/// `pods`: restarts within the phase, and the time from its beginning (its faults in place) until as many pods are ready as
/// were before the first fault, and stay so until its end. The resolution is the time between two samples: a pod that was
/// replaced between them was missing until the second at most.
fn pods(observations: &Observations, phase: usize, it: &Pods, looks: &[PodsSeen]) -> Answer {
    let span = &observations.phases[phase];
    let during = within(looks, span.start_ns, span.end_ns);
    let gap = |pair: &[&PodsSeen]| pair[1].at_ns - pair[0].at_ns > LONGEST_GAP_NS;
    let seen_whole = during.first().is_some_and(|first| first.at_ns <= span.start_ns + LONGEST_GAP_NS)
        && during.last().is_some_and(|last| last.at_ns + LONGEST_GAP_NS >= span.end_ns)
        && !during.windows(2).any(gap);
    if !seen_whole {
        return Answer::inconclusive(format!(
            "the pods were not observed for the whole of `{}`: see the warnings",
            span.name
        ))
        .naming_phase();
    }
    let names: BTreeSet<&str> =
        during.iter().flat_map(|look| look.pods.values()).map(|pod| pod.name.as_str()).collect();
    if names.is_empty() {
        return Answer::inconclusive(format!("no pod matched during `{}`", span.name)).naming_phase();
    }
    let mut verdicts = Vec::new();
    let mut words = Vec::new();
    let mut answer = Answer::new(Unit::Count, Limits::default(), text::digits);
    if let Some(limits) = it.restarts.map(counts::limits) {
        let count = restarts(&during) as f64;
        let show = |value: f64| format!("{value}");
        answer = answer.observed(count, count.to_string(), None);
        answer.term("restarts", count.to_string());
        verdicts.push(if limits.hold(count) { Verdict::Pass } else { Verdict::Fail });
        words.push(format!("the containers of these pods restarted {count} times, {}", limits.against(count, show)));
    }
    if let Some(limit) = it.ready_within {
        let limits = Limits { min: None, max: Some(limit.as_secs_f64()) };
        let (verdict, value, why) = ready_again(observations, phase, looks, &during, limits);
        if it.restarts.is_none() {
            answer = Answer::new(Unit::Seconds, limits, text::seconds);
            if let Some(value) = value {
                answer = answer.observed(value, text::seconds(value), None);
            }
            answer.censored = verdict == Verdict::Fail && value.is_none();
        }
        let unknown = if verdict == Verdict::Fail { "not in this phase" } else { "not known" };
        answer.term("ready again", value.map_or_else(|| unknown.to_owned(), text::seconds));
        verdicts.push(verdict);
        words.push(why);
    }
    answer.samples = during.len() as u64;
    answer.term("samples of the pods", format!("{}, without equal ones in a row", during.len()));
    answer.term("decided by", "a sample of the pods every second".to_owned());
    answer.term("pods", text::quoted(names.iter().map(|name| (*name).to_owned())));
    let verdict = verdicts.into_iter().max().unwrap_or(Verdict::Inconclusive);
    answer.verdict(verdict, words.join("; "))
}

/// Whether, when and why the pods were ready again.
fn ready_again(
    observations: &Observations,
    phase: usize,
    looks: &[PodsSeen],
    during: &[&PodsSeen],
    limits: Limits,
) -> (Verdict, Option<f64>, String) {
    let span = &observations.phases[phase];
    let first_fault = observations.phases.iter().find(|span| span.has_faults).map_or(span.start_ns, |it| it.start_ns);
    let before = looks.iter().rev().find(|look| look.at_ns <= first_fault.min(span.start_ns)).or(looks.first());
    let wanted = before.map_or(0, ready);
    if wanted == 0 {
        return (Verdict::Inconclusive, None, "none of these pods was ready before the first fault".to_owned());
    }
    let found = ready_as(span, during, limits, wanted);
    // A pod that was missing for a moment before the fault lowers the required number.
    let usual = usually_ready(observations, looks).filter(|usual| *usual != wanted);
    match usual.map(|usual| (usual, ready_as(span, during, limits, usual))) {
        Some((usual, (verdict, ..))) if verdict != found.0 => {
            let why = format!(
                "{} ready right before the first fault and {usual} for most of the baseline, and the answer depends on \
                 it: {}",
                text::counted(wanted as u64, "pod"),
                found.2
            );
            (Verdict::Inconclusive, found.1, why)
        }
        _ => found,
    }
}

/// The number of pods that were ready for most of the phase before the first fault. None without samples of it.
fn usually_ready(observations: &Observations, looks: &[PodsSeen]) -> Option<usize> {
    let span = observations.phases.iter().take_while(|span| !span.has_faults).last()?;
    let mut counts: Vec<usize> =
        looks.iter().filter(|look| (span.start_ns..span.end_ns).contains(&look.at_ns)).map(ready).collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied()
}

/// Whether, when and why the required number of pods was ready.
fn ready_as(span: &PhaseSpan, during: &[&PodsSeen], limits: Limits, wanted: usize) -> (Verdict, Option<f64>, String) {
    let from_ns = span.active_ns;
    let now = during.last().map_or(0, |look| ready(look));
    if now < wanted {
        return (Verdict::Fail, None, format!("{now} of {wanted} pods were ready at the end of the phase"));
    }
    // The time from the beginning to the later sample of the last pair for which this is true.
    let since = |is_away: &dyn Fn(&[&PodsSeen]) -> bool| {
        let last = during.windows(2).rfind(|pair| pair[1].at_ns > from_ns && is_away(pair));
        seconds(last.map_or(0, |pair| pair[1].at_ns - from_ns))
    };
    let seen = since(&|pair| ready(pair[0]) < wanted);
    // Between two samples, a pod can be replaced by one that is already ready.
    let at_most = since(&|pair| staying(pair[0], pair[1]) < wanted);
    let verdict = |value| if limits.hold(value) { Verdict::Pass } else { Verdict::Fail };
    let (pods, bound) = (text::counted(wanted as u64, "pod"), text::seconds(at_most));
    if verdict(seen) != verdict(at_most) {
        let why = format!(
            "pods were replaced up to {bound} after the beginning, and no sample shows whether {pods} were ready all the \
             time"
        );
        return (Verdict::Inconclusive, None, why);
    }
    let against = limits.against(at_most, text::seconds);
    let why = match at_most > seen {
        true => {
            format!("{pods} ready again after {bound} at most, when a sample shows the last replaced one; {against}")
        }
        false => format!("{pods} ready again after {bound}, {against}"),
    };
    (verdict(at_most), Some(at_most), why)
}

/// The number of pods that are ready in both samples.
fn staying(one: &PodsSeen, next: &PodsSeen) -> usize {
    let is_ready = |uid: &String| next.pods.get(uid).is_some_and(|pod| pod.ready);
    one.pods.iter().filter(|(uid, pod)| pod.ready && is_ready(uid)).count()
}

/// `logs`: the lines within the phase that match. Unreadable logs make a limit that holds inconclusive, but not one
/// that is already missed. Gaps in other phases have no effect.
fn logs(observations: &Observations, phase: usize, it: &Logs, seen: &LinesSeen) -> Answer {
    let span: &PhaseSpan = &observations.phases[phase];
    let limits = Limits { min: it.min.map(|min| min as f64), max: it.max.map(|max| max as f64) };
    let lines: Vec<_> = seen.matching.iter().filter(|(at, ..)| (span.start_ns..span.end_ns).contains(at)).collect();
    let count = lines.len() as f64;
    let show = |value: f64| format!("{value}");
    let answer = Answer::new(Unit::Count, limits, show).observed(count, count.to_string(), None);
    let mut answer = answer.naming_phase();
    answer.samples = lines.len() as u64;
    answer.term("logs read", seen.read.to_string());
    answer.term("decided by", "the exact count, by the cluster's timestamps".to_owned());
    for (index, (at, pod, line)) in lines.iter().take(text::QUOTED).enumerate() {
        answer.term(&format!("line {}", index + 1), format!("{} {pod}: {line}", text::seconds(seconds(*at))));
    }
    let words = format!(
        "{} of `{}` match, {}",
        text::counted(lines.len() as u64, "line"),
        span.name,
        limits.against(count, show)
    );
    let certain = !limits.low_enough(count) || limits.max.is_none() && limits.high_enough(count);
    let gaps = seen.gaps.iter().filter(|gap| gap.from_ns < span.end_ns && span.start_ns < gap.to_ns);
    let gaps: Vec<String> = gaps.map(|gap| gap.why.clone()).collect();
    if seen.read == 0 || !gaps.is_empty() && !certain {
        // Without any log, the cause may be in another phase.
        let all = if gaps.is_empty() { seen.gaps.iter().map(|gap| gap.why.clone()).collect() } else { gaps };
        let gaps = if all.is_empty() { "no log could be read".to_owned() } else { text::quoted(all.into_iter()) };
        return answer.verdict(Verdict::Inconclusive, format!("{words}; {gaps}"));
    }
    answer.verdict(if limits.hold(count) { Verdict::Pass } else { Verdict::Fail }, words)
}

#[cfg(test)]
mod tests;
