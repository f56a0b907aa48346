//! The files of a pod of the sandbox, kept in memory during the pod's life.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The size of a pod's disk, in bytes.
pub(super) const CAPACITY: usize = 16 << 20;
/// The error number of Linux for a full disk.
pub(super) const NO_SPACE: i32 = 28;

/// The files of a pod.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl Files {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        let mut files = self.lock();
        let others: usize = files.iter().filter(|(name, _)| *name != path).map(|(_, content)| content.len()).sum();
        if others + content.len() > CAPACITY {
            return Err(io::Error::from_raw_os_error(NO_SPACE));
        }
        files.insert(path.to_owned(), content.to_vec());
        Ok(())
    }
}
