//! The shared state of a frontend.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, oneshot};

use super::direct::Direct;
use super::registry::Registry;
use crate::inference::FrontendConfig;
use crate::inference::nats::client::Client;
use crate::inference::protocol::Lines;
use crate::log::Log;
use crate::net::Net;

/// The shared state of a frontend.
pub(super) struct Frontend {
    pub(super) config: FrontendConfig,
    pub(super) log: Log,
    pub(super) bus: Client,
    pub(super) registry: Mutex<Registry>,
    pub(super) expected: Expected,
    pub(super) direct: Direct,
    /// Its name in the subjects on which it hears that requests were accepted.
    pub(super) id: String,
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

/// A request whose worker has not connected yet.
pub(super) struct Waiting {
    /// The worker's key in the registry.
    pub(super) worker: String,
    pub(super) answered: oneshot::Sender<Lines>,
}

/// What requests wait for, by their ids.
#[derive(Default)]
pub(super) struct Expected {
    waiting: Mutex<HashMap<String, Waiting>>,
    accepting: Mutex<HashMap<String, oneshot::Sender<bool>>>,
}

impl Expected {
    /// The requests whose worker has not connected yet.
    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The requests that no worker has accepted yet. False means that there is no worker to accept it.
    pub(super) fn accepting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<bool>>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
