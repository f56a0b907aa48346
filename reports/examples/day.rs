//! How long the reports of a day at 1,000 requests a second take, and how much memory:
//! `cargo run --release -p shakedown-reports --features testing --example day`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

use std::time::Instant;

use shakedown_reports::sample;

fn main() -> Result<(), shakedown_reports::RenderError> {
    let begun = Instant::now();
    let result = sample::day();
    println!("made in {:.2} s, {} kB", begun.elapsed().as_secs_f64(), memory());
    let (all, mut size) = (Instant::now(), 0);
    for (name, render) in renderers() {
        let begun = Instant::now();
        let text = render(&result)?;
        size += text.len();
        println!("{name:16} {:6.2} s  {:>10} bytes", begun.elapsed().as_secs_f64(), text.len());
    }
    println!("all reports: {:.2} s, {size} bytes, at most {} kB of memory", all.elapsed().as_secs_f64(), memory());
    Ok(())
}

type Render = fn(&shakedown_schemas::RunResult) -> Result<String, shakedown_reports::RenderError>;

fn renderers() -> [(&'static str, Render); 6] {
    [
        ("report.html", shakedown_reports::html),
        ("junit.xml", shakedown_reports::junit),
        ("summary.md", |result| Ok(shakedown_reports::markdown(result))),
        ("annotations", |result| Ok(shakedown_reports::github_annotations(result).join("\n"))),
        ("history.html", |result| shakedown_reports::history(std::slice::from_ref(result), 30)),
        ("result.json", |result| Ok(serde_json::to_string_pretty(result)?)),
    ]
}

/// The peak memory of the process, in kB. Known on Linux only.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    line.unwrap_or("an unknown number of").to_owned()
}
