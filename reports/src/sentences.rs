//! Facts of a result in one line, and in which order they are shown: the same in every report and on the terminal.
//!
//! What belongs here: sentences that more than one report says. What does not: how a number is written (`words`) and
//! any markup. Texts of the result come out as they are; every report tames and escapes them.

use shakedown_schemas::result::{
    ExpectationResult, FaultResult, LoadInfo, PodRef, Recovery, RunInfo, ScenarioResult, Verdict,
};

use crate::text::shell_word;
use crate::words;

/// How early a verdict is shown: failures first, then errors, then what could not be told.
pub const fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Fail => 0,
        Verdict::Error => 1,
        Verdict::Inconclusive => 2,
        Verdict::Pass => 3,
    }
}

/// The expectations, failures first, in the order of the file otherwise.
pub fn expectations(scenario: &ScenarioResult) -> Vec<&ExpectationResult> {
    let mut list: Vec<_> = scenario.expectations.iter().collect();
    list.sort_by_key(|it| rank(it.verdict));
    list
}

/// The sentence of a scenario's verdict without the verdict's own word, which stands beside it already.
pub fn sentence(scenario: &ScenarioResult) -> &str {
    let reason = scenario.reason.as_str();
    let word = [words::verdict(scenario.verdict), scenario.verdict.word()];
    let rest = word.iter().find_map(|word| reason.strip_prefix(word)?.strip_prefix(": "));
    rest.unwrap_or(reason)
}

/// True when a scenario has more than one load, so that an expectation must say which it asks.
pub fn names_loads(scenario: &ScenarioResult) -> bool {
    scenario.loads.len().max(scenario.series.len()) > 1
}

/// The names of pods, the first few of many.
pub fn pods(pods: &[PodRef], limit: usize) -> String {
    let names: Vec<&str> = pods.iter().take(limit).map(|pod| pod.name.as_str()).collect();
    match pods.len().saturating_sub(limit) {
        0 if pods.is_empty() => "no pod".to_owned(),
        0 => names.join(", "),
        rest => format!("{} and {rest} more", names.join(", ")),
    }
}

/// A fault in one line: what was done to whom, and what was cut off from it.
pub fn fault(it: &FaultResult) -> String {
    let peers: Vec<&str> = it.peers.iter().take(2).map(String::as_str).collect();
    let more = it.peers.len().saturating_sub(2);
    let peers = match (peers.is_empty(), more) {
        (true, _) => String::new(),
        (false, 0) => format!(" from {}", peers.join(", ")),
        (false, more) => format!(" from {} and {more} more", peers.join(", ")),
    };
    format!("{} of {}{peers}", it.kind, pods(&it.targets, 2))
}

/// The worse of a fault's two verdicts, for one line about it.
pub fn fault_verdict(fault: &FaultResult) -> Verdict {
    fault.injection.max(fault.undo)
}

/// The command line as a shell reads it, with the seed that was used, so that it chooses the same again.
pub fn command(run: &RunInfo) -> String {
    let mut words: Vec<String> = run.command.iter().map(|word| shell_word(word)).collect();
    let seeded = run.command.iter().any(|word| word == "--seed" || word.starts_with("--seed="));
    if !seeded && !words.is_empty() {
        words.push(format!("--seed {}", run.seed));
    }
    words.join(" ")
}

/// The value of a variable as people write it: texts without quotes.
pub fn variable(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What a reader must know about how the numbers came about, in sentences: a modelled network, a port-forward.
pub fn notes(scenario: &ScenarioResult) -> Vec<String> {
    let mut notes = Vec::new();
    if scenario.cluster.as_ref().is_some_and(|cluster| cluster.sandbox) {
        notes.push(
            "This was a rehearsal in the sandbox: pods and their network were modelled in one process. It shows what \
             the scenario does, not how a real cluster fares."
                .to_owned(),
        );
    }
    for load in scenario.loads.iter().filter(|load| load.reach == "port-forward") {
        let again = match load.reconnects {
            0 => String::new(),
            1 => " It had to be made anew once.".to_owned(),
            n => format!(" It had to be made anew {n} times."),
        };
        notes.push(format!(
            "Load {} went through a port-forward of the API server, which adds latency of its own to every \
             request.{again}",
            load.name
        ));
    }
    notes
}

/// What users felt around a phase: since when, how fast the service failed over and recovered, and what it cost them, in
/// one sentence.
pub fn recovery(it: &Recovery) -> String {
    let Some(onset) = it.onset_s else {
        return match it.failed_requests {
            0 => "no request noticed the fault".to_owned(),
            count => format!("within tolerance all the time, {}", words::plural(count as usize, "failed request")),
        };
    };
    let failover = match it.failover_s {
        Some(at) => format!("failed over after {}", words::seconds((at - onset).max(0.0))),
        None => "no failover while the fault stood".to_owned(),
    };
    let recovered = match (it.removed_s, it.recovered_s) {
        (Some(removed), Some(at)) if at <= removed => "within tolerance when the removal was confirmed".to_owned(),
        (Some(removed), Some(at)) => {
            format!("recovered {} after the removal was confirmed", words::seconds(at - removed))
        }
        (Some(_), None) => "not recovered within the run".to_owned(),
        (None, _) => "the removal was never confirmed".to_owned(),
    };
    format!(
        "out of tolerance from {}, {failover}, {recovered}; {} out of tolerance in all, {}",
        words::moment(onset),
        words::seconds(it.out_of_tolerance_s),
        words::plural(it.failed_requests as usize, "failed request")
    )
}
/// What became of each of several requests of a load, by its name; empty for a load of one.
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
