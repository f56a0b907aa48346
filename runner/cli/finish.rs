//! The end of a run: writes its result to the files, the terminal, the CI system and the exports of the command line.
//! Only a report that could not be written changes the exit code. Other errors are warnings.

use std::io::Write;

use shakedown_reports::text::{SENTENCE, tame};
use shakedown_schemas::RunResult;

use super::ci::Ci;
use super::console::{Style, clean};
use super::output::Output;
use super::{Failure, args, print, summary};
use crate::export;

/// Where the summary is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// On stdout.
    Shown,
    /// Print nothing: no scenario ran, and a message gives the reason.
    Hidden,
}

/// Writes a result, which must not contain secrets.
///
/// # Errors
/// If a report cannot be written.
pub async fn finish(
    result: &RunResult,
    output: &Output,
    args: &args::Run,
    style: Style,
    shown: Summary,
) -> Result<(), Failure> {
    let written = output.write_result(result).and(output.write_events(result));
    let ci = if args.no_ci_detect { Ci::default() } else { Ci::detect() };
    // Annotations belong to the log. The results on stdout stay free of commands.
    let annotations: String = ci.annotations(result).iter().map(|line| format!("{line}\n")).collect();
    _ = std::io::stderr().write_all(annotations.as_bytes());
    if shown == Summary::Shown {
        // A closed or full stdout does not prevent the other outputs.
        print::prose(&summary::text(result, output, style.for_stdout()));
    }
    let mut warnings: Vec<String> = ci.summarize(result).err().into_iter().collect();
    let exports = &args.exports;
    if let Some(path) = &exports.prometheus_textfile {
        warnings.extend(export::prometheus::write(path, result).err());
    }
    if let Some(endpoint) = &exports.otlp {
        warnings.extend(export::otlp::send(endpoint, &export::otlp::headers(), result).await.err());
    }
    for url in &exports.notify {
        warnings.extend(export::webhook::notify(url, result).await.err());
    }
    for warning in warnings {
        _ = writeln!(std::io::stderr(), "warning: {}", clean(&tame(&warning, SENTENCE)));
    }
    written
}
