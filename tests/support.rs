//! What the tests share: starting the program, reading what it wrote, and the test cluster.
//!
//! What belongs here: means. What does not: assertions about shakedown, which belong to the tests.

pub mod browser;
pub mod chaos_mesh;
pub mod deployment;
pub mod kubectl;
pub mod leftovers;
pub mod numbers;
pub mod process;
pub mod reports;
pub mod server;
pub mod shakedown;
pub mod shop;
pub mod stage;
pub mod turns;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The checkout's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the folder `scenarios`.
pub fn scenario(name: &str) -> String {
    root().join("scenarios").join(name).display().to_string()
}

/// A program of that name in `PATH`.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Says that a test did nothing, and why; past the capture of a passing test's output, so that everybody reads it.
pub fn skipped(test: &str, why: &str) {
    _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// True where tests are wanted that take long by computing: `SHAKEDOWN_LONG_TESTS=1`, which `.ci/run` sets.
pub fn long_tests(test: &str) -> bool {
    let wanted = std::env::var_os("SHAKEDOWN_LONG_TESTS").is_some();
    if !wanted {
        skipped(test, "SHAKEDOWN_LONG_TESTS is not set; .ci/run sets it");
    }
    wanted
}

/// Fails with all of the problems at once, if there are any.
#[track_caller]
pub fn none_of(problems: &[String]) {
    assert!(problems.is_empty(), "\n- {}", problems.join("\n- "));
}

/// Looks at all of them at the same time, each in a thread of its own, and fails with all of the problems at once.
#[track_caller]
pub fn none_of_all<T: Sync>(all: &[T], problem: impl Fn(&T) -> Option<String> + Sync) {
    let problems: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|it| scope.spawn(|| problem(it))).collect();
        threads.into_iter().filter_map(|it| it.join().unwrap_or_else(|_| Some("see above".to_owned()))).collect()
    });
    none_of(&problems);
}
