//! The current addresses of one load's service. The plan sets them. If the service has no address of its own (a headless
//! Service), they are replaced during the run as its pods come and go.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

/// The addresses to connect to, shared by the lanes of a load and the watch of its service. Clones share the same list.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<RwLock<Arc<[SocketAddr]>>>);

impl Addresses {
    /// These addresses. Empty if the host of the URL is resolved instead.
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(Arc::new(RwLock::new(addresses.into())))
    }

    /// The current addresses.
    pub fn now(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Replaces the addresses and returns true if they changed. Connections to removed addresses take no further request.
    pub fn set(&self, addresses: &[SocketAddr]) -> bool {
        let mut known = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let changes = **known != *addresses;
        if changes {
            *known = addresses.into();
        }
        changes
    }
}
