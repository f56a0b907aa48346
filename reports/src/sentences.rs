//! Facts of a result as sentences, and their order: the same in every report and on the terminal.
//!
//! This module contains the sentences that several reports share. It does not format numbers (`words` does) and contains no
//! markup. Texts of the result are returned verbatim; every report sanitises and escapes them.

mod around;
mod expectation;
mod failures;
mod faults;
mod felt;
mod parts;
mod tested;
mod values;

use std::borrow::Cow;
use std::collections::BTreeSet;

use shakedown_schemas::result::{
    Cause, ExpectationResult, LoadInfo, PhaseResult, RunInfo, RunResult, ScenarioResult, ShardRun, Trial, Verdict,
};

pub use self::around::around;
use self::expectation::{missed, unfelt};
pub use self::failures::{Failure, failures, head, most_frequent, said};
pub use self::faults::{amounts, fault, fault_verdict, injection, undo, unproven};
pub use self::felt::{back, felt, harm, is_unseen, recovery, unseen};
pub use self::parts::{PartTable, part_lines, parts};
pub use self::tested::tested;
pub use self::values::{names_load, names_loads, pods, variable};
use crate::text::shell_word;
use crate::words;

/// The order of verdicts in reports: failures first, then errors, then inconclusive ones.
pub const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fail => 0,
        Verdict::Error => 1,
        Verdict::Inconclusive => 2,
        Verdict::Pass => 3,
    }
}

/// The expectations, failures first, otherwise in the order of the file.
pub fn expectations(scenario: &ScenarioResult) -> Vec<&ExpectationResult> {
    let mut list: Vec<_> = scenario.expectations.iter().collect();
    list.sort_by_key(|it| rank(it.verdict));
    list
}

/// The heading of a scenario. If an expectation failed or the faults had too little effect: the observed value and the limit,
/// and the number of others with this verdict. Otherwise the first line of the reason. Reports show further lines, such as
/// help, with the errors. In an overkill run, the heading begins with the outcome.
pub fn headline(scenario: &ScenarioResult) -> String {
    let why = measured(scenario).unwrap_or_else(|| scenario.reason.lines().next().unwrap_or_default().to_owned());
    match overkill(scenario) {
        Some((Verdict::Pass, outcome)) => format!("{outcome}: {why}"),
        Some((_, outcome)) => outcome,
        None => why,
    }
}

/// The observed value and the limit of the expectation that decided the verdict, with the number of others with this verdict.
/// None if it has none, or if something else decided.
pub fn measured(scenario: &ScenarioResult) -> Option<String> {
    let Some(Cause::Expectation(at)) = scenario.cause else { return None };
    let decisive = scenario.expectations.get(at)?;
    let (short, word) = match scenario.verdict {
        Verdict::Fail => (missed(scenario, decisive)?, "failed"),
        Verdict::Inconclusive => (unfelt(scenario, decisive)?, "inconclusive"),
        Verdict::Pass | Verdict::Error => return None,
    };
    let others =
        scenario.expectations.iter().enumerate().filter(|(other, it)| *other != at && it.verdict == scenario.verdict);
    match others.count() {
        0 => Some(short),
        more => Some(format!("{short}; {} more {word}", words::count(more as f64))),
    }
}

/// The number of scenarios for each outcome, the worst first: `1 of 3 scenarios failed, 2 passed`. Empty without scenarios.
pub fn outcomes(result: &RunResult) -> String {
    let count = |verdict| result.scenarios.iter().filter(|it| it.outcome() == verdict).count();
    let counted = [
        (Verdict::Fail, "failed"),
        (Verdict::Error, "ended in an error"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Pass, "passed"),
    ];
    let all = result.scenarios.len() + result.not_run.len();
    let of = format!("of {}", words::plural(all, "scenario"));
    let mut parts: Vec<String> = Vec::new();
    let left = (result.not_run.len(), "did not run");
    for (count, word) in counted.map(|(verdict, word)| (count(verdict), word)).into_iter().chain([left]) {
        match parts.is_empty() {
            _ if count == 0 => {}
            true => parts.push(format!("{count} {of} {word}")),
            false => parts.push(format!("{count} {word}")),
        }
    }
    if result.scenarios.is_empty() { String::new() } else { parts.join(", ") }
}

/// The reference phase: the last one before the first phase with faults, as for the judge. The first phase if there is
/// none.
pub fn reference(scenario: &ScenarioResult) -> Option<&PhaseResult> {
    let has_faults = |phase: &PhaseResult| scenario.faults.iter().any(|fault| fault.phase == phase.name);
    let first_with_faults = scenario.phases.iter().position(has_faults).unwrap_or(0);
    scenario.phases.get(first_with_faults.saturating_sub(1))
}

/// The run that ran a scenario. In a merged result that is the run of its shard.
pub fn run_of<'a>(run: &'a RunInfo, scenario: &ScenarioResult) -> Cow<'a, RunInfo> {
    match scenario.shard_run.clone() {
        None => Cow::Borrowed(run),
        Some(ShardRun { id, command, seed }) => Cow::Owned(RunInfo { id, command, seed, ..run.clone() }),
    }
}

/// The seed of a run. A merged run may have one per shard.
pub fn seed(result: &RunResult) -> String {
    let seeds = result.scenarios.iter().map(|it| run_of(&result.run, it).seed).collect::<BTreeSet<_>>();
    if seeds.len() > 1 { "one per shard".to_owned() } else { result.run.seed.to_string() }
}

/// The command line for a shell, with the seed of the run, so that its random choices repeat.
pub fn command(run: &RunInfo) -> String {
    let mut words: Vec<String> = run.command.iter().map(|word| shell_word(word)).collect();
    let seeded = run.command.iter().any(|word| word == "--seed" || word.starts_with("--seed="));
    if !seeded && !words.is_empty() {
        words.push(format!("--seed {}", run.seed));
    }
    words.join(" ")
}

/// What an overkill run shows: it passes if the scenario failed. The verdict decides the exit code. None for other runs, and
/// for errors, which are errors in any run.
pub fn overkill(scenario: &ScenarioResult) -> Option<(Verdict, String)> {
    if scenario.trial != Some(Trial::Overkill) {
        return None;
    }
    let word = match scenario.verdict {
        Verdict::Fail => {
            return Some((scenario.outcome(), "the scenario failed under full cuts, as it must".to_owned()));
        }
        Verdict::Error => return None,
        Verdict::Pass => "passed",
        Verdict::Inconclusive => "is inconclusive",
    };
    let faults = if scenario.faults.is_empty() { "it has no fault to replace" } else { "every fault was a full cut" };
    let why = format!("the scenario {word}, although it must fail: {faults}; check that its expectations can fail");
    Some((scenario.outcome(), why))
}

/// The outcome and its reason, for places without a badge.
pub fn reason(scenario: &ScenarioResult) -> String {
    match overkill(scenario) {
        Some((outcome, _)) => format!("{}: {}", outcome.word(), headline(scenario)),
        None => format!("{}: {}", words::verdict(scenario.verdict), scenario.reason),
    }
}

/// The prefix of the environment variables that set options.
pub const SETTING: &str = "SHAKEDOWN_";

/// The variable that names files.
const FILES: &str = "SHAKEDOWN_FILE=";

/// The options of `run` whose next word is their value. It may look like a file of the suite.
pub const WITH_VALUE: [&str; 31] = [
    "--canary-image",
    "--context",
    "--filter",
    "--flaky",
    "--fuse-image",
    "--fuse-margin",
    "--inject-timeout",
    "--kubeconfig",
    "--max-time",
    "--namespace",
    "--notify",
    "--otlp",
    "--out",
    "--parallel",
    "--prometheus-textfile",
    "--record",
    "--retries",
    "--retry-inconclusive",
    "--sandbox-topology",
    "--secret",
    "--seed",
    "--shard",
    "--skip-tag",
    "--speed",
    "--tag",
    "--undo-timeout",
    "--var",
    "--vars-file",
    "--wait-lock",
    "--witness-image",
    "-n",
];

/// The command line that runs only this scenario of the run: its file in place of the files, folders and patterns that were
/// given. The same as [`command`] for a run of one scenario. The result of a suite or of a shard stays in its place.
pub fn command_alone(run: &RunInfo, scenario: &ScenarioResult) -> String {
    let mut run = run_of(run, scenario).into_owned();
    let mut found = None;
    let mut has_others = run.shard.is_some() || scenario.shard_run.is_some();
    let mut kept: Vec<String> = Vec::new();
    for (at, word) in run.command.iter().enumerate() {
        if matches!(word.as_str(), "-f" | "--file") {
            continue;
        }
        let is_value = at > 0 && WITH_VALUE.contains(&run.command[at - 1].as_str());
        let word = word.strip_prefix("--file=").unwrap_or(word);
        let is_word = at > 0 && !is_value && !word.starts_with('-') && !word.starts_with(SETTING);
        if word.starts_with(FILES) || is_word && selects(word, &scenario.file) {
            found.get_or_insert(kept.len());
            has_others |= word != scenario.file;
        } else {
            kept.push(word.to_owned());
        }
    }
    if let Some(at) = found {
        // The environment's files stand before the program.
        let at = if run.command[at].starts_with(FILES) { kept.len() } else { at };
        kept.insert(at, scenario.file.clone());
        run.command = kept;
    }
    without(&mut run.command, "--shard");
    if !scenario.matrix.is_empty() {
        without(&mut run.command, "--filter");
        without(&mut run.command, "SHAKEDOWN_FILTER");
        run.command.push("--filter".to_owned());
        run.command.push(format!("/^{}$/", regex(&scenario.name)));
        has_others = true;
    }
    if has_others {
        without(&mut run.command, "--out");
    }
    command(&run)
}

/// A regular expression that matches exactly this text.
fn regex(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_ =,".contains(c);
    text.chars().flat_map(|c| (!plain(c)).then_some('\\').into_iter().chain([c])).collect()
}

/// Removes an option and its value.
fn without(command: &mut Vec<String>, option: &str) {
    let is_joined = |word: &str| word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='));
    while let Some(at) = command.iter().position(|word| word == option || is_joined(word)) {
        let end = if command[at] == option { (at + 2).min(command.len()) } else { at + 1 };
        command.drain(at..end);
    }
}

/// Whether a word of the command line names a file, its folder, or a pattern.
fn selects(word: &str, file: &str) -> bool {
    let is_yaml = |text: &str| text.ends_with(".yaml") || text.ends_with(".yml");
    let folder = word.trim_end_matches('/');
    // Other files of the suite, and patterns for files, are left out.
    word == "."
        || word.contains('*')
        || file == word
        || file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        || is_yaml(word)
}

/// Notes about how the numbers were measured: a simulated network, a port-forward.
pub fn notes(scenario: &ScenarioResult) -> Vec<String> {
    let mut notes = Vec::new();
    if scenario.in_sandbox() {
        notes.push(
            "This was a rehearsal in the sandbox: pods and their network were modelled in one process. It shows what \
             the scenario does, not how a real cluster behaves."
                .to_owned(),
        );
    }
    for load in scenario.loads.iter().filter(|load| load.reach == "port-forward") {
        let again = match load.reconnects {
            0 => String::new(),
            1 => " It was reconnected once.".to_owned(),
            n => format!(" It was reconnected {n} times."),
        };
        notes.push(format!(
            "Load {} went through a port-forward of the API server, which adds its own latency to every \
             request.{again}",
            load.name
        ));
    }
    notes.extend(parts::notes(scenario));
    notes.extend(around(scenario));
    notes
}

/// The distribution of a load's connections and requests over the addresses of its service. Empty for one address.
pub(crate) fn addresses(load: &LoadInfo) -> String {
    let sent: u64 = load.addresses.iter().map(|it| it.requests).sum();
    let each = load.addresses.iter().take(20).map(|it| {
        let share = if sent > 0 { it.requests as f64 / sent as f64 } else { 0.0 };
        let connections = words::plural(it.connections as usize, "connection");
        format!("{} {} ({connections})", it.address, words::fraction(share))
    });
    let more = load.addresses.len().saturating_sub(20);
    let rest = (more > 0).then(|| format!("{more} more"));
    each.chain(rest).collect::<Vec<_>>().join(", ")
}

/// The outcomes of each of several requests of a load. Empty for a load with one request.
pub(crate) fn requests(load: &LoadInfo) -> String {
    let each = load.requests.iter().map(|it| {
        let sent = words::count((it.succeeded + it.failed) as f64);
        match it.failed {
            0 => format!("{} {sent} times", it.name),
            failed => format!("{} {sent} times ({} failed)", it.name, words::count(failed as f64)),
        }
    });
    each.collect::<Vec<_>>().join(", ")
}
