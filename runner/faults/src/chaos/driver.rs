//! The steps of a fault by Chaos Mesh, in the order in which the timeline calls them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shakedown_schemas::result::{Leftover, Proof};
use tokio_util::task::AbortOnDropHandle;

use super::meter::Meter;
use super::spec::pod_id;
use super::{ChaosSpec, ChaosState, Inner, contract, follow, object};
use crate::{FaultDriver, FaultError, Finding, Observed, Stretch};
use shakedown_cluster::Cluster;
use shakedown_guard::fuse::Fuses;

/// The driver of faults by Chaos Mesh.
pub struct ChaosFault {
    pub(super) inner: Arc<Inner>,
    watching: Option<AbortOnDropHandle<()>>,
}

impl ChaosFault {
    /// Whether its injection was given up without an answer, so that it may only be slow.
    pub(super) fn is_unanswered(&self) -> bool {
        self.inner.state().is_unanswered
    }

    /// A fault that is not injected yet.
    pub fn new(cluster: Cluster, spec: ChaosSpec) -> Self {
        let ChaosSpec { naming, targets, recipe, follow, observe, limits } = spec;
        let state = ChaosState { targets, ..ChaosState::default() };
        let inner = Inner {
            cluster,
            naming,
            recipe,
            follow,
            observe,
            limits,
            state: Mutex::new(state),
            gate: tokio::sync::Mutex::default(),
        };
        Self { inner: Arc::new(inner), watching: None }
    }
}

#[async_trait]
impl FaultDriver for ChaosFault {
    fn owned_by(&mut self, fuses: &Fuses) {
        let owner = fuses.owner(&self.inner.naming.namespace).cloned();
        self.inner.state().owner = owner;
    }

    /// Creates each resource as a dry run, so that webhooks check it, and checks the state of the pods' networks.
    async fn preflight(&mut self) -> Result<(), FaultError> {
        let inner = &self.inner;
        inner.check_targets().await?;
        let targets = inner.state().targets.clone();
        let mut shaped = BTreeSet::new();
        for resource in inner.recipe.resources(&targets) {
            let sent = object(&resource, &inner.naming, 0);
            if let Err(error) = inner.cluster.dry_run(resource.kind, &inner.naming.namespace, &sent).await {
                return Err(inner.named(&resource, error).await);
            }
            shaped.extend(resource.shapes);
        }
        for pod in shaped {
            let network = inner.network(&pod).await?;
            if let Some(problem) = network.and_then(|network| contract::unfit(&network, &pod)) {
                return Err(FaultError::Impossible(problem));
            }
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<(), FaultError> {
        // The watch starts now, so that a target that is replaced before its fault begins is followed or reported.
        self.watching = Some(follow::watch(self.inner.clone()));
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        self.inner.check_targets().await?;
        let _gate = self.inner.gate.lock().await;
        let targets = {
            let mut state = self.inner.state();
            state.standing = true;
            state.targets.clone()
        };
        // Before anything is sent: a kubelet that samples on each request would already include the fault.
        self.inner.read_before().await;
        self.inner.create(&targets, 0).await
    }

    async fn become_active(&mut self) -> Result<(), FaultError> {
        self.inner.wait().await
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = Vec::new();
        let standing = self.inner.standing();
        for made in &standing {
            match self.inner.look(made).await? {
                Ok(mut found) => {
                    // The parts of a fault take effect one after the other, possibly seconds apart.
                    let since =
                        self.inner.state().acting_since.get(&made.key.name).filter(|_| standing.len() > 1).copied();
                    if let (Some(first), Some(since)) = (found.first_mut(), since) {
                        let text = format!(", {:.1} s after the injection began", since.as_secs_f64());
                        first.detail.push_str(&text);
                    }
                    findings.extend(found);
                }
                Err(missing) => {
                    let detail = format!("{}: {}", made.key, missing.text());
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                }
            }
        }
        Ok(findings)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = Vec::new();
        let mut lost = self.inner.state().lost.clone();
        self.inner.state().targets.iter().for_each(|target| _ = lost.remove(&pod_id(&target.pod)));
        for mut made in self.inner.standing().into_iter().filter(|made| made.resource.lasts) {
            // `unproven` contains how long it did not act on a lost target.
            made.resource.shapes.retain(|pod| !lost.contains(pod));
            match self.inner.look(&made).await {
                Ok(Ok(_)) => {}
                // A replaced target is reported below.
                Ok(Err(missing)) => {
                    let detail = format!("{}: {}", made.key, missing.text());
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                }
                Err(FaultError::Gone(detail)) => {
                    let detail = detail.to_string();
                    findings.push(Finding { shows: Proof::Applied, holds: false, detail });
                }
                Err(error) => return Err(error),
            }
        }
        let (notes, targets, once) = {
            let state = self.inner.state();
            (state.notes.clone(), state.targets.len(), state.is_once())
        };
        findings.extend(self.inner.usage_at_the_end().await);
        if !notes.is_empty() && !once {
            let detail = format!("{}; {targets} were acted on at the end", notes.join("; "));
            findings.push(Finding { shows: Proof::Applied, holds: targets > 0, detail });
        }
        Ok(findings)
    }

    async fn observe(&mut self) -> Vec<Finding> {
        self.inner.watch_usage().await
    }

    fn observed(&self) -> Observed {
        self.inner.state().meter.as_ref().map(Meter::observed).unwrap_or_default()
    }

    fn unproven(&self) -> Vec<Stretch> {
        let state = self.inner.state();
        let sources: &[()] = if self.inner.follow { &[()] } else { &[] };
        let mut stretches = state.doubts.of(0, &sources.iter().copied().collect());
        // A one-time action no longer needs its target.
        stretches.retain(|stretch| stretch.target.is_none() || !state.is_once());
        stretches
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        self.inner.remove_all().await
    }

    async fn dismiss(&mut self) -> Result<(), FaultError> {
        self.watching = None;
        Ok(())
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        self.inner.look_for_rests().await
    }

    fn leftovers(&self) -> Vec<Leftover> {
        self.inner.leftovers()
    }
}
