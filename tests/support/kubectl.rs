//! kubectl against one cluster, as a user would type it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::process::{Finished, run};

/// How long one call may take; those that wait for something say so themselves.
const LIMIT: Duration = Duration::from_secs(180);

/// kubectl with a kubeconfig.
#[derive(Debug, Clone)]
pub struct Kubectl {
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// kubectl against the cluster of this kubeconfig; none where it is not installed.
    pub fn find(kubeconfig: &Path) -> Option<Self> {
        super::program("kubectl").map(|_| Self { kubeconfig: kubeconfig.to_owned() })
    }

    /// Use this kubeconfig file.
    pub fn kubeconfig(&self) -> &str {
        self.kubeconfig.to_str().expect("a path in UTF-8")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        // Its caches go next to the kubeconfig, not to the home folder.
        command.env("HOME", self.kubeconfig.parent().unwrap_or(Path::new("/")));
        command.arg("--kubeconfig").arg(&self.kubeconfig).args(args);
        command
    }

    /// Runs it, whatever it answers.
    #[track_caller]
    pub fn try_run(&self, args: &[&str]) -> Finished {
        run(&mut self.command(args), LIMIT)
    }

    /// Runs it and returns what it prints; fails the test if it fails.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> String {
        let finished = self.try_run(args);
        assert_eq!(finished.code(), 0, "kubectl {}: {finished}", args.join(" "));
        finished.stdout
    }

    /// Reads objects.
    #[track_caller]
    pub fn get(&self, args: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend(args);
        serde_json::from_str(&self.run(&all)).expect("JSON from kubectl")
    }

    /// The items of a list.
    #[track_caller]
    pub fn items(&self, args: &[&str]) -> Vec<Value> {
        self.get(args)["items"].as_array().cloned().unwrap_or_default()
    }

    /// Creates objects.
    #[track_caller]
    pub fn create(&self, object: &Value) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), object.to_string()).expect("a temporary file");
        self.run(&["create", "-f", file.path().to_str().expect("a path in UTF-8")]);
    }
}

/// The name of an object.
pub fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}
