//! The scenario file as Rust types, in the order of the file. The types describe only the shape. Rules across fields
//! are in `check`, positions in the file in `source`.
//!
//! Each variant is a map with one key (`partition: {...}`), so the parser, the JSON Schema and errors agree on
//! positions.

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

use crate::samples::ROUNDS;
use crate::units::Duration;

/// The version of the scenario format that this program reads.
pub const SCENARIO_VERSION: u32 = 1;

/// One scenario: the load to send, the faults to inject, the expectations before, during and after the faults, and how
/// fast the service must recover. Keys that begin with `x-` are ignored. They can hold YAML anchors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Files that this one completes, relative to it and below its folder. Their maps are joined with those of this file, and
    /// any other value of this file replaces theirs. A file in a folder of scenarios that is only a part has a name
    /// that ends with `.fragment.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["base.fragment.yaml"]]))]
    pub extends: Vec<String>,
    /// The version of this format. Always `1`.
    #[schemars(extend("const" = 1))]
    pub version: u32,
    /// The scenario's name, used in reports and file names. Letters, digits, `-`, `_` and `.`, at most 100 characters.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["worker-loses-nats"]))]
    pub name: String,
    /// What the scenario shows, in one or two sentences. Reports print it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["One worker of three is cut off from NATS; the others carry the load."]))]
    pub description: Option<String>,
    /// Tags to select scenarios by (`--tag`, `--skip-tag`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(inner(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$")), extend("examples" = [["network-policy", "fast"]]))]
    pub tags: Vec<String>,
    /// Variables for template expressions such as `{{ name }}` in the file's strings. `--vars-file` and `--var`
    /// override them. A value is a default, or a map with `type` (`text`, `number` or `boolean`), `required`, `values`,
    /// `default` and `description`. `{{ env("NAME") }}` is an environment variable, `{{ env("NAME", "x") }}` one with a
    /// default.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"worker": "decode", "url": {"required": true, "description": "The address of the shop"}}]))]
    pub vars: IndexMap<String, serde_json::Value>,
    /// Variables with several values. The file then is one scenario for each combination of them, named by its values.
    /// `exclude` is a list of combinations to leave out. `--var` fixes a variable to one value.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"loss": ["10%", "50%"], "worker": ["decode", "prefill"], "exclude": [{"loss": "50%", "worker": "prefill"}]}]))]
    pub matrix: IndexMap<String, Vec<serde_json::Value>>,
    /// The namespace of selectors, services and peers without their own. Default: `--namespace`, or else the namespace
    /// of the kubeconfig's context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), extend("examples" = ["dynamo"]))]
    pub namespace: Option<String>,
    /// What `--sandbox` starts for this scenario. A run on a cluster ignores it. Default: `{topology: dynamo}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<Rehearsal>,
    /// The loads, by name. Each load runs through all phases.
    #[schemars(extend("minProperties" = 1))]
    pub load: IndexMap<String, Load>,
    /// Stop conditions for all phases. When one holds, the runner undoes every fault and the verdict is `fail`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort_if: Vec<StopCondition>,
    /// The largest set of pods that the faults of one phase may act on. The runner refuses a plan that exceeds it.
    /// Without this key, the runner refuses a fault that selects every pod of a workload, unless the selector has
    /// `name`, `count` or a `percent` below 100 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blast_radius: Option<BlastRadius>,
    /// The phases, in order.
    #[schemars(length(min = 1))]
    pub phases: Vec<Phase>,
}

/// What a sandbox runs for a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    /// The topology: `dynamo`, `quick`, `shop`, or a YAML file, relative to the scenario's folder. `--sandbox-topology`
    /// overrides it.
    #[schemars(extend("examples" = ["shop", "topology.yaml"]))]
    pub topology: String,
}

/// A named stretch of the timeline. A request belongs to the phase in which it was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Files with keys of this phase, merged as by `extends`.
    #[serde(default, rename = "use", skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["baseline.fragment.yaml"]]))]
    pub parts: Vec<String>,
    /// The phase's name, unique in the file. Letters, digits, `-`, `_` and `.`, at most 100 characters.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), length(max = 100), extend("examples" = ["baseline"]))]
    pub name: String,
    /// The duration of the phase, from the moment at which its faults without `after` are in place.
    #[schemars(extend("examples" = ["60s"]))]
    pub duration: Duration,
    /// The first part of the phase. Its requests are sent and recorded, but not judged. Default `0s`.
    #[serde(default, skip_serializing_if = "Duration::is_zero_ref")]
    #[schemars(extend("examples" = ["5s"]))]
    pub settle: Duration,
    /// Changes to the pace of loads in this phase, by load. Default: none.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub load: IndexMap<String, LoadChange>,
    /// The faults of this phase, by name. The runner undoes all of them at the end of the phase.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    #[schemars(extend("examples" = [{"no-postgres": {"partition": {"pods": {"labels": {"app": "checkout"}, "count": 1}, "from": "postgres"}}}]))]
    pub faults: IndexMap<String, Fault>,
    /// Stop conditions for this phase only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub abort_if: Vec<StopCondition>,
    /// The effect that the phase's faults must have on the run's own requests. Without that effect the phase is
    /// `inconclusive`. Default: the effect is reported but not required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["any", {"success_rate": {"max": "20%"}}]))]
    pub effect: Option<Effect>,
    /// Which requests around the phase's faults its expectations include. If answers take long, most of the damage is
    /// in the requests that were in flight at the strike. Default `[in_flight]`; `[]` for none.
    #[serde(default = "Including::usual", skip_serializing_if = "Including::is_usual")]
    #[schemars(extend("examples" = [["in_flight", "injection", "removal"]]))]
    pub including: Vec<Including>,
    /// The expectations of this phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

impl Duration {
    pub(crate) fn is_zero_ref(value: &Self) -> bool {
        value.is_zero()
    }
}

/// The longest wait of a phase's first faults for the requests of the previous phase.
const CALM: std::time::Duration = std::time::Duration::from_secs(10);

impl Scenario {
    /// The phase before the first one with faults, with which changes of the requests are compared. None without one.
    pub fn reference(&self) -> Option<usize> {
        self.phases.iter().position(|phase| !phase.faults.is_empty())?.checked_sub(1)
    }

    /// How the pace of a load differs between two phases, in words. None if it is the same.
    pub fn other_pace(&self, load: &str, first: usize, second: usize) -> Option<String> {
        let models = (self.model(load, first)?, self.model(load, second)?);
        let (one, other) = (self.phases.get(first)?, self.phases.get(second)?);
        let is_same = models.0 == models.1;
        // A ramp that takes longer has other rates at the same moments.
        if is_same && (!models.0.changes() || (one.duration, one.settle) == (other.duration, other.settle)) {
            return None;
        }
        let words = |model: &Model, phase: &Phase| match is_same {
            false => model.to_string(),
            true if phase.settle.is_zero() => format!("{model} in {}", phase.duration),
            true => format!("{model} in {}, judged after {}", phase.duration, phase.settle),
        };
        Some(format!(
            "load `{load}` has another pace in `{}` ({}) than in `{}` ({})",
            one.name,
            words(&models.0, one),
            other.name,
            words(&models.1, other)
        ))
    }

    /// Why a phase with this number of requests of a load may have had other data than another phase, in words: the load takes
    /// its rows in order, and these are too few rounds. None otherwise.
    pub fn too_few_rounds(&self, load: &str, phase: usize, requests: u64) -> Option<String> {
        let cycle = self.load.get(load)?.cycle.filter(|cycle| *cycle > 0)?;
        (requests < ROUNDS * cycle).then(|| {
            let phase = self.phases.get(phase).map_or("", |phase| &phase.name);
            format!(
                "load `{load}` takes its {cycle} rows of data in order, and {requests} requests in `{phase}` are fewer than \
                 {ROUNDS} rounds"
            )
        })
    }

    /// The load model of a load in a phase. None if the load does not exist, or does not have exactly one pace.
    pub fn model(&self, load: &str, phase: usize) -> Option<Model> {
        let model = self.load.get(load)?.model()?;
        let change = self.phases.get(phase).and_then(|phase| phase.load.get(load));
        Some(match (model, change) {
            (Model::Open(_), Some(LoadChange { rate: Some(rate), .. })) => Model::Open(rate.clone()),
            (Model::Closed(_), Some(LoadChange { concurrency: Some(workers), .. })) => Model::Closed(*workers),
            (model, _) => model,
        })
    }

    /// How long a phase's first faults wait for the requests of the previous phase to end: the longest timeout of all
    /// loads, at most 10 s. Requests that end in time count for the previous phase. The others are in flight at the
    /// strike and count for the phase of the fault.
    pub fn longest_calm(&self) -> std::time::Duration {
        self.load.values().map(|load| load.timeout.get()).max().unwrap_or_default().min(CALM)
    }

    /// How long the requests of a load are observed, as a multiple of their timeout: the largest `times` of any `stuck`
    /// for this load, at least 1.
    pub fn observed_timeouts(&self, load: &str) -> f64 {
        let asked = self.phases.iter().flat_map(|phase| &phase.expect).filter_map(|expectation| match expectation {
            Expectation::Stuck(it) if it.load.as_deref().is_none_or(|name| name == load) => Some(it.times),
            _ => None,
        });
        asked.fold(1.0, f64::max)
    }

    /// The bounds of all `goodput` expectations for a load, without duplicates, in the order of the file.
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

    /// The secrets of the scenario, which must not appear in reports, logs or terminals.
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

    /// True if the scenario runs without a cluster: every load has a `url`, no phase has faults, and no expectation
    /// reads pods or logs.
    pub fn needs_no_cluster(&self) -> bool {
        let asks = |it: &Expectation| it.info().facts.about == About::Cluster;
        self.load.values().all(|load| load.service().is_none())
            && self.phases.iter().all(|phase| phase.faults.is_empty() && !phase.expect.iter().any(asks))
    }
}
