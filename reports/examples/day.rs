//! How long the reports of a day at 1,000 requests a second take, and how much memory: every window of a second is kept,
//! far more than the judge leaves. `cargo run --release -p shakedown-reports --features testing --example day`

use std::time::Instant;

use shakedown_reports::sample;

fn main() -> Result<(), shakedown_reports::RenderError> {
    let mut result = sample::hour();
    let scenario = &mut result.scenarios[0];
    scenario.series = vec![sample::series("completions", 86_400, 1_000, (30_000.0, 60_000.0))];
    scenario.duration_s = 86_400.0;
    let begun = Instant::now();
    let reports = [
        ("report.html", shakedown_reports::html(&result)?),
        ("junit.xml", shakedown_reports::junit(&result)?),
        ("summary.md", shakedown_reports::markdown(&result)),
        ("result.json", serde_json::to_string_pretty(&result)?),
    ];
    println!("{:.2} s", begun.elapsed().as_secs_f64());
    for (name, text) in reports {
        println!("{name}: {} bytes", text.len());
    }
    // Linux tells the most memory that the process ever had; elsewhere the line is missing.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("{line}");
    }
    Ok(())
}
