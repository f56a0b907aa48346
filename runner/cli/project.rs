//! The project file `shakedown.yaml`: defaults of flags for everyone who works in a checkout. It turns settings into
//! defaults of arguments; clap and the commands interpret them. A flag and an environment variable take precedence.

use std::any::TypeId;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};
use console::Term;
use shakedown_schemas::Explained;
use shakedown_schemas::settings::{Setting, Settings};

use super::Failure;
use super::wrap::drawn;

/// The name of the file.
pub const FILE: &str = "shakedown.yaml";

/// A project file with its folder.
#[derive(Debug, Default)]
pub struct Project {
    settings: Settings,
    folder: PathBuf,
}

impl Project {
    /// The project file of the working directory, or else of the nearest folder above it within the checkout. Empty if
    /// there is none.
    ///
    /// # Errors
    /// With exit code 2 if it cannot be read, or has a flag that does not exist.
    pub fn find(command: &Command) -> Result<Self, Failure> {
        let here = std::env::current_dir().unwrap_or_default();
        let Some(path) = place(&here) else { return Ok(Self::default()) };
        // Messages name it as the user would.
        let shown = path.strip_prefix(&here).unwrap_or(&path);
        let problems = |list: Vec<shakedown_schemas::Diagnostic>| {
            let all: Vec<String> = list.iter().map(|it| drawn(it, false, &Term::stderr())).collect();
            let all = all.join("\n");
            Failure::usage(Explained::new(
                format!("the project file is invalid\n{all}"),
                format!("correct {}, or remove it", shown.display()),
            ))
        };
        let settings = Settings::read(shown).map_err(problems)?;
        // Values are relative to the file's folder, unless that is the working directory.
        let folder = shown.parent().unwrap_or(Path::new("")).to_owned();
        let project = Self { settings, folder };
        let mut found = project.unknown(command);
        if found.is_empty() {
            found = project.invalid(command);
        }
        if found.is_empty() { Ok(project) } else { Err(problems(found)) }
    }

    /// The settings that are no flags.
    fn unknown(&self, command: &Command) -> Vec<shakedown_schemas::Diagnostic> {
        let commands: Vec<&str> =
            command.get_subcommands().filter(|it| !it.is_hide_set()).map(Command::get_name).collect();
        let problem = |setting: &Setting| match &setting.command {
            None => {
                let all = command.get_subcommands().chain([command]).flat_map(flags).collect::<Vec<_>>();
                (!all.contains(&setting.name.as_str()))
                    .then(|| self.settings.unknown(setting, &setting.name, &all, "flag"))
            }
            Some(named) => match command.find_subcommand(named) {
                None => Some(self.settings.unknown(setting, named, &commands, "command")),
                Some(one) => {
                    let own = flags(one);
                    (!own.contains(&setting.name.as_str()))
                        .then(|| self.settings.unknown(setting, &setting.name, &own, "flag of this command"))
                }
            },
        };
        self.settings.all.iter().filter_map(problem).collect()
    }

    /// The settings whose flag refuses their value.
    fn invalid(&self, command: &Command) -> Vec<shakedown_schemas::Diagnostic> {
        let problem = |setting: &Setting| {
            let has = |one: &&Command| flags(one).contains(&setting.name.as_str());
            let one = match &setting.command {
                Some(named) => command.find_subcommand(named),
                None => command.get_subcommands().find(has),
            };
            let owner = one.unwrap_or(command);
            let arg = owner.get_arguments().find(|arg| arg.get_long() == Some(setting.name.as_str()))?;
            if matches!(arg.get_action(), ArgAction::SetTrue) {
                let is_switch = matches!(&setting.values[..], [value] if value == "true" || value == "false");
                let message = format!("`{}` is a switch: its value is `true` or `false`", setting.name);
                return (!is_switch).then(|| self.settings.problem(setting, message));
            }
            if matches!(arg.get_action(), ArgAction::Count) {
                let is_count = matches!(&setting.values[..], [value] if value.parse::<u8>().is_ok());
                return (!is_count).then(|| self.settings.problem(setting, format!("`{}` is a number", setting.name)));
            }
            if setting.values.len() != 1 && !matches!(arg.get_action(), ArgAction::Append) {
                return Some(self.settings.problem(setting, format!("`{}` has one value", setting.name)));
            }
            let mut words = vec!["shakedown".to_owned()];
            words.extend(one.map(|one| one.get_name().to_owned()));
            words.extend(setting.values.iter().map(|value| format!("--{}={value}", setting.name)));
            // Other required arguments do not matter here.
            let error = command.clone().try_get_matches_from(words).err()?;
            let is_about_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            is_about_value.then(|| self.settings.problem(setting, line))
        };
        self.settings.all.iter().filter_map(problem).collect()
    }

    /// The command with the settings as defaults of its flags.
    pub fn with_defaults(&self, command: Command) -> Command {
        if self.settings.all.is_empty() {
            return command;
        }
        let command = command.mut_args(|arg| self.with_default(None, arg));
        command.mut_subcommands(|sub| {
            let name = sub.get_name().to_owned();
            sub.mut_args(|arg| self.with_default(Some(&name), arg))
        })
    }

    fn with_default(&self, command: Option<&str>, arg: Arg) -> Arg {
        let Some(setting) = arg.get_long().and_then(|long| self.setting(command, long)) else { return arg };
        let is_path = arg.get_value_parser().type_id() == TypeId::of::<PathBuf>();
        let value = |value: &String| match is_path && !self.folder.as_os_str().is_empty() {
            true => self.folder.join(value).display().to_string(),
            false => value.clone(),
        };
        arg.default_values(setting.values.iter().map(value).collect::<Vec<_>>())
    }

    /// The setting of a flag: that of the command before that of all.
    fn setting(&self, command: Option<&str>, flag: &str) -> Option<&Setting> {
        let of = |command: Option<&str>| {
            self.settings.all.iter().rev().find(|it| it.name == flag && it.command.as_deref() == command)
        };
        of(command).or_else(|| of(None))
    }

    /// The position of a flag's setting, such as `shakedown.yaml:3`.
    pub fn position(&self, command: &str, flag: &str) -> Option<String> {
        let setting = self.setting(Some(command), flag)?;
        Some(format!("{}:{}", self.folder.join(FILE).display(), setting.span.line))
    }
}

/// The long flags of a command.
fn flags(command: &Command) -> Vec<&str> {
    command.get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(Arg::get_long).collect()
}

/// The nearest project file: here, or above within the checkout.
fn place(here: &Path) -> Option<PathBuf> {
    let root = here.ancestors().find(|it| it.join(".git").exists()).unwrap_or(here);
    let inside = here.ancestors().take_while(|it| it.starts_with(root));
    inside.map(|it| it.join(FILE)).find(|it| it.is_file())
}
