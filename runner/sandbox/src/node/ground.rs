//! The node's identity, and the shared resources of its pods.

use std::sync::Arc;

use crate::net::{Links, Resolve};
use crate::registry::Registry;

/// The node's name.
pub(super) const NODE: &str = "sandbox";
/// The node's address: the world outside of the pods.
pub(super) const ADDRESS: &str = "127.0.0.1";

/// The dependencies of running pods.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) registry: Arc<Registry>,
    pub(super) links: Links,
    pub(super) dns: Arc<dyn Resolve>,
}
