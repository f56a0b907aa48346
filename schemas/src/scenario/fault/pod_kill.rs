//! `pod_kill`: deletes or evicts pods.

use super::kind::{Access, AccessNeeds, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::check::inside::wrong;
use crate::scenario::Secret;
use crate::units::Duration;

const DELETE: Access = Access::new("", "pods", "delete");
const EVICT: Access = Access::new("", "pods/eviction", "create");

fault! {
    /// Deletes the target pods once. Their controller creates replacements. Pods without a controller are refused.
    /// Needs only Kubernetes.
    pub struct PodKill {
        /// Evict the pods instead of deleting them. If a PodDisruptionBudget forbids an eviction, the fault is not
        /// injected. Default `false`.
        #[serde(default)]
        pub evict: bool,
        /// The time for the containers to shut down. With `0s` the pod is removed from the API at once, and a real kubelet
        /// still sends SIGTERM, then SIGKILL after 2 s. Default: the grace period of each pod.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub grace_period: Option<Duration>,
    }
    pods, own, follow once, after,
}

impl FaultKind for PodKill {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::Kubernetes { creates: &[], needs: AccessNeeds::OneOf(&[DELETE, EVICT]), note: "" }],
        sandbox: Sandbox::Modelled,
        rules: &[],
        not_settings: &[],
        link: between,
        confirmed_by: "",
        observed_by: "",
        unfelt_because: "",
        ends: Ends::Pods,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}, count: 1}, grace_period: 5s}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        if self.grace_period.is_some_and(|grace| grace.get().subsec_nanos() != 0) {
            let path = format!("{path}.grace_period");
            wrong(
                &path,
                "Kubernetes counts grace periods in whole seconds",
                "write whole seconds, such as `5s`",
                findings,
            );
        }
    }

    fn uses(&self, access: &Access) -> bool {
        *access == if self.evict { EVICT } else { DELETE }
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}
