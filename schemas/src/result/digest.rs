//! The part of a result that the history of many runs shows. It is read without the rest: the windows, histograms and
//! events of a run are most of its size.

use serde::Deserialize;

use super::{ExpectationResult, RunInfo, RunResult, ScenarioResult, ShardRun, Trial, Verdict};

/// A run without its measurements.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RunDigest {
    /// The version of the result's format.
    pub format_version: u32,
    /// The command, the machine and the time of the run.
    pub run: RunInfo,
    /// The scenarios, in the order in which they ran.
    pub scenarios: Vec<ScenarioDigest>,
}

/// A scenario without its measurements.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ScenarioDigest {
    /// The scenario's name.
    pub name: String,
    /// The file, as named on the command line.
    pub file: String,
    /// The worst verdict within the scenario.
    pub verdict: Verdict,
    /// The reason for the verdict, in one sentence.
    pub reason: String,
    /// The trial, if the run was one.
    #[serde(default)]
    pub trial: Option<Trial>,
    /// The run of the shard that ran it, in a merged result.
    #[serde(default)]
    pub shard_run: Option<ShardRun>,
    /// True if it passed only after a failed attempt.
    #[serde(default)]
    pub flaky: bool,
    /// The wall-clock time of its start.
    pub started_at: jiff::Timestamp,
    /// The expectations, in the order of the file.
    pub expectations: Vec<ExpectationResult>,
}

impl From<&RunResult> for RunDigest {
    fn from(it: &RunResult) -> Self {
        Self {
            format_version: it.format_version,
            run: it.run.clone(),
            scenarios: it.scenarios.iter().map(ScenarioDigest::from).collect(),
        }
    }
}

impl From<&ScenarioResult> for ScenarioDigest {
    fn from(it: &ScenarioResult) -> Self {
        Self {
            name: it.name.clone(),
            file: it.file.clone(),
            verdict: it.verdict,
            reason: it.reason.clone(),
            trial: it.trial,
            shard_run: it.shard_run.clone(),
            flaky: it.flaky,
            started_at: it.started_at,
            expectations: it.expectations.clone(),
        }
    }
}
