//! `partition`: cuts links.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox};
use super::terms::{Direction, PASSED_BY, Prove};
use crate::check::{Findings, peer};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{Peer, PodSelector, Secret};

fault! {
    /// Cuts the links between the target pods and peers.
    pub struct Partition {
        /// The peers to cut the targets off from.
        #[schemars(length(min = 1))]
        pub from: Vec<Peer>,
        /// Which connections are cut, seen from the target pods. Default `both`.
        #[serde(default)]
        pub direction: Direction,
        /// The engine that cuts the links. Default `auto`.
        #[serde(default)]
        pub engine: Engine,
    }
    pods, own, follow { /// If several partitions share a target, one with `follow` is enough.
    }, prove, after, lasts,
}

impl FaultKind for Partition {
    const FACTS: FaultFacts = FaultFacts {
        means: &[
            Means::NetworkPolicy,
            Means::ChaosMesh(ChaosMesh { is_link: true, ..ChaosMesh::inside("networkchaos") }),
        ],
        sandbox: Sandbox::Modelled,
        rules: &[],
        not_settings: &["from", "engine"],
        link: |targets, peers| format!("of {targets} from {peers}"),
        confirmed_by: ", and its rules in place",
        observed_by: "",
        unfelt_because: PASSED_BY,
        ends: Ends::Nothing,
        cuts_links: true,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}, count: 1}, from: [{service: nats}]}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        if self.from.is_empty() {
            findings.push(
                &format!("{path}.from"),
                Diagnostic::error(Code::Peer, "this partition cuts no link").help("write `from: [{service: nats}]`"),
            );
        }
        if self.prove == Prove::Witness && !self.direction.has_egress() {
            findings.push(
                &format!("{path}.prove"),
                Diagnostic::error(
                    Code::Proof,
                    "a witness connects to the peer, and this partition cuts only what the peer opens",
                )
                .help("write `prove: traffic`, or `direction: both`"),
            );
        }
        if self.prove == Prove::Witness && self.engine == Engine::ChaosMesh {
            findings.push(
                &format!("{path}.prove"),
                Diagnostic::error(
                    Code::Proof,
                    "Chaos Mesh acts only on the target pods, so a witness cannot represent them",
                )
                .help("write `prove: applied`, which relies on the report of Chaos Mesh, or `prove: traffic`"),
            );
        }
        for (index, it) in self.from.iter().enumerate() {
            let path = format!("{path}.from[{index}]");
            peer(&path, it, findings);
            let same = it.pods.as_ref().is_some_and(|pods| {
                let targets = PodSelector { count: None, percent: None, ..self.pods.clone() };
                *pods == targets && self.pods.count.is_none() && self.pods.percent.is_none()
            });
            if same && it.ports.is_empty() {
                findings.push(
                    &format!("{path}.pods"),
                    Diagnostic::error(
                        Code::SelfPartition,
                        "the targets are cut off from themselves: both ends are the same pods",
                    )
                    .help("select other pods here, or narrow the targets with `count`"),
                );
            }
        }
    }

    fn peers(&self) -> &[Peer] {
        &self.from
    }

    fn direction(&self) -> Option<Direction> {
        Some(self.direction)
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// The engine of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// NetworkPolicy, if it cuts exactly the links of the fault. Chaos Mesh, if it is installed and an existing policy
    /// would keep the link open, the cluster does not enforce policies, or the network plugin is known to leave
    /// established connections open. The plan names the engine and the reason.
    #[default]
    Auto,
    /// NetworkPolicy. Needs a network plugin that enforces policies. Some plugins leave established connections open.
    NetworkPolicy,
    /// Chaos Mesh. It drops the packets of every connection, established or not. Needs Chaos Mesh in the cluster.
    ChaosMesh,
}
