//! The plan: plain data, without connections, drivers, port-forwards and watches. Only [`crate::arm`] makes those from it.

use std::net::SocketAddr;
use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;
use serde_json::Value;
use shakedown_schemas::result::{ClusterInfo, LoadInfo};
use shakedown_schemas::scenario::{Direction, Expectation, Fault};
use shakedown_schemas::units::as_text;
use shakedown_schemas::{Document, first_few};

use shakedown_cluster::{ServiceAddress, WitnessImage};
use shakedown_faults::chaos::{ChaosSpec, Trial};
use shakedown_faults::partition::{PartitionSpec, PartitionsSpec};
use shakedown_faults::{ByKubernetes, FaultPlan};
use shakedown_load::CompiledLoad;

/// The complete description of a scenario's run.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// The scenario's name.
    pub scenario: String,
    /// Its file, as given on the command line.
    pub file: String,
    /// The run's id, which the names of all objects contain.
    pub run: String,
    /// The scenario's number in the run, from 0.
    pub serial: usize,
    /// The seed of all random choices.
    pub seed: u64,
    /// The cluster; `None` when the scenario needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterInfo>,
    /// The default namespace.
    pub namespace: String,
    /// The loads, in the order of the file.
    pub loads: Vec<LoadSpec>,
    /// The timeline.
    pub phases: Vec<PhaseSpec>,
    /// The faults, in the order of the file.
    pub faults: Vec<FaultSpec>,
    /// The policies that all partitions by NetworkPolicy share, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<PartitionsSpec>,
    /// The fuses, one Job per namespace with faults.
    pub fuses: Vec<Value>,
    /// The canaries that test, before the load, whether the nodes can inject the faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub canaries: Vec<Trial>,
    /// The image of the canaries. Without it, they do not run.
    #[serde(skip)]
    pub canary_image: Option<WitnessImage>,
}

/// Names are the keys of a plan's parts. The permissions are found from the scenario, with its plan or without one.
impl Plan {
    /// The load with this name.
    pub(super) fn load(&self, name: &str) -> Option<&LoadSpec> {
        self.loads.iter().find(|spec| spec.name == name)
    }

    /// The fault with this name.
    pub(super) fn fault(&self, name: &str) -> Option<&FaultSpec> {
        self.faults.iter().find(|spec| spec.plan.name == name)
    }
}

/// A phase.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseSpec {
    /// Its name.
    pub name: String,
    /// Its line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Its planned beginning, from the load's start.
    #[serde(serialize_with = "as_text::duration")]
    pub at: Duration,
    /// How long it takes.
    #[serde(rename = "for", serialize_with = "as_text::duration")]
    pub lasts: Duration,
    /// The length of its settle part, which is not judged.
    #[serde(serialize_with = "as_text::duration")]
    pub settle: Duration,
    /// The paces, as text, of the loads that the phase changes.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    pub loads: IndexMap<String, String>,
    /// Its expectations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub expect: Vec<Expectation>,
}

/// A load: its target and its schedule.
#[derive(Debug, Clone, Serialize)]
pub struct LoadSpec {
    /// Its name.
    pub name: String,
    /// Its kind, such as `http`.
    pub kind: &'static str,
    /// The target as text.
    pub target: String,
    /// The base URL.
    pub base: String,
    /// The endpoint of the API; empty when the API has only one.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub endpoint: &'static str,
    /// The route of its requests.
    pub route: Route,
    /// True for a schedule (`rate`), false for workers (`concurrency`).
    pub open_loop: bool,
    /// The pace as text, where no phase changes it.
    pub schedule: String,
    /// The time from due to the last byte after which a request has failed.
    #[serde(serialize_with = "as_text::duration")]
    pub timeout: Duration,
    /// How long answers are read, which can be longer than the timeout.
    #[serde(serialize_with = "as_text::duration")]
    pub observation_timeout: Duration,
    /// The compiled load. It is not serialised, because the scenario contains the same in fewer words.
    #[serde(skip)]
    pub compiled: CompiledLoad,
}

impl LoadSpec {
    /// The load as the reports show it, without counts.
    pub fn info(&self) -> LoadInfo {
        let (reach, address) = match &self.route {
            Route::Url => ("url", self.base.clone()),
            Route::Direct { address, .. } => ("direct", address.to_string()),
            Route::Endpoints { addresses, .. } => ("endpoints", endpoints(addresses)),
            Route::PortForward { .. } => ("port-forward", String::new()),
        };
        LoadInfo {
            name: self.name.clone(),
            kind: self.kind.to_owned(),
            target: self.target.clone(),
            service: self.route.service().map_or_else(String::new, |it| format!("{}:{}", it.name, it.port)),
            open_loop: self.open_loop,
            schedule: self.schedule.clone(),
            reach: reach.to_owned(),
            address,
            reconnects: 0,
            issued: None,
            resent: 0,
            endpoint: self.endpoint.to_owned(),
            peculiarities: Vec::new(),
            addresses: Vec::new(),
            requests: Vec::new(),
            group_by: self.compiled.group_by().to_owned(),
        }
    }
}

/// Endpoints as text: the first of them, and the number of others.
pub(super) fn endpoints(addresses: &[SocketAddr]) -> String {
    first_few(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>(), 3)
}

/// The route of a load's requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Route {
    /// The URL's own host.
    Url,
    /// An address of the service that is reachable from here.
    Direct {
        /// The service. It is not serialised, because the load names it.
        #[serde(skip)]
        service: ServiceAddress,
        /// The address.
        address: SocketAddr,
    },
    /// The ready endpoints of a headless service, updated during the run.
    Endpoints {
        /// The service.
        service: ServiceAddress,
        /// The endpoints at planning time.
        addresses: Vec<SocketAddr>,
    },
    /// A port-forward through the API server. It is opened when the run begins.
    PortForward {
        /// The service.
        service: ServiceAddress,
    },
}

impl Route {
    /// The service that is called. None for a URL.
    const fn service(&self) -> Option<&ServiceAddress> {
        match self {
            Self::Url => None,
            Self::Direct { service, .. } | Self::Endpoints { service, .. } | Self::PortForward { service } => {
                Some(service)
            }
        }
    }
}

/// A fault: its pods, its times, and the spec of its driver.
#[derive(Debug, Clone, Serialize)]
pub struct FaultSpec {
    /// The name of its phase.
    pub phase: String,
    /// Its line in the file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The direction, if its kind has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The loads whose answers all come from the targets, for a fault that shifts their clocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clocks: Vec<String>,
    /// The part of the plan that is the same for all engines.
    #[serde(flatten)]
    pub plan: FaultPlan,
    /// The spec of its driver.
    pub action: Action,
}

impl FaultSpec {
    /// A planned fault at its place in the scenario.
    pub(super) fn new(document: &Document, plan: FaultPlan, action: Action) -> Self {
        let phase = &document.scenario.phases[plan.phase];
        let direction = match phase.faults.get(&plan.name) {
            Some(Fault::Partition(partition)) => Some(partition.direction),
            Some(Fault::Netem(netem)) => netem.direction,
            _ => None,
        };
        let line = document.line(&format!("phases[{}].faults.{}", plan.phase, plan.name));
        Self { phase: phase.name.clone(), line, direction, clocks: Vec::new(), plan, action }
    }
}

/// The spec of a driver, by engine.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// NetworkPolicies cut links.
    NetworkPolicy(PartitionSpec),
    /// Chaos Mesh acts on its resources.
    ChaosMesh(Box<ChaosSpec>),
    /// The Kubernetes API alone, by the fault's kind.
    #[serde(untagged)]
    Kubernetes(ByKubernetes),
}

/// A planned fault without its place in the scenario.
pub(super) type Planned = (FaultPlan, Action);
