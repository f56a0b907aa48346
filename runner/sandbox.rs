//! The embedded cluster.

pub mod inference;
pub mod net;
