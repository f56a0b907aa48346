//! Faults: what is done to the cluster, one variant per kind. Each family of kinds has a file of its own; here is only
//! what they share.

mod dns;
mod http;
mod io;
mod manifest;
mod netem;
mod partition;
mod pods;
mod port;
mod stress;
mod time;

pub use dns::{DnsAnswer, DnsFault};
pub use http::HttpFault;
pub use io::{IoError, IoFault, IoMethod};
pub use manifest::{Condition, Field, Manifest, ObjectName};
pub use netem::Netem;
pub use partition::{Engine, Partition};
pub use pods::{ContainerKill, PodFailure, PodKill};
pub use port::PortRange;
pub use stress::{Stress, StressCpu, StressMemory};
pub use time::{Clock, TimeFault};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selector::PodSelector;
use crate::units::Duration;

/// One thing done to the cluster: a map with one key, the kind of fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Cut the links between the target pods and some peers, and leave every other link as it is.
    Partition(Partition),
    /// Make the links between the target pods and some peers worse: loss, delay, bandwidth and more.
    Netem(Netem),
    /// Delete or evict the target pods.
    PodKill(PodKill),
    /// Make the target pods unusable for a while without deleting them.
    PodFailure(PodFailure),
    /// Kill containers of the target pods.
    ContainerKill(ContainerKill),
    /// Take processor time or memory from the target pods.
    Stress(Stress),
    /// Break, delay or change HTTP requests to the target pods.
    Http(HttpFault),
    /// Break the target pods' DNS.
    Dns(DnsFault),
    /// Make files of the target pods slow or broken.
    Io(IoFault),
    /// Set the target pods' clocks wrong.
    Time(TimeFault),
    /// Create any object, with the conditions that say that it acts.
    Manifest(Manifest),
}

impl Fault {
    /// The kind, as it is written in a scenario.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
            Self::Netem(_) => "netem",
            Self::PodKill(_) => "pod_kill",
            Self::PodFailure(_) => "pod_failure",
            Self::ContainerKill(_) => "container_kill",
            Self::Stress(_) => "stress",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Io(_) => "io",
            Self::Time(_) => "time",
            Self::Manifest(_) => "manifest",
        }
    }

    /// The target pods; none for a `manifest` that does not name them.
    pub const fn pods(&self) -> Option<&PodSelector> {
        Some(match self {
            Self::Partition(it) => &it.pods,
            Self::Netem(it) => &it.pods,
            Self::PodKill(it) => &it.pods,
            Self::PodFailure(it) => &it.pods,
            Self::ContainerKill(it) => &it.pods,
            Self::Stress(it) => &it.pods,
            Self::Http(it) => &it.pods,
            Self::Dns(it) => &it.pods,
            Self::Io(it) => &it.pods,
            Self::Time(it) => &it.pods,
            Self::Manifest(it) => return it.pods.as_ref(),
        })
    }

    /// How long after the phase's start the fault is injected.
    pub fn after(&self) -> Duration {
        match self {
            Self::Partition(it) => it.after,
            Self::Netem(it) => it.after,
            Self::PodKill(it) => it.after,
            Self::PodFailure(it) => it.after,
            Self::ContainerKill(it) => it.after,
            Self::Stress(it) => it.after,
            Self::Http(it) => it.after,
            Self::Dns(it) => it.after,
            Self::Io(it) => it.after,
            Self::Time(it) => it.after,
            Self::Manifest(it) => it.after,
        }
        .unwrap_or_default()
    }

    /// How long the fault lasts; without it, until the phase's end. A kill happens once and does not last.
    pub const fn lasts(&self) -> Option<Duration> {
        match self {
            Self::Partition(it) => it.lasts,
            Self::Netem(it) => it.lasts,
            Self::PodFailure(it) => it.lasts,
            Self::Stress(it) => it.lasts,
            Self::Http(it) => it.lasts,
            Self::Dns(it) => it.lasts,
            Self::Io(it) => it.lasts,
            Self::Time(it) => it.lasts,
            Self::Manifest(it) => it.lasts,
            Self::PodKill(_) | Self::ContainerKill(_) => None,
        }
    }

    /// Whether it happens once: there is nothing to undo, and its object ends nothing when it goes.
    pub const fn is_once(&self) -> bool {
        matches!(self, Self::PodKill(_) | Self::ContainerKill(_))
    }
}

/// Which way a link is acted on, seen from the fault's target pods. A partition means connections, by who opens them; a
/// `netem` means packets, by who sends them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// What the targets open.
    Egress,
    /// What the targets accept.
    Ingress,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    /// True when connections that the targets open are meant.
    pub const fn has_egress(self) -> bool {
        matches!(self, Self::Egress | Self::Both)
    }

    /// True when connections that the targets accept are meant.
    pub const fn has_ingress(self) -> bool {
        matches!(self, Self::Ingress | Self::Both)
    }
}

/// What shows that a partition acts, beside its policy being in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    /// A witness where an image for it is known; else the policy counts where this cluster is known to enforce policies,
    /// or where the run's own requests change. Without any of these the scenario is inconclusive.
    #[default]
    Auto,
    /// A witness: a short-lived pod that could connect to the peer before, and cannot now. Needs an image
    /// (`--witness-image`), and a partition that cuts what the targets open.
    Witness,
    /// The run's own requests: their success rate or latency leaves the baseline's band while the fault stands.
    Traffic,
    /// Nothing more: that the policy is in place is enough.
    Applied,
}

impl Prove {
    /// The way in a word, as a scenario writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Witness => "witness",
            Self::Traffic => "traffic",
            Self::Applied => "applied",
        }
    }
}
