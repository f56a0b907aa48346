//! The facts about a run that do not depend on its scenarios: its id, the machine, the commit, the CI job.

use std::process::Command;

use shakedown_schemas::result::{RunInfo, Shard};

use super::variables;

/// The facts about this run. `shard` is the part of the suite that it runs.
pub fn info(seed: u64, shard: Option<Shard>) -> RunInfo {
    let started_at = jiff::Timestamp::now();
    RunInfo {
        id: run_id(started_at),
        started_at,
        duration_s: 0.0,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        // Without the settings of the environment it would be another command: `--sandbox` may be one of them.
        command: variables::settings().into_iter().chain(std::env::args()).collect(),
        seed,
        host: host(),
        git_sha: git_sha(),
        ci_job_url: ci_job_url(),
        interrupted: None,
        shard,
    }
}

/// A unique name that sorts by time and is valid as a label's value and in an object's name.
pub fn run_id(at: jiff::Timestamp) -> String {
    const LETTERS: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
    let random = (0..5).map(|_| char::from(LETTERS[usize::from(rand::random::<u8>()) % LETTERS.len()]));
    format!("{}-{}", at.strftime("%Y%m%d-%H%M%S"), random.collect::<String>())
}

/// The host name of the machine.
pub fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// The commit under test, from the CI system or else from git.
fn git_sha() -> Option<String> {
    for variable in ["GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT", "BUILD_SOURCEVERSION"] {
        if let Ok(sha) = std::env::var(variable)
            && !sha.is_empty()
        {
            return Some(sha);
        }
    }
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let sha = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !sha.is_empty()).then_some(sha)
}

fn ci_job_url() -> Option<String> {
    let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    var("CI_JOB_URL").or_else(|| var("BUILD_URL")).or_else(|| {
        Some(format!(
            "{}/{}/actions/runs/{}",
            var("GITHUB_SERVER_URL")?,
            var("GITHUB_REPOSITORY")?,
            var("GITHUB_RUN_ID")?
        ))
    })
}
