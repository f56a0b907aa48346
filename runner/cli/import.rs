//! `shakedown import`: makes scenarios from files of other tools.

use std::path::Path;

use shakedown_reports::Redactor;
use shakedown_schemas::{Explained, MAX_FILE, read_file};

use super::args::Import;
use super::console::clean;
use super::{Failure, exit, init, print};

/// Prints the scenario, or writes it. Parts that could not be converted are listed on stderr, one per line, followed by the
/// necessary changes of the scenario.
///
/// # Errors
/// Exit code 2 if the file belongs to no known tool, contains no fault that can be converted, or the output exists; 3 if it
/// cannot be written.
pub fn import(args: &Import) -> Result<u8, Failure> {
    let name = args.file.display().to_string();
    let bytes = read_file(&args.file, MAX_FILE).map_err(|error| {
        Failure::usage(Explained::new(format!("`{name}` {error}"), "check the path and its permissions"))
    })?;
    let file = args.file.file_name().map_or_else(|| name.clone(), |file| file.to_string_lossy().into_owned());
    let imported = shakedown_schemas::import(&file, &bytes, args.service.as_deref()).map_err(|problem| {
        let help = problem.help.as_deref().unwrap_or_default();
        let place = problem.span.map(|span| format!(":{}:{}", span.line, span.column)).unwrap_or_default();
        Failure::usage(Explained::new(format!("{name}{place}: {}", problem.message), help))
    })?;
    for note in &imported.notes {
        print::remark_prose(&clean(&format!("{name}:{}: {}", note.line, note.message)));
    }
    let out = args.out.as_deref().filter(|out| *out != Path::new("-"));
    let shown = out.map_or_else(|| "(the scenario)".to_owned(), |out| out.display().to_string());
    for mut problem in imported.problems {
        problem.file.clone_from(&shown);
        print::remark("fix this in the scenario:");
        print::problem(&problem, false, &Redactor::default());
    }
    match out {
        None => print::text(&imported.scenario),
        Some(out) => {
            init::save(out, &imported.scenario, args.force)?;
            print::line(format_args!("wrote {}", out.display()));
            print::line(format_args!("next: shakedown validate {0}, then shakedown plan {0}", out.display()));
        }
    }
    Ok(exit::PASSED)
}
