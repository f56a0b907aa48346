//! Lets other components than the node stop a container: a token for each running container.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The running containers, by the uid of their pod and their name.
#[derive(Debug, Default)]
pub(crate) struct Kills {
    running: Mutex<HashMap<(String, String), CancellationToken>>,
}

impl Kills {
    fn running(&self) -> MutexGuard<'_, HashMap<(String, String), CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a container. The token is cancelled to kill it.
    pub fn arm(&self, uid: &str, container: &str) -> CancellationToken {
        let token = CancellationToken::new();
        self.running().insert((uid.to_owned(), container.to_owned()), token.clone());
        token
    }

    /// Removes an ended container.
    pub fn disarm(&self, uid: &str, container: &str) {
        self.running().remove(&(uid.to_owned(), container.to_owned()));
    }

    /// Kills a container like SIGKILL. Returns false when it does not run.
    pub fn kill(&self, uid: &str, container: &str) -> bool {
        let token = self.running().remove(&(uid.to_owned(), container.to_owned()));
        token.inspect(CancellationToken::cancel).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_can_be_killed_and_once() {
        let kills = Kills::default();
        assert!(!kills.kill("u", "c"));
        let token = kills.arm("u", "c");
        assert!(kills.kill("u", "c") && token.is_cancelled());
        assert!(!kills.kill("u", "c"));
        kills.arm("u", "c");
        kills.disarm("u", "c");
        assert!(!kills.kill("u", "c"));
    }
}
