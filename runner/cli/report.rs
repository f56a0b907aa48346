//! `shakedown report`: renders the reports of a result again, byte for byte as the run did.

use shakedown_reports::Redactor;
use shakedown_schemas::RunResult;
use shakedown_schemas::result::RESULT_VERSION;

use super::args::Report;
use super::output::Output;
use super::{Failure, exit};

/// Reads a result and writes its reports.
///
/// # Errors
/// With exit code 2 when the file is no result, with 3 when the reports cannot be written.
pub fn report(args: &Report, redactor: &Redactor) -> Result<u8, Failure> {
    let name = args.result.display();
    let text =
        std::fs::read(&args.result).map_err(|error| Failure::usage(format!("could not read `{name}`: {error}")))?;
    let result: RunResult = serde_json::from_slice(&text).map_err(|error| {
        Failure::usage(format!("`{name}` is not a result of shakedown: {error}\nhelp: give the result.json of a run"))
    })?;
    if result.format_version != RESULT_VERSION {
        return Err(Failure::usage(format!(
            "`{name}` has format version {}, and this program reads {RESULT_VERSION}\nhelp: use the version of shakedown \
             that wrote it ({})",
            result.format_version, result.run.tool_version
        )));
    }
    let output = Output::create(Some(&args.out), &result.run.id, redactor)?;
    output.write_result(&result)?;
    println!("{}", output.folder().display());
    Ok(exit::PASSED)
}
