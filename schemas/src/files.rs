//! The files that a scenario names: read once, when it is checked, so that what was checked is what is used.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file that a scenario may name, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Contents by the name that the scenario has for them. Clones share them.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Files {
    contents: BTreeMap<String, Arc<[u8]>>,
}

impl Files {
    /// A file's contents.
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.contents.get(name).cloned()
    }

    /// Files that are known by their contents alone.
    pub fn of<const N: usize>(files: [(&str, &[u8]); N]) -> Self {
        Self { contents: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.into())).collect() }
    }
}

/// Contents are long and may be secrets.
impl fmt::Debug for Files {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.contents.iter().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}

/// Reads files beside a scenario.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    pub(crate) files: Files,
}

impl Reader {
    /// For the scenario in this file.
    pub(crate) fn beside(scenario: &str) -> Self {
        Self::within(Path::new(scenario).parent().unwrap_or(Path::new("")))
    }

    /// For this folder.
    pub(crate) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: Files::default() }
    }

    /// A file's contents, by its path from the scenario's folder.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub(crate) fn read(&mut self, name: &str) -> Result<Arc<[u8]>, String> {
        if let Some(known) = self.files.get(name) {
            return Ok(known);
        }
        let path = self.folder.join(name);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
        match read {
            Err(error) => return Err(format!("`{name}` cannot be read: {error}")),
            Ok(size) if size as u64 > MAX_FILE => {
                return Err(format!("`{name}` is larger than {} MiB", MAX_FILE >> 20));
            }
            Ok(_) => {}
        }
        let bytes: Arc<[u8]> = bytes.into();
        self.files.contents.insert(name.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }
}
