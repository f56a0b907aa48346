//! The verdict and the exit code of a run, from its scenarios. Pure: a run and a merge of shards count alike.

use shakedown_schemas::Explained;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::{ScenarioResult, Trial, Verdict};

use super::{exit, signals};
use shakedown_judge as judge;

/// Whether a scenario ended as its kind of run must: an overkill run fails, a shortened run is inconclusive at best, and all
/// others pass.
pub fn did_as_it_must(scenario: &ScenarioResult) -> bool {
    match scenario.trial {
        Some(Trial::Shortened) => matches!(scenario.verdict, Verdict::Pass | Verdict::Inconclusive),
        None | Some(Trial::Control | Trial::Overkill) => scenario.outcome() == Verdict::Pass,
    }
}

/// A kind of run, in words.
pub const fn kind(trial: Option<Trial>) -> &'static str {
    match trial {
        None => "an ordinary run",
        Some(Trial::Control) => "a control run",
        Some(Trial::Overkill) => "an overkill run",
        Some(Trial::Shortened) => "a shortened run",
    }
}

/// Refuses results of different kinds of run: they have different required outcomes.
///
/// # Errors
/// A message for the user.
pub fn alike<'a>(results: impl IntoIterator<Item = &'a RunResult> + Clone) -> Result<(), Explained> {
    let all =
        || results.clone().into_iter().flat_map(|it| it.scenarios.iter().map(move |scenario| (&it.run.id, scenario)));
    let trials = all().map(|(run, it)| (run, kind(it.trial)));
    // A scenario that needs no cluster says nothing about the others.
    let place = |it: &ScenarioResult| if it.in_sandbox() { "in the sandbox" } else { "on a cluster" };
    let places = all().filter(|(_, it)| it.cluster.is_some()).map(|(run, it)| (run, place(it)));
    differing(trials).and_then(|()| differing(places))
}

/// Refuses two runs that are not the same.
fn differing<'a>(mut all: impl Iterator<Item = (&'a String, &'static str)>) -> Result<(), Explained> {
    let Some((first, what)) = all.next() else { return Ok(()) };
    match all.find(|(_, other)| *other != what) {
        None => Ok(()),
        Some((other, unlike)) => Err(Explained::new(
            format!("run {first} is {what}, and run {other} is {unlike}"),
            "give results of runs with the same flags",
        )),
    }
}

/// Sets both.
pub fn set(result: &mut RunResult) {
    let worst = result.scenarios.iter().map(ScenarioResult::outcome).max();
    result.verdict = worst.unwrap_or(Verdict::Pass);
    result.exit_code = judge::exit_code(&result.scenarios);
    // A run without all of its scenarios shows nothing about the others.
    if !result.not_run.is_empty() {
        result.verdict = result.verdict.max(Verdict::Inconclusive);
        if matches!(result.exit_code, exit::PASSED | exit::NOTHING_SELECTED) {
            result.exit_code = exit::INCONCLUSIVE;
        }
    }
    if let Some(signal) = result.run.interrupted.as_deref().filter(|it| *it != signals::TIME_UP) {
        result.verdict = Verdict::Error;
        if result.exit_code != exit::LEFTOVERS {
            result.exit_code = signals::code(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::sample;
    use shakedown_schemas::result::ClusterInfo;

    fn code(mut result: RunResult) -> (Verdict, u8) {
        set(&mut result);
        (result.verdict, result.exit_code)
    }

    #[test]
    fn a_scenario_that_did_not_run_is_no_pass() {
        assert_eq!(code(sample::passing()), (Verdict::Pass, exit::PASSED));
        let mut short = sample::passing();
        short.not_run = sample::cut_short().not_run;
        assert_eq!(code(short.clone()), (Verdict::Inconclusive, exit::INCONCLUSIVE));
        short.scenarios.clear();
        assert_eq!(code(short), (Verdict::Inconclusive, exit::INCONCLUSIVE));
        assert_eq!(code(sample::cut_short()), (Verdict::Fail, exit::FAILED), "the failure decides");
    }

    #[test]
    fn different_kinds_of_run_are_refused() {
        let run = |id: &str, trial, sandbox| {
            let mut result = sample::passing();
            result.run.id = id.to_owned();
            let scenario = &mut result.scenarios[0];
            scenario.trial = trial;
            scenario.cluster = scenario.cluster.take().map(|it| ClusterInfo { sandbox, ..it });
            result
        };
        for trial in [None, Some(Trial::Control), Some(Trial::Overkill), Some(Trial::Shortened)] {
            for sandbox in [true, false] {
                assert_eq!(alike(&[run("a", trial, sandbox), run("b", trial, sandbox)]), Ok(()));
            }
        }
        let error = |one, other| alike(&[one, other]).unwrap_err();
        let control = error(run("a", None, true), run("b", Some(Trial::Control), true));
        let help = "give results of runs with the same flags";
        assert_eq!(control, Explained::new("run a is an ordinary run, and run b is a control run", help));
        let sandbox = error(run("a", None, true), run("b", None, false));
        assert_eq!(sandbox, Explained::new("run a is in the sandbox, and run b is on a cluster", help));
        let mut none = run("a", None, true);
        none.scenarios[0].cluster = None;
        assert_eq!(alike(&[none, run("b", None, false)]), Ok(()), "it needs no cluster");
    }

    #[test]
    fn a_signal_has_its_own_code_and_the_time_limit_has_none() {
        let mut result = sample::passing();
        result.run.interrupted = Some("SIGTERM".to_owned());
        assert_eq!(code(result.clone()), (Verdict::Error, exit::TERMINATED));
        result.run.interrupted = Some(signals::TIME_UP.to_owned());
        result.not_run = sample::cut_short().not_run;
        assert_eq!(code(result.clone()), (Verdict::Inconclusive, exit::INCONCLUSIVE));
        result.scenarios[0].verdict = Verdict::Error;
        assert_eq!(code(result).1, exit::ENVIRONMENT);
    }

    #[test]
    fn each_kind_of_run_must_end_in_its_own_way() {
        let all = [Verdict::Pass, Verdict::Fail, Verdict::Inconclusive, Verdict::Error];
        let good = |trial| {
            let mut one = sample::passing().scenarios.remove(0);
            one.trial = trial;
            all.map(|verdict| did_as_it_must(&ScenarioResult { verdict, ..one.clone() }))
        };
        assert_eq!(good(None), [true, false, false, false]);
        assert_eq!(good(Some(Trial::Control)), good(None));
        assert_eq!(good(Some(Trial::Overkill)), [false, true, false, false]);
        assert_eq!(good(Some(Trial::Shortened)), [true, false, true, false]);
    }

    #[test]
    fn an_overkill_run_passes_when_every_scenario_fails() {
        let mut result = sample::failing();
        result.scenarios[0].trial = Some(Trial::Overkill);
        assert_eq!(code(result.clone()), (Verdict::Pass, exit::PASSED));
        for verdict in [Verdict::Pass, Verdict::Inconclusive] {
            result.scenarios[0].verdict = verdict;
            assert_eq!(code(result.clone()), (Verdict::Fail, exit::FAILED));
        }
        result.scenarios[0].verdict = Verdict::Error;
        assert_eq!(code(result), (Verdict::Error, exit::ENVIRONMENT));
    }
}
