//! The addresses of one load's service, as they are now: given by the plan, and replaced while the run goes on where the
//! service has no address of its own (a headless Service) and its pods come and go.

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

/// The addresses to connect to, shared by all who send the load and by whoever follows its service. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub struct Addresses(Arc<RwLock<Arc<[SocketAddr]>>>);

impl Addresses {
    /// These addresses; none where the URL's host is resolved instead.
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self(Arc::new(RwLock::new(addresses.into())))
    }

    /// The addresses as they are now.
    pub fn now(&self) -> Arc<[SocketAddr]> {
        Arc::clone(&self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    /// Replaces them. Connections to those that are gone take no further request. True when that changes something.
    pub fn set(&self, addresses: &[SocketAddr]) -> bool {
        let mut known = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        let changes = **known != *addresses;
        if changes {
            *known = addresses.into();
        }
        changes
    }
}
