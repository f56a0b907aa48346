//! A small LLM-serving deployment: something real to break. Three programs over [`Net`](super::net::Net), which run as
//! tasks of the sandbox's pods and, unchanged, as pods of a real cluster.
//!
//! - [`frontend`] speaks the OpenAI API and hands requests to workers;
//! - [`worker`] answers them with made-up text at configured service times;
//! - [`bus`] is a NATS server, small; Debian's `nats-server` does as well;
//! - [`discovery`] keeps the list of workers by leases, as etcd does for NVIDIA Dynamo.
//!
//! Workers take requests from the bus, or directly from the frontend; an answer goes straight back, over a connection that the
//! worker opens to the frontend. A frontend knows its workers by their leases in the registry, or, in a quick deployment
//! without one, by heartbeats on the bus. So a cut between worker and bus, registry or frontend each has an onset, a failover
//! and a recovery of its own.
//!
//! In scope: the programs and what they say to each other. Out of scope: pods, services and policies (the
//! rest of the sandbox), the command line, and load.
//!
//! Each program is a future that runs until its token is cancelled. It owns every task that it starts: dropping the
//! future is the same as SIGKILL.

mod bus;
mod config;
mod discovery;
mod frontend;
mod nats;
mod protocol;
mod worker;

#[cfg(test)]
mod tests;

pub use crate::log::Log;
pub use bus::bus;
pub use config::{BusConfig, DiscoveryConfig, FrontendConfig, Plane, WorkerConfig};
pub use discovery::discovery;
pub(crate) use frontend::GETS as FRONTEND_GETS;
pub use frontend::frontend;
pub(crate) use worker::GETS as WORKER_GETS;
pub use worker::worker;
