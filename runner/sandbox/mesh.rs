//! What the sandbox knows of Chaos Mesh: what its webhooks refuse, whom its selectors mean, how its status moves, and
//! what its rules do to a pod's packets.
//!
//! What belongs here: Chaos Mesh as functions of objects. What does not: when they are called (`controllers::chaos`,
//! `controllers::links`), the shape of the objects (`custom`), and the links and programs that are hurt (`net`).

pub(crate) mod ailing;
pub(crate) mod daemon;
pub(crate) mod network;
pub(crate) mod record;
pub(crate) mod select;
pub(crate) mod units;
pub(crate) mod webhook;

use super::resource::{DNS_CHAOS, HTTP_CHAOS, IO_CHAOS, NETWORK_CHAOS, POD_CHAOS, Resource, STRESS_CHAOS, TIME_CHAOS};

/// The kinds that people create; a PodNetworkChaos is made by the controller.
pub(crate) static KINDS: [&Resource; 7] =
    [&NETWORK_CHAOS, &POD_CHAOS, &STRESS_CHAOS, &HTTP_CHAOS, &DNS_CHAOS, &IO_CHAOS, &TIME_CHAOS];

/// The finalizer of a chaos that may have something to recover.
pub(crate) const FINALIZER: &str = "chaos-mesh/records";
/// With the value `true`: what is injected is recovered, until the annotation goes.
pub(crate) const PAUSE: &str = "experiment.chaos-mesh.org/pause";
/// With the value `forced`, on a chaos that is to be deleted: its finalizers go without recovery.
pub(crate) const CLEAN: &str = "chaos-mesh.chaos-mesh.org/cleanFinalizer";
