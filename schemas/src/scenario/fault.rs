//! Faults: what is done to the cluster, one variant per kind. Each kind has a file of its own, which says everything about
//! it; here is their list, and what they share.

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
pub use kind::{Access, ChaosMesh, FaultFacts, FaultInfo, Means, Sandbox};
pub use manifest::{Condition, Field, Manifest, ObjectName};
pub use netem::Netem;
pub use partition::{Engine, Partition};
pub use pod_failure::PodFailure;
pub use pod_kill::PodKill;
pub use port::{PeerPort, PortRange};
pub use stress::{Stress, StressCpu, StressMemory};
pub use terms::{Direction, Prove};
pub use time::{Clock, TimeFault};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::selector::PodSelector;
use crate::check::Findings;
use crate::units::Duration;
use kind::{FaultKind, Shared};

fault_kinds! {
    /// Cut the links between the target pods and some peers, and leave every other link as it is.
    "partition" => Partition(Partition),
    /// Make the links between the target pods and some peers worse: loss, delay, bandwidth and more.
    "netem" => Netem(Netem),
    /// Delete or evict the target pods.
    "pod_kill" => PodKill(PodKill),
    /// Make the target pods unusable for a while without deleting them.
    "pod_failure" => PodFailure(PodFailure),
    /// Kill containers of the target pods.
    "container_kill" => ContainerKill(ContainerKill),
    /// Take processor time or memory from the target pods.
    "stress" => Stress(Stress),
    /// Break, delay or change HTTP requests to the target pods.
    "http" => Http(HttpFault),
    /// Break the target pods' DNS.
    "dns" => Dns(DnsFault),
    /// Make files of the target pods slow or broken.
    "io" => Io(IoFault),
    /// Set the target pods' clocks wrong.
    "time" => Time(TimeFault),
    /// Create any object, with the conditions that say that it acts.
    "manifest" => Manifest(Manifest),
}

impl Fault {
    /// Everything about its kind.
    ///
    /// # Panics
    /// Never: every variant is in the list of kinds.
    pub fn info(&self) -> &'static FaultInfo {
        &Self::KINDS[self.index()]
    }

    /// The target pods; none for a `manifest` that does not name them.
    pub fn pods(&self) -> Option<&PodSelector> {
        self.shared().pods()
    }

    /// How long after the phase's start the fault is injected.
    pub fn after(&self) -> Duration {
        self.shared().after().unwrap_or_default()
    }

    /// How long the fault lasts; without it, until the phase's end. A kill happens once and does not last.
    pub fn lasts(&self) -> Option<Duration> {
        self.shared().lasts()
    }

    /// Whether it acts on the replacement of a target as well.
    pub fn follow(&self) -> bool {
        self.shared().follow()
    }

    /// What must show that it acts, in addition to its engine's report.
    pub fn prove(&self) -> Prove {
        self.shared().prove()
    }

    /// Whether it happens once: there is nothing to undo, and its object ends nothing when it goes.
    pub fn is_once(&self) -> bool {
        self.info().is_once()
    }
}

impl FaultInfo {
    /// The kind with this key.
    pub fn of(name: &str) -> Option<&'static Self> {
        Fault::KINDS.iter().find(|kind| kind.name == name)
    }
}
