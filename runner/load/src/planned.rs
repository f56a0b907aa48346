//! A load that is ready to be sent, and the engine's own error.

use std::net::SocketAddr;
use std::sync::Arc;

use shakedown_schemas::{Files, scenario};

/// A load with its service resolved.
#[derive(Debug, Clone)]
pub struct PlannedLoad {
    /// The load's name.
    pub name: String,
    /// The load as the scenario has it.
    pub load: scenario::Load,
    /// Where requests go.
    pub endpoint: Endpoint,
    /// The files that the scenario names.
    pub files: Files,
    /// The seed of everything that is chosen by chance.
    pub seed: u64,
}

impl PlannedLoad {
    /// The contents of a file that the load names.
    pub(super) fn file(&self, name: &str) -> Result<Arc<[u8]>, String> {
        self.files.get(name).ok_or_else(|| format!("the file `{name}` was not read"))
    }
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The base URL, for the `Host` header, TLS and joining paths: `http://frontend:8000`.
    pub base: String,
    /// The addresses to connect to, tried in turn; empty to resolve the URL's host.
    pub addresses: Vec<SocketAddr>,
}

/// The load generator itself failed; this says nothing about the service.
#[derive(Debug, thiserror::Error)]
#[error("load `{load}`: {message}")]
pub struct LoadError {
    /// The load's name.
    pub load: String,
    /// What went wrong and what to do.
    pub message: String,
}
