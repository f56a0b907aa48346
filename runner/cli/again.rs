//! `--last-failed`: the scenarios that did not pass in the previous result.

use std::path::Path;

use shakedown_schemas::Document;

use super::earlier::Unpassed;
use super::output::LATEST;
use super::{Failure, print, report};

/// Keeps the scenarios that did not pass or did not run in the previous result. Keeps all if there is none, or if all
/// passed, and says so.
///
/// # Errors
/// With exit code 2 if the previous result cannot be read.
pub fn unpassed(documents: &mut Vec<Document>, out: Option<&Path>) -> Result<(), Failure> {
    let previous = out.unwrap_or(Path::new(LATEST)).join("result.json");
    if !previous.exists() {
        print::note(format_args!("--last-failed: there is no `{}`, so all scenarios run", previous.display()));
        return Ok(());
    }
    let unpassed = Unpassed::of(&report::read(&previous).map_err(Failure::usage)?);
    let all = documents.len();
    let is_left = |it: &Document| unpassed.has(&it.file, &it.scenario.name);
    if unpassed.is_empty() || !documents.iter().any(is_left) {
        print::note("--last-failed: every selected scenario passed in the previous run, so all run");
        return Ok(());
    }
    documents.retain(is_left);
    print::note(format_args!("--last-failed: {} of {all} scenarios run", documents.len()));
    Ok(())
}
