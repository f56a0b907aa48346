//! What the tests share: starting the program, reading what it wrote, and the test cluster.
//!
//! What belongs here: means. What does not: assertions about shakedown, which belong to the tests.

pub mod account;
pub mod browser;
pub mod chaos_mesh;
pub mod deployment;
pub mod kubectl;
pub mod large;
pub mod leftovers;
pub mod numbers;
pub mod process;
pub mod reports;
pub mod server;
pub mod shakedown;
pub mod shop;
pub mod stage;
pub mod turns;

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

/// The path of a program that a test needs. The test fails where it is not installed: such a test is ignored by default, and
/// was asked for.
#[track_caller]
pub fn need(name: &str) -> PathBuf {
    program(name).unwrap_or_else(|| panic!("this test needs `{name}`, which is not installed"))
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
