//! An expectation in parts: the measured value, and its limit.

use shakedown_schemas::result::{ExpectationResult, NO_CHANGE, NO_SIGNIFICANT_CHANGE, ScenarioResult};

use super::values::names_load;

/// A failed expectation as the observed value and the limit: `success rate 82.5% in partition, at least 99% expected`. None
/// without a single limit or an observed value.
pub(super) fn missed(scenario: &ScenarioResult, it: &ExpectationResult) -> Option<String> {
    it.observed?;
    let Parts { subject, limit, load } = parts(scenario, it)?;
    Some(format!("{subject} {}{load} in {}, {limit} expected", it.observed_text, it.phase))
}

/// An effect that was too small, as the observed value and the limit: `cut had too little effect: success rate 90.33%, at most
/// 50% required`. None for other expectations.
pub(super) fn unfelt(scenario: &ScenarioResult, it: &ExpectationResult) -> Option<String> {
    if it.kind != "effect" {
        return None;
    }
    if it.observed_text == NO_CHANGE {
        return Some(format!("{} had no effect: no request changed", it.phase));
    }
    if it.observed_text.starts_with(NO_SIGNIFICANT_CHANGE) {
        return Some(format!("{} made {}", it.phase, it.observed_text));
    }
    it.observed?;
    let Parts { subject, limit, load } = parts(scenario, it)?;
    Some(format!("{} had too little effect: {subject}{load} {}, {limit} required", it.phase, it.observed_text))
}

/// An expectation with one limit, in words.
struct Parts<'a> {
    /// What is measured: `p95`.
    subject: &'a str,
    /// The whole limit: `at most 3 times baseline`.
    limit: String,
    /// The load, if the result has several: ` of checkout`.
    load: String,
}

fn parts<'a>(scenario: &ScenarioResult, it: &'a ExpectationResult) -> Option<Parts<'a>> {
    let measure = it.measure.as_ref().filter(|_| it.min.is_some() || it.max.is_some())?;
    let load = if names_load(scenario, &it.load) { format!(" of {}", it.load) } else { String::new() };
    Some(Parts { subject: &measure.subject, limit: format!("{}{}", it.limit_text, measure.condition), load })
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::{Cause, Measure, Verdict};

    use super::*;
    use crate::sample;
    use crate::sentences::headline;

    #[test]
    fn the_heading_has_the_observed_value_and_the_limit() {
        let mut scenario = sample::failing().scenarios.remove(0);
        let it = &mut scenario.expectations[2];
        for (subject, limit, condition, observed, said) in [
            ("success rate", "at least 99%", "", "82.5%", "success rate 82.5% in partition, at least 99% expected"),
            ("success rate", "80% to 90%", "", "95%", "success rate 95% in partition, 80% to 90% expected"),
            (
                "p95",
                "at most 3",
                " times baseline, or at most 50ms",
                "3.8x",
                "p95 3.8x in partition, at most 3 times baseline, or at most 50ms expected",
            ),
        ] {
            it.measure = Some(Measure { condition: condition.to_owned(), ..Measure::new(subject) });
            (it.limit_text, it.observed_text) = (limit.to_owned(), observed.to_owned());
            assert_eq!(missed(&sample::passing().scenarios[0], it).as_deref(), Some(said));
        }
        it.measure = None;
        assert_eq!(missed(&sample::passing().scenarios[0], it), None, "the reason says it better");
    }

    #[test]
    fn only_a_failed_expectation_changes_the_heading() {
        let failing = sample::failing().scenarios.remove(0);
        let said = "p95 3.8x in partition, at most 3 times baseline expected; 1 more failed";
        assert_eq!(headline(&failing), said);
        let mut alone = failing.clone();
        alone.expectations[3].verdict = Verdict::Pass;
        assert!(headline(&alone).ends_with("at most 3 times baseline expected"));
        alone.reason = "the baseline is not steady".to_owned();
        alone.cause = None;
        assert_eq!(headline(&alone), "the baseline is not steady");
        assert_eq!(headline(&sample::passing().scenarios[0]), "5 expectations hold, 1 fault applied and undone");
    }

    #[test]
    fn an_effect_that_was_too_small_has_the_observed_value_and_the_limit() {
        let mut scenario = sample::passing().scenarios.remove(0);
        scenario.verdict = Verdict::Inconclusive;
        let it = &mut scenario.expectations[1];
        (it.kind, it.phase, it.verdict) = ("effect".to_owned(), "cut".to_owned(), Verdict::Inconclusive);
        it.limit_text = "at most 50%".to_owned();
        (it.observed, it.observed_text) = (Some(0.9033), "90.33%".to_owned());
        it.reason = "the faults of `cut` did not have the required effect".to_owned();
        it.measure = Some(Measure::new("success rate"));
        scenario.reason = format!("{}; and 1 more", it.reason);
        scenario.cause = Some(Cause::Expectation(1));
        scenario.expectations[2].verdict = Verdict::Inconclusive;
        let said = "cut had too little effect: success rate 90.33%, at most 50% required; 1 more inconclusive";
        assert_eq!(headline(&scenario), said);
        let it = &mut scenario.expectations[1];
        it.observed_text = "no significant change (16 of 117 requests failed, too few to tell)".to_owned();
        let said = "cut made no significant change (16 of 117 requests failed, too few to tell); 1 more inconclusive";
        assert_eq!(headline(&scenario), said);
        scenario.expectations[1].kind = "success_rate".to_owned();
        assert!(headline(&scenario).starts_with("the faults of `cut`"));
    }

    #[test]
    fn a_changed_limit_leaves_the_rest_of_the_title() {
        let mut it = sample::passing().scenarios[0].expectations[2].clone();
        let before = it.unlimited_title();
        (it.title, it.limit_text) = ("p95 at most 2.5 times baseline".to_owned(), "at most 2.5".to_owned());
        assert_eq!(it.unlimited_title(), before);
        it.title = "p95 at most 2.5 times warm-up".to_owned();
        assert_ne!(it.unlimited_title(), before, "another phase is another expectation");
    }
}
