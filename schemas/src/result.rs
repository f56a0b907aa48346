//! The result of a run, as plain data: everything that a report shows is in here, and every report is a pure function
//! of it. `format_version` rises with every change that a reader could trip over. The run, its scenarios, their phases and answers
//! stand here; what loads, faults and pods had to do with them, in the modules.

mod consistency;
mod fault;
mod generator;
mod latency;
mod load;
mod pods;

pub use fault::{Evidence, FaultResult, Leftover, ObjectRecord, PodRef, Proof};
pub use generator::{Corrected, Generator, Timing};
pub use latency::LatencyStats;
pub use load::{
    AddressInfo, AnswerStats, Around, FailureSample, Heat, LoadInfo, LoadSeries, PhaseLoad, Point, Recovery,
    RequestInfo, Stats,
};
pub use pods::{LogExcerpt, LogLine, PodChange, PodEvent, PodRole};

pub use crate::verdict::Verdict;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Event;

/// The version of the result format that this program writes.
pub const RESULT_VERSION: u32 = 1;

/// One run: what one command did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// The version of this format.
    pub format_version: u32,
    /// Who ran what, when and with what.
    pub run: RunInfo,
    /// The worst of the scenarios' verdicts.
    pub verdict: Verdict,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The scenarios, in the order in which they ran.
    pub scenarios: Vec<ScenarioResult>,
    /// The events of the whole run that belong to no scenario.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// Who ran what, when and with what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// The run's id, also the label of every object that it created.
    pub id: String,
    /// When the command began (wall clock).
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// How long it took, in seconds.
    pub duration_s: f64,
    /// The version of shakedown.
    pub tool_version: String,
    /// The command line.
    pub command: Vec<String>,
    /// The seed of everything that is chosen by chance.
    pub seed: u64,
    /// The machine that it ran on.
    #[serde(default)]
    pub host: String,
    /// The commit of the working folder, where it is a git checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// The CI job, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_job_url: Option<String>,
    /// The signal that interrupted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
}

/// One scenario's run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioResult {
    /// The scenario's name.
    pub name: String,
    /// What it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file, as it was named on the command line.
    pub file: String,
    /// The scenario's tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The worst of all verdicts inside.
    pub verdict: Verdict,
    /// Why, in one sentence made from the facts.
    pub reason: String,
    /// What was done to the faults on purpose: in a `control` run they were left out, in an `overkill` run each was
    /// replaced by a full cut. None in an ordinary run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// It passed only after an attempt that failed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
    /// The attempts before this one, where it was repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// When it began (wall clock).
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// How long it took from its load's start to the end of its last undo, in seconds.
    pub duration_s: f64,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// The default namespace.
    #[serde(default)]
    pub namespace: String,
    /// The variables as they were used.
    #[serde(default)]
    pub vars: IndexMap<String, serde_json::Value>,
    /// The file's text.
    #[serde(default)]
    pub source: String,
    /// The scenario as it ran: the file with all templates rendered and the variables as they were used.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub resolved: serde_json::Value,
    /// The loads and how they reached their services.
    pub loads: Vec<LoadInfo>,
    /// The phases, in order. One that never began is missing.
    pub phases: Vec<PhaseResult>,
    /// The faults, in the order of the file.
    pub faults: Vec<FaultResult>,
    /// The expectations, in the order of the file; one per load where several loads are asked.
    pub expectations: Vec<ExpectationResult>,
    /// What the requests show, window by window.
    pub series: Vec<LoadSeries>,
    /// How the service failed and recovered, as the requests saw it: one per load and fault phase.
    #[serde(default)]
    pub recoveries: Vec<Recovery>,
    /// What went wrong with the run itself, in words.
    #[serde(default)]
    pub errors: Vec<String>,
    /// What the reader should know, in words.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Objects that could not be removed, each with the command that removes it.
    #[serde(default)]
    pub leftovers: Vec<Leftover>,
    /// What the cluster itself says of the pods, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_events: Vec<PodEvent>,
    /// What the targets wrote around the faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogExcerpt>,
    /// What happened, in order.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// A run that tests the gate itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// Every fault is left out: it must pass.
    Control,
    /// Every fault is replaced by a full cut: it must fail.
    Overkill,
}

/// What an earlier attempt at a scenario came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Its verdict.
    pub verdict: Verdict,
    /// Why.
    pub reason: String,
    /// When it began (wall clock).
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// How long it took, in seconds.
    pub duration_s: f64,
}

/// The cluster that a scenario ran against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterInfo {
    /// The API server's address.
    pub server: String,
    /// The Kubernetes version that it reports.
    pub version: String,
    /// The kubeconfig's context, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// True for the embedded sandbox: pods and their network were modelled in one process.
    pub sandbox: bool,
}

impl ClusterInfo {
    /// The cluster's name for people: the kubeconfig's context, where there is one.
    pub fn name(&self) -> &str {
        if self.sandbox { "the sandbox" } else { self.context.as_deref().unwrap_or("in-cluster") }
    }
}

/// One phase as it really was. All times are seconds since the load's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseResult {
    /// The phase's name.
    pub name: String,
    /// When it began.
    pub start_s: f64,
    /// When its faults were in place; the same as `start_s` without faults.
    pub active_s: f64,
    /// When the part that its expectations judge began: `active_s` and the settling time.
    pub judged_from_s: f64,
    /// When that part ended: the undo of its faults began.
    pub judged_to_s: f64,
    /// When it was over: the undo of its faults was confirmed.
    pub end_s: f64,
    /// The duration that the scenario asks for, in seconds.
    pub planned_s: f64,
    /// What the judged requests of each load show.
    pub loads: Vec<PhaseLoad>,
}

/// One expectation, answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationResult {
    /// The phase that was asked.
    pub phase: String,
    /// The load that was asked.
    pub load: String,
    /// The kind of expectation, such as `latency_ratio`.
    pub kind: String,
    /// The expectation in words, such as `p95 at most 3 times baseline`.
    pub title: String,
    /// The answer.
    pub verdict: Verdict,
    /// The observed value, in `unit`; none when there is nothing to observe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// The observed value for people, such as `3.8x` or `99.2%` or `> 30s`.
    pub observed_text: String,
    /// The unit of `observed`, `interval` and the limits.
    pub unit: Unit,
    /// The interval around the observed value, at the confidence level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// True when the true value is at least the observed one, because the observation ended first.
    #[serde(default)]
    pub censored: bool,
    /// How many requests the answer rests on.
    pub samples: u64,
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The limit for people, such as `at least 80%`.
    pub limit_text: String,
    /// Why, in one sentence made from the numbers.
    pub reason: String,
    /// The terms behind the observed value, such as both percentiles of a ratio, with their units.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub terms: IndexMap<String, String>,
    /// The line of the expectation in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl ExpectationResult {
    /// An expectation without an answer yet: inconclusive, with nothing observed. `kind` is its kind, `title` says it in
    /// words, and an empty `load` means that no load is asked.
    pub fn new(kind: &str, phase: &str, load: &str, title: impl Into<String>) -> Self {
        Self {
            phase: phase.to_owned(),
            load: load.to_owned(),
            kind: kind.to_owned(),
            title: title.into(),
            verdict: Verdict::Inconclusive,
            observed: None,
            observed_text: String::new(),
            unit: Unit::Count,
            interval: None,
            censored: false,
            samples: 0,
            min: None,
            max: None,
            limit_text: String::new(),
            reason: String::new(),
            terms: IndexMap::new(),
            line: None,
        }
    }
}

/// The unit of an expectation's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A fraction between 0 and 1, shown as a percentage.
    Fraction,
    /// Seconds.
    Seconds,
    /// A factor.
    Times,
    /// A plain number.
    Count,
}
