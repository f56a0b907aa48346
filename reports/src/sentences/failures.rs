//! Samples of failed requests, each on one line.

use shakedown_schemas::result::{FailureSample, PhaseLoad, ScenarioResult};
use shakedown_schemas::words;

use crate::text::one_line;

/// A failure in one phase and load, with a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure<'r> {
    /// The phase.
    pub phase: &'r str,
    /// The load.
    pub load: &'r str,
    /// The number of judged requests with this failure. 0 if only others of the phase had it.
    pub count: u64,
    /// A sample.
    pub sample: &'r FailureSample,
}

impl Failure<'_> {
    /// The count and the name of the failure: `61 http_400`.
    pub fn counted(&self) -> String {
        match self.count {
            0 => format!("{} outside the judged part", self.sample.failure),
            count => format!("{} {}", words::count(count as f64), self.sample.failure),
        }
    }
}

/// The number of failures that the phase's expectations count: judged ones, and those of the groups that they include.
fn counted(load: &PhaseLoad, kind: &str) -> u64 {
    let included = load.around.iter().filter(|group| group.included).map(|group| &group.stats);
    [&load.stats].into_iter().chain(included).filter_map(|stats| stats.errors.get(kind)).sum()
}

/// Every failure with a sample, of every phase and load, in the order of the phases.
pub fn failures(scenario: &ScenarioResult) -> Vec<Failure<'_>> {
    let mut found = Vec::new();
    for phase in &scenario.phases {
        for load in &phase.loads {
            found.extend(load.samples.iter().map(|sample| Failure {
                phase: &phase.name,
                load: &load.load,
                count: counted(load, &sample.failure),
                sample,
            }));
        }
    }
    found
}

/// The most frequent failures, each once for its load, where it was most frequent, and the number of the others.
pub fn most_frequent(scenario: &ScenarioResult, most: usize) -> (Vec<Failure<'_>>, usize) {
    let mut all = failures(scenario);
    all.sort_by_key(|it| std::cmp::Reverse(it.count));
    let mut kinds: Vec<Failure<'_>> = Vec::new();
    for it in all {
        if kinds.iter().all(|known| (known.load, &known.sample.failure) != (it.load, &it.sample.failure)) {
            kinds.push(it);
        }
    }
    let more = kinds.len().saturating_sub(most);
    kinds.truncate(most);
    (kinds, more)
}

/// The sample in one line: the cause, the status with headers, and the beginning of the body.
pub fn said(it: &FailureSample) -> String {
    let mut parts = Vec::new();
    if !it.request.is_empty() {
        parts.push(format!("request {}", it.request));
    }
    if !it.cause.is_empty() {
        parts.push(one_line(&it.cause));
    }
    if !it.body.is_empty() {
        // Without a status, it is a head that was not complete or not readable.
        let part = if it.status.is_some() { "body" } else { "head" };
        parts.push(format!("{part}: {}{}", one_line(&it.body), if it.body_is_cut { "…" } else { "" }));
    }
    let head = head(it);
    if !head.is_empty() {
        parts.push(head);
    }
    parts.join("; ")
}

/// The status and the headers of an answer: `status 400, content-type: application/json`.
pub fn head(it: &FailureSample) -> String {
    let status = it.status.map(|status| format!("status {status}"));
    let headers = it.headers.iter().map(|(name, value)| format!("{name}: {}", one_line(value)));
    status.into_iter().chain(headers).collect::<Vec<_>>().join(", ")
}
