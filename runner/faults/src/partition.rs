//! Partitions by NetworkPolicy. The targets are marked with a label of the run. A policy that selects this label allows
//! everything except the links to cut. The crate `policy` computes it.
//!
//! Each fault has one driver. All drivers of a scenario act through one [`Switch`], because partitions that share a pod must
//! share its policy.

mod follow;
mod look;
mod mark;
mod roster;
mod same;
mod scheme;
mod spec;
mod switch;

use std::sync::Arc;

use async_trait::async_trait;
use shakedown_schemas::EventKind;
use shakedown_schemas::result::{Leftover, PodRef, Proof};

use super::witness::Witness;
use super::{FaultDriver, FaultError, Finding, Stretch};
use shakedown_guard::fuse::Fuses;

pub(super) use follow::Owners;
pub use follow::{ListedPeer, MarkedPeer, Watching, watch};
pub use mark::{Mark, pod_key};
pub(super) use roster::{Note, Roster, RosterPod};
pub use scheme::{Desired, PlannedPartition, Scheme};
pub use spec::{PartitionSpec, PartitionsSpec};
pub use switch::Switch;

/// The driver that cuts links with NetworkPolicies.
pub struct NetworkPolicyPartition {
    switch: Switch,
    part: usize,
    targets: Vec<PodRef>,
    /// Whether a witness is required. Otherwise it is optional.
    demanded: bool,
    witness: Option<Witness>,
    begun: bool,
    _watching: Arc<Watching>,
}

impl NetworkPolicyPartition {
    /// A partition of the switch's scheme that is not injected yet.
    pub fn new(switch: Switch, spec: PartitionSpec, targets: Vec<PodRef>, watching: Arc<Watching>) -> Self {
        let PartitionSpec { part, witness, witness_demanded: demanded } = spec;
        let witness = witness.map(|spec| Witness::new(switch.cluster.clone(), spec));
        Self { switch, part, targets, demanded, witness, begun: false, _watching: watching }
    }

    /// Returns an error when a target is gone and replacements are not followed.
    async fn check_targets(&self) -> Result<(), FaultError> {
        for pod in self.targets.iter().filter(|pod| !self.switch.is_followed(pod)) {
            self.switch.target(pod).await?;
        }
        Ok(())
    }
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
                    message: format!("there is no witness, so the run's own requests must show the effect: {error}"),
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
        if let Some(witness) = &mut self.witness
            && let Err(why) = witness.before().await
        {
            let message = format!(
                "the witness proves nothing, because right before the cut {why}: only a change in the run's own requests does"
            );
            self.switch.cluster.tell(EventKind::Warning { message });
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
                detail: "all targets are gone and not replaced yet".to_owned(),
            });
        }
        // A partition that is not applied cannot show an effect.
        let is_applied = findings.iter().all(|finding| finding.holds);
        if let Some(witness) = self.witness.as_mut().filter(|_| is_applied) {
            findings.extend(witness.look().await?);
        }
        Ok(findings)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = self.switch.conclude(self.part).await?;
        let is_applied = findings.iter().all(|finding| finding.holds);
        if let Some(witness) = self.witness.as_mut().filter(|_| is_applied) {
            findings.extend(witness.conclude().await?);
        }
        Ok(findings)
    }

    async fn sample(&mut self) {
        match &mut self.witness {
            Some(witness) => witness.sample().await,
            None => std::future::pending().await,
        }
    }

    fn unproven(&self) -> Vec<Stretch> {
        let mut stretches = self.switch.unproven(self.part);
        stretches.extend(self.witness.iter().flat_map(Witness::unproven).cloned());
        stretches.sort_by_key(|stretch| stretch.from);
        stretches
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
