//! The recipe of a fault's resources: plain data, so that a plan can show it and the driver can make the resources again for
//! replaced targets.

use serde::Serialize;
use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::{
    ContainerKill, Direction, DnsFault, HttpFault, IoFault, Netem, PodFailure, Stress, TimeFault,
};

use shakedown_cluster::Kind;

use super::spec::{self, Ends, Inside, Resource};

/// The action of a fault by Chaos Mesh, with its links.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// Links are degraded.
    Netem {
        /// The degradation.
        netem: Box<Netem>,
        /// The peers; `None` for everything that the targets send.
        ends: Option<Ends>,
        /// Which packets, seen from the targets.
        direction: Direction,
    },
    /// Links are cut.
    Partition {
        /// The peers.
        ends: Ends,
        /// Which packets, seen from the targets.
        direction: Direction,
    },
    /// Pods are made unusable.
    PodFailure(PodFailure),
    /// Containers are killed once.
    ContainerKill(ContainerKill),
    /// CPU time and memory are consumed.
    Stress(Stress),
    /// Requests are aborted, delayed or answered with another status.
    Http(HttpFault),
    /// Names are not resolved.
    Dns(DnsFault),
    /// File operations are slow or fail.
    Io(IoFault),
    /// Clocks are shifted.
    Time(TimeFault),
}

impl Recipe {
    /// The kind of its resources.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Netem { .. } | Self::Partition { .. } => Kind::NetworkChaos,
            Self::PodFailure(_) | Self::ContainerKill(_) => Kind::PodChaos,
            Self::Stress(_) => Kind::StressChaos,
            Self::Http(_) => Kind::HttpChaos,
            Self::Dns(_) => Kind::DnsChaos,
            Self::Io(_) => Kind::IoChaos,
            Self::Time(_) => Kind::TimeChaos,
        }
    }

    /// The peers of its links, if there are any.
    pub const fn ends(&self) -> Option<&Ends> {
        match self {
            Self::Netem { ends, .. } => ends.as_ref(),
            Self::Partition { ends, .. } => Some(ends),
            Self::PodFailure(_) | Self::ContainerKill(_) | Self::Stress(_) | Self::Http(_) => None,
            Self::Dns(_) | Self::Io(_) | Self::Time(_) => None,
        }
    }

    /// The resources for some targets.
    pub fn resources(&self, targets: &[Inside]) -> Vec<Resource> {
        let pods = || -> Vec<PodRef> { targets.iter().map(|target| target.pod.clone()).collect() };
        match self {
            Self::Netem { netem, ends, direction } => spec::netem(netem, &pods(), ends.as_ref(), *direction),
            Self::Partition { ends, direction } => spec::partition(&pods(), ends, *direction),
            Self::PodFailure(it) => vec![spec::pod_failure(it, targets)],
            Self::ContainerKill(it) => vec![spec::container_kill(it, targets)],
            Self::Stress(it) => vec![spec::stress(it, targets)],
            Self::Http(it) => vec![spec::http(it, targets)],
            Self::Dns(it) => vec![spec::dns(it, targets)],
            Self::Io(it) => vec![spec::io(it, targets)],
            Self::Time(it) => vec![spec::time(it, targets)],
        }
    }
}
