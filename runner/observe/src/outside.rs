//! Observations of the service other than requests: pods, Prometheus and logs. Plain data, collected for the expectations
//! that use them.

use std::collections::BTreeMap;

/// The data that was collected for one expectation. Times are nanoseconds since the load's start.
#[derive(Debug, Clone, PartialEq)]
pub enum Outside {
    /// The pods at each poll.
    Pods(Vec<PodsSeen>),
    /// The result of the Prometheus query for each phase, by its index: the values, or why there are none.
    Series(BTreeMap<usize, Result<SeriesSeen, String>>),
    /// The matching log lines, and the logs that could not be read.
    Lines(LinesSeen),
}

/// The values of one query within a phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesSeen {
    /// The values in order, including NaN and infinity.
    pub values: Vec<f64>,
    /// The number of values of a series without gaps.
    pub expected: usize,
    /// The number of values whose time was not asked for. `values` has none of them.
    pub elsewhere: usize,
    /// The warnings in the server's answer, verbatim.
    pub warnings: Vec<String>,
    /// What the server says about data that its answer may lack, in words.
    pub doubts: Vec<String>,
}

impl From<Vec<f64>> for SeriesSeen {
    /// A series without gaps.
    fn from(values: Vec<f64>) -> Self {
        Self { expected: values.len(), values, ..Self::default() }
    }
}

/// The pods at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodsSeen {
    /// The moment.
    pub at_ns: u64,
    /// The selected pods, by UID.
    pub pods: BTreeMap<String, PodSeen>,
}

/// One pod at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodSeen {
    /// The pod's name.
    pub name: String,
    /// True if the pod is ready and not being deleted.
    pub ready: bool,
    /// The restarts of all its containers.
    pub restarts: u64,
}

/// The result of a search in the logs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinesSeen {
    /// For each matching line: when it was written (by the cluster's clock), its pod, and the beginning of the line.
    pub matching: Vec<(u64, String, String)>,
    /// The number of logs that were read.
    pub read: u64,
    /// What could not be read.
    pub gaps: Vec<LogGap>,
}

/// A stretch of time whose lines may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogGap {
    /// Its beginning, in nanoseconds since the load's start.
    pub from_ns: u64,
    /// Its end.
    pub to_ns: u64,
    /// Why, in words.
    pub why: String,
}

impl LogGap {
    /// A gap of all the time.
    pub fn always(why: String) -> Self {
        Self { from_ns: 0, to_ns: u64::MAX, why }
    }
}
