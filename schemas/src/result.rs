//! The result of a run, as plain data. Every report is a pure function of it. `format_version` rises with every
//! incompatible change. This file has the run, its scenarios, their phases and expectations. The modules have the
//! loads, faults and pods.

mod consistency;
mod digest;
mod fault;
mod generator;
mod identity;
mod latency;
mod load;
mod pods;

pub use digest::{RunDigest, ScenarioDigest};
pub use fault::{Evidence, FaultResult, Leftover, Measured, ObjectRecord, PodRef, Proof, Quantity, UnprovenStretch};
pub use generator::{Corrected, Generator, Timing};
pub use identity::{Identity, SharedNames};
pub use latency::LatencyStats;
pub use load::{
    AddressInfo, AnswerStats, Around, FailureSample, Heat, LoadInfo, LoadSeries, PartStats, PhaseLoad, Point,
    ReachedBy, Recovery, RequestInfo, Rest, Stats,
};
pub use pods::{LogExcerpt, LogLine, PodChange, PodEvent, PodRole};

pub use crate::verdict::Verdict;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::units::Percentile;

/// The version of the result format that this program writes.
pub const RESULT_VERSION: u32 = 1;

/// One run of the command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunResult {
    /// The version of this format.
    pub format_version: u32,
    /// The command, the machine and the time of the run.
    pub run: RunInfo,
    /// The worst of the scenarios' outcomes: their verdicts, apart from an overkill run, where a failed scenario passes.
    pub verdict: Verdict,
    /// The exit code of the command.
    pub exit_code: u8,
    /// The scenarios that ran, in the order of the suite.
    pub scenarios: Vec<ScenarioResult>,
    /// The selected scenarios that did not run, each with its reason. A run with one of them does not pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_run: Vec<NotRun>,
    /// Events of the run that belong to no scenario.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// A selected scenario that did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotRun {
    /// The scenario's name.
    pub name: String,
    /// The file, as named on the command line. Empty if it is not known, as for a shard without a result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub file: String,
    /// Why it did not run.
    pub reason: String,
}

/// The part of a suite that a run with `--shard` selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Its number, from 1.
    pub number: usize,
    /// The number of parts.
    pub of: usize,
    /// The number of scenarios in all parts.
    pub suite: usize,
}

/// The run of the shard that ran a scenario of a merged result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShardRun {
    /// The id of that run.
    pub id: String,
    /// Its command line.
    pub command: Vec<String>,
    /// The seed of its random choices.
    pub seed: u64,
}

/// The command, the machine and the time of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunInfo {
    /// The run's id. It is also a label of every object that the run created.
    pub id: String,
    /// The wall-clock time of the command's start.
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// Its duration, in seconds.
    pub duration_s: f64,
    /// The version of shakedown.
    pub tool_version: String,
    /// The command line.
    pub command: Vec<String>,
    /// The seed of every random choice.
    pub seed: u64,
    /// The host name of the machine.
    #[serde(default)]
    pub host: String,
    /// The commit of the working directory, if it is a git checkout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// The URL of the CI job, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_job_url: Option<String>,
    /// What ended it early: a signal, or `--max-time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<String>,
    /// The part of the suite that it ran (`--shard`). None for a whole suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
}

/// The result of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ScenarioResult {
    /// The scenario's name.
    pub name: String,
    /// The scenario's description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file, as named on the command line.
    pub file: String,
    /// The scenario's tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The worst verdict within the scenario.
    pub verdict: Verdict,
    /// The reason for the verdict, in one sentence.
    pub reason: String,
    /// What the reason is about. None for a pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The trial, if the run was one: a `control` run leaves the faults out, an `overkill` run replaces each with a
    /// full cut, a `shortened` run has shorter phases. None in an ordinary run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// The run of the shard that ran it, in a merged result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard_run: Option<ShardRun>,
    /// True if it passed only after a failed attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flaky: bool,
    /// The earlier attempts, if the scenario was repeated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
    /// The wall-clock time of its start.
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// The time from its load's start to the end of its last undo, in seconds.
    pub duration_s: f64,
    /// The cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// The default namespace.
    #[serde(default)]
    pub namespace: String,
    /// The variables, with the values used.
    #[serde(default)]
    pub vars: IndexMap<String, serde_json::Value>,
    /// The values of the file's matrix in this scenario. Empty for a file without one.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub matrix: IndexMap<String, serde_json::Value>,
    /// The text of the file.
    #[serde(default)]
    pub source: String,
    /// The scenario as it ran: the file with all templates rendered and the variables with the values used.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub resolved: serde_json::Value,
    /// The loads and how they reached their services.
    pub loads: Vec<LoadInfo>,
    /// The phases, in order. A phase that never began is missing.
    pub phases: Vec<PhaseResult>,
    /// The faults, in the order of the file.
    pub faults: Vec<FaultResult>,
    /// The expectations, in the order of the file. An expectation on several loads has one entry per load.
    pub expectations: Vec<ExpectationResult>,
    /// Counts and latencies of the requests, window by window.
    pub series: Vec<LoadSeries>,
    /// How the service failed and recovered, as measured from the requests. One entry per load and phase with faults.
    #[serde(default)]
    pub recoveries: Vec<Recovery>,
    /// Errors of the run itself, in words.
    #[serde(default)]
    pub errors: Vec<String>,
    /// Warnings, in words.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Objects that could not be removed, each with the command that removes it.
    #[serde(default)]
    pub leftovers: Vec<Leftover>,
    /// Pod events that the cluster reports, in order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pod_events: Vec<PodEvent>,
    /// Log excerpts of the targets around the faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogExcerpt>,
    /// The events of the scenario, in order.
    #[serde(default)]
    pub events: Vec<Event>,
}

impl ScenarioResult {
    /// What the verdict means for the run. An overkill run passes if the scenario fails, and fails if it does not. In any
    /// other run, and for an error, it is the verdict. The exit code and the heading of every report follow from it.
    pub const fn outcome(&self) -> Verdict {
        match (self.trial, self.verdict) {
            (Some(Trial::Overkill), Verdict::Fail) => Verdict::Pass,
            (Some(Trial::Overkill), Verdict::Pass | Verdict::Inconclusive) => Verdict::Fail,
            (_, verdict) => verdict,
        }
    }

    /// Whether it ran in the sandbox, whose numbers are those of a model.
    pub fn in_sandbox(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.sandbox)
    }
}

/// What decided the verdict of a scenario, as an index into a list of its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// One of `leftovers`.
    Leftover(usize),
    /// One of `errors`.
    Error(usize),
    /// One of `faults`.
    Fault(usize),
    /// One of `expectations`.
    Expectation(usize),
}

/// A run that tests the gate itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trial {
    /// All faults are left out. The run must pass.
    Control,
    /// Each fault is replaced with a full cut. The run must fail.
    Overkill,
    /// Long phases are shortened. The run is never a pass.
    #[serde(alias = "rehearsal")]
    Shortened,
}

/// The outcome of an earlier attempt at a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Its verdict.
    pub verdict: Verdict,
    /// The reason for the verdict.
    pub reason: String,
    /// The wall-clock time of its start.
    #[schemars(with = "String")]
    pub started_at: jiff::Timestamp,
    /// Its duration, in seconds.
    pub duration_s: f64,
}

/// The cluster that a scenario ran against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterInfo {
    /// The API server's address.
    pub server: String,
    /// The Kubernetes version that it reports.
    pub version: String,
    /// The kubeconfig's context. None inside a cluster and for the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// True for the embedded sandbox, which models pods and their network in one process.
    pub sandbox: bool,
    /// The topology of the sandbox: the name of a built-in one, or its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topology: Option<String>,
}

impl ClusterInfo {
    /// The cluster's name for display: the kubeconfig's context, if there is one, or the sandbox with its topology.
    pub fn name(&self) -> String {
        match (&self.topology, &self.context) {
            (Some(topology), _) => format!("sandbox with topology {topology}"),
            (None, _) if self.sandbox => "sandbox".to_owned(),
            (None, context) => context.clone().unwrap_or_else(|| "in-cluster".to_owned()),
        }
    }
}

/// One phase as it ran. All times are in seconds since the load's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseResult {
    /// The phase's name.
    pub name: String,
    /// When it began.
    pub start_s: f64,
    /// When its faults were in place. Equal to `start_s` for a phase without faults.
    pub active_s: f64,
    /// The start of the judged part: `active_s` plus the settling time.
    pub judged_from_s: f64,
    /// The end of the judged part, when the undo of its faults began.
    pub judged_to_s: f64,
    /// The end of the phase, when the undo of its faults was confirmed.
    pub end_s: f64,
    /// The planned duration, in seconds.
    pub planned_s: f64,
    /// Counts and latencies of the judged requests, per load.
    pub loads: Vec<PhaseLoad>,
}

/// One expectation with its verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExpectationResult {
    /// The judged phase.
    pub phase: String,
    /// The judged load. Empty for an expectation that is not about a load.
    pub load: String,
    /// The kind of expectation, such as `latency_ratio`.
    pub kind: String,
    /// The expectation in words, such as `p95 at most 3 times baseline`.
    pub title: String,
    /// The verdict.
    pub verdict: Verdict,
    /// The observed value, in `unit`. None if there was nothing to observe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<f64>,
    /// The observed value for display, such as `3.8x`, `99.2%` or `> 30s`.
    pub observed_text: String,
    /// The unit of `observed`, `interval` and the limits.
    pub unit: Unit,
    /// The interval around the observed value, at the confidence level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// True if the true value is at least the observed one, because the observation ended first.
    #[serde(default)]
    pub censored: bool,
    /// The number of requests behind the verdict.
    pub samples: u64,
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The limit for display, such as `at least 80%`.
    pub limit_text: String,
    /// What is measured. None for an expectation with several limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measure: Option<Measure>,
    /// The reason for the verdict, in one sentence.
    pub reason: String,
    /// True if the reason names the phase.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reason_names_phase: bool,
    /// The terms behind the observed value, such as both percentiles of a ratio, with their units.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub terms: IndexMap<String, String>,
    /// The line of the expectation in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl ExpectationResult {
    /// An expectation without a verdict yet: inconclusive, with nothing observed. `title` states the expectation in
    /// words. An empty `load` means that the expectation is not about a load.
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
            measure: None,
            reason: String::new(),
            reason_names_phase: false,
            terms: IndexMap::new(),
            line: None,
        }
    }

    /// The title without its limit. In another run it names the same expectation.
    pub fn unlimited_title(&self) -> String {
        if self.limit_text.is_empty() { self.title.clone() } else { self.title.replacen(&self.limit_text, "", 1) }
    }
}

/// The observed value of an `effect: any` without a change in the requests.
pub const NO_CHANGE: &str = "no change";

/// The beginning of its observed value if requests failed or were slow, and too few to tell whether that is an effect.
pub const NO_SIGNIFICANT_CHANGE: &str = "no significant change";

/// What an expectation with one limit measures, and what its limit is relative to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measure {
    /// The measured value in words, such as `p95` or `success rate`.
    pub subject: String,
    /// The percentile, if the value is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<Percentile>,
    /// The phase whose value a ratio is relative to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The latency below which every ratio passes, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub or_below_s: Option<f64>,
    /// What follows the limit in the title, such as ` times baseline, or at most 50ms`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub condition: String,
}

impl Measure {
    /// A value with an absolute limit.
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), percentile: None, to: None, or_below_s: None, condition: String::new() }
    }
}

/// The unit of an expectation's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A fraction between 0 and 1. Reports show it as a percentage.
    Fraction,
    /// Seconds.
    Seconds,
    /// A factor.
    Times,
    /// A plain number.
    Count,
}
