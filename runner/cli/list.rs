//! `shakedown list`: the scenarios that `run` would run, with their tags.

use serde_json::json;

use shakedown_secrets::Redactor;

use super::args::List;
use super::console::{Style, clean};
use super::{Failure, exit, print, select};

/// Prints one line per scenario.
///
/// # Errors
/// Exit code 2 if a file is invalid, 5 if no scenario is selected.
pub fn list(args: &List, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    let documents = select::scenarios(&args.selection, style, redactor)?;
    if args.json {
        let rows: Vec<_> = documents
            .iter()
            .map(|document| {
                let scenario = &document.scenario;
                json!({
                    "name": scenario.name,
                    "file": document.file,
                    "tags": scenario.tags,
                    "description": scenario.description,
                    "duration_s": scenario.phases.iter().map(|phase| phase.duration.as_secs_f64()).sum::<f64>(),
                })
            })
            .collect();
        print::line(redactor.text(&format!("{:#}", json!(rows))));
        return Ok(exit::PASSED);
    }
    let width = documents.iter().map(|document| document.scenario.name.len()).max().unwrap_or_default();
    for document in &documents {
        let scenario = &document.scenario;
        let line = format!("{:width$}  {}  [{}]", scenario.name, document.file, scenario.tags.join(", "));
        print::prose(&format!("{}\n", clean(&redactor.text(&line))));
    }
    Ok(exit::PASSED)
}
