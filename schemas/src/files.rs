//! The files that a scenario and a command line name. Those of a scenario are read once, when it is checked, so that what was checked is what is used.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file that a scenario may name, in bytes.
pub const MAX_FILE: u64 = 64 << 20;

/// Why a file cannot be read; each goes on from the file's name.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system does not open or read it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// A directory, pipe, socket or device. Some of them never end, or never begin.
    #[error("is {0}, and only regular files can be read")]
    Special(&'static str),
    /// It has more bytes than are read.
    #[error("is larger than {}", size(*.0))]
    TooLarge(u64),
}

fn size(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// The contents of a regular file of at most `limit` bytes. Links are followed.
///
/// Nothing is opened that is no regular file: to open a pipe waits for whoever writes into it. A file that becomes
/// another one between the look and the opening is looked at again, and a pipe that is put there meanwhile does not
/// hold us up.
///
/// # Errors
/// A file that is not there, that is no regular one, or that is too large.
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
    // Files of /proc say that they are empty, and files grow.
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
    fn only_regular_files_are_read_and_only_so_much_of_them() {
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
