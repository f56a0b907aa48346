//! `container_kill`: kills containers.

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::check::inside::{containers, wrong};
use crate::scenario::Secret;

fault! {
    /// Kills containers of the target pods once. The kubelet restarts them. Needs Chaos Mesh.
    pub struct ContainerKill {
        /// The containers to kill, by name.
        #[schemars(length(min = 1), extend("examples" = [["worker"]]))]
        pub containers: Vec<String>,
    }
    pods, own, after,
}

impl FaultKind for ContainerKill {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh::inside("podchaos"))],
        sandbox: Sandbox::Modelled,
        rules: &[],
        not_settings: &[],
        link: between,
        confirmed_by: ", and the pods' own: their containers have ended",
        observed_by: "",
        unfelt_because: "",
        ends: Ends::Containers,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}, count: 1}, containers: [worker]}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        if self.containers.is_empty() {
            let path = format!("{path}.containers");
            wrong(&path, "no container is named", "write `containers: [worker]`", findings);
        }
        containers(path, &self.containers, findings);
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
