//! Partitions by NetworkPolicy: marks the targets with a run-scoped label, and creates a policy that selects that label
//! and allows everything but the links to cut. How such a policy is made is in `policy`.

use async_trait::async_trait;
use serde_json::Value;
use shakedown_schemas::result::{Leftover, PodRef, Proof};

use super::fuse::Fuses;
use super::{FaultDriver, FaultError, Finding};
use crate::cluster::{Cluster, ClusterError, Kind, ObjectKey};
use crate::sweep::unmark_command;

/// A label that is put on an object of somebody else while the fault lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The object.
    pub object: ObjectKey,
    /// The label's key.
    pub label: String,
    /// The label's value.
    pub value: String,
}

/// Cuts links with one NetworkPolicy.
pub struct NetworkPolicyPartition {
    cluster: Cluster,
    targets: Vec<PodRef>,
    /// Peers and namespaces first, the targets last: the policy acts on whoever is marked.
    marks: Vec<Mark>,
    policy: Value,
    key: ObjectKey,
    /// What was begun, so that undo knows what there may be.
    marked: usize,
    created: bool,
}

impl NetworkPolicyPartition {
    /// A partition that is ready to be injected. `policy` is the whole object.
    pub fn new(cluster: Cluster, targets: Vec<PodRef>, marks: Vec<Mark>, policy: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = ObjectKey {
            kind: Kind::NetworkPolicy,
            namespace: text(&policy["metadata"]["namespace"]),
            name: text(&policy["metadata"]["name"]),
            uid: None,
        };
        Self { cluster, targets, marks, policy, key, marked: 0, created: false }
    }

    /// The target of that name and UID, as it is now.
    async fn target(&self, pod: &PodRef) -> Result<Value, FaultError> {
        let key = pod_key(pod);
        match self.cluster.get(&key).await? {
            Some(object) if object["metadata"]["deletionTimestamp"].is_null() => Ok(object),
            _ => Err(FaultError::TargetGone(format!(
                "target pod {}/{} (uid {}) is not there any more\nhelp: something replaces pods while the scenario runs; \
                 wait until the workload is settled and run again",
                pod.namespace, pod.name, pod.uid
            ))),
        }
    }
}

/// The key of a pod, exactly.
pub fn pod_key(pod: &PodRef) -> ObjectKey {
    ObjectKey { kind: Kind::Pod, namespace: pod.namespace.clone(), name: pod.name.clone(), uid: Some(pod.uid.clone()) }
}

#[async_trait]
impl FaultDriver for NetworkPolicyPartition {
    fn owned_by(&mut self, fuses: &Fuses) {
        if let Some(owner) = fuses.owner(&self.key.namespace) {
            self.policy["metadata"]["ownerReferences"] = Value::Array(vec![owner.clone()]);
        }
    }

    async fn preflight(&mut self) -> Result<(), FaultError> {
        for pod in &self.targets {
            self.target(pod).await?;
        }
        Ok(())
    }

    async fn inject(&mut self) -> Result<(), FaultError> {
        for (index, mark) in self.marks.iter().enumerate() {
            // Noted before it is sent: an answer that never comes back may still have done it.
            self.marked = index + 1;
            match self.cluster.label(&mark.object, &mark.label, Some(&mark.value)).await {
                Ok(()) => {}
                Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => {
                    return Err(FaultError::TargetGone(format!(
                        "{} is not there any more\nhelp: something replaces pods while the scenario runs; wait until the \
                         workload is settled and run again",
                        mark.object
                    )));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.created = true;
        let made = self.cluster.create(Kind::NetworkPolicy, &self.key.namespace, &self.policy).await?;
        self.key.uid = made["metadata"]["uid"].as_str().map(str::to_owned);
        Ok(())
    }

    async fn prove(&mut self) -> Result<Vec<Finding>, FaultError> {
        let policy = self.cluster.get(&self.key).await?;
        let as_sent = policy.as_ref().is_some_and(|policy| includes(&policy["spec"], &self.policy["spec"]));
        let mut findings = vec![Finding {
            shows: Proof::Applied,
            holds: as_sent,
            detail: match (&policy, as_sent) {
                (Some(_), true) => format!("{} is there as sent", self.key),
                (Some(_), false) => {
                    format!("{} is not as it was sent: the API server or somebody changed it", self.key)
                }
                (None, _) => format!("{} is not there", self.key),
            },
        }];
        for pod in &self.targets {
            let object = self.target(pod).await?;
            let marks: Vec<&Mark> = self.marks.iter().filter(|mark| mark.object == pod_key(pod)).collect();
            let marked = marks.iter().all(|mark| object["metadata"]["labels"][&mark.label] == mark.value.as_str());
            findings.push(Finding {
                shows: Proof::Applied,
                holds: marked && !marks.is_empty(),
                detail: format!(
                    "pod {} {} the label that the policy selects",
                    pod.name,
                    if marked { "carries" } else { "lacks" }
                ),
            });
        }
        Ok(findings)
    }

    async fn undo(&mut self) -> Result<(), FaultError> {
        let mut problem = Ok(());
        if self.created {
            problem = self.cluster.delete(&self.key).await;
        }
        for mark in &self.marks[..self.marked] {
            match self.cluster.label(&mark.object, &mark.label, None).await {
                // Gone, or replaced by another object of that name: with it our label.
                Ok(()) | Err(ClusterError::NotFound(_) | ClusterError::Conflict { .. }) => {}
                Err(error) => problem = problem.and(Err(error)),
            }
        }
        Ok(problem?)
    }

    async fn prove_undone(&mut self) -> Result<Vec<Finding>, FaultError> {
        let mut findings = Vec::new();
        if self.created {
            // By name, not by UID: any policy of that name is ours.
            let gone = self.cluster.get(&ObjectKey { uid: None, ..self.key.clone() }).await?.is_none();
            findings.push(Finding {
                shows: Proof::Removed,
                holds: gone,
                detail: format!("{} is {}", self.key, if gone { "gone" } else { "still there" }),
            });
        }
        for mark in &self.marks[..self.marked] {
            let object = self.cluster.get(&mark.object).await?;
            let gone = object.is_none_or(|object| object["metadata"]["labels"][&mark.label].is_null());
            findings.push(Finding {
                shows: Proof::Removed,
                holds: gone,
                detail: format!("{} {} our label", mark.object, if gone { "is without" } else { "still carries" }),
            });
        }
        Ok(findings)
    }

    fn leftovers(&self) -> Vec<Leftover> {
        let error = "its removal could not be confirmed".to_owned();
        let policy = self.created.then(|| Leftover {
            what: self.key.to_string(),
            command: self.key.delete_command(),
            error: error.clone(),
        });
        let marks = self.marks[..self.marked].iter().map(|mark| Leftover {
            what: format!("the label {} of {}", mark.label, mark.object),
            command: unmark_command(&mark.object, &mark.label),
            error: error.clone(),
        });
        policy.into_iter().chain(marks).collect()
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
}
