//! The parts of every expectation's answer: the place of the question, the rules that decide it and the answer.

use indexmap::IndexMap;
use shakedown_schemas::result::{Unit, Verdict};
use shakedown_schemas::scenario::{Decide, Model, Pace, Sampling, Scenario};
use shakedown_schemas::units::{Percent, Percentile};

use super::limits::{Limits, by_root};
use super::numbers::wilson_factor;
use super::{seconds, stats, text};
use shakedown_observe::{Cell, LoadObservations, Observations};

/// The default confidence level.
pub(super) const CONFIDENCE: f64 = 0.95;

/// One expectation for one load.
pub(super) struct Asked<'a> {
    /// The planned scenario.
    pub(super) scenario: &'a Scenario,
    /// All observations.
    pub(super) observations: &'a Observations,
    /// The judged load.
    pub(super) load: &'a LoadObservations,
    /// The load in its usual state, around which the tolerance of a recovery is. None for the load itself.
    pub(super) usual: Option<&'a LoadObservations>,
    /// The index of the judged phase.
    pub(super) phase: usize,
    /// The index of the phase that the expectation names in `to`. None if it names none, or if that phase never began.
    pub(super) to: Option<usize>,
    /// The path of the expectation in the file.
    pub(super) path: &'a str,
    /// The seed of draws.
    pub(super) seed: u64,
}

impl Asked<'_> {
    /// The name of an observed phase.
    pub(super) fn phase_name(&self, phase: usize) -> &str {
        self.observations.phases.get(phase).map_or("", |span| &span.name)
    }

    /// The planned pace of the load in a phase; none in a closed loop.
    pub(super) fn pace(&self, phase: usize) -> Option<Pace> {
        match self.scenario.model(&self.load.name, phase)? {
            Model::Open(pace) => Some(pace),
            Model::Closed(_) => None,
        }
    }

    /// The number of requests that the load's pace has in the judged part of this phase up to a moment. None in a closed loop.
    pub(super) fn scheduled(&self, until_ns: u64) -> Option<f64> {
        self.scheduled_in(self.phase, until_ns)
    }

    fn scheduled_in(&self, phase: usize, until_ns: u64) -> Option<f64> {
        let span = self.observations.phases.get(phase)?;
        let (pace, duration) = (self.pace(phase)?, self.scenario.phases.get(phase)?.duration);
        let until = |at_ns: u64| pace.requests(duration, seconds(at_ns.saturating_sub(span.active_ns)));
        Some(until(until_ns) - until(span.judged_from_ns))
    }

    /// The largest number of workers of the load in a phase; 0 in an open loop.
    pub(super) fn workers(&self, phase: usize) -> f64 {
        match self.scenario.model(&self.load.name, phase) {
            Some(Model::Closed(workers)) => f64::from(workers.most()),
            Some(Model::Open(_)) | None => 0.0,
        }
    }

    /// By how many requests this phase may differ from the load's pace, because of the random moments of its requests. None in a
    /// closed loop.
    pub(super) fn spread(&self) -> Option<f64> {
        self.spread_in(self.phase)
    }

    fn spread_in(&self, phase: usize) -> Option<f64> {
        let arrival = self.scenario.load.get(&self.load.name)?.arrival.unwrap_or_default();
        Some(arrival.spread(self.pace(phase)?.highest()))
    }

    /// How many of the needed requests a phase lacks because jitter moved them over its ends; at most a tenth. 0 if the pace of
    /// this phase, or of the one that it is compared with, does not have as many as are needed.
    fn moved(&self, needed: u64) -> u64 {
        let of_phase = |phase: usize| {
            let until_ns = self.observations.phases.get(phase)?.judged_to_ns;
            let has_enough = self.scheduled_in(phase, until_ns)? + 0.5 >= needed as f64;
            let most = self.spread_in(phase)?.min(needed as f64 / 10.0) as u64;
            let lacking = needed.saturating_sub(stats::total(self.load, phase).requests());
            has_enough.then_some(lacking.min(most))
        };
        let phases = [Some(self.phase), self.to].into_iter().flatten();
        let moved: Option<Vec<u64>> = phases.map(of_phase).collect();
        moved.and_then(|moved| moved.into_iter().max()).unwrap_or_default()
    }

    /// The index of the phase in `to`, which has this name, or why it cannot be the reference.
    pub(super) fn complete_phase(&self, name: &str) -> Result<usize, String> {
        match self.to {
            None => Err(format!("the comparison phase `{name}` never began")),
            Some(index) if !self.observations.phases[index].complete => {
                Err(format!("the comparison phase `{name}` ended early"))
            }
            Some(index) => Ok(index),
        }
    }

    /// The failures, for the end of a sentence: `: 400 of 400 requests failed (400 connection_refused)`.
    pub(super) fn failures(&self, requests: &Cell) -> String {
        let failed: u64 = requests.failed.values().sum();
        if failed == 0 {
            return String::new();
        }
        format!(": {failed} of {} failed ({})", text::requests(requests.requests()), named(requests))
    }
}

/// The failures by name: `60 timeout, 20 http_503`.
pub(super) fn named(requests: &Cell) -> String {
    let parts: Vec<String> =
        stats::errors(&requests.failed).iter().map(|(name, count)| format!("{count} {name}")).collect();
    parts.join(", ")
}

/// The largest factor by which a longer phase is advised.
const MOST_LONGER: f64 = 100.0;

/// The rules that decide one expectation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    decide: Decide,
    /// The confidence level, between 0.5 and 0.9999.
    pub(super) confidence: f64,
    needed: u64,
    /// How many of them jitter may have moved out of the phase.
    moved: u64,
    overridden: bool,
    /// The unit of `needed`.
    noun: &'static str,
}

impl Rules {
    /// The expectation's own rules, and the requests that the question needs without `min_samples`.
    pub(super) fn new(sampling: Sampling, needed: u64) -> Self {
        let Sampling { min_samples, decide, confidence } = sampling;
        Self {
            decide,
            confidence: confidence.map_or(CONFIDENCE, Percent::fraction).clamp(0.5, 0.9999),
            needed: min_samples.unwrap_or(needed).max(1),
            moved: 0,
            overridden: min_samples.is_some(),
            noun: "request",
        }
    }

    /// The same rules, without the requests that jitter moved out of the phase.
    pub(super) fn allowing_jitter(self, asked: &Asked<'_>) -> Self {
        Self { moved: asked.moved(self.needed), ..self }
    }

    /// The same rules for another unit than requests.
    pub(super) const fn counting(self, noun: &'static str) -> Self {
        Self { noun, ..self }
    }

    /// True when the expectation itself sets the minimum (`min_samples`).
    pub(super) const fn is_overridden(&self) -> bool {
        self.overridden
    }

    fn needs(&self) -> String {
        format!("{}s needed", self.noun)
    }

    /// True when this number of requests is enough for the question.
    pub(super) const fn enough(&self, requests: u64) -> bool {
        requests + self.moved >= self.needed
    }

    /// How many of the needed requests are missing, although this number is enough.
    fn missing(&self, requests: u64) -> u64 {
        self.needed.saturating_sub(requests).min(self.moved)
    }

    /// True when a share of this number of requests decides about its limits: it is enough, and the requests that jitter moved
    /// out of the phase could not change the verdict.
    pub(super) fn decides(&self, limits: &Limits, good: u64, requests: u64) -> bool {
        let missing = self.missing(requests);
        let holds = |good: u64, of: u64| limits.hold(good as f64 / of as f64);
        let may_hold = holds(good + missing, requests + missing) || holds(good, requests + missing);
        self.enough(requests) && (missing == 0 || holds(good, requests) || !may_hold)
    }
}

/// The answer to one expectation, before its title and place are added.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    pub(super) observed: Option<f64>,
    pub(super) observed_text: String,
    pub(super) interval: Option<[f64; 2]>,
    pub(super) censored: bool,
    pub(super) samples: u64,
    pub(super) reason: String,
    /// True if the reason names the judged phase.
    pub(super) names_phase: bool,
    /// What was observed, with its interval and without the limits. Empty where that is the whole reason.
    pub(super) fact: String,
    pub(super) terms: IndexMap<String, String>,
    unit: Option<Unit>,
    limits: Limits,
    show: fn(f64) -> String,
}

impl Answer {
    /// An answer in a unit, not yet decided.
    pub(super) fn new(unit: Unit, limits: Limits, show: fn(f64) -> String) -> Self {
        Self { unit: Some(unit), limits, show, ..Self::inconclusive(String::new()) }
    }

    /// Inconclusive, for this reason.
    pub(super) fn inconclusive(why: String) -> Self {
        Self {
            verdict: Verdict::Inconclusive,
            observed: None,
            observed_text: "nothing".to_owned(),
            interval: None,
            censored: false,
            samples: 0,
            reason: why,
            names_phase: false,
            fact: String::new(),
            terms: IndexMap::new(),
            unit: None,
            limits: Limits::default(),
            show: text::digits,
        }
    }

    /// With a reason that names the judged phase.
    pub(super) fn naming_phase(self) -> Self {
        Self { names_phase: true, ..self }
    }

    /// Sets the observed value.
    pub(super) fn observed(mut self, value: f64, shown: String, interval: Option<[f64; 2]>) -> Self {
        self.observed = Some(value);
        self.observed_text = shown;
        self.interval = interval;
        self
    }

    /// Adds one of the terms behind the observed value.
    pub(super) fn term(&mut self, name: &str, value: String) {
        self.terms.insert(name.to_owned(), value);
    }

    /// Whether it is about a ratio to an earlier phase.
    pub(super) fn is_ratio(&self) -> bool {
        self.unit == Some(Unit::Times)
    }

    /// True if the observed value is not within the limits, whatever the verdict.
    pub(super) fn misses(&self) -> bool {
        self.observed.is_some_and(|value| !self.limits.hold(value))
    }

    /// Sets a verdict that the limits did not decide.
    pub(super) fn verdict(mut self, verdict: Verdict, why: String) -> Self {
        self.verdict = verdict;
        self.reason = why;
        self
    }

    /// The sentence about a fact, its interval and the limits.
    fn sentence(&mut self, fact: &str) -> String {
        let value = self.observed.unwrap_or_default();
        let interval = self
            .interval
            .map_or_else(String::new, |[low, high]| format!(" ({} to {})", (self.show)(low), (self.show)(high)));
        self.fact = format!("{fact}{interval}");
        format!("{}, {}", self.fact, self.limits.against(value, self.show))
    }

    /// Decided by the limits and the rules.
    pub(super) fn decide(mut self, rules: &Rules, fact: &str) -> Self {
        let value = self.observed.unwrap_or_default();
        self.verdict = self.limits.judge(rules.decide, value, self.interval);
        self.reason = self.sentence(fact);
        let level = text::percent(rules.confidence);
        let rule = match rules.decide {
            Decide::Point => format!("the observed value; the {level} interval is for information"),
            Decide::Interval => format!("the whole {level} interval"),
        };
        self.term("decided by", rule);
        let needed = match rules.missing(self.samples) {
            0 => rules.needed.to_string(),
            missing => format!("{}, {missing} of them moved over the phase's ends by jitter", rules.needed),
        };
        self.term(&rules.needs(), needed);
        if self.verdict == Verdict::Inconclusive {
            let advice = self.advice(rules);
            self.reason.push_str(&advice);
        }
        self
    }

    /// Makes the answer inconclusive although the observed value misses the limits, with the reason and the next step.
    pub(super) fn unsure(mut self, rules: &Rules, fact: &str, why: &str, advice: &str) -> Self {
        self.term(&rules.needs(), rules.needed.to_string());
        self.term("decided by", why.to_owned());
        self.verdict = Verdict::Inconclusive;
        self.reason = format!("{}; {why}{advice}", self.sentence(fact));
        self
    }

    /// How much longer the phase has to be for its interval to decide, for the end of a sentence.
    fn advice(&self, rules: &Rules) -> String {
        let value = self.observed.unwrap_or_default();
        let Some(interval) = self.interval else { return self.longer(None) };
        let factor = |limit| match self.unit {
            Some(Unit::Fraction) => wilson_factor(value, limit, self.samples, rules.confidence),
            _ => by_root(value, interval, limit),
        };
        self.longer(Some(self.limits.longer(interval, factor)))
    }

    /// The advice to lengthen the phase by a factor, for the end of a sentence. Without a factor the phase is too short
    /// for an estimate.
    pub(super) fn longer(&self, factor: Option<f64>) -> String {
        // A ratio needs both of its terms for an interval.
        let phases = if self.unit == Some(Unit::Times) { "both phases" } else { "a phase" };
        match factor {
            None => "; the phase is too short: an interval needs at least 6 s".to_owned(),
            Some(factor) if factor <= MOST_LONGER => {
                format!("; {phases} about {} times as long would decide", text::digits(factor.ceil()))
            }
            Some(_) => "; the value is too close to the limit to decide in a phase of reasonable length".to_owned(),
        }
    }

    /// For fewer requests than the question needs: inconclusive, unless these already refute it.
    pub(super) fn small(
        self,
        rules: &Rules,
        fact: &str,
        percentile: Percentile,
        counts: &[(&str, u64)],
        refuted: bool,
    ) -> Self {
        self.too_few(rules, fact, &format!("{percentile} needs"), counts, refuted)
    }

    /// As `small`, for any question: `claim` names it and ends with "needs". The first count is that of the judged phase.
    pub(super) fn too_few(
        mut self,
        rules: &Rules,
        fact: &str,
        claim: &str,
        counts: &[(&str, u64)],
        refuted: bool,
    ) -> Self {
        self.term(&rules.needs(), rules.needed.to_string());
        if refuted {
            self.verdict = Verdict::Fail;
            self.reason = format!(
                "{}; the sample is small, but too few of its requests are within the limit",
                self.sentence(fact)
            );
            self.term("decided by", "an exact binomial test of a small sample".to_owned());
            return self;
        }
        // Those that are short by jitter alone are named only if no other is short.
        let by_jitter = counts.iter().all(|(_, count)| rules.enough(*count));
        let is_short = |count: u64| if by_jitter { count < rules.needed } else { !rules.enough(count) };
        let short: Vec<String> = counts
            .iter()
            .filter(|(_, count)| is_short(*count))
            .map(|(phase, count)| format!("`{phase}` has {}", text::counted(*count, rules.noun)))
            .collect();
        let advice = if rules.overridden {
            "lengthen the phase or raise the load"
        } else {
            "lengthen the phase, raise the load, or set `min_samples`"
        };
        self.verdict = Verdict::Inconclusive;
        self.names_phase = counts.first().is_some_and(|(_, count)| is_short(*count));
        self.reason = format!("{}, and {claim} {}: {advice}", text::list(&short), rules.needed);
        self
    }
}

#[cfg(test)]
mod tests;
