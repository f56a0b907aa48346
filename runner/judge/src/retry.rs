//! Repeats a scenario and combines its attempts. Nothing is repeated unless an option requests it, and every report of
//! the verdict names the repetition.

use shakedown_schemas::result::{Attempt, ScenarioResult, Verdict};

use super::text;

/// The maximum number of repetitions of a scenario, by its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retries {
    /// After an inconclusive attempt.
    pub inconclusive: u32,
    /// After a failed attempt.
    pub failed: u32,
    /// A pass after a failure counts as a pass.
    pub flaky_passes: bool,
}

impl Retries {
    /// Decides whether to repeat after these attempts, given the last verdict. Errors are never repeated: a repetition
    /// does not fix the environment.
    pub fn again(&self, earlier: &[Attempt], verdict: Verdict) -> bool {
        let spent = |of: Verdict| earlier.iter().filter(|attempt| attempt.verdict == of).count() as u64;
        match verdict {
            Verdict::Inconclusive => spent(verdict) < u64::from(self.inconclusive),
            Verdict::Fail => spent(verdict) < u64::from(self.failed),
            Verdict::Pass | Verdict::Error => false,
        }
    }
}

/// The outcome of an attempt before the last one.
pub fn attempt(result: &ScenarioResult) -> Attempt {
    Attempt {
        verdict: result.verdict,
        reason: result.reason.clone(),
        started_at: result.started_at,
        duration_s: result.duration_s,
    }
}

/// Adds the earlier attempts to the result of the last one. A pass after a failure is flaky. It is a failure, unless
/// `--flaky pass` is set.
pub fn settle(result: &mut ScenarioResult, earlier: Vec<Attempt>, retries: &Retries) {
    let Some(worst) = earlier.iter().max_by_key(|attempt| attempt.verdict).cloned() else { return };
    let tries = text::counted(earlier.len() as u64 + 1, "attempt");
    result.attempts = earlier;
    if result.verdict != Verdict::Pass {
        result.reason = format!("{} (after {tries})", result.reason);
    } else if worst.verdict == Verdict::Fail {
        result.flaky = true;
        result.reason = format!("flaky, only the last of {tries} passed; before: {}", worst.reason);
        if !retries.flaky_passes {
            result.verdict = Verdict::Fail;
        }
    } else {
        let before = worst.verdict.word();
        result.reason = format!("{} (the last of {tries}; before: {before}: {})", result.reason, worst.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;

    fn result(verdict: Verdict, reason: &str) -> ScenarioResult {
        let mut result = sample::passing().scenarios.remove(0);
        (result.verdict, result.reason) = (verdict, reason.to_owned());
        result
    }

    fn earlier(verdicts: &[Verdict]) -> Vec<Attempt> {
        verdicts.iter().map(|verdict| attempt(&result(*verdict, "why"))).collect()
    }

    #[test]
    fn nothing_is_repeated_unless_it_is_asked_for() {
        let (none, some) = (Retries::default(), Retries { inconclusive: 1, failed: 2, flaky_passes: false });
        for verdict in [Verdict::Pass, Verdict::Inconclusive, Verdict::Fail, Verdict::Error] {
            assert!(!none.again(&[], verdict), "{verdict:?}");
        }
        assert!(
            some.again(&[], Verdict::Inconclusive)
                && !some.again(&earlier(&[Verdict::Inconclusive]), Verdict::Inconclusive)
        );
        assert!(some.again(&earlier(&[Verdict::Fail]), Verdict::Fail));
        assert!(!some.again(&earlier(&[Verdict::Fail, Verdict::Fail]), Verdict::Fail));
        assert!(some.again(&earlier(&[Verdict::Inconclusive]), Verdict::Fail), "each has its own count");
        assert!(!some.again(&[], Verdict::Pass) && !some.again(&[], Verdict::Error));
    }

    #[test]
    fn a_pass_after_a_failure_is_flaky_and_fails() {
        let mut last = result(Verdict::Pass, "3 expectations hold");
        settle(&mut last, earlier(&[Verdict::Inconclusive, Verdict::Fail]), &Retries::default());
        assert_eq!((last.verdict, last.flaky, last.attempts.len()), (Verdict::Fail, true, 2));
        assert_eq!(last.reason, "flaky, only the last of 3 attempts passed; before: why");
        let mut last = result(Verdict::Pass, "3 expectations hold");
        settle(&mut last, earlier(&[Verdict::Fail]), &Retries { flaky_passes: true, ..Retries::default() });
        assert_eq!((last.verdict, last.flaky), (Verdict::Pass, true));
        assert!(last.reason.starts_with("flaky, only the last of 2"), "{}", last.reason);
    }

    #[test]
    fn attempts_are_listed_with_any_verdict() {
        let mut last = result(Verdict::Pass, "3 expectations hold");
        settle(&mut last, earlier(&[Verdict::Inconclusive]), &Retries::default());
        assert_eq!((last.verdict, last.flaky), (Verdict::Pass, false));
        assert_eq!(last.reason, "3 expectations hold (the last of 2 attempts; before: inconclusive: why)");
        let mut last = result(Verdict::Fail, "too slow");
        settle(&mut last, earlier(&[Verdict::Fail]), &Retries::default());
        assert_eq!(last.reason, "too slow (after 2 attempts)");
        let mut once = result(Verdict::Pass, "passed");
        settle(&mut once, Vec::new(), &Retries::default());
        assert_eq!((once.reason.as_str(), once.attempts.len()), ("passed", 0));
    }
}
