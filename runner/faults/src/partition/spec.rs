//! The specs of partitions by NetworkPolicy: plain data.

use serde::Serialize;

use super::follow::{ListedPeer, MarkedPeer};
use super::scheme::Scheme;
use crate::witness::WitnessSpec;

/// The data that all partitions of a scenario share, because partitions with a common pod share its policy.
#[derive(Debug, Clone, Serialize)]
pub struct PartitionsSpec {
    /// The labels and policies that they need.
    #[serde(flatten)]
    pub scheme: Scheme,
    /// Peers with a mark, which are watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub marked: Vec<MarkedPeer>,
    /// Addresses behind services without a selector, which are watched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<ListedPeer>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionSpec {
    /// Its number in the scheme, from 0.
    pub part: usize,
    /// The witness, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<WitnessSpec>,
    /// Whether its proof requires a witness.
    pub witness_demanded: bool,
}
