//! The shared state of a frontend.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::registry::Registry;
use crate::inference::FrontendConfig;
use crate::log::Log;
use crate::inference::nats::client::Client;
use crate::inference::protocol::Lines;
use crate::net::Net;

/// The shared state of a frontend.
pub(super) struct Frontend {
    pub(super) config: FrontendConfig,
    pub(super) log: Log,
    pub(super) bus: Client,
    pub(super) registry: Mutex<Registry>,
    pub(super) expected: Expected,
    pub(super) response_port: u16,
    pub(super) own_address: Option<String>,
    pub(super) permits: Arc<Semaphore>,
    pub(super) net: Net,
}

impl Frontend {
    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address for workers' answers; unknown until the first connection to the bus.
    pub(super) fn respond_to(&self) -> Option<String> {
        let host = match &self.own_address {
            Some(address) => address.clone(),
            None => self.bus.state().borrow().connected?.ip().to_canonical().to_string(),
        };
        let brackets = host.contains(':') && !host.starts_with('[');
        Some(if brackets {
            format!("[{host}]:{}", self.response_port)
        } else {
            format!("{host}:{}", self.response_port)
        })
    }
}

/// The requests whose worker has not connected yet.
#[derive(Default)]
pub(super) struct Expected {
    waiting: Mutex<HashMap<String, oneshot::Sender<Lines>>>,
}

impl Expected {
    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Lines>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
