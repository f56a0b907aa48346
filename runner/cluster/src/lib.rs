//! The cluster: the only crate that imports kube. It connects, reads, and carries out single actions on objects. Each has a
//! timeout and is retried if that is safe.
//!
//! Other modules decide which objects a fault needs (`faults`) and when they exist (`timeline`).

mod absent;
mod access;
mod capabilities;
mod chaos;
mod claims;
mod config;
mod connect;
mod diagnostics;
mod discover;
mod error;
mod forward;
pub mod journal;
pub mod keys;
mod kill;
mod kind;
pub mod labels;
mod ledger;
mod lists;
mod network;
mod nodes;
mod objects;
mod options;
mod own;
pub mod permissions;
mod pods;
mod reach;
mod secrets;
pub mod size;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod transport;
mod unevaluated;
mod usage;
mod watch;
mod workloads;

pub use capabilities::Capabilities;
pub use chaos::Installation;
pub use claims::LATEST;

pub use connect::connect;
pub use discover::Listable;
pub use error::ClusterError;
pub use forward::{NotForwarded, Opener, PortForward};
pub use keys::{Item, ObjectAction, ObjectKey, Remedy};
pub use kill::PodEnd;
pub use kind::{CHAOS_GROUP, Kind};
pub use network::Network;
pub use nodes::Node;
pub use options::{ConnectOptions, quoted};
pub use own::WitnessImage;
pub use pods::{choose, choose_of, lasting_statuses, owner_plural, pod_ref};
pub use reach::{Following, ServiceAddress, ServiceRoute, parse_service};
pub use secrets::secrets;
pub use unevaluated::Unevaluated;
pub use usage::{Usage, UsageSample, UsageSource};
pub use watch::Change;
pub use workloads::Workload;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shakedown_schemas::EventKind;
use shakedown_schemas::result::ClusterInfo;
pub use shakedown_schemas::scenario::Access;

use crate::journal::Journal;
use ledger::Ledger;

/// Receives the cluster's own events: retries and reconnects.
pub type Notify = Arc<dyn Fn(EventKind) + Send + Sync>;

/// The time limit of retries.
const RETRY_LIMIT: Duration = Duration::from_secs(20);

/// A connection to one cluster.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    info: ClusterInfo,
    capabilities: Capabilities,
    default_namespace: String,
    /// The flags with which a command reaches it.
    flags: String,
    notify: Notify,
    journal: Option<Arc<Journal>>,
    /// The time limit of retries: no attempt begins later than this.
    retry_limit: Duration,
    /// The objects that this connection created. Clones share them.
    ledger: Arc<Mutex<Ledger>>,
    /// The part of the ledger that its actions belong to. Clones share it, except for those of [`Cluster::apart`].
    part: u64,
}

impl Cluster {
    /// Its description in the reports.
    pub const fn info(&self) -> &ClusterInfo {
        &self.info
    }

    /// Its capabilities.
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// The namespace of the kubeconfig's context, or `default`.
    pub fn default_namespace(&self) -> &str {
        &self.default_namespace
    }

    /// A command of kubectl or shakedown, completed so that it reaches this cluster and no other.
    pub fn by_hand(&self, command: &str) -> String {
        format!("{command}{}", self.flags)
    }

    /// The same connection, to a sandbox with this topology.
    pub fn modelling(mut self, topology: String) -> Self {
        self.info.topology = Some(topology);
        self
    }

    /// The same connection with another receiver of its events.
    pub fn notifying(mut self, notify: Notify) -> Self {
        self.notify = notify;
        self
    }

    /// The same connection for a scenario that runs next to others. It still knows the objects of all scenarios as objects of
    /// this run, but it checks only those that were created through it or its clones: the others are in use.
    pub fn apart(mut self) -> Self {
        let part = self.ledger().another_part();
        self.part = part;
        self
    }

    /// The same connection with this time limit for retries.
    pub const fn with_retry_limit(mut self, retry_limit: Duration) -> Self {
        self.retry_limit = retry_limit;
        self
    }

    /// Sends an event to all listeners.
    pub fn tell(&self, event: EventKind) {
        (self.notify)(event);
    }

    /// The same connection, with every action recorded in a journal first.
    pub fn journalled(mut self, journal: Arc<Journal>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// The server's version as two numbers; `None` if it reports none. A server that was built without a version reports
    /// `v0.0.0-master`, which is not an old release.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut parts = self.info.version.trim_start_matches('v').split('.');
        let version = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (version > (0, 0)).then_some(version)
    }
}
