//! What others saw of the service during a run: the cluster's pods, Prometheus, and the pods' logs. Plain data, gathered
//! for the expectations that ask for it.

use std::collections::BTreeMap;

/// What was gathered for one expectation. Times are nanoseconds since the load's start.
#[derive(Debug, Clone, PartialEq)]
pub enum Outside {
    /// The pods, as they were each time that somebody looked.
    Pods(Vec<PodsSeen>),
    /// What Prometheus said, by phase: its values, or why there are none.
    Series(BTreeMap<usize, Result<SeriesSeen, String>>),
    /// The lines that match, and what could not be read.
    Lines(LinesSeen),
}

/// The values of one query within a phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SeriesSeen {
    /// The values, in order; NaN and infinite ones among them.
    pub values: Vec<f64>,
    /// How many there would be without a gap.
    pub expected: usize,
    /// What the server says about the answer, in its own words.
    pub warnings: Vec<String>,
}

impl From<Vec<f64>> for SeriesSeen {
    /// A series without gaps.
    fn from(values: Vec<f64>) -> Self {
        Self { expected: values.len(), values, warnings: Vec::new() }
    }
}

/// The pods at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodsSeen {
    /// When.
    pub at_ns: u64,
    /// Those that are meant, by their UIDs.
    pub pods: BTreeMap<String, PodSeen>,
}

/// One pod at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PodSeen {
    /// Its name.
    pub name: String,
    /// Whether it is ready and not being deleted.
    pub ready: bool,
    /// How often its containers were started again, all together.
    pub restarts: u64,
}

/// What the logs hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinesSeen {
    /// When each line that matches was written (by the cluster's clock), the pod, and the line's beginning.
    pub matching: Vec<(u64, String, String)>,
    /// How many logs were read.
    pub read: u64,
    /// What could not be read, or not as a whole, in words.
    pub gaps: Vec<String>,
}
