//! Errors that end the program. A usage error translates flags and commands of other tools.

use shakedown_schemas::Explained;
use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{Failure, args, console, exit, print};

/// Flags of kubectl, k6, pytest and others, and what to write instead.
const FLAGS: &[(&[&str], &str)] = &[
    (&["--no-color", "--no-colour"], "use `--color never`"),
    (&["--timeout", "--duration"], "`--max-time` limits the whole run, and `timeout` of a load its requests"),
    (&["-x", "--exitfirst", "--maxfail", "--bail"], "use `--fail-fast`"),
    (&["--set", "-e", "--env", "--param"], "use `--var NAME=VALUE`"),
    (&["-o", "--output", "--junit", "--junitxml", "--html", "--json", "--report"], "`--out FOLDER` takes all reports"),
    (&["-k", "--grep", "--match", "--only"], "use `--filter`"),
    (&["-t", "--tags", "-m", "--labels"], "use `--tag`"),
    (&["--topology"], "use `--sandbox-topology`"),
    (&["-j", "--workers", "--jobs", "--concurrency"], "use `--parallel`"),
    (&["--lf"], "use `--last-failed`"),
    (&["--ns"], "use `--namespace`"),
    (&["--config"], "`shakedown.yaml` in this folder or above sets defaults; `shakedown config` shows them"),
    (&["--vus", "--rps", "--rate"], "write `rate` or `concurrency` of a load in the scenario"),
];

/// Commands of other tools.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["test", "apply", "start", "exec"], "run"),
    (&["check", "lint", "verify"], "validate"),
    (&["delete", "undo", "abort", "destroy", "rollback", "recover", "clean"], "cleanup"),
    (&["create", "new", "generate", "scaffold"], "init"),
    (&["show", "describe", "dry-run", "preview"], "plan"),
    (&["ls", "discover", "get"], "list"),
    (&["convert", "migrate"], "import"),
    (&["diff"], "compare"),
    (&["status", "health"], "doctor"),
    (&["help-code", "docs", "man"], "explain"),
];

/// Prints help and versions to stdout, and usage errors to stderr. Clap's own exit code for usage errors is 2, as ours.
pub fn exit_code(error: clap::Error) -> ExitCode {
    let error = with_advice(error, std::env::args().skip(1));
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(lost) if !error.use_stderr() && lost.kind() != std::io::ErrorKind::BrokenPipe => {
            unwritten(&console::Style::new(args::Color::Auto), exit::ENVIRONMENT, &lost.to_string())
        }
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE)),
    }
}

/// Reports that stdout could not be written.
pub fn unwritten(style: &console::Style, code: u8, error: &str) -> ExitCode {
    complain(
        style,
        &Failure {
            why: Explained::new(
                format!("could not write to stdout: {error}"),
                "check the disk, or the program that reads the output",
            ),
            code,
        },
    )
}

/// Prints an error, and returns its exit code.
pub fn complain(style: &console::Style, failure: &Failure) -> ExitCode {
    print::remark_prose(&format!("{}: {}", style.red("error"), console::clean(&failure.why.to_string())));
    ExitCode::from(failure.code)
}

/// Replaces clap's guess, which is by spelling, for a word of another tool. `words` are those of the command line.
fn with_advice(mut error: clap::Error, mut words: impl Iterator<Item = String>) -> clap::Error {
    let (invalid, guess, table) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, ContextKind::SuggestedArg, FLAGS),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand, COMMANDS),
        _ => return error,
    };
    let Some(ContextValue::String(given)) = error.get(invalid) else { return error };
    let Some(here) = here(table, given) else { return error };
    let program = args::Args::command();
    let is_known = invalid == ContextKind::InvalidSubcommand
        || words.find_map(|word| program.find_subcommand(word)).is_some_and(|command| has_flags(command, here));
    if !is_known {
        return error;
    }
    let advice = match invalid {
        ContextKind::InvalidSubcommand => format!("use `shakedown {here}`"),
        _ => here.to_owned(),
    };
    error.remove(guess);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(advice)]));
    error
}

/// Whether a command has the flags that a hint names.
fn has_flags(command: &clap::Command, advice: &str) -> bool {
    let mut named = advice.split('`').filter_map(|it| it.split(' ').next()?.strip_prefix("--"));
    named.all(|flag| flag == "color" || command.get_arguments().any(|it| it.get_long() == Some(flag)))
}

fn here(table: &[(&[&str], &'static str)], given: &str) -> Option<&'static str> {
    let name = given.split(['=', ' ']).next().unwrap_or(given);
    table.iter().find(|(foreign, _)| foreign.contains(&name)).map(|(_, here)| *here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let words = || std::iter::once("shakedown").chain(line.split(' ')).map(str::to_owned);
        let error = args::Args::command().try_get_matches_from(words()).unwrap_err();
        with_advice(error, words().skip(1)).to_string()
    }

    #[test]
    fn a_word_of_another_tool_is_answered_with_ours() {
        for (line, tip) in [
            ("run --no-color s.yaml", "tip: use `--color never`"),
            ("run --timeout 5m s.yaml", "tip: `--max-time` limits"),
            ("run -o out s.yaml", "tip: `--out FOLDER` takes all reports"),
            ("run --maxfail=1 s.yaml", "tip: use `--fail-fast`"),
            ("test s.yaml", "tip: use `shakedown run`"),
            ("undo", "tip: use `shakedown cleanup`"),
        ] {
            let text = said(line);
            assert!(text.contains(tip) && text.matches("tip:").count() == 1, "{line}: {text}");
        }
        for other in ["cleanup --timeout 5m", "validate --json s.yaml"] {
            assert!(!said(other).contains("--max-time") && !said(other).contains("--out"), "{other} has no such flag");
        }
        assert!(said("run --sandbx s.yaml").contains("'--sandbox'"), "a misspelt flag is still guessed");
    }

    #[test]
    fn the_tables_name_only_what_is_not_here_and_advise_what_is() {
        let command = args::Args::command();
        let known: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        for (foreign, here) in COMMANDS {
            assert!(known.contains(here), "{here}");
            assert!(foreign.iter().all(|it| !known.contains(it)), "{foreign:?}");
        }
        let run = command.find_subcommand("run").unwrap();
        let flags: Vec<String> =
            run.get_arguments().filter_map(|it| it.get_long().map(|long| format!("--{long}"))).collect();
        for (foreign, here) in FLAGS {
            assert!(foreign.iter().all(|it| !flags.iter().any(|flag| flag == it)), "{foreign:?}");
            assert!(has_flags(run, here), "{here}");
        }
    }
}
