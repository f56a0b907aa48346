//! The program under test, in a folder of its own and without the user's settings.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{Finished, Running};
use super::reports::Reports;
use super::turns::{Share, Turn};

/// How long a command without a run may take; most take milliseconds.
const SHORT: Duration = Duration::from_secs(60);

/// The binary, built by cargo for this test.
pub const BINARY: &str = env!("CARGO_BIN_EXE_shakedown");

/// A folder in which the program runs; it goes with this value.
pub struct Shakedown {
    _turn: Turn,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Shakedown {
    /// A new folder, while other tests run. A test has one at a time in each of its threads.
    pub fn new() -> Self {
        Self::with(Share::One)
    }

    /// A new folder, while few other tests run.
    pub fn undisturbed() -> Self {
        Self::with(Share::Many)
    }

    fn with(share: Share) -> Self {
        let turn = Turn::wait(share);
        let folder = TempDir::with_prefix("shakedown-test-").expect("a temporary folder");
        Self { _turn: turn, folder, environment: Vec::new() }
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file in the folder and returns its name there.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in a temporary folder");
        std::fs::write(path, content).expect("a file in a temporary folder");
        name.to_owned()
    }

    /// A process in this folder without the user's settings.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            let ours = name.starts_with("SHAKEDOWN_") || name.starts_with("KUBE") || name.starts_with("CI_");
            if ours || name.to_ascii_lowercase().ends_with("_proxy") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).env("HOME", self.folder.path()).env("NO_COLOR", "1");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the program with these arguments.
    pub fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(BINARY).args(args))
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Finished {
        self.start(args).finish(SHORT)
    }

    /// The reports of a run with `--out NAME`.
    pub fn reports(&self, name: &str) -> Reports {
        Reports::of(&self.path(name))
    }
}
