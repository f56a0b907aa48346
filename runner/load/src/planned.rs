//! A load with its service resolved, and the engine's own error.

use std::net::SocketAddr;
use std::sync::Arc;

use shakedown_schemas::{Files, scenario};

/// A load with its service resolved.
#[derive(Debug, Clone)]
pub struct PlannedLoad {
    /// The load's name.
    pub name: String,
    /// The load in the scenario.
    pub load: scenario::Load,
    /// The endpoint of the service.
    pub endpoint: Endpoint,
    /// The files that the scenario refers to.
    pub files: Files,
    /// The seed of all random choices.
    pub seed: u64,
}

impl PlannedLoad {
    /// The contents of a file that the load refers to.
    pub(super) fn file(&self, name: &str) -> Result<Arc<[u8]>, String> {
        self.files.get(name).ok_or_else(|| format!("the file `{name}` was not read"))
    }
}

/// The endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The base URL, for the `Host` header, TLS and the paths: `http://frontend:8000`.
    pub base: String,
    /// The addresses to connect to, tried in turn. Empty if the host of the URL is resolved instead.
    pub addresses: Vec<SocketAddr>,
}

/// An error of the load generator itself. It says nothing about the service.
#[derive(Debug, thiserror::Error)]
#[error("load `{load}`: {message}")]
pub struct LoadError {
    /// The load's name.
    pub load: String,
    /// The error and the next step.
    pub message: String,
}
