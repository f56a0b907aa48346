//! The files that a scenario and the command line name. Files of a scenario are read once, during the check, so that
//! the run uses the content that was checked.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The maximum size of a file that a scenario names, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Why a file cannot be read. Each message continues after the file's name.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system cannot open or read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A directory, pipe, socket or device. Reading some of them never begins or never ends.
    #[error("is {0}, and only regular files can be read")]
    Special(&'static str),
    /// It exceeds the size limit, in bytes.
    #[error("is larger than {}", size(*.0))]
    TooLarge(u64),
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// The contents of a regular file of at most `limit` bytes. Links are followed.
///
/// Only regular files are opened, because opening a pipe waits for its writer. The type is checked again after opening,
/// and the file is opened without blocking, in case it was replaced in between.
///
/// # Errors
/// The file does not exist, is not a regular file, or is too large.
pub fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    regular(&fs::metadata(path)?)?;
    let mut options = fs::File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    let file = options.open(path)?;
    let found = file.metadata()?;
    regular(&found)?;
    if found.len() > limit {
        return Err(FileError::TooLarge(limit));
    }
    let mut bytes = Vec::new();
    // Files in /proc report a size of 0, and files can grow.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(FileError::TooLarge(limit)) } else { Ok(bytes) }
}

fn regular(found: &fs::Metadata) -> Result<(), FileError> {
    let kind = found.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(FileError::Special("a directory"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return Err(FileError::Special("a named pipe"));
        }
        if kind.is_socket() {
            return Err(FileError::Special("a socket"));
        }
    }
    Err(FileError::Special("a device"))
}

/// File contents by the name in the scenario. Clones share the contents.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Files {
    contents: BTreeMap<String, Arc<[u8]>>,
}

impl Files {
    /// A file's contents.
    pub fn get(&self, name: &str) -> Option<Arc<[u8]>> {
        self.contents.get(name).cloned()
    }

    /// Files with given contents.
    pub fn of<const N: usize>(files: [(&str, &[u8]); N]) -> Self {
        Self { contents: files.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.into())).collect() }
    }
}

/// Shows lengths only: contents are long and may be secret.
impl fmt::Debug for Files {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.contents.iter().map(|(name, bytes)| (name, bytes.len()))).finish()
    }
}

/// Reads files relative to a scenario.
#[derive(Debug)]
pub(crate) struct Reader {
    folder: PathBuf,
    pub(crate) files: Files,
}

impl Reader {
    /// For the scenario in this file.
    pub(crate) fn of_scenario(scenario: &str) -> Self {
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
        let bytes = read_file(&self.folder.join(name), MAX_FILE).map_err(|error| format!("`{name}` {error}"))?;
        let bytes: Arc<[u8]> = bytes.into();
        self.files.contents.insert(name.to_owned(), Arc::clone(&bytes));
        Ok(bytes)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn refused(path: &Path) -> String {
        read_file(path, 100).expect_err("no regular file").to_string()
    }

    #[test]
    fn only_regular_files_up_to_the_limit_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "x".repeat(100)).expect("a file");
        symlink(at("file"), at("link")).expect("a link");
        assert_eq!(read_file(&at("link"), 100).expect("a file").len(), 100);
        assert_eq!(read_file(&at("file"), 99).expect_err("a long file").to_string(), "is larger than 99 bytes");
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(made.is_ok_and(|status| status.success()));
        symlink(at("pipe"), at("to-pipe")).expect("a link");
        let _socket = UnixListener::bind(at("socket")).expect("a socket");
        assert!(refused(&at("pipe")).starts_with("is a named pipe"));
        assert!(refused(&at("to-pipe")).starts_with("is a named pipe"));
        assert!(refused(&at("socket")).starts_with("is a socket"));
        assert!(refused(folder.path()).starts_with("is a directory"));
        assert!(refused(Path::new("/dev/zero")).starts_with("is a device"));
        assert!(refused(&at("nothing")).starts_with("cannot be read"));
    }
}
