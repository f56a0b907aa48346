//! The result of a run, as plain data: everything that a report shows is in here, and every report is a pure function
//! of it. `format_version` rises with every change that a reader could trip over.

mod consistency;
mod generator;

pub use generator::{Corrected, Generator, Timing};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Event, FaultState};

/// The version of the result format that this program writes.
pub const RESULT_VERSION: u32 = 1;

/// The judgement of an expectation, a scenario or a run. The order is the order of badness: the worst wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    #[default]
    Pass,
    /// There is not enough to tell: too few samples, a fault that was not proven, a sick baseline.
    Inconclusive,
    /// It does not hold.
    Fail,
    /// The run itself went wrong: the cluster, a permission, the load generator, an interruption.
    Error,
}

impl Verdict {
    /// The verdict in a word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}

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

/// One load and how it reached its service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadInfo {
    /// The load's name.
    pub name: String,
    /// `http` or `openai`.
    pub kind: String,
    /// What was called: `service frontend:8000`, or the URL.
    pub target: String,
    /// True for open loop (`rate`), false for closed loop (`concurrency`).
    pub open_loop: bool,
    /// The planned schedule, in words: `20/s`, `8 at a time`.
    pub schedule: String,
    /// How the service was reached: `direct`, `port-forward` or `url`.
    pub reach: String,
    /// The address that requests were sent to.
    #[serde(default)]
    pub address: String,
    /// How often a port-forward had to be made anew.
    #[serde(default)]
    pub reconnects: u64,
    /// How many requests the generator issued in all, counted apart from what became of them: the sum of all outcomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<u64>,
    /// Requests that were sent once more, because the server had closed the idle connection that they were first given to
    /// before anything was written to it.
    #[serde(default)]
    pub resent: u64,
    /// What became of each of several requests, in all phases together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<RequestInfo>,
}

impl LoadInfo {
    /// What was called and how, in words: `service shop:80, 10.0.0.7:80 (direct)`. A URL is its own address.
    pub fn reached(&self) -> String {
        let at = if self.address == self.target { String::new() } else { format!(", {}", self.address) };
        format!("{}{at} ({})", self.target, self.reach)
    }
}

/// One of several requests of a load, and how often it was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestInfo {
    /// The request's name.
    pub name: String,
    /// How many of them succeeded.
    pub succeeded: u64,
    /// How many of them failed, those that were never sent included.
    pub failed: u64,
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

/// What one load's requests show in the judged part of one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseLoad {
    /// The load's name.
    pub load: String,
    /// The numbers.
    #[serde(flatten)]
    pub stats: Stats,
    /// All latencies of the judged part as an HDR histogram in microseconds: V2 with DEFLATE, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_hdr: Option<String>,
    /// How the load generator did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generator: Option<Generator>,
}

/// Counts and latencies of a set of requests.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Stats {
    /// Requests that were due.
    pub requests: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed, by the failure's name.
    #[serde(default)]
    pub errors: IndexMap<String, u64>,
    /// Requests that were due, per second.
    pub throughput: f64,
    /// Latency from the moment when each request was due: answers that succeeded, and at their elapsed time those that
    /// never ended.
    pub latency: Option<LatencyStats>,
    /// From the moment when a request was due to its first token, for streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token: Option<LatencyStats>,
}

impl Stats {
    /// The share of requests that succeeded; none without requests.
    pub fn success_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.succeeded as f64 / self.requests as f64)
    }
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct LatencyStats {
    /// How many values there are.
    pub count: u64,
    /// The mean, ms.
    pub mean_ms: f64,
    /// The smallest, ms.
    pub min_ms: f64,
    /// Half are at most this, ms.
    pub p50_ms: f64,
    /// 90 % are at most this, ms.
    pub p90_ms: f64,
    /// 95 % are at most this, ms.
    pub p95_ms: f64,
    /// 99 % are at most this, ms.
    pub p99_ms: f64,
    /// 99.9 % are at most this, ms.
    pub p999_ms: f64,
    /// The largest, ms.
    pub max_ms: f64,
}

/// One fault as it really was. All times are seconds since the load's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultResult {
    /// The fault's name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its kind, such as `partition`.
    pub kind: String,
    /// How it is done, such as `network-policy`.
    pub engine: String,
    /// What it does and what it leaves, in one sentence.
    pub description: String,
    /// The pods that it acts on.
    pub targets: Vec<PodRef>,
    /// The other ends, in words.
    pub peers: Vec<String>,
    /// What was created.
    pub objects: Vec<ObjectRecord>,
    /// Where it got to.
    pub state: FaultState,
    /// When the first object was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injecting_s: Option<f64>,
    /// When all its objects were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected_s: Option<f64>,
    /// When there was evidence that it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_s: Option<f64>,
    /// When its removal began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing_s: Option<f64>,
    /// When its removal was confirmed by reading back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_s: Option<f64>,
    /// What shows that it was applied and removed.
    pub evidence: Vec<Evidence>,
    /// Whether it was injected and proven: pass, inconclusive (not proven) or error.
    pub injection: Verdict,
    /// Whether it was removed and that was confirmed: pass or error.
    pub undo: Verdict,
    /// What went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The line of the fault in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

/// A pod, exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// An object that the run created, or would create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRecord {
    /// Its API version, such as `networking.k8s.io/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object as it was sent.
    pub manifest: serde_json::Value,
}

/// An object that could not be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leftover {
    /// What it is, such as `networkpolicy/x in namespace y`.
    pub what: String,
    /// The command that removes it.
    pub command: String,
    /// Why it could not be removed.
    pub error: String,
}

/// Something that the cluster says of a pod, or that its status shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PodEvent {
    /// When, in seconds since the load's start. The cluster's clock tells it, to the second.
    pub at_s: f64,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// What the pod is to the scenario.
    pub role: PodRole,
    /// What happened.
    pub change: PodChange,
    /// The cluster's word for it, such as `Unhealthy`; empty for what the status shows.
    #[serde(default)]
    pub reason: String,
    /// What happened, in words.
    pub detail: String,
    /// How often it was said.
    #[serde(default)]
    pub count: u64,
}

/// What a pod is to a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PodRole {
    /// A fault acts on it.
    Target,
    /// It is the other end of a fault.
    Peer,
    /// Another pod of the same namespaces.
    Other,
}

/// What happened to a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PodChange {
    /// It came to be.
    Created,
    /// It became ready.
    Ready,
    /// It ceased to be ready.
    NotReady,
    /// A container started again.
    Restarted,
    /// It is gone.
    Gone,
    /// The cluster said something of it.
    Normal,
    /// The cluster warned.
    Warning,
}

/// Some lines that a container wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogExcerpt {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The container's name.
    pub container: String,
    /// Around what, such as `fault nats-cut injected`.
    pub around: String,
    /// When that was, in seconds since the load's start.
    pub at_s: f64,
    /// The lines, as they were written; long ones are cut.
    #[serde(default)]
    pub lines: Vec<LogLine>,
    /// Why there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogLine {
    /// When it was written, in seconds since the load's start, by the cluster's clock.
    pub at_s: f64,
    /// The line.
    pub text: String,
}

/// Something that shows that a fault was applied or removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When it was seen, in seconds since the load's start.
    pub at_s: f64,
    /// What it shows: `applied`, `effective` or `removed`.
    pub shows: Proof,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen, in words.
    pub detail: String,
}

/// What a piece of evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The fault's objects are in place, as sent.
    Applied,
    /// The fault acts.
    Effective,
    /// The fault is gone.
    Removed,
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

/// What one load's requests show over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadSeries {
    /// The load's name.
    pub load: String,
    /// The length of a window, in seconds.
    pub window_s: f64,
    /// The windows, in order, by the moment when their requests were due. One without requests is missing.
    pub points: Vec<Point>,
    /// How the latencies lie over time; none without latencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heat: Option<Heat>,
}

/// A map of latencies: time by latency, with the count of requests in each cell. It shows what percentiles hide, such
/// as two groups of answers, a fast one and a slow one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Heat {
    /// The length of a column, in seconds.
    pub column_s: f64,
    /// The borders of the rows, in rising order, ms: row `k` holds latencies from border `k` to border `k + 1`.
    pub edges_ms: Vec<f64>,
    /// The cells that hold something, by column and then by row: the column from 0 at the load's start, the row, and
    /// the count of latencies.
    pub cells: Vec<(u32, u32, u64)>,
}

/// One window of one load.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// When the window begins, in seconds since the load's start.
    pub t_s: f64,
    /// How long this window is, in seconds (shorter at the end of a phase).
    pub length_s: f64,
    /// Requests that were due in it.
    pub requests: u64,
    /// Those that succeeded.
    pub succeeded: u64,
    /// Those that failed, by the failure's name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub errors: IndexMap<String, u64>,
    /// Half of the latencies are at most this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p50_ms: Option<f64>,
    /// 95 % of the latencies are at most this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p95_ms: Option<f64>,
    /// 99 % of the latencies are at most this, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p99_ms: Option<f64>,
    /// The largest latency, ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ms: Option<f64>,
    /// All latencies of the window as an HDR histogram in microseconds: V2 with DEFLATE, in base64. Windows merge by
    /// adding their histograms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_hdr: Option<String>,
    /// The most requests that were under way at the same time within the window.
    #[serde(default)]
    pub in_flight: u64,
}

/// How the service failed and recovered around one phase with faults, as one load's requests saw it. All times are
/// seconds since the load's start unless they say otherwise.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// The load.
    pub load: String,
    /// The phase with the faults.
    pub phase: String,
    /// The start of the first window out of tolerance after the injection; none when no request noticed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onset_s: Option<f64>,
    /// The start of the first window from which the service stayed within tolerance while the fault still stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover_s: Option<f64>,
    /// When the removal of the faults was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_s: Option<f64>,
    /// The first request after the removal that succeeded was due then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_success_s: Option<f64>,
    /// The start of the first window after the removal from which the service stayed within tolerance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovered_s: Option<f64>,
    /// Time out of tolerance in all, in seconds.
    pub out_of_tolerance_s: f64,
    /// Requests that failed from the injection to the recovery.
    pub failed_requests: u64,
    /// The length of a window, in seconds: the resolution of these times.
    pub resolution_s: f64,
    /// Until when requests were looked at: the next phase with faults began, or the load ended. A recovery that had not
    /// come by then is censored: it took longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_until_s: Option<f64>,
}
