//! The scenario file: one type per thing that a person writes, in the order in which it is read. Only the shape is
//! here; what must hold across fields is in `check`, and where a value stands in the file is known by `source`.
//!
//! Every variant is a map with one key (`partition: {...}`), so that positions in errors, the JSON Schema and the
//! parser agree.

mod expect;
mod fault;
mod including;
mod load;
mod safety;
mod secret;
mod selector;

pub use expect::*;
pub use fault::*;
pub use including::Including;
pub(crate) use load::REQUEST_NAMES;
pub use load::*;
pub use safety::{BlastRadius, StopCondition, StopHttp, StopLatency, StopSuccessRate};
pub use secret::Secret;
pub use selector::{Expression, LabelSelector, Operator, Peer, PodSelector};

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Duration;

/// The version of the scenario format that this program reads.
pub const SCENARIO_VERSION: u32 = 1;

/// One scenario: which load to send, which faults to inject, what must hold before, during and after them, and how
/// fast the service must recover. Keys that begin with `x-` are ignored: a place for YAML's anchors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The version of this format. Always `1`.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// The scenario's name, used in reports and file names: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["worker-loses-nats"]))]
    pub name: String,
    /// What the scenario shows, in a sentence or two, for the people who read its report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["One worker of three is cut off from NATS; the others carry the load."]))]
    pub description: Option<String>,
    /// Words to select scenarios by (`--tag`, `--skip-tag`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["network-policy", "fast"]]))]
    pub tags: Vec<String>,
    /// Values for the template expressions (`{{ name }}`) in this file's strings. `--vars-file` and `--var` override
    /// them.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub vars: IndexMap<String, serde_json::Value>,
    /// The namespace of every selector, service and peer that names none. Without it, the namespace of `--namespace`
    /// or of the kubeconfig's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["dynamo"]))]
    pub namespace: Option<String>,
    /// The streams of requests that run through all phases, by name.
    #[schemars(extend("minProperties" = 1))]
    pub load: IndexMap<String, Load>,
    /// When to end early, watched through all phases. As soon as one of them holds, every fault is undone and the
    /// verdict is `fail`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort_if: Vec<StopCondition>,
    /// How far the faults of one phase may reach; a plan that reaches further is refused. Without it, a fault that would
    /// take every pod of a workload is refused unless its selector says so with `name`, `count` or a `percent` below
    /// 100 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<BlastRadius>,
    /// The stretches of the timeline, in order.
    #[schemars(length(min = 1))]
    pub phases: Vec<Phase>,
}

/// A named stretch of the timeline. A request belongs to the phase in which it was due to start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The phase's name, unique in the file: letters, digits, `-`, `_` and `.`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["baseline"]))]
    pub name: String,
    /// How long the phase lasts, counted from the moment when its faults (those without `after`) are in place.
    pub duration: Duration,
    /// The first part of the phase, in which requests are sent and recorded but left out of the phase's expectations.
    #[serde(default, skip_serializing_if = "Duration::is_zero_ref")]
    pub settle: Duration,
    /// What this phase changes of the loads' pace, by load. Default: nothing.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub load: IndexMap<String, LoadChange>,
    /// What is done to the cluster in this phase, by name. All of it is undone at the phase's end.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub faults: IndexMap<String, Fault>,
    /// When to end early, watched in this phase only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort_if: Vec<StopCondition>,
    /// What the phase's faults must change in the run's own requests; without that the phase is `inconclusive`. Default:
    /// what they changed is reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["any", {"success_rate": {"max": "20%"}}]))]
    pub effect: Option<Effect>,
    /// Which requests around the phase's faults its expectations include. Those that a fault meets in flight are the main damage
    /// to answers that take long. Default `[in_flight]`; `[]` for none.
    #[serde(default = "Including::usual", skip_serializing_if = "Including::is_usual")]
    #[schemars(extend("examples" = [["in_flight", "injection", "removal"]]))]
    pub including: Vec<Including>,
    /// What must hold for the requests of this phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

impl Duration {
    pub(crate) fn is_zero_ref(value: &Self) -> bool {
        value.is_zero()
    }
}

/// How long a phase's first faults wait at most for the requests of the phase before.
const CALM: std::time::Duration = std::time::Duration::from_secs(10);

impl Scenario {
    /// What makes a load's requests start in a phase; none for a load that is not there, or that says neither how fast
    /// nor how many.
    pub fn model(&self, load: &str, phase: usize) -> Option<Model> {
        let model = self.load.get(load)?.model()?;
        let change = self.phases.get(phase).and_then(|phase| phase.load.get(load));
        Some(match (model, change) {
            (Model::Open(_), Some(LoadChange { rate: Some(rate), .. })) => Model::Open(rate.clone()),
            (Model::Closed(_), Some(LoadChange { concurrency: Some(workers), .. })) => Model::Closed(*workers),
            (model, _) => model,
        })
    }

    /// The longest time for which a phase's first faults wait until the requests of the phase before have ended: the
    /// longest timeout, and at most 10 s. Those that end by then count for that phase; the others are in flight when the
    /// fault strikes, and count for the phase of the fault.
    pub fn longest_calm(&self) -> std::time::Duration {
        self.load.values().map(|load| load.timeout.get()).max().unwrap_or_default().min(CALM)
    }

    /// How many times its timeout a request of a load is listened to: the most that any `stuck` asks for, at least 1.
    pub fn linger(&self, load: &str) -> f64 {
        let asked = self.phases.iter().flat_map(|phase| &phase.expect).filter_map(|expectation| match expectation {
            Expectation::Stuck(it) if it.load.as_deref().is_none_or(|name| name == load) => Some(it.times),
            _ => None,
        });
        asked.fold(1.0, f64::max)
    }

    /// The bounds that any `goodput` asks of a load's requests, each once, in the order of the file.
    pub fn goodput_bounds(&self, load: &str) -> Vec<GoodputBounds> {
        let mut found = Vec::new();
        for expectation in self.phases.iter().flat_map(|phase| &phase.expect) {
            if let Expectation::Goodput(it) = expectation
                && it.load.as_deref().is_none_or(|name| name == load)
                && !found.contains(&it.of)
            {
                found.push(it.of);
            }
        }
        found
    }

    /// What in it must not reach a report, a log or a terminal.
    pub fn secrets(&self) -> Vec<Secret> {
        let phases = || self.phases.iter();
        let effects = phases().filter_map(|phase| phase.effect.as_ref()?.expectation());
        let stops = self.abort_if.iter().chain(phases().flat_map(|phase| &phase.abort_if));
        let mut found: Vec<Secret> = self.load.values().flat_map(Load::secrets).collect();
        found.extend(phases().flat_map(|phase| phase.faults.values()).flat_map(Fault::secrets));
        found.extend(phases().flat_map(|phase| &phase.expect).flat_map(Expectation::secrets));
        found.extend(effects.flat_map(|expectation| expectation.secrets()));
        found.extend(stops.filter_map(StopCondition::secret));
        found
    }

    /// True when no fault, no load and no expectation needs a cluster: every load names a `url`, no phase has faults, and
    /// nothing is asked about pods or their logs.
    pub fn needs_no_cluster(&self) -> bool {
        let asks = |it: &Expectation| it.info().facts.about == About::Cluster;
        self.load.values().all(|load| load.service().is_none())
            && self.phases.iter().all(|phase| phase.faults.is_empty() && !phase.expect.iter().any(asks))
    }
}
