//! `shakedown validate`: checks scenario files without a cluster.

use shakedown_reports::Redactor;

use super::args::Validate;
use super::console::{Style, clean};
use super::{Failure, exit, print, select};

/// Prints all errors of all files, or one line per valid file.
///
/// # Errors
/// Exit code 2 if a file is invalid.
pub fn validate(args: &Validate, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    for document in select::scenarios(&args.selection, style, redactor)? {
        let line = format!("{}: {} is valid", document.file, document.scenario.name);
        print::line(clean(&redactor.text(&line)));
    }
    Ok(exit::PASSED)
}
