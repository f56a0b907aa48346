//! Writes the reports of all synthetic results into a folder, to look at them:
//! `cargo run -p shakedown-reports --features testing --example samples -- target/samples`.

use std::error::Error;
use std::path::PathBuf;

use shakedown_reports::{github_annotations, html, junit, markdown, sample};

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
        std::fs::write(folder.join("report.html"), html(&result)?)?;
        std::fs::write(folder.join("junit.xml"), junit(&result)?)?;
        std::fs::write(folder.join("summary.md"), markdown(&result))?;
        std::fs::write(folder.join("annotations.txt"), github_annotations(&result).join("\n"))?;
    }
    Ok(())
}
