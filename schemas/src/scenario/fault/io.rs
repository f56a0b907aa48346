//! `io`: files that are slow or broken.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::selector::PodSelector;
use crate::units::{Duration, Percent};

/// Makes the operations on files of a mounted volume slow, or makes them fail. Exactly one of `delay` and `error`. What the
/// application was writing may be damaged. Needs Chaos Mesh, on nodes with amd64.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IoFault {
    /// The target pods.
    pub pods: PodSelector,
    /// Where the volume is mounted in the container.
    #[schemars(extend("examples" = ["/data"]))]
    pub volume: String,
    /// Only files that match this pattern, seen from the root. Default: all of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["/data/**/*.log"]))]
    pub path: Option<String>,
    /// How much longer each operation takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Duration>,
    /// The error with which each operation fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<IoError>,
    /// The share of operations, in whole percent. Default `100%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<Percent>,
    /// Only these operations. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<IoMethod>,
    /// The containers, by name. Default: each pod's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["worker"]]))]
    pub containers: Vec<String>,
    /// Act on the replacement as well when a target is replaced while the fault stands. Default: only report it.
    #[serde(default)]
    pub follow: bool,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// An error of Linux, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IoError {
    /// Operation not permitted.
    #[serde(rename = "EPERM")]
    Perm,
    /// No such file or directory.
    #[serde(rename = "ENOENT")]
    NoEntry,
    /// Input or output error.
    #[serde(rename = "EIO")]
    Io,
    /// Try again.
    #[serde(rename = "EAGAIN")]
    Again,
    /// Permission denied.
    #[serde(rename = "EACCES")]
    Access,
    /// Device or resource busy.
    #[serde(rename = "EBUSY")]
    Busy,
    /// Too many open files.
    #[serde(rename = "EMFILE")]
    ManyFiles,
    /// No space left on the device.
    #[serde(rename = "ENOSPC")]
    NoSpace,
    /// The file system is read-only.
    #[serde(rename = "EROFS")]
    ReadOnly,
}

impl IoError {
    /// Its number in Linux.
    pub const fn number(self) -> u32 {
        match self {
            Self::Perm => 1,
            Self::NoEntry => 2,
            Self::Io => 5,
            Self::Again => 11,
            Self::Access => 13,
            Self::Busy => 16,
            Self::ManyFiles => 24,
            Self::NoSpace => 28,
            Self::ReadOnly => 30,
        }
    }
}

/// An operation on a file, as FUSE names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IoMethod {
    /// Look up a name in a folder.
    Lookup,
    /// Read attributes.
    Getattr,
    /// Change attributes.
    Setattr,
    /// Open.
    Open,
    /// Read.
    Read,
    /// Write.
    Write,
    /// Make a file.
    Create,
    /// Flush.
    Flush,
    /// Sync to the device.
    Fsync,
    /// Remove a file.
    Unlink,
    /// Rename.
    Rename,
    /// Make a folder.
    Mkdir,
    /// List a folder.
    Readdir,
}
