//! Faults as they ran: their targets, their objects, and the evidence of their injection and undo.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::FaultState;
use crate::verdict::Verdict;

/// One fault as it ran. All times are in seconds since the load's start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultResult {
    /// The fault's name.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Its kind, such as `partition`.
    pub kind: String,
    /// The engine, such as `network-policy`.
    pub engine: String,
    /// What it changes and what it leaves unchanged, in one sentence.
    pub description: String,
    /// The target pods.
    pub targets: Vec<PodRef>,
    /// The peers, in words.
    pub peers: Vec<String>,
    /// The objects that were created.
    pub objects: Vec<ObjectRecord>,
    /// The last state that it reached.
    pub state: FaultState,
    /// When the first object was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injecting_s: Option<f64>,
    /// When all its objects existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub injected_s: Option<f64>,
    /// When its engine reported that it acts, if no other observation confirmed it: the fault is claimed, not proven.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_s: Option<f64>,
    /// True if the requests of its phase changed significantly. None if there is nothing to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub felt: Option<bool>,
    /// When an independent observation confirmed that it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven_s: Option<f64>,
    /// When its undo began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoing_s: Option<f64>,
    /// When its undo was confirmed by reading back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undone_s: Option<f64>,
    /// The evidence that it was applied and removed.
    pub evidence: Vec<Evidence>,
    /// The stretches in which it may not have acted on everything that it should act on: pods were replaced or came, or may
    /// have, and it was not adjusted yet. One of more than 5 s makes its injection inconclusive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unproven: Vec<UnprovenStretch>,
    /// The verdict on its injection: pass, inconclusive (not proven) or error.
    pub injection: Verdict,
    /// The verdict on its undo: pass (confirmed) or error.
    pub undo: Verdict,
    /// The error, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The line of the fault in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl FaultResult {
    /// True if it was injected and only its engine reports that it acts.
    pub const fn is_claimed(&self) -> bool {
        self.claimed_s.is_some() && self.proven_s.is_none()
    }
}

/// A stretch of a fault without proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnprovenStretch {
    /// Its beginning, in seconds since the load's start.
    pub from_s: f64,
    /// Its end, in seconds since the load's start.
    pub to_s: f64,
    /// Why there is no proof, in words.
    pub why: String,
}

/// A pod, identified by namespace, name and UID.
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

/// An object that the run created, or that a plan would create.
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
    /// The object, as sent.
    pub manifest: serde_json::Value,
}

impl From<&serde_json::Value> for ObjectRecord {
    /// The record of an object. Missing fields are empty.
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
    /// The object, such as `networkpolicy/x in namespace y`.
    pub what: String,
    /// The command that removes it.
    pub command: String,
    /// Why it could not be removed.
    pub error: String,
}

/// A piece of evidence that a fault was applied or removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// When it was observed, in seconds since the load's start.
    pub at_s: f64,
    /// What it shows: `applied`, `effective` or `removed`.
    pub shows: Proof,
    /// True if the observation confirms it.
    pub holds: bool,
    /// The observation, in words.
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
