//! `shakedown report --merge`: the results of the shards of a suite as one result. Pure: the same results give the same bytes.

use std::collections::BTreeSet;

use shakedown_schemas::Explained;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::{Identity, NotRun, RunInfo, ScenarioResult, ShardRun};

use super::{signals, totals};

/// One result of these. A shard without a result is listed as not run, so that the whole does not pass without it.
///
/// # Errors
/// A message for the user, if a scenario is in two of them, or they are parts of different suites.
pub fn merge(mut results: Vec<RunResult>) -> Result<RunResult, Explained> {
    results.sort_by(|one, other| {
        (one.run.shard.map(|it| it.number), &one.run.id).cmp(&(other.run.shard.map(|it| it.number), &other.run.id))
    });
    alike(&results)?;
    let lost = lost(&results)?;
    let run = run(&results).ok_or_else(|| {
        Explained::new("there is no result to merge", "name the result.json of each shard, or its folder")
    })?;
    let format_version = results[0].format_version;
    let (mut scenarios, mut not_run, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for mut result in results {
        // The result of an earlier merge has the runs of its shards already.
        for scenario in &mut result.scenarios {
            let RunInfo { id, command, seed, .. } = result.run.clone();
            scenario.shard_run.get_or_insert(ShardRun { id, command, seed });
        }
        scenarios.extend(result.scenarios);
        not_run.extend(result.not_run);
        events.extend(result.events);
    }
    scenarios.sort_by(|one, other| one.identity().cmp(&other.identity()));
    for pair in scenarios.windows(2) {
        if pair[0].identity() == pair[1].identity() {
            return Err(Explained::new(
                format!("`{}` ({}) is in two results", pair[0].name, pair[0].file),
                "give one result of each shard; `compare` compares runs of the same \
                 scenario",
            ));
        }
    }
    let ran: BTreeSet<Identity<'_>> = scenarios.iter().map(ScenarioResult::identity).collect();
    not_run.retain(|it: &NotRun| !ran.contains(&it.identity()));
    not_run.extend(lost);
    events.sort_by_key(|event| event.at);
    let mut whole =
        RunResult { format_version, run, verdict: Default::default(), exit_code: 0, scenarios, not_run, events };
    totals::set(&mut whole);
    Ok(whole)
}

/// The shards without a result.
fn lost(results: &[RunResult]) -> Result<Vec<NotRun>, Explained> {
    let shards: Vec<_> = results.iter().filter_map(|result| result.run.shard).collect();
    let Some(first) = shards.first() else { return Ok(Vec::new()) };
    if let Some(other) = shards.iter().find(|it| (it.of, it.suite) != (first.of, first.suite)) {
        return Err(Explained::new(
            format!(
                "these are parts of different suites: {} of {} of {} scenarios, and {} of {} of {}",
                first.number, first.of, first.suite, other.number, other.of, other.suite
            ),
            "give the results of \
             one CI run, with the same --shard I/N, files and filters",
        ));
    }
    let has = |number: usize| shards.iter().any(|it| it.number == number);
    // A part beyond the number of scenarios is empty and has no result.
    let parts = 1..=first.of.min(first.suite);
    let describe = |number: usize| {
        let shard = format!("shard {number}/{}", first.of);
        if !has(number) {
            return Some((shard, "its result is missing"));
        }
        // `--last-failed` leaves out some of a part.
        let size = (first.suite - number) / first.of + 1;
        let left = size.saturating_sub(listed(results, number));
        let scenarios = if left == 1 { "scenario" } else { "scenarios" };
        (left > 0).then(|| (format!("{left} {scenarios} of {shard}"), "its result does not list them"))
    };
    let absent = parts.filter_map(describe);
    Ok(absent.map(|(name, reason)| NotRun { name, file: String::new(), reason: reason.to_owned() }).collect())
}

/// The number of scenarios that the results of a shard list.
fn listed(results: &[RunResult], number: usize) -> usize {
    let of_shard = results.iter().filter(|it| it.run.shard.is_some_and(|shard| shard.number == number));
    let names = of_shard.flat_map(|result| {
        let ran = result.scenarios.iter().map(ScenarioResult::identity);
        ran.chain(result.not_run.iter().map(NotRun::identity))
    });
    names.collect::<BTreeSet<_>>().len()
}

/// Refuses results that do not belong to one run.
fn alike(results: &[RunResult]) -> Result<(), Explained> {
    let whole = results.iter().find(|it| it.run.shard.is_none());
    let part = results.iter().find(|it| it.run.shard.is_some());
    if let (Some(whole), Some(part)) = (whole, part) {
        return Err(Explained::new(
            format!("run {} is a part of a suite, and run {} is not", part.run.id, whole.run.id),
            "give the results of one CI run, all of them with --shard",
        ));
    }
    totals::alike(results)
}

/// The facts of the whole run. A fact in which the shards differ is left out.
fn run(results: &[RunResult]) -> Option<RunInfo> {
    let first = &results.first()?.run;
    let runs = || results.iter().map(|result| &result.run);
    let started_at = runs().map(|run| run.started_at).min()?;
    let end = |run: &RunInfo| run.started_at.duration_since(started_at).as_secs_f64() + run.duration_s;
    let same = |of: fn(&RunInfo) -> &Option<String>| {
        let is_same = runs().all(|run| of(run) == of(first));
        of(first).clone().filter(|_| is_same)
    };
    Some(RunInfo {
        id: format!("{}-merged", first.id),
        started_at,
        duration_s: runs().map(end).fold(0.0, f64::max),
        tool_version: first.tool_version.clone(),
        command: without_shard(&first.command),
        seed: first.seed,
        host: if runs().all(|run| run.host == first.host) { first.host.clone() } else { String::new() },
        git_sha: same(|run| &run.git_sha),
        ci_job_url: same(|run| &run.ci_job_url),
        // A signal has an exit code of its own. The time limit has none.
        interrupted: runs().filter_map(|run| run.interrupted.clone()).min_by_key(|signal| signal == signals::TIME_UP),
        shard: None,
    })
}

/// The command that runs the whole suite.
fn without_shard(command: &[String]) -> Vec<String> {
    let mut words = command.iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if word == "--shard" {
            words.next();
        } else if !word.starts_with("--shard=") {
            kept.push(word.clone());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_reports::{sample, sentences};
    use shakedown_schemas::result::{Shard, Trial, Verdict};

    /// One scenario of the suite as the result of a shard.
    fn shard(number: usize, of: usize) -> RunResult {
        let mut result = sample::suite();
        result.scenarios = vec![result.scenarios.remove(number - 1)];
        // The results of the sample are from the sandbox and from a cluster.
        result.scenarios[0].cluster = None;
        result.run.shard = Some(Shard { number, of, suite: 3 });
        result.run.id = format!("run-{number}");
        result.run.host = format!("host-{number}");
        let words = ["shakedown", "run", "scenarios", "--shard", &format!("{number}/{of}"), "-q"];
        result.run.command = words.map(str::to_owned).to_vec();
        result
    }

    #[test]
    fn the_whole_has_the_scenarios_of_all_shards_in_any_order() {
        let whole = merge(vec![shard(3, 3), shard(1, 3), shard(2, 3)]).unwrap();
        assert_eq!(whole, merge(vec![shard(1, 3), shard(2, 3), shard(3, 3)]).unwrap());
        assert_eq!(whole.scenarios.len(), 3);
        assert_eq!((whole.verdict, whole.exit_code), (Verdict::Fail, 1));
        assert_eq!(whole.run.command, ["shakedown", "run", "scenarios", "-q"]);
        assert_eq!((whole.run.id.as_str(), whole.run.host.as_str()), ("run-1-merged", ""));
        assert!(whole.not_run.is_empty() && whole.run.shard.is_none());
    }

    #[test]
    fn each_scenario_is_repeated_as_its_shard_ran_it() {
        let parts = [1, 2, 3].map(|number| {
            let mut part = shard(number, 3);
            part.run.seed = number as u64;
            part.run.command.push(format!("--out=parts/{number}"));
            part
        });
        let whole = merge(parts.to_vec()).unwrap();
        for part in &parts {
            let name = &part.scenarios[0].name;
            let it = whole.scenarios.iter().find(|it| it.name == *name).unwrap();
            let alone = sentences::command_alone(&whole.run, it);
            assert_eq!(alone, sentences::command_alone(&part.run, &part.scenarios[0]));
            assert!(alone.ends_with(&format!("--seed {}", part.run.seed)) && !alone.contains("parts"), "{alone}");
        }
        assert_eq!(sentences::seed(&whole), "one per shard");
    }

    #[test]
    fn a_lost_shard_is_no_pass() {
        let whole = merge(vec![shard(1, 3)]).unwrap();
        assert_eq!((whole.verdict, whole.exit_code), (Verdict::Inconclusive, 4));
        let names: Vec<&str> = whole.not_run.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["shard 2/3", "shard 3/3"]);
        let whole = merge([1, 2, 3].map(|number| shard(number, 5)).to_vec()).unwrap();
        assert!(whole.not_run.is_empty(), "three scenarios leave two of five parts empty");
    }

    #[test]
    fn the_same_scenario_twice_and_other_suites_are_refused() {
        let twice = merge(vec![shard(1, 3), shard(1, 3)]).unwrap_err().to_string();
        assert!(twice.starts_with("`worker-loses-nats` (scenarios/quickstart.yaml) is in two results"), "{twice}");
        let other = merge(vec![shard(1, 3), shard(2, 4)]).unwrap_err().to_string();
        assert!(other.starts_with("these are parts of different suites"), "{other}");
    }

    #[test]
    fn a_shard_without_all_of_its_scenarios_is_no_pass() {
        let mut part = sample::passing();
        part.run.shard = Some(Shard { number: 1, of: 2, suite: 5 });
        let mut rest = sample::passing();
        rest.run.shard = Some(Shard { number: 2, of: 2, suite: 5 });
        rest.scenarios = vec![rest.scenarios.remove(0); 2];
        for (number, scenario) in rest.scenarios.iter_mut().enumerate() {
            scenario.name = format!("other-{number}");
        }
        let whole = merge(vec![part, rest]).unwrap();
        assert_eq!((whole.verdict, whole.exit_code), (Verdict::Inconclusive, 4));
        let left: Vec<&str> = whole.not_run.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(left, ["2 scenarios of shard 1/2"], "its part has three");
    }

    #[test]
    fn a_part_and_a_whole_run_and_different_trials_are_refused() {
        let mixed = merge(vec![shard(1, 3), sample::passing()]).unwrap_err().to_string();
        assert!(mixed.starts_with("run run-1 is a part of a suite, and run "), "{mixed}");
        let mut overkill = shard(2, 3);
        overkill.scenarios[0].trial = Some(Trial::Overkill);
        let mixed = merge(vec![shard(1, 3), overkill]).unwrap_err().to_string();
        assert!(mixed.starts_with("run run-1 is an ordinary run, and run run-2 is an overkill run\n"), "{mixed}");
    }

    #[test]
    fn a_signal_precedes_the_time_limit() {
        let mut parts = [1, 2, 3].map(|number| shard(number, 3));
        parts[0].run.interrupted = Some(signals::TIME_UP.to_owned());
        parts[2].run.interrupted = Some("SIGTERM".to_owned());
        let whole = merge(parts.to_vec()).unwrap();
        assert_eq!((whole.run.interrupted.as_deref(), whole.exit_code), (Some("SIGTERM"), 143));
    }
}
