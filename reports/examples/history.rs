//! How long the history of 1,000 runs takes, and how much memory. Prints a table:
//! `cargo run --release -p shakedown-reports --features testing --example history`
//!
//! It writes the results of 1,000 runs of a suite to a temporary folder, and then does as `shakedown report --history`:
//! it reads each file, takes its part of it, and renders the page. One thread; the program uses one for each processor.
//! `-- 200 100` takes 200 runs, and shows 100 of them.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use shakedown_reports::{History, sample};
use shakedown_schemas::RunResult;
use shakedown_schemas::result::RunDigest;

fn main() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<usize> = std::env::args().filter_map(|it| it.parse().ok()).collect();
    let runs = numbers.first().copied().unwrap_or(1_000);
    let last = numbers.get(1).copied().unwrap_or(30);
    let folder = std::env::temp_dir().join(format!("shakedown-history-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = write(&folder, runs).and_then(|bytes| row(&folder, runs, last, bytes));
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn row(folder: &Path, runs: usize, last: usize, bytes: usize) -> Result<(), Box<dyn Error>> {
    let before = memory();
    let begun = Instant::now();
    let mut history = History::new(last);
    for entry in std::fs::read_dir(folder)? {
        let text = std::fs::read(entry?.path())?;
        history.add(serde_json::from_slice::<RunDigest>(&text)?);
    }
    let read = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let page = history.page()?;
    let rendered = begun.elapsed().as_secs_f64();
    println!(
        "| runs | shown | size of the results | reading | page | in total | size of the page | memory, before and at most |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    println!(
        "| {runs} | {last} | {:.0} MB | {read:.2} s | {rendered:.2} s | {:.2} s | {:.2} MB | {before:.0} and {:.0} MB |",
        bytes as f64 / 1e6,
        read + rendered,
        page.len() as f64 / 1e6,
        memory()
    );
    Ok(())
}

/// Writes the results, of three scenarios each, and returns their size in bytes.
fn write(folder: &Path, runs: usize) -> Result<usize, Box<dyn Error>> {
    let mut bytes = 0;
    for number in 0..runs {
        let text = serde_json::to_vec_pretty(&night(number)?)?;
        bytes += text.len();
        std::fs::write(folder.join(format!("{number}.json")), text)?;
    }
    Ok(bytes)
}

/// A run of a nightly suite.
fn night(number: usize) -> Result<RunResult, jiff::Error> {
    let mut run = sample::suite();
    let later = jiff::SignedDuration::from_hours(i64::try_from(number).unwrap_or(0) * 24);
    run.run.id = format!("run-{number:04}");
    run.run.started_at = run.run.started_at.checked_add(later)?;
    for scenario in &mut run.scenarios {
        scenario.started_at = scenario.started_at.checked_add(later)?;
    }
    Ok(run)
}

/// The highest resident size of the process, in MB. Known on Linux only.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    line.and_then(|kb| kb.parse().ok()).map_or(f64::NAN, |kb: f64| kb / 1e3)
}
