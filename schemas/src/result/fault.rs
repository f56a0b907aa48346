//! Faults as they ran: their targets, their objects, and the evidence of their injection and undo.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::FaultState;
use crate::units::{self, short};
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
    /// Why no other observation confirmed it, in words, if its engine alone reports that it acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_because: Option<String>,
    /// What was seen of the amounts that it asks for, if they could be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub measured: Vec<Measured>,
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
    /// have, and it was not adjusted yet. One of more than 5 s makes its injection inconclusive, unless it concerns one target
    /// alone. All together make it inconclusive once less than 90 % of the planned time is left, on average of all targets.
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

/// An amount that a fault asks for, and the observed amount.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Measured {
    /// The container or the load at which it was seen, such as `shop/web-0/nginx`.
    pub of: String,
    /// The quantity. It decides the unit.
    pub what: Quantity,
    /// The amount that the fault asks for, or the part of it that the container's limit leaves.
    pub asked: f64,
    /// The amount observed during the fault, minus the amount before it.
    pub seen: f64,
    /// True if enough was seen to prove that the fault acts.
    pub is_enough: bool,
    /// The source, in words, such as `the metrics API`.
    pub source: String,
}

/// The quantity of a measured amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// CPU time, in cores.
    Cpu,
    /// Memory, in bytes.
    Memory,
    /// The offset of a clock, in seconds. Negative when it is behind.
    Clock,
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Quantity::Cpu => {
                let unit = if self.asked == 1.0 { "core" } else { "cores" };
                write!(out, "asked {} {unit}, seen {:.2}", short(round(self.asked, 2)), self.seen)
            }
            Quantity::Memory => write!(out, "asked {}, seen {}", megabytes(self.asked), megabytes(self.seen)),
            Quantity::Clock => write!(out, "asked {}, seen {}", offset(self.asked), offset(self.seen)),
        }
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

/// Bytes in the unit in which scenarios are written: `125 MB`, `3.1 MB`.
fn megabytes(bytes: f64) -> String {
    let value = bytes / 1e6;
    let digits = if value.abs() < 10.0 { 1 } else { 0 };
    format!("{} MB", short(round(value, digits)))
}

/// An offset of a clock in words: `10m behind`, `3s ahead`, `no offset`.
fn offset(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds.abs().round());
    match seconds.round() {
        0.0 => "no offset".to_owned(),
        it if it < 0.0 => format!("{} behind", units::Duration::from(whole)),
        _ => format!("{} ahead", units::Duration::from(whole)),
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
    /// The UID of the one target that it did not act on, because it was gone. None where it concerns all targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
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
    /// What it shows.
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
    /// The fault cuts new connections: a witness could connect before the cut and cannot now.
    Enforced,
    /// The fault leaves established connections open.
    ConnectionsKept,
    /// The fault cuts established connections.
    ConnectionsCut,
    /// The fault is gone.
    Removed,
}

impl Proof {
    /// True for an observation of the fault's effect.
    pub const fn is_effect(self) -> bool {
        matches!(self, Self::Effective | Self::Enforced | Self::ConnectionsKept | Self::ConnectionsCut)
    }

    /// The name in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Removed => "removed",
            Self::Effective | Self::Enforced | Self::ConnectionsKept | Self::ConnectionsCut => "effective",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_what_was_seen_of_them() {
        let text = |what, asked, seen| {
            let (of, source) = ("shop/web-0/nginx".to_owned(), "the metrics API".to_owned());
            Measured { of, what, asked, seen, is_enough: true, source }.to_string()
        };
        assert_eq!(text(Quantity::Memory, 128e6, 125_174_000.0), "asked 128 MB, seen 125 MB");
        assert_eq!(text(Quantity::Memory, 400e6, 3_145_728.0), "asked 400 MB, seen 3.1 MB");
        assert_eq!(text(Quantity::Cpu, 1.0, 0.981), "asked 1 core, seen 0.98");
        assert_eq!(text(Quantity::Cpu, 1.6, 1.4999), "asked 1.6 cores, seen 1.50");
        assert_eq!(text(Quantity::Clock, -600.0, -599.6), "asked 10m behind, seen 10m behind");
        assert_eq!(text(Quantity::Clock, 3.0, 0.2), "asked 3s ahead, seen no offset");
    }
}
