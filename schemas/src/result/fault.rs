//! Faults as they really were: what they met, which objects they made, and what proves that they came and went.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::FaultState;
use crate::verdict::Verdict;

/// One fault as it really was. All times are seconds since the load's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultResult {
    /// The fault's name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its kind, such as `partition`.
    pub kind: String,
    /// How it is done, such as `network-policy`.
    pub engine: String,
    /// What it does and what it leaves, in one sentence.
    pub description: String,
    /// The pods that it acts on.
    pub targets: Vec<PodRef>,
    /// The other ends, in words.
    pub peers: Vec<String>,
    /// What was created.
    pub objects: Vec<ObjectRecord>,
    /// Where it got to.
    pub state: FaultState,
    /// When the first object was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injecting_s: Option<f64>,
    /// When all its objects were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected_s: Option<f64>,
    /// When its engine reported that it acts, where nothing else shows it: it is claimed, and not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_s: Option<f64>,
    /// Whether any request felt it: the requests of its phase changed by more than chance. None where there is nothing to
    /// compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub felt: Option<bool>,
    /// When there was evidence that it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_s: Option<f64>,
    /// When its removal began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing_s: Option<f64>,
    /// When its removal was confirmed by reading back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_s: Option<f64>,
    /// What shows that it was applied and removed.
    pub evidence: Vec<Evidence>,
    /// Whether it was injected and proven: pass, inconclusive (not proven) or error.
    pub injection: Verdict,
    /// Whether it was removed and that was confirmed: pass or error.
    pub undo: Verdict,
    /// What went wrong, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The line of the fault in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl FaultResult {
    /// Whether it was injected, and only its engine says that it acts.
    pub const fn is_claimed(&self) -> bool {
        self.claimed_s.is_some() && self.proven_s.is_none()
    }
}

/// A pod, exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PodRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The node that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
}

/// An object that the run created, or would create.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectRecord {
    /// Its API version, such as `networking.k8s.io/v1`.
    pub api_version: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The object as it was sent.
    pub manifest: serde_json::Value,
}

impl From<&serde_json::Value> for ObjectRecord {
    /// The record of an object. What the object does not have is empty.
    fn from(object: &serde_json::Value) -> Self {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: text(&object["metadata"]["namespace"]),
            name: text(&object["metadata"]["name"]),
            manifest: object.clone(),
        }
    }
}

/// An object that could not be removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leftover {
    /// What it is, such as `networkpolicy/x in namespace y`.
    pub what: String,
    /// The command that removes it.
    pub command: String,
    /// Why it could not be removed.
    pub error: String,
}

/// Something that shows that a fault was applied or removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When it was seen, in seconds since the load's start.
    pub at_s: f64,
    /// What it shows: `applied`, `effective` or `removed`.
    pub shows: Proof,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen, in words.
    pub detail: String,
}

/// What a piece of evidence shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The fault's objects are in place, as sent.
    Applied,
    /// The fault acts.
    Effective,
    /// The fault is gone.
    Removed,
}
