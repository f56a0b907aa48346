//! Writes the reports of all synthetic results to a folder for inspection:
//! `cargo run -p shakedown-reports --features testing --example samples -- target/samples`.

use std::error::Error;
use std::path::PathBuf;

use shakedown_reports::{github_annotations, html, junit, markdown, sample};
use shakedown_schemas::RunResult;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "target/samples".to_owned()));
    for (name, result) in [
        ("pass", sample::passing()),
        ("fail", sample::failing()),
        ("inconclusive", sample::inconclusive()),
        ("error", sample::errored()),
        ("stillborn", sample::stillborn()),
        ("suite", sample::suite()),
        ("busy", sample::busy()),
        ("hour", sample::hour()),
        ("hostile", sample::hostile()),
    ] {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("result.json"), serde_json::to_string(&result)?)?;
        std::fs::write(folder.join("report.html"), html(&result)?)?;
        std::fs::write(folder.join("junit.xml"), junit(&result)?)?;
        std::fs::write(folder.join("summary.md"), markdown(&result))?;
        std::fs::write(folder.join("annotations.txt"), github_annotations(&result).join("\n"))?;
    }
    let runs: Vec<_> = (0..12).map(day).collect();
    std::fs::write(folder.join("history.html"), shakedown_reports::history(&runs, 30)?)?;
    Ok(())
}

/// A run of a nightly suite.
fn day(day: i64) -> RunResult {
    let mut run = match day % 5 {
        1 => sample::failing(),
        3 => sample::inconclusive(),
        _ => sample::suite(),
    };
    run.run.id = format!("run-{day}");
    let later = |at: jiff::Timestamp| at.checked_add(jiff::SignedDuration::from_hours(24 * day)).unwrap_or(at);
    run.run.started_at = later(run.run.started_at);
    for scenario in &mut run.scenarios {
        scenario.started_at = later(scenario.started_at);
    }
    run
}
