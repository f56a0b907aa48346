//! `shakedown validate`: checks scenario files without a cluster.

use std::collections::BTreeSet;

use shakedown_secrets::Redactor;

use super::args::{Validate, ValidateFormat};
use super::console::{Style, clean};
use super::{Failure, exit, filter, print, problems, select, topologies};

/// Prints all errors of all files, or one line per valid file. As JSON or SARIF, all of it goes to stdout, for programs.
///
/// # Errors
/// Exit code 2 if a file is invalid, 5 if no scenario is left.
pub fn validate(args: &Validate, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    let mut checked = select::check(&args.selection, style, redactor)?;
    let problems = topologies::problems(&checked.documents);
    let broken: BTreeSet<&str> = problems.iter().map(|it| it.file.as_str()).collect();
    checked.broken += broken.len();
    checked.problems.extend(problems);
    if args.format == ValidateFormat::Text {
        select::report(&checked, style, redactor)?;
    }
    let only_topologies = checked.documents.is_empty() && !checked.topologies.is_empty();
    if checked.broken == 0 && !only_topologies {
        checked.documents = filter::filter(checked.documents, &args.selection)?.documents;
    }
    if args.format == ValidateFormat::Text {
        let topologies = checked.topologies.iter().map(|name| format!("{name} is a valid sandbox topology"));
        let scenarios = checked.documents.iter().map(|it| format!("{}: {} is valid", it.file, it.scenario.name));
        topologies.chain(scenarios).for_each(|line| print::line(clean(&redactor.text(&line))));
        return Ok(exit::PASSED);
    }
    let written = match args.format {
        ValidateFormat::Sarif => problems::sarif(&checked, redactor),
        _ => problems::json(&checked, redactor),
    };
    print::line(format!("{written:#}"));
    Ok(if checked.broken > 0 { exit::USAGE } else { exit::PASSED })
}
