//! What partitions by NetworkPolicy are made of: plain data.

use serde::Serialize;

use super::follow::{ListedPeer, MarkedPeer};
use super::scheme::Scheme;
use crate::witness::WitnessSpec;

/// What all partitions of a scenario share, because those that share a pod share its policy.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionsSpec {
    /// Which labels and policies they need at any time.
    #[serde(flatten)]
    pub scheme: Scheme,
    /// Peers that are told from other pods by a mark, and are watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marked: Vec<MarkedPeer>,
    /// Peers that are addresses behind a service without a selector, and are watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<ListedPeer>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionSpec {
    /// Its number in the scheme, from 0.
    pub part: usize,
    /// The witness that shows that it acts, where there can be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<WitnessSpec>,
    /// Whether it is not proven without a witness.
    pub witness_demanded: bool,
}
