//! The environment variables of the flags: every `--long-flag` can be given as `SHAKEDOWN_LONG_FLAG` as well. This
//! module only turns variables into arguments; clap and the commands interpret them.
//!
//! A flag on the command line takes precedence. An empty variable counts as not set, because CI systems set empty
//! variables. Several values of one flag are one per line, unless the flag has a delimiter. Switches are off with `0`,
//! `false`, `no`, `off`, and on with anything else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Command, CommandFactory};

use super::args::Args;

/// The command with a variable for each of its flags.
pub fn with_variables(command: Command) -> Command {
    attach(command, &|name| std::env::var_os(name))
}

/// The variables that set flags of `run`, as `NAME=VALUE`, in the order of their names.
pub fn settings() -> Vec<String> {
    let command = attach(Args::command(), &|_| None);
    let flags =
        command.get_arguments().chain(command.find_subcommand("run").into_iter().flat_map(Command::get_arguments));
    let names: BTreeSet<&OsStr> = flags.filter_map(Arg::get_env).collect();
    let set = names.into_iter().filter_map(|name| Some((name.to_str()?, std::env::var(name).ok()?)));
    set.filter(|(_, value)| !value.is_empty()).map(|(name, value)| format!("{name}={value}")).collect()
}

fn attach(command: Command, look: &dyn Fn(&OsStr) -> Option<OsString>) -> Command {
    command.mut_args(|arg| variable(arg, look)).mut_subcommands(|subcommand| attach(subcommand, look))
}

fn variable(arg: Arg, look: &dyn Fn(&OsStr) -> Option<OsString>) -> Arg {
    let name = match (arg.get_env(), arg.get_long()) {
        (Some(own), _) => own.to_owned(),
        (None, Some(long)) => format!("SHAKEDOWN_{}", long.to_uppercase().replace('-', "_")).into(),
        (None, None) => return arg,
    };
    let value = look(&name);
    if value.as_ref().is_some_and(|value| value.is_empty()) {
        return arg.env(None::<&str>);
    }
    let lines = value.is_some_and(|value| value.as_encoded_bytes().contains(&b'\n'));
    let arg = arg.env(name);
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(FalseyValueParser::new()),
        // Only for several lines, so that a value on the command line may contain a line break.
        ArgAction::Append if lines && arg.get_value_delimiter().is_none() => arg.value_delimiter('\n'),
        _ => arg,
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::cli::args;

    /// The command with these variables set. clap itself reads only the real environment.
    fn parsed(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Args, clap::Error> {
        let look = |name: &OsStr| {
            let found = variables.iter().find(|(it, _)| name == OsStr::new(it));
            found.map(|(_, value)| OsString::from(value))
        };
        let command = attach(Args::command(), &look);
        Args::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    /// The command of a report that repeats one scenario must not take a value for a file.
    #[test]
    fn the_reports_know_every_flag_of_run_with_a_value() {
        let command = Args::command();
        let run = command.find_subcommand("run").expect("run");
        let takes = run
            .get_arguments()
            .filter(|it| it.get_action().takes_values() && it.get_id() != "files" && !it.is_positional());
        let flags = takes.flat_map(|it| {
            let (long, short) = (it.get_long().map(|it| format!("--{it}")), it.get_short().map(|it| format!("-{it}")));
            long.into_iter().chain(short)
        });
        let mut flags: Vec<String> = flags.filter(|it| it != "--file" && it != "-f").collect();
        flags.sort();
        let mut known = shakedown_reports::sentences::WITH_VALUE.to_vec();
        known.sort_unstable();
        assert_eq!(known, flags);
    }

    #[test]
    fn every_flag_has_its_variable() {
        fn flags(command: &Command, missing: &mut Vec<String>) {
            for arg in command.get_arguments().filter(|arg| arg.get_long().is_some()) {
                let name = arg.get_env().map(|it| it.to_string_lossy().into_owned()).unwrap_or_default();
                if !name.starts_with("SHAKEDOWN_") {
                    missing.push(format!("{} {}", command.get_name(), arg.get_id()));
                }
            }
            command.get_subcommands().for_each(|it| flags(it, missing));
        }
        let mut missing = Vec::new();
        flags(&attach(Args::command(), &|_| None), &mut missing);
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let args = parsed(&["shakedown", "list", "x.yaml"], &[("SHAKEDOWN_TAG", "")]).expect("arguments");
        assert!(matches!(args.command, args::Command::List(list) if list.selection.tag.is_empty()));
    }

    #[test]
    fn a_line_break_on_the_command_line_stays_one_value() {
        let args = parsed(&["shakedown", "list", "x.yaml", "--var", "a=1\nb=2"], &[]).expect("arguments");
        assert!(matches!(args.command, args::Command::List(list) if list.selection.vars == ["a=1\nb=2"]));
    }
}
