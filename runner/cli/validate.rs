//! `shakedown validate`: checks scenario files without a cluster.

use shakedown_reports::Redactor;

use super::args::{Validate, ValidateFormat};
use super::console::{Style, clean};
use super::{Failure, exit, filter, print, problems, select};

/// Prints all errors of all files, or one line per valid file. As JSON or SARIF, all of it goes to stdout, for programs.
///
/// # Errors
/// Exit code 2 if a file is invalid, 5 if no scenario is left.
pub fn validate(args: &Validate, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    if args.format == ValidateFormat::Text {
        for document in select::scenarios(&args.selection, style, redactor)? {
            let line = format!("{}: {} is valid", document.file, document.scenario.name);
            print::line(clean(&redactor.text(&line)));
        }
        return Ok(exit::PASSED);
    }
    let mut checked = select::check(&args.selection, style, redactor)?;
    if checked.broken == 0 {
        checked.documents = filter::filter(checked.documents, &args.selection)?.documents;
    }
    let written = match args.format {
        ValidateFormat::Sarif => problems::sarif(&checked, redactor),
        _ => problems::json(&checked, redactor),
    };
    print::line(format!("{written:#}"));
    Ok(if checked.broken > 0 { exit::USAGE } else { exit::PASSED })
}
