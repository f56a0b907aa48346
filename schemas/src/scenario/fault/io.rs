//! `io`: slow or failing file operations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::{ChaosMesh, Ends, FaultFacts, FaultKind, Means, Sandbox, between};
use super::terms::Direction;
use crate::check::Findings;
use crate::check::inside::{containers, is_whole, wrong};
use crate::rule::Rule;
use crate::scenario::Secret;
use crate::units::{Duration, Percent};

fault! {
    /// Delays the file operations on a mounted volume, or makes them fail. Exactly one of `delay` and `error`. Data
    /// that the application is writing may be damaged. Needs Chaos Mesh, on amd64 nodes.
    pub struct IoFault {
        /// The path at which the container mounts the volume.
        #[schemars(extend("examples" = ["/data"]))]
        pub volume: String,
        /// Only files that match this pattern, as an absolute path in the container. Default: all files of the volume.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(extend("examples" = ["/data/**/*.log"]))]
        pub path: Option<String>,
        /// The additional time of each operation.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub delay: Option<Duration>,
        /// The error that each operation returns.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub error: Option<IoError>,
        /// The share of affected operations, in whole percent. Default `100%`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub share: Option<Percent>,
        /// The affected operations. Default: all operations.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub methods: Vec<IoMethod>,
        /// The affected containers, by name. Default: the first container of each pod.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(extend("examples" = [["worker"]]))]
        pub containers: Vec<String>,
    }
    pods, own, follow, prove {
        /// Only Chaos Mesh reports that this fault acts. With `auto`, a change in the run's own requests proves it; otherwise
        /// it is claimed, not proven. `strict` and `traffic` require that change, and `applied` does not look for it.
    }, after, lasts,
}

impl FaultKind for IoFault {
    const FACTS: FaultFacts = FaultFacts {
        means: &[Means::ChaosMesh(ChaosMesh::inside("iochaos"))],
        sandbox: Sandbox::Partly("files of its workers"),
        rules: &[Rule::One(&["delay", "error"])],
        not_settings: &[],
        link: between,
        confirmed_by: "",
        observed_by: "",
        unfelt_because: "",
        ends: Ends::Nothing,
        cuts_links: false,
        reads_usage: false,
        shifts_clocks: false,
        example: "{pods: {labels: {app: worker}}, volume: /data, error: ENOSPC}",
    };

    fn check(&self, path: &str, findings: &mut Findings<'_>) {
        match (self.delay, self.error) {
            (None, None) if !findings.map.gone(path) => {
                let help = "write `delay: 100ms` or `error: EIO`";
                wrong(path, "this fault does not change the files", help, findings);
            }
            (Some(_), Some(_)) => {
                let path = format!("{path}.error");
                wrong(&path, "`delay` and `error` exclude each other", "write two faults, one with each", findings);
            }
            _ => {}
        }
        if self.delay.is_some_and(|delay| delay.is_zero()) {
            wrong(&format!("{path}.delay"), "`delay` is zero", "write `delay: 100ms`", findings);
        }
        if self.share.is_some_and(|share| !is_whole(share.fraction())) {
            let path = format!("{path}.share");
            wrong(&path, "the share is counted in whole percent, from 1%", "write `share: 50%`", findings);
        }
        if !self.volume.starts_with('/') || self.volume == "/" {
            let path = format!("{path}.volume");
            wrong(
                &path,
                "this is not where a volume is mounted",
                "write its path in the container: `volume: /data`",
                findings,
            );
        }
        if self.path.as_ref().is_some_and(|file| !file.starts_with(&self.volume)) {
            let help = "begin it with the volume's path, such as `/data/**/*.log`";
            wrong(&format!("{path}.path"), "this pattern matches nothing on the volume", help, findings);
        }
        containers(path, &self.containers, findings);
    }

    fn direction(&self) -> Option<Direction> {
        None
    }

    fn secrets(&self) -> Vec<Secret> {
        Vec::new()
    }
}

/// A Linux error, by name.
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
    /// Its `errno` in Linux.
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

/// A file operation, by its FUSE name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum IoMethod {
    /// Look up a name in a directory.
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
    /// Create a file.
    Create,
    /// Flush.
    Flush,
    /// Sync to the device.
    Fsync,
    /// Remove a file.
    Unlink,
    /// Rename.
    Rename,
    /// Create a directory.
    Mkdir,
    /// List a directory.
    Readdir,
}
