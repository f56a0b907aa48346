//! An expectation in parts: what is measured, and its limit.

use shakedown_schemas::result::{ExpectationResult, ScenarioResult};

use super::values::names_load;

/// A failed expectation as the observed value and the limit: `success rate 82.5% in partition, at least 99% expected`. None
/// without a single limit or an observed value.
pub(super) fn missed(scenario: &ScenarioResult, it: &ExpectationResult) -> Option<String> {
    it.observed?;
    let (subject, limit) = split(it)?;
    let load = if names_load(scenario, &it.load) { format!(" of {}", it.load) } else { String::new() };
    Some(format!("{subject} {}{load} in {}, {limit} expected", it.observed_text, it.phase))
}

/// An effect that was too small, as the observed value and the limit: `cut was felt too little: success rate 90.33%, at most
/// 50% required`. None for other expectations.
pub(super) fn unfelt(scenario: &ScenarioResult, it: &ExpectationResult) -> Option<String> {
    let title = it.title.strip_prefix("effect: ").filter(|_| it.kind == "effect")?;
    if it.observed_text == "no change" {
        return Some(format!("{} was not felt: no request changed", it.phase));
    }
    it.observed?;
    let (subject, limit) = split(&ExpectationResult { title: title.to_owned(), ..it.clone() })
        .map(|(subject, limit)| (subject.to_owned(), limit))?;
    let load = if names_load(scenario, &it.load) { format!(" of {}", it.load) } else { String::new() };
    Some(format!("{} was felt too little: {subject}{load} {}, {limit} required", it.phase, it.observed_text))
}

/// What is measured and its limit: `p95` and `at most 3 times baseline`.
fn split(it: &ExpectationResult) -> Option<(&str, String)> {
    let limit = it.limit_text.as_str();
    if it.min.is_none() && it.max.is_none() || limit.is_empty() {
        return None;
    }
    let at = it.title.find(limit)?;
    let (before, after) = (it.title[..at].trim_end(), &it.title[at + limit.len()..]);
    match before {
        // `at least 400 requests`
        "" => Some((after.trim(), limit.to_owned())),
        // `pods: restarts at most 1`, `errors: timeout at most 4`
        _ if before.ends_with(':') => None,
        // `recovery time at most 15s, holding 5s`
        _ if after.starts_with(',') => Some((before, limit.to_owned())),
        _ => Some((before, format!("{limit}{after}"))),
    }
}

#[cfg(test)]
mod tests {
    use shakedown_schemas::result::Verdict;

    use super::*;
    use crate::sample;
    use crate::sentences::headline;

    /// Titles as the judge writes them.
    #[test]
    fn the_heading_has_the_observed_value_and_the_limit() {
        let mut scenario = sample::failing().scenarios.remove(0);
        let it = &mut scenario.expectations[2];
        for (kind, title, limit, observed, said) in [
            (
                "success_rate",
                "success rate at least 99%",
                "at least 99%",
                "82.5%",
                "success rate 82.5% in partition, at least 99% expected",
            ),
            (
                "success_rate",
                "success rate 80% to 90%",
                "80% to 90%",
                "95%",
                "success rate 95% in partition, 80% to 90% expected",
            ),
            (
                "latency_ratio",
                "p95 at most 3 times baseline, or at most 50ms",
                "at most 3",
                "3.8x",
                "p95 3.8x in partition, at most 3 times baseline, or at most 50ms expected",
            ),
            (
                "requests",
                "at least 400 requests",
                "at least 400",
                "310",
                "requests 310 in partition, at least 400 expected",
            ),
            (
                "recovery_time",
                "recovery time at most 15s, holding 5s",
                "at most 15s",
                "> 29.7s",
                "recovery time > 29.7s in partition, at most 15s expected",
            ),
        ] {
            (it.kind, it.title) = (kind.to_owned(), title.to_owned());
            (it.limit_text, it.observed_text) = (limit.to_owned(), observed.to_owned());
            assert_eq!(missed(&sample::passing().scenarios[0], it).as_deref(), Some(said));
        }
        it.title = "pods: restarts at most 1".to_owned();
        it.limit_text = "restarts at most 1".to_owned();
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
        alone.reason = "failed: the baseline is not steady".to_owned();
        assert_eq!(headline(&alone), "the baseline is not steady");
        assert_eq!(headline(&sample::passing().scenarios[0]), "5 expectations hold, 1 fault applied and undone");
    }

    #[test]
    fn an_effect_that_was_too_small_has_the_observed_value_and_the_limit() {
        let mut scenario = sample::passing().scenarios.remove(0);
        scenario.verdict = Verdict::Inconclusive;
        let it = &mut scenario.expectations[1];
        (it.kind, it.phase, it.verdict) = ("effect".to_owned(), "cut".to_owned(), Verdict::Inconclusive);
        (it.title, it.limit_text) = ("effect: success rate at most 50%".to_owned(), "at most 50%".to_owned());
        (it.observed, it.observed_text) = (Some(0.9033), "90.33%".to_owned());
        it.reason = "the faults of `cut` did not have the required effect".to_owned();
        scenario.reason = format!("inconclusive: {}; and 1 more", it.reason);
        scenario.expectations[2].verdict = Verdict::Inconclusive;
        let said = "cut was felt too little: success rate 90.33%, at most 50% required; 1 more inconclusive";
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
