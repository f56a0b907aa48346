//! Faults: actions on the cluster, one variant per kind. Each kind is defined in a file of its own. This file has the
//! list of kinds and what they share.

#[macro_use]
mod kind;

mod container_kill;
mod dns;
mod http;
mod io;
mod manifest;
mod netem;
mod partition;
mod pod_failure;
mod pod_kill;
mod port;
mod stress;
mod terms;
mod time;

pub use container_kill::ContainerKill;
pub use dns::{DnsAnswer, DnsFault};
pub use http::HttpFault;
pub use io::{IoError, IoFault, IoMethod};
pub use kind::{Access, AccessNeeds, ChaosMesh, Ends, FaultFacts, FaultInfo, Means, Resource, Sandbox};
pub use manifest::{Condition, Field, Manifest, ObjectName};
pub use netem::Netem;
pub use partition::{Engine, Partition};
pub use pod_failure::PodFailure;
pub use pod_kill::PodKill;
pub use port::{PeerPort, PortRange};
pub use stress::{Stress, StressCpu, StressMemory};
pub use terms::{Direction, FaultEngine, Prove};
pub use time::{Clock, TimeFault};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::selector::{Peer, PodSelector};
use crate::check::Findings;
use crate::units::Duration;
use kind::{FaultKind, Shared};

fault_kinds! {
    /// Cut the links between the target pods and peers. All other links stay open.
    "partition" => Partition(Partition),
    /// Degrade the links between the target pods and peers: loss, delay, bandwidth and more.
    "netem" => Netem(Netem),
    /// Delete or evict the target pods.
    "pod_kill" => PodKill(PodKill),
    /// Make the target pods unavailable without deleting them.
    "pod_failure" => PodFailure(PodFailure),
    /// Kill containers of the target pods.
    "container_kill" => ContainerKill(ContainerKill),
    /// Consume CPU time or memory in the target pods.
    "stress" => Stress(Stress),
    /// Abort, delay or answer HTTP requests to the target pods.
    "http" => Http(HttpFault),
    /// Answer the target pods' DNS queries with errors or random addresses.
    "dns" => Dns(DnsFault),
    /// Delay file operations in the target pods, or make them fail.
    "io" => Io(IoFault),
    /// Shift the clocks of the target pods.
    "time" => Time(TimeFault),
    /// Create any object, with conditions that show that it acts.
    "manifest" => Manifest(Manifest),
}

impl Fault {
    /// The description of its kind.
    ///
    /// # Panics
    /// Never: every variant is in the list of kinds.
    pub fn info(&self) -> &'static FaultInfo {
        &Self::KINDS[self.index()]
    }

    /// The target pods. None for a `manifest` without `pods`.
    pub fn pods(&self) -> Option<&PodSelector> {
        self.shared().pods()
    }

    /// How long after the phase's start the fault is injected.
    pub fn after(&self) -> Duration {
        self.shared().after().unwrap_or_default()
    }

    /// How long the fault lasts. None for a fault that lasts until the phase's end, and for a kill, which happens once.
    pub fn lasts(&self) -> Option<Duration> {
        self.shared().lasts()
    }

    /// True if it also acts on the replacement of a target.
    pub fn follow(&self) -> bool {
        self.shared().follow()
    }

    /// What must show that it acts, in addition to its engine's report.
    pub fn prove(&self) -> Prove {
        self.shared().prove()
    }

    /// The permissions that it needs on objects that it does not create, if the Kubernetes API alone carries it out.
    pub fn needs(&self) -> Vec<Access> {
        let of = |means: &Means| match means {
            Means::Kubernetes { needs: AccessNeeds::All(all), .. } => all.to_vec(),
            Means::Kubernetes { needs: AccessNeeds::OneOf(all), .. } => {
                all.iter().copied().filter(|it| self.uses(it)).collect()
            }
            Means::NetworkPolicy | Means::ChaosMesh(_) => Vec::new(),
        };
        self.info().facts.means.iter().flat_map(of).collect()
    }

    /// True if it happens once. There is nothing to undo, and the removal of its object changes nothing.
    pub fn is_once(&self) -> bool {
        self.info().is_once()
    }
}

impl FaultInfo {
    /// The complete fault that its help texts show.
    ///
    /// # Panics
    /// Never: a test reads the example of every kind.
    pub fn example(&self) -> Fault {
        let text = format!("{}: {}", self.name, self.facts.example);
        serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("the example of {}: {error}", self.name))
    }

    /// The kinds of the objects that faults by the Kubernetes API alone create.
    pub fn created() -> impl Iterator<Item = Resource> {
        let of = |means: &'static Means| match means {
            Means::Kubernetes { creates, .. } => *creates,
            Means::NetworkPolicy | Means::ChaosMesh(_) => &[],
        };
        Fault::KINDS.iter().flat_map(|kind| kind.facts.means).flat_map(of).copied()
    }

    /// The kind with this key.
    pub fn of(name: &str) -> Option<&'static Self> {
        Fault::KINDS.iter().find(|kind| kind.name == name)
    }
}
