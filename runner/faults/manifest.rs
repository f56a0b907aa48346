//! Objects that the scenario writes out: created, watched until their conditions hold, deleted, and proven gone.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use shakedown_schemas::result::{Leftover, Proof};
use shakedown_schemas::scenario::Condition;
use tokio::time::Instant;

use super::chaos::{Going, explained, go};
use super::fuse::Fuses;
use super::{FaultDriver, FaultError, Finding};
use crate::cluster::{Cluster, ClusterError, ObjectKey};

/// How often conditions are looked at.
const POLL: Duration = Duration::from_millis(200);
/// How long one try waits for the object to go.
const GOING: Duration = Duration::from_secs(10);

/// A condition and the object that it looks at.
#[derive(Debug, Clone)]
pub struct Check {
    /// Another object than the fault's own.
    pub of: Option<ObjectKey>,
    /// The condition.
    pub condition: Condition,
}

/// Creates an object and deletes it again.
pub struct Written {
    cluster: Cluster,
    key: ObjectKey,
    object: Value,
    active_when: Vec<Check>,
    gone_when: Vec<Check>,
    within: Duration,
    begun: bool,
    owner: Option<Value>,
}

impl Written {
    /// An object that is ready to be created.
    pub const fn new(
        cluster: Cluster,
        key: ObjectKey,
        object: Value,
        active_when: Vec<Check>,
        gone_when: Vec<Check>,
        within: Duration,
    ) -> Self {
        Self { cluster, key, object, active_when, gone_when, within, begun: false, owner: None }
    }

    /// What each condition says now.
    async fn look(&self, checks: &[Check], shows: Proof) -> Result<Vec<Finding>, ClusterError> {
        let mut findings = Vec::new();
        for Check { of, condition } in checks {
            let key = of.as_ref().unwrap_or(&self.key);
            let object = self.cluster.get_once(key).await?;
            let holds = condition.holds(object.as_ref());
            let detail = match (holds, &object) {
                (true, _) => format!("{key}: {}", condition.text()),
                (false, None) => format!("{key} is not there, so it does not hold that {}", condition.text()),
                (false, Some(_)) => format!("{key}: it does not hold that {}", condition.text()),
            };
            findings.push(Finding { shows, holds, detail });
        }
        Ok(findings)
    }
}

#[async_trait]
impl FaultDriver for Written {
    fn owned_by(&mut self, fuses: &Fuses) {
        self.owner = fuses.owner(&self.key.namespace).cloned();
    }

    async fn preflight(&mut self) -> Result<(), FaultError> {
        if self.cluster.get(&self.key).await?.is_some() {
            return Err(FaultError::Impossible(format!(
                "{} is there already\nhelp: remove it, or leave `metadata.name` out: then each run has a name of its own",
                self.key
            )));
        }
        self.cluster
            .rehearse(self.key.kind, &self.key.namespace, &self.object)
            .await
            .map(|_| ())
            .map_err(|error| FaultError::Impossible(explained(&error.to_string())))
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        let mut sent = self.object.clone();
        if let Some(owner) = self.owner.clone() {
            sent["metadata"]["ownerReferences"] = Value::Array(vec![owner]);
        }
        // Noted before it is sent: an answer that never comes back may still have created it.
        self.begun = true;
        let made = self.cluster.create(self.key.kind, &self.key.namespace, &sent).await?;
        self.key.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        Ok(())
    }

    async fn become_active(&mut self) -> Result<(), FaultError> {
        let begun = Instant::now();
        loop {
            let missing = match self.look(&self.active_when, Proof::Applied).await {
                Ok(findings) => findings.into_iter().find(|finding| !finding.holds).map(|finding| finding.detail),
                Err(error) if error.is_transient() => Some(error.to_string()),
                Err(error) => return Err(error.into()),
            };
            let Some(missing) = missing else { return Ok(()) };
            if begun.elapsed() >= self.within {
                return Err(FaultError::Impossible(format!(
                    "it did not become active within {} s: {missing}\nhelp: `kubectl -n {} describe {} {}` shows its events",
                    self.within.as_secs_f64(),
                    self.key.namespace,
                    self.key.kind.kubectl(),
                    self.key.name
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        Ok(self.look(&self.active_when, Proof::Applied).await?)
    }

    async fn settle(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = self.look(&self.active_when, Proof::Applied).await?;
        findings.retain(|finding| !finding.holds);
        Ok(findings)
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        if !self.begun {
            return Ok(());
        }
        match go(&self.cluster, &self.key, GOING).await? {
            Going::Gone(_) => Ok(()),
            Going::There(object) => Err(FaultError::Stuck(format!(
                "{} is being deleted and does not go: its finalizers are {}",
                self.key, object["metadata"]["finalizers"]
            ))),
        }
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        if !self.begun {
            return Ok(Vec::new());
        }
        let key = ObjectKey { uid: None, ..self.key.clone() };
        let gone = self.cluster.get(&key).await?.is_none();
        let word = if gone { "is gone" } else { "is still there" };
        let mut findings = vec![Finding { shows: Proof::Removed, holds: gone, detail: format!("{key} {word}") }];
        findings.extend(self.look(&self.gone_when, Proof::Removed).await?);
        Ok(findings)
    }

    fn leftovers(&self) -> Vec<Leftover> {
        let left = self.begun.then(|| Leftover {
            what: self.key.to_string(),
            command: self.key.delete_command(),
            error: "its removal could not be confirmed".to_owned(),
        });
        left.into_iter().collect()
    }
}
