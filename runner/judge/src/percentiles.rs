//! Expectations about percentiles of latency and of the time to the first token, alone or against an earlier phase.

use std::borrow::Cow;

use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{Latency, LatencyOf, LatencyRatio};
use shakedown_schemas::units::Percentile;

use super::answer::{Answer, Asked, Rules};
use super::bootstrap::{self, Windows};
use super::drift::Second;
use super::limits::Limits;
use super::measure::Timing;
use super::outcome::Uncounted;
use super::trend::Trend;
use super::{lateness, outcome, samples, shift, stats, text, waits};
use shakedown_observe::chance::Chance;
use shakedown_observe::{Histogram, LoadObservations};

/// A percentile of one phase and its data.
struct Term {
    of: Timing,
    phase: String,
    values: Histogram,
    windows: Windows,
    /// In seconds; none without values.
    value: Option<f64>,
    /// True if the value is that of an abandoned request: the true value is at least as long.
    censored: bool,
    /// True when requests of it were given up before their timeout.
    is_early: bool,
    /// The failures that do not count, because they were faster than the percentile.
    quick: Histogram,
    /// The failures in words, as the reason for missing values.
    failures: String,
    /// True when no request succeeded: the duration of an answer is unknown.
    none_succeeded: bool,
    /// How long its failures took, by kind, in words; empty without failures.
    failed_after: String,
    /// The number of requests among them that failed without a token: they count with their duration.
    tokenless: u64,
    /// The number of streams behind the values, if a stream has many: these values are not independent.
    streams: Option<u64>,
}

impl Term {
    /// `seen` is the load as it was recorded, and that of `asked` has the outcomes that count.
    fn new(
        asked: &Asked<'_>,
        seen: &LoadObservations,
        phase: usize,
        (percentile, of): (Percentile, Timing),
        of_what: LatencyOf,
    ) -> Self {
        let (quantile, pick) = (percentile.fraction(), of.pick());
        let total = stats::total(asked.load, phase);
        let values = pick(&total).clone();
        let uncounted = match (of, of_what.is_all()) {
            (Timing::Latency, true) => Uncounted::latencies(&stats::total(seen, phase), quantile),
            (Timing::FirstToken, true) => Uncounted::first_tokens(&stats::total(seen, phase)),
            _ => Uncounted::default(),
        };
        let timed = total.failed.iter().filter(|(failure, _)| of_what.is_all() && failure.is_timed());
        let timed_out: u64 = timed.map(|(_, count)| count).sum();
        let rank = (quantile * values.len() as f64 - 1e-9).ceil() as u64;
        let value = values.quantile(quantile);
        let counts_tokenless = of == Timing::FirstToken && of_what.is_all();
        let tokenless: Vec<&Histogram> = total.tokenless.values().filter(|_| counts_tokenless).collect();
        let tokenless = stats::sum(&tokenless, Histogram::merge);
        let failed = total.tokenless.iter().filter(|(failure, _)| counts_tokenless && !failure.is_given_up_early());
        let shortest = failed.filter_map(|(_, after)| after.quantile(0.0)).reduce(f64::min);
        // Requests that were given up took longer than (nearly) all others did.
        let among = |given_up: u64| given_up > 0 && rank > values.len() - given_up.min(values.len());
        let censored = match of {
            Timing::Latency => total.succeeded == 0 || among(timed_out + uncounted.given_up.len()),
            Timing::FirstToken => {
                among(uncounted.given_up.len())
                    || shortest.zip(value).is_some_and(|(shortest, value)| value >= shortest)
            }
            Timing::TokenGap => false,
        };
        let value = if censored { uncounted.least(&values).quantile(quantile) } else { value };
        Self {
            of,
            phase: asked.phase_name(phase).to_owned(),
            windows: Windows::new(stats::judged(asked.load, phase), pick),
            value: value.map(|microseconds| microseconds / 1e6),
            censored,
            is_early: !uncounted.given_up.is_empty(),
            quick: uncounted.quick,
            tokenless: tokenless.len(),
            failures: asked.failures(&total),
            none_succeeded: total.succeeded == 0,
            failed_after: outcome::failed_after(&total),
            streams: (of == Timing::TokenGap).then(|| total.first_token.len()),
            values,
        }
    }

    fn text(&self) -> String {
        let sign = if self.censored { "at least " } else { "" };
        self.value.map_or_else(|| "nothing".to_owned(), |value| format!("{sign}{}", text::seconds(value)))
    }

    fn explained(&self) -> String {
        format!("{} ({})", self.text(), text::counted(self.values.len(), self.of.noun()))
    }

    /// True when this small number of requests already contradicts the limits, by an exact test of the share beyond
    /// each.
    fn refutes(&self, percentile: Percentile, limits: Limits, confidence: f64) -> bool {
        let (n, share) = (self.values.len(), percentile.fraction());
        // At most `max` at percentile p says that at least p of the values are; at least `min`, that 1 - p are above.
        let over = limits.max.is_some_and(|max| {
            // A failure after the limit is no answer within it, even if it was fast for a failure.
            let within = n - above(&self.values, max);
            samples::too_few(within, n + above(&self.quick, max), share, confidence)
        });
        let under =
            limits.min.is_some_and(|min| samples::too_few(above(&self.values, min), n, 1.0 - share, confidence));
        over || under
    }

    /// The reason why its values come from too few streams, regardless of their number.
    fn too_few_streams(&self, rules: &Rules) -> Option<String> {
        let streams = self.streams.filter(|streams| *streams < samples::FLOOR && !rules.is_overridden())?;
        Some(format!(
            "the tokens of `{}` come from {}, and {} are needed: lengthen the phase, raise the load, or set \
             `min_samples`",
            self.phase,
            text::counted(streams, "stream"),
            samples::FLOOR
        ))
    }

    fn nothing(&self) -> Answer {
        Answer::inconclusive(self.why_nothing())
    }

    fn why_nothing(&self) -> String {
        format!("no request of `{}` has {}{}", self.phase, self.of.words(), self.failures)
    }

    /// The reason why a value that is only a lower bound cannot be compared with the limit.
    fn why_open(&self, fact: &str) -> String {
        match self.none_succeeded {
            true => self.why_nothing(),
            false => format!(
                "{fact}: the requests at this percentile were given up, so the limit cannot be checked; raise the load's \
                 `{}`",
                if self.is_early { "stall_after" } else { "timeout" }
            ),
        }
    }
}

/// The number of times above this many seconds.
fn above(times: &Histogram, seconds: f64) -> u64 {
    times.iter().filter(|(microseconds, _)| *microseconds > seconds * 1e6).map(|(_, count)| count).sum()
}

/// Adds how long the failures took to the answer's terms.
fn tell_failures(answer: &mut Answer, term: &Term, of_what: LatencyOf) {
    if term.tokenless > 0 {
        let counted = text::requests(term.tokenless);
        answer.term("without a token", format!("{counted}, with the time until the failure"));
    }
    if term.of == Timing::Latency && !term.failed_after.is_empty() {
        answer.term(&format!("{} failures took", term.phase), term.failed_after.clone());
        let counted = match of_what {
            LatencyOf::All => "all outcomes except failures that were faster than the percentile",
            LatencyOf::Successes => "successes only",
        };
        answer.term("counted", counted.to_owned());
        if !term.quick.is_empty() {
            answer.term("not counted", text::counted(term.quick.len(), "quick failure"));
        }
    }
}

/// `latency`, `time_to_first_token` and `inter_token_latency`: a percentile of the phase, in seconds.
pub(super) fn value(asked: &Asked<'_>, it: &Latency, of: Timing) -> Answer {
    let limits = Limits { min: it.min.map(|it| it.as_secs_f64()), max: it.max.map(|it| it.as_secs_f64()) };
    let rules = Rules::new(it.sampling(), samples::percentile(it.percentile.fraction()))
        .counting(of.noun())
        .allowing_jitter(asked);
    let (seen, load) = (asked.load, with_outcomes(asked, of, it.of, it.percentile));
    let asked = &Asked { load: &load, ..*asked };
    let term = Term::new(asked, seen, asked.phase, (it.percentile, of), it.of);
    let Some(value) = term.value else { return term.nothing().naming_phase() };
    let chance = Chance::new(asked.seed, &["latency", asked.path, &asked.load.name]);
    let interval = bootstrap::percentile(&term.windows, it.percentile.fraction(), rules.confidence, chance)
        .map(|interval| around(interval.map(|microseconds| microseconds / 1e6), value));
    let fact = format!("{} was {}", of.fact(it.percentile, it.of), term.text());
    let mut answer = Answer::new(Unit::Seconds, limits, text::seconds).observed(value, term.text(), interval);
    answer.samples = term.values.len();
    answer.censored = term.censored;
    answer.term(&format!("{}s", of.noun()), term.values.len().to_string());
    tell_failures(&mut answer, &term, it.of);
    if let Some(why) = term.too_few_streams(&rules) {
        return answer.verdict(Verdict::Inconclusive, why).naming_phase();
    }
    if !rules.enough(term.values.len()) {
        let refuted = term.refutes(it.percentile, limits, rules.confidence);
        return answer.small(&rules, &fact, it.percentile, &[(&term.phase, term.values.len())], refuted);
    }
    if term.censored && cannot_be_checked(limits, value) {
        answer.names_phase = term.none_succeeded;
        return answer.verdict(Verdict::Inconclusive, term.why_open(&fact));
    }
    let without = |late: f64| limits.low_enough(value - late);
    unless_ours(asked, (of, it.of), (it.percentile, value), without, answer.decide(&rules, &fact))
}

/// True when a value that is at least this much may still miss the largest that passes, or reach the smallest.
fn cannot_be_checked(limits: Limits, value: f64) -> bool {
    limits.low_enough(value) && (limits.max.is_some() || !limits.high_enough(value))
}

/// The load with the latencies that a percentile is of.
fn with_outcomes<'a>(
    asked: &Asked<'a>,
    of: Timing,
    of_what: LatencyOf,
    percentile: Percentile,
) -> Cow<'a, LoadObservations> {
    match of {
        Timing::Latency => outcome::of(asked.load, of_what, percentile.fraction()),
        Timing::FirstToken => outcome::of_first_token(asked.load, of_what, percentile.fraction()),
        Timing::TokenGap => Cow::Borrowed(asked.load),
    }
}

/// The answer, unless only the load generator's lateness makes the value too high: then the service is not the cause.
/// `observed` is the percentile in seconds. `without` decides whether the value is low enough without this many of them.
fn unless_ours(
    asked: &Asked<'_>,
    (of, of_what): (Timing, LatencyOf),
    (percentile, observed): (Percentile, f64),
    without: impl Fn(f64) -> bool,
    answer: Answer,
) -> Answer {
    let late = lateness::share_of(asked.load, asked.phase, percentile.fraction());
    if of == Timing::Latency
        && answer.verdict == Verdict::Fail
        && !without(0.0)
        && let Some((from_sent, words)) = waits::from_sent(asked.load, asked.phase, percentile.fraction(), of_what)
        && without((observed - from_sent).max(0.0))
    {
        let why = format!("{}; from sent to the end it was {}; {words}", answer.reason, text::seconds(from_sent));
        return answer.verdict(Verdict::Inconclusive, why);
    }
    if of == Timing::TokenGap || answer.verdict != Verdict::Fail || without(0.0) || !without(late) {
        return answer;
    }
    let why = format!(
        "{}; up to {} of that is lateness of the load generator: this machine was too busy to decide",
        answer.reason,
        text::seconds(late)
    );
    answer.verdict(Verdict::Inconclusive, why)
}

/// `latency_ratio` and its like for tokens: a percentile of the phase divided by the same percentile of an earlier one.
pub(super) fn ratio(asked: &Asked<'_>, it: &LatencyRatio, of: Timing) -> Answer {
    let limits = Limits { min: it.min, max: it.max };
    let rules = Rules::new(it.sampling(), samples::percentile(it.percentile.fraction()))
        .counting(of.noun())
        .allowing_jitter(asked);
    let first = match asked.complete_phase(&it.to) {
        Ok(phase) => phase,
        Err(why) => return Answer::inconclusive(why),
    };
    let (seen, load) = (asked.load, with_outcomes(asked, of, it.of, it.percentile));
    let asked = &Asked { load: &load, ..*asked };
    let baseline = Term::new(asked, seen, first, (it.percentile, of), it.of);
    let term = Term::new(asked, seen, asked.phase, (it.percentile, of), it.of);
    let (Some(over), Some(under)) = (term.value, baseline.value) else {
        return if baseline.value.is_none() { baseline.nothing() } else { term.nothing().naming_phase() };
    };
    // The histogram's resolution is a microsecond: a baseline below it has no ratio.
    let value = over / under.max(1e-6);
    let chance = Chance::new(asked.seed, &["latency_ratio", asked.path, &asked.load.name]);
    let interval =
        bootstrap::ratio(&term.windows, &baseline.windows, it.percentile.fraction(), rules.confidence, chance)
            .map(|interval| around(interval, value));
    let moved = match value {
        _ if term.censored => "was",
        ratio if ratio >= 1.05 => "rose to",
        ratio if ratio <= 0.95 => "fell to",
        _ => "stayed at",
    };
    let sign = if term.censored { "at least " } else { "" };
    let fact = format!("{} {moved} {sign}{} times the {}", of.fact(it.percentile, it.of), text::digits(value), it.to);
    let shown = format!("{}{}x", if term.censored { "at least " } else { "" }, text::digits(value));
    let mut answer = Answer::new(Unit::Times, limits, text::digits).observed(value, shown, interval);
    answer.samples = term.values.len().min(baseline.values.len());
    answer.censored = term.censored;
    answer.term(&format!("{} {}", term.phase, it.percentile), term.explained());
    answer.term(&format!("{} {}", baseline.phase, it.percentile), baseline.explained());
    tell_failures(&mut answer, &term, it.of);
    if let Some(why) = term.too_few_streams(&rules) {
        return answer.verdict(Verdict::Inconclusive, why).naming_phase();
    }
    if let Some(why) = baseline.too_few_streams(&rules) {
        return answer.verdict(Verdict::Inconclusive, why);
    }
    if !rules.enough(answer.samples) {
        // Against a baseline that is itself known well enough, a few requests can already be too slow.
        let known = rules.enough(baseline.values.len()) && !baseline.censored;
        let floor = it.or_below.map_or(0.0, |floor| floor.as_secs_f64());
        let absolute =
            Limits { min: limits.min.map(|min| min * under), max: limits.max.map(|max| (max * under).max(floor)) };
        let refuted = known && term.refutes(it.percentile, absolute, rules.confidence);
        let counts = [(term.phase.as_str(), term.values.len()), (baseline.phase.as_str(), baseline.values.len())];
        return answer.small(&rules, &fact, it.percentile, &counts, refuted);
    }
    if baseline.censored {
        let why = format!("{fact}, but the {}'s {} is the time of abandoned requests", it.to, it.percentile);
        return answer.verdict(Verdict::Inconclusive, why);
    }
    if let Some(floor) = it.or_below
        && !term.censored
        && over <= floor.as_secs_f64()
        && limits.high_enough(value)
    {
        answer.term("decided by", format!("or_below {floor}"));
        let why = format!("{fact}, and {} is {}, below {floor}", it.percentile, term.text());
        return answer.verdict(Verdict::Pass, why);
    }
    if term.censored && cannot_be_checked(limits, value) {
        answer.names_phase = term.none_succeeded;
        return answer.verdict(Verdict::Inconclusive, term.why_open(&fact));
    }
    // A service that drifts without a fault changes a ratio. A ratio that misses its limit must then exceed that drift.
    let drift = baseline.windows.drift(it.percentile.fraction());
    if let Some(factor) = drift {
        let words = format!("{} times the variance of independent requests", text::digits(factor));
        answer.term(&format!("{} drifts", baseline.phase), words);
    }
    let (quantile, pick) = (it.percentile.fraction(), of.pick());
    if drift.is_some()
        && let Some(question) = limits.drift(value)
    {
        let windows = (&term.windows, &baseline.windows);
        let moved = shift::moved(windows, quantile, question, rules.confidence);
        // A share only shows that the whole phase is beyond; the interval shows by how much.
        let (from, slower) = question;
        let beyond = interval.is_some_and(|[low, high]| if slower { low > from } else { high < from });
        let far = far_from_any_drift(&baseline.windows, over * 1e6, slower);
        if far {
            let words = format!("no request is within a factor of {} of this value", text::digits(FAR));
            answer.term(&format!("{} drifts, but", baseline.phase), words);
        }
        if !far && !beyond && moved.is_none_or(|moved| moved <= 1.0) {
            let why = format!("the {} drifts without a fault, which may explain the whole change", it.to);
            // It grows with the root of the time.
            let advice = answer.longer(moved.map(|moved| moved.max(0.0).powi(-2)));
            return answer.unsure(&rules, &fact, &why, &advice);
        }
    }
    let second = Second::new(asked.observations, asked.load, (first, asked.phase), quantile, pick, asked.seed);
    if let Some(second) = second {
        answer.term(&format!("second baseline {}", it.percentile), second.words());
        if second.differs() {
            answer.term(
                "drifting",
                format!("after the recovery it is {} times the first baseline", text::digits(second.ratio)),
            );
            let against_second = value / second.ratio;
            if !limits.hold(value) && limits.hold(against_second) && !term.censored {
                let why = format!(
                    "the run drifts: the value is only {} times the {} after the recovery",
                    text::digits(against_second),
                    it.percentile
                );
                return answer.unsure(&rules, &fact, &why, "; repeat the run when the service is in a steady state");
            }
        }
    }
    // A baseline that moves by more than the margin of the limit is not a valid reference.
    let trend = Trend::new(stats::judged(asked.load, first), quantile, pick);
    let moves = trend.map(|it| (it.factor(), value * under * 1e6 / it.to, format!("was {}", it.words())));
    if let Some((_, _, words)) = &moves {
        answer.term(&format!("{} moves", baseline.phase), words.clone());
    }
    let after = second.map(|it| {
        let words = format!("is {} times as high after the recovery", text::digits(it.ratio));
        (it.outside, value / it.ratio, words)
    });
    let room = limits.room().unwrap_or(f64::INFINITY);
    for (factor, against, words) in [after, moves].into_iter().flatten() {
        let fails_anyway = !limits.hold(value) && !limits.hold(against);
        if factor > room && !fails_anyway {
            let why = format!("the {} is not a valid reference: its {} {words}", it.to, it.percentile);
            return answer.unsure(
                &rules,
                &fact,
                &why,
                "; let it warm up before the baseline, or lengthen the baseline",
            );
        }
    }
    let without = |late: f64| limits.low_enough((over - late) / under.max(1e-6));
    unless_ours(asked, (of, it.of), (it.percentile, over), without, answer.decide(&rules, &fact))
}

/// How many times the baseline's slowest request a value must be, or its quickest divided by the value, to be more than
/// any drift of the baseline.
const FAR: f64 = 5.0;

/// True when a value lies so far beyond every request of the baseline that its drift cannot explain it. A few requests that
/// take a hundred times as long are not drift, although their share may be due to chance.
fn far_from_any_drift(baseline: &Windows, value: f64, slower: bool) -> bool {
    baseline.reach().is_some_and(
        |[least, most]| {
            if slower { value.ln() > most + FAR.ln() } else { value.ln() < least - FAR.ln() }
        },
    )
}

/// The interval with the observed value in it: draws come from the middle of each bucket and the observed value from
/// its end, half a thousandth apart.
fn around([low, high]: [f64; 2], value: f64) -> [f64; 2] {
    [low.min(value), high.max(value)]
}

#[cfg(test)]
mod tests;
