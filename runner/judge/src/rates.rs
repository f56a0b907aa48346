//! Expectations about work per second: `throughput_ratio`, `output_tokens_per_second` and its ratio.
//!
//! A rate is a count divided by the judged seconds. Its interval follows from the variation of the counts between windows:
//! the long-run variance of the windows, as for percentiles, transferred to logarithms by the delta method, and Student's
//! quantile with its degrees of freedom. A count of zero has no such variance. The rule of three then bounds it: at most
//! three answers in that time, at 95 %.
//!
//! In a closed loop, the workers' requests may come in waves: ten workers whose answers take 3 s begin ten requests every 3 s,
//! and a phase of 20 s has six waves of them or seven. A verdict that one wave more or less would change is inconclusive.

use shakedown_schemas::result::Unit;
use shakedown_schemas::scenario::{RateRatio, TokenRate};

use super::answer::{Answer, Asked, Rules};
use super::drift::Second;
use super::limits::Limits;
use super::long_run::{FEWEST_WINDOWS, LongRun};
use super::measure::Work;
use super::numbers::{freedom_of_sum, student_quantile};
use super::stats::{self, Placed};
use super::{samples, text};
use shakedown_observe::Cell;

/// The share of a phase's answers that may end after it without a remark.
const LATE: f64 = 0.05;

/// A rate of one phase and its data.
struct Term {
    phase: String,
    requests: u64,
    /// The successful answers, and the count of their unit.
    answers: u64,
    count: u64,
    /// The successful answers that ended after the phase in which they were due.
    late: u64,
    seconds: f64,
    per_second: f64,
    /// The mean planned rate of the load, in requests per second. None in a closed loop.
    asked_for: Option<f64>,
    /// In a closed loop, the count of one request of each worker. 0 in an open loop.
    wave: f64,
    /// The variance of the rate's logarithm and its degrees of freedom. None with too few windows.
    spread: Option<(f64, f64)>,
}

impl Term {
    fn new(asked: &Asked<'_>, phase: usize, of: Work) -> Self {
        let total = stats::total(asked.load, phase);
        let span = asked.observations.phases.get(phase);
        let seconds = span.map_or(0.0, |span| stats::counted_seconds(asked.load, phase, span));
        let count = of.pick()(&total);
        let per_second = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        // The number of requests planned from the phase's beginning to a moment. The windows of a ramp differ by plan.
        let (active_ns, pace) = (span.map_or(0, |span| span.active_ns), asked.pace(phase));
        let duration = asked.scenario.phases.get(phase).map(|phase| phase.duration).unwrap_or_default();
        let planned = |at_ns: u64| {
            let seconds = super::seconds(at_ns.saturating_sub(active_ns));
            pace.as_ref().map_or(seconds, |pace| pace.requests(duration, seconds))
        };
        let cells: Vec<Placed<'_>> = stats::judged(asked.load, phase).collect();
        let late = span.map_or(0, |span| cells.iter().map(|placed| ended_after(placed, span.end_ns)).sum());
        let window_ns = stats::window_ns(&cells);
        // The rest at the end is not a whole window and is ignored.
        let whole = stats::windows(&cells, window_ns).into_iter().filter(|(_, length_ns)| *length_ns >= window_ns);
        let windows: Vec<(f64, f64)> = whole
            .map(|(part, length_ns)| {
                let from_ns = part.first().map_or(0, |placed| placed.start_ns);
                let count = part.iter().map(|placed| of.pick()(placed.cell)).sum::<u64>() as f64;
                (count, planned(from_ns + length_ns) - planned(from_ns))
            })
            .collect();
        let between = |(from_ns, to_ns): (u64, u64)| planned(to_ns) - planned(from_ns);
        let judged = span.map_or(0.0, |span| {
            let out = stats::left_out(asked.load, phase, span).into_iter().map(between).sum::<f64>();
            between((span.judged_from_ns, span.judged_to_ns)) - out
        });
        Self {
            phase: asked.phase_name(phase).to_owned(),
            requests: total.requests(),
            answers: total.succeeded,
            count,
            late,
            seconds,
            per_second,
            wave: asked.workers(phase) * count as f64 / total.requests().max(1) as f64,
            asked_for: pace.is_some().then(|| judged / seconds.max(1e-9)),
            spread: spread(&windows, total.requests()),
        }
    }

    /// The rate with this many waves more.
    fn with_waves(&self, waves: f64) -> f64 {
        let count = (self.count as f64 + waves * self.wave).max(0.0);
        if self.seconds > 0.0 { count / self.seconds } else { 0.0 }
    }

    fn explained(&self) -> String {
        format!("{} per second ({})", text::digits(self.per_second), text::requests(self.requests))
    }

    /// A remark that many answers ended after the phase in which they count: a service with a growing queue answers at a
    /// lower rate.
    fn lateness(&self) -> String {
        if self.late as f64 <= LATE * self.answers as f64 {
            return String::new();
        }
        format!(" (by when they were due: {} of {} answers ended after `{}`)", self.late, self.answers, self.phase)
    }
}

/// The successful answers of a cell that surely ended after a moment.
fn ended_after(placed: &Placed<'_>, at_ns: u64) -> u64 {
    let micros = at_ns.saturating_sub(placed.start_ns) as f64 / 1e3;
    let timed = placed.cell.failed_after.iter().filter(|(failure, _)| failure.is_timed());
    let failed: u64 = timed.map(|(_, after)| after.at_least(micros).len()).sum();
    placed.cell.latency.at_least(micros).len().saturating_sub(failed)
}

/// The variance of the logarithm of the windows' mean, and its degrees of freedom. Each window has a count and the number of
/// requests planned in it. The deviation from the planned share counts, as in a ratio estimator (Cochran, "Sampling
/// Techniques", 1977, section 6.3), so that a ramp is not noise. An exact schedule has no variation between windows; a phase
/// has one request more or less nonetheless, by where it begins and ends.
fn spread(windows: &[(f64, f64)], requests: u64) -> Option<(f64, f64)> {
    let n = windows.len() as f64;
    let (sum, planned) = windows.iter().fold((0.0, 0.0), |(sum, all), (count, planned)| (sum + count, all + planned));
    let mean = sum / n;
    if windows.len() < FEWEST_WINDOWS || mean <= 0.0 || planned <= 0.0 {
        return None;
    }
    let apart: Vec<f64> = windows.iter().map(|(count, planned_here)| count - sum / planned * planned_here).collect();
    let LongRun { variance, freedom } = LongRun::of(&apart);
    Some(((variance / (n * mean * mean)).max((requests.max(1) as f64).powi(-2)), freedom))
}

/// The interval around a value whose logarithm has this variance.
fn interval(value: f64, (variance, freedom): (f64, f64), confidence: f64) -> [f64; 2] {
    let half = student_quantile(0.5 + confidence / 2.0, freedom) * variance.sqrt();
    [value * (-half).exp(), value * half.exp()]
}

/// `output_tokens_per_second`: tokens of the phase's successful answers per second.
pub(super) fn tokens(asked: &Asked<'_>, it: &TokenRate) -> Answer {
    let rules = Rules::new(it.sampling(), samples::FLOOR).allowing_jitter(asked);
    let limits = Limits { min: it.min, max: it.max };
    let term = Term::new(asked, asked.phase, Work::Tokens);
    if let Some(why) = no_tokens(asked, &[asked.phase]) {
        return Answer::inconclusive(why);
    }
    let range = match term.spread {
        Some(spread) => Some(interval(term.per_second, spread, rules.confidence)),
        None => {
            let run = total_of(asked, 0..asked.observations.phases.len());
            nothing_came(&term, run.tokens as f64 / run.succeeded as f64)
        }
    };
    let shown = format!("{}/s", text::digits(term.per_second));
    let fact = format!("{} tokens per second were received", text::digits(term.per_second));
    let mut answer = Answer::new(Unit::Count, limits, text::digits).observed(term.per_second, shown, range);
    answer.samples = term.requests;
    answer.term("tokens", term.count.to_string());
    answer.term("requests", term.requests.to_string());
    if !rules.enough(term.requests) {
        return answer.too_few(&rules, &fact, "a rate needs", &[(&term.phase, term.requests)], false);
    }
    unless_wave(answer, (&rules, &fact, limits), [term.with_waves(-1.0), term.with_waves(1.0)])
}

/// `throughput_ratio` and `output_tokens_per_second_ratio`: a rate of the phase divided by that of an earlier one.
pub(super) fn ratio(asked: &Asked<'_>, it: &RateRatio, of: Work) -> Answer {
    let rules = Rules::new(it.sampling(), samples::FLOOR).allowing_jitter(asked);
    let limits = Limits { min: it.min, max: it.max };
    let (term, baseline, phase) = match asked.complete_phase(&it.to) {
        Ok(phase) => (Term::new(asked, asked.phase, of), Term::new(asked, phase, of), phase),
        Err(why) => return Answer::inconclusive(why),
    };
    if of == Work::Tokens
        && let Some(why) = no_tokens(asked, &[phase])
    {
        return Answer::inconclusive(why);
    }
    if baseline.count == 0 {
        return Answer::inconclusive(format!("`{}` has no {}: the ratio is undefined", it.to, of.words()));
    }
    let value = term.per_second / baseline.per_second;
    let range = match (term.spread, baseline.spread) {
        (Some(a), Some(b)) => Some(interval(value, (a.0 + b.0, freedom_of_sum(a, b)), rules.confidence)),
        _ => nothing_came(&term, baseline.count as f64 / baseline.answers as f64)
            .map(|[low, high]| [low, high / baseline.per_second]),
    };
    // The throughput of a service changes with the rate of its requests.
    let asked_for = match (term.asked_for, baseline.asked_for) {
        // In whole percent.
        (Some(now), Some(before)) if before > 0.0 && ((now / before - 1.0) * 100.0).trunc() != 0.0 => {
            format!(", while {} times as many requests were due", text::digits(now / before))
        }
        _ => String::new(),
    };
    let fact = format!(
        "{} were {} times those of the {}{asked_for}{}",
        of.words(),
        text::digits(value),
        it.to,
        term.lateness()
    );
    let shown = format!("{}x", text::digits(value));
    let mut answer = Answer::new(Unit::Times, limits, text::digits).observed(value, shown, range);
    answer.samples = term.requests.min(baseline.requests);
    answer.term(&format!("{} {}", term.phase, of.words()), term.explained());
    answer.term(&format!("{} {}", baseline.phase, of.words()), baseline.explained());
    // Throughput depends on the duration of the answers: if that drifted, the throughput may have drifted as well.
    let second = Second::new(asked.observations, asked.load, (phase, asked.phase), 0.5, |it| &it.latency, asked.seed);
    if let Some(second) = second.filter(Second::differs) {
        answer.term(
            "drifting",
            format!("p50 after the recovery is {} times the first baseline", text::digits(second.ratio)),
        );
    }
    if !rules.enough(answer.samples) {
        let counts = [(term.phase.as_str(), term.requests), (baseline.phase.as_str(), baseline.requests)];
        return answer.too_few(&rules, &fact, "a ratio of rates needs", &counts, false);
    }
    // A wave in either phase.
    let ratio = |waves: f64| {
        let other = baseline.with_waves(-waves);
        let of_baseline = if other > 0.0 { term.per_second / other } else { value };
        [term.with_waves(waves) / baseline.per_second, of_baseline]
    };
    let ([a, b], [c, d]) = (ratio(-1.0), ratio(1.0));
    unless_wave(answer, (&rules, &fact, limits), [a.min(b), c.max(d)])
}

/// Decides, unless the workers' waves alone may be the reason: a miss of the limits that one wave more or less would mend, or a
/// value below a maximum that it would exceed.
fn unless_wave(answer: Answer, (rules, fact, limits): (&Rules, &str, Limits), [low, high]: [f64; 2]) -> Answer {
    let is_missed = answer.misses();
    let is_open = match is_missed {
        true => limits.high_enough(high) && limits.low_enough(low),
        false => limits.max.is_some() && !limits.low_enough(high),
    };
    if low >= high || !is_open {
        return answer.decide(rules, fact);
    }
    let why = format!(
        "a wave of the workers' requests more or less makes it {} to {}",
        text::digits(low),
        text::digits(high)
    );
    answer.unsure(rules, fact, &why, "; longer phases have more waves")
}

/// The interval of a rate of zero: up to three answers may have been missed (rule of three). None if the size of an
/// answer is unknown.
fn nothing_came(term: &Term, per_answer: f64) -> Option<[f64; 2]> {
    let nothing = term.count == 0 && term.requests > 0 && per_answer.is_finite();
    nothing.then(|| [0.0, 3.0 * per_answer / term.seconds])
}

/// The requests of several phases together.
fn total_of(asked: &Asked<'_>, phases: impl Iterator<Item = usize>) -> Cell {
    let totals: Vec<Cell> = phases.map(|phase| stats::total(asked.load, phase)).collect();
    stats::sum(&totals.iter().collect::<Vec<_>>(), Cell::merge)
}

/// The reason why a load has no tokens although answers succeeded: its answers have no token count.
fn no_tokens(asked: &Asked<'_>, phases: &[usize]) -> Option<String> {
    let total = total_of(asked, phases.iter().copied());
    (total.tokens == 0 && total.succeeded > 0).then(|| {
        format!(
            "the answers of load `{}` have no token count: only streams of `openai` and answers with `usage` have one",
            asked.load.name
        )
    })
}

#[cfg(test)]
mod tests;
