//! `shakedown config`: the value of each flag of a command, and its source.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use shakedown_reports::Redactor;
use shakedown_schemas::Explained;

use super::args::Config;
use super::project::Project;
use super::table::table;
use super::{Failure, exit, print};

/// The flag whose values are never shown.
const SECRET: &str = "secret";

/// Prints a row per flag.
///
/// # Errors
/// With exit code 2 if the command does not exist or its arguments are invalid.
pub fn config(args: &Config, command: Command, project: &Project, redactor: &Redactor) -> Result<u8, Failure> {
    let mut words = vec!["shakedown".to_owned()];
    words.extend(args.command.iter().cloned());
    if args.command.is_empty() {
        words.push("run".to_owned());
    }
    let parse = |words: &[String]| command.clone().try_get_matches_from(words);
    // The flags are shown without reading any file.
    let parsed = parse(&words).or_else(|error| match error.kind() {
        ErrorKind::MissingRequiredArgument => parse(&[&words[..], &["-".to_owned()]].concat()),
        _ => Err(error),
    });
    // The parser's errors have the usage or a tip.
    let said = |error: &clap::Error| error.to_string().trim_start_matches("error: ").trim_end().to_owned();
    let matches = parsed.map_err(|error| Failure::usage(said(&error)))?;
    let Some((name, own)) = matches.subcommand() else {
        return Err(Failure::usage(Explained::new("there is no command", "name one, such as `shakedown config run`")));
    };
    let Some(sub) = command.find_subcommand(name) else { return Ok(exit::PASSED) };
    let rows = rows(name, sub, own, project, args.all);
    if rows.is_empty() {
        print::note(format_args!("every flag of `{name}` has its default; --all shows them"));
        return Ok(exit::PASSED);
    }
    print::text(&redactor.text(&table(&["flag", "value", "from"], &rows, false)));
    Ok(exit::PASSED)
}

fn rows(name: &str, sub: &Command, matches: &ArgMatches, project: &Project, all: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for arg in sub.get_arguments().filter(|arg| !arg.is_hide_set()) {
        let Some(long) = arg.get_long() else { continue };
        let id = arg.get_id().as_str();
        let from = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "the command line".to_owned(),
            Some(ValueSource::EnvVariable) => {
                arg.get_env().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default()
            }
            Some(_) => project.position(name, long).unwrap_or_else(|| "default".to_owned()),
            None => "not set".to_owned(),
        };
        if !all && matches!(from.as_str(), "default" | "not set") {
            continue;
        }
        let raw = matches.get_raw(id).into_iter().flatten().map(|it| it.to_string_lossy().into_owned());
        let shown = |value: String| match long == SECRET {
            true => value.split(['=', '@']).next().unwrap_or_default().to_owned(),
            false => value,
        };
        rows.push(vec![format!("--{long}"), raw.map(shown).collect::<Vec<_>>().join(", "), from]);
    }
    rows
}
