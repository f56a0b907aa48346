//! `pod_failure`: makes pods unavailable without deleting them.

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::scenario::Secret;

fault! {
    /// Makes the target pods unavailable without deleting them: Chaos Mesh replaces the images of their containers with
    /// an image that does nothing. Needs Chaos Mesh.
    pub struct PodFailure {
    }
    pods, own, follow, after, lasts,
}

impl FaultKind for PodFailure {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh {
            // The controller acts without the daemon.
            needs_daemon: false,
            restarts: true,
            ..ChaosMesh::inside("podchaos")
        })],
        sandbox: Sandbox::Modelled,
        rules: &[],
        not_settings: &[],
        link: between,
        confirmed_by: ", and the pods' own: their programs do not run",
        observed_by: "",
        unfelt_because: "",
        ends: Ends::Containers,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}, count: 1}, for: 30s}",
    };

    fn check(&self, _: &str, _: &mut Findings<'_>) {}

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
