//! Which prompts a worker has worked out already, on a volume: a file for each, as a server of models offloads its KV cache
//! to a disk. A disk that fails makes it slower and no worse.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::Log;
use crate::net::Net;

/// The bytes of a file.
const SIZE: usize = 4 << 10;

/// The stored data.
pub(super) struct Cache {
    folder: String,
    net: Net,
    log: Log,
    /// How often it failed since that was last asked for.
    failures: AtomicU64,
}

impl Cache {
    /// Keeps prompts in this folder.
    pub(super) fn new(folder: &str, net: Net, log: Log) -> Self {
        Self { folder: folder.trim_end_matches('/').to_owned(), net, log, failures: AtomicU64::new(0) }
    }

    /// Whether a prompt is there.
    pub(super) async fn knows(&self, prompt: &str) -> bool {
        match self.net.read_file(&self.path(prompt)).await {
            Ok(content) => !content.is_empty(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                self.failed("read", &error);
                false
            }
        }
    }

    /// Stores the result of a prompt's prefill.
    pub(super) async fn keep(&self, prompt: &str) {
        if let Err(error) = self.net.write_file(&self.path(prompt), &[1; SIZE]).await {
            self.failed("written", &error);
        }
    }

    /// How often it failed since the last time that this was asked.
    pub(super) fn failures(&self) -> u64 {
        self.failures.swap(0, Ordering::Relaxed)
    }

    fn path(&self, prompt: &str) -> String {
        let mut hasher = DefaultHasher::new();
        prompt.hash(&mut hasher);
        format!("{}/{:016x}.kv", self.folder, hasher.finish())
    }

    /// The first time is written at once; how often it happened after that, the worker's own account says.
    fn failed(&self, what: &str, error: &io::Error) {
        if self.failures.fetch_add(1, Ordering::Relaxed) == 0 {
            self.log.warn(format_args!("the cache in {} cannot be {what}: {error}", self.folder));
        }
    }
}
