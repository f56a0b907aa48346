//! Partitions by NetworkPolicy: mark the targets with a run-scoped label, and have a policy that selects that label allow
//! everything but the links to cut. How such a policy is made is in `policy`.
//!
//! One driver per fault; all of a scenario's drivers act through one [`Switch`], because partitions that share a pod
//! must share its policy.

mod follow;
mod look;
mod roster;
mod scheme;
mod switch;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::{Leftover, PodRef, Proof};

use super::witness::Witness;
use super::{FaultDriver, FaultError, Finding};
use shakedown_cluster::{Kind, ObjectKey};
use shakedown_guard::fuse::Fuses;

pub(super) use follow::Owners;
pub use follow::{ListedPeer, MarkedPeer, Watching, watch};
pub(super) use roster::{Note, Roster, Seen};
pub use scheme::{Desired, Part, Scheme};
pub use switch::Switch;

/// A label that is put on an object of somebody else while the fault lasts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The object.
    pub object: ObjectKey,
    /// The label's key.
    pub label: String,
    /// The label's value.
    pub value: String,
}

/// Cuts links with NetworkPolicies.
pub struct NetworkPolicyPartition {
    switch: Switch,
    part: usize,
    targets: Vec<PodRef>,
    /// Whether a witness is demanded, or only taken where there is one.
    demanded: bool,
    witness: Option<Witness>,
    begun: bool,
    _watching: Arc<Watching>,
}

impl NetworkPolicyPartition {
    /// A partition that is ready to be injected: the part of that number of the switch's scheme.
    pub fn new(
        switch: Switch,
        part: usize,
        targets: Vec<PodRef>,
        witness: Option<Witness>,
        demanded: bool,
        watching: Arc<Watching>,
    ) -> Self {
        Self { switch, part, targets, demanded, witness, begun: false, _watching: watching }
    }

    /// An error when a target is gone and nobody is to stand in for it.
    async fn check_targets(&self) -> Result<(), FaultError> {
        for pod in self.targets.iter().filter(|pod| !self.switch.is_followed(pod)) {
            self.switch.target(pod).await?;
        }
        Ok(())
    }
}

/// The key of a pod, exactly.
pub fn pod_key(pod: &PodRef) -> ObjectKey {
    ObjectKey { kind: Kind::Pod, namespace: pod.namespace.clone(), name: pod.name.clone(), uid: Some(pod.uid.clone()) }
}

#[async_trait]
impl FaultDriver for NetworkPolicyPartition {
    fn owned_by(&mut self, fuses: &Fuses) {
        self.switch.owned_by(fuses);
    }

    async fn preflight(&mut self) -> Result<(), FaultError> {
        self.check_targets().await
    }

    async fn prepare(&mut self) -> Result<(), FaultError> {
        let Some(witness) = &mut self.witness else { return Ok(()) };
        let owner = self.switch.owner(witness.namespace());
        match witness.start(owner).await {
            Ok(()) => Ok(()),
            Err(error) if self.demanded => Err(error),
            Err(error) => {
                self.switch.cluster.tell(EventKind::Warning {
                    message: format!("there is no witness, so the run's own requests have to show the effect: {error}"),
                });
                witness.remove().await?;
                self.witness = None;
                Ok(())
            }
        }
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.check_targets().await?;
        self.begun = true;
        if let Some(witness) = &mut self.witness {
            witness.before().await?;
        }
        self.switch.put_up(self.part).await?;
        if let Some(witness) = &mut self.witness {
            witness.cut_now().await;
        }
        Ok(())
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = self.switch.look(self.part).await?;
        if self.switch.marked(self.part).is_empty() {
            findings.push(Finding {
                shows: Proof::Applied,
                holds: false,
                detail: "no target is there: they are gone, and nothing has replaced them yet".to_owned(),
            });
        }
        if let Some(witness) = &mut self.witness {
            findings.push(witness.look().await?);
        }
        Ok(findings)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = self.switch.conclude(self.part).await?;
        if let Some(witness) = &mut self.witness {
            findings.extend(witness.conclude().await);
        }
        Ok(findings)
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        let taken = if self.begun { self.switch.take_down(self.part).await } else { Ok(()) };
        if let Some(witness) = &mut self.witness {
            witness.remove().await?;
        }
        taken
    }

    async fn dismiss(&mut self) -> Result<(), FaultError> {
        match &mut self.witness {
            Some(witness) => witness.remove().await,
            None => Ok(()),
        }
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = if self.begun { self.switch.look_for_rests(self.part).await? } else { Vec::new() };
        if let Some(witness) = &mut self.witness {
            findings.extend(witness.look_for_rests().await?);
        }
        Ok(findings)
    }

    fn leftovers(&self) -> Vec<Leftover> {
        let mut left = if self.begun { self.switch.leftovers(self.part) } else { Vec::new() };
        left.extend(self.witness.iter().flat_map(Witness::leftovers));
        left
    }
}

/// Whether everything that was sent is there; what the server adds (defaults) is fine, but no list may be longer: a
/// longer list of allowed peers is another policy.
fn includes(there: &Value, sent: &Value) -> bool {
    match (there, sent) {
        (Value::Object(there), Value::Object(sent)) => {
            // The server leaves empty lists out.
            let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            sent.iter().all(|(key, value)| there.get(key).map_or_else(|| empty(value), |there| includes(there, value)))
        }
        (Value::Array(there), Value::Array(sent)) => {
            there.len() == sent.len() && there.iter().zip(sent).all(|(there, sent)| includes(there, sent))
        }
        (there, sent) => there == sent,
    }
}

/// Whether both say the same, up to what the server leaves out.
fn same(there: &Value, sent: &Value) -> bool {
    includes(there, sent) && includes(sent, there)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_as_sent_when_only_defaults_were_added() {
        let sent = json!({"egress": [{"ports": [{"port": 53}]}], "policyTypes": ["Egress"]});
        let with_default =
            json!({"egress": [{"ports": [{"port": 53, "protocol": "TCP"}]}], "policyTypes": ["Egress"], "x": 1});
        assert!(includes(&with_default, &sent));
        let widened = json!({"egress": [{"ports": [{"port": 53}]}, {}], "policyTypes": ["Egress"]});
        assert!(!includes(&widened, &sent));
        let dropped = json!({"egress": [{"ports": [{}]}], "policyTypes": ["Egress"]});
        assert!(!includes(&dropped, &sent));
    }

    #[test]
    fn a_rule_that_lost_its_ports_is_another_rule() {
        let narrow = json!({"egress": [{"ports": [{"port": 53, "protocol": "TCP"}], "to": [{"podSelector": {}}]}]});
        let wide = json!({"egress": [{"to": [{"podSelector": {}}]}], "ingress": []});
        assert!(includes(&narrow, &wide) && !same(&narrow, &wide));
        assert!(same(&json!({"egress": []}), &json!({"egress": [], "ingress": []})));
    }
}
