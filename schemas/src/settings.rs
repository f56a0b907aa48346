//! The project file `shakedown.yaml` as settings with their positions. Which settings exist is known to the command line.

use std::path::Path;

use crate::diagnostic::{Code, Diagnostic, suggestion};
use crate::files::read_file;
use crate::source::{self, Entry, Span, Value};

/// How to begin a project file.
const BEGIN: &str =
    "write a flag, such as `namespace: shop`, or remove the file; `shakedown config run` shows the flags";

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The command that it is for. None for all commands.
    pub command: Option<String>,
    /// Its name: that of a flag, with `-` between words.
    pub name: String,
    /// Its values. Several for a flag that can be repeated.
    pub values: Vec<String>,
    /// Its position.
    pub span: Span,
}

/// The settings of a project file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The settings, in the order of the file.
    pub all: Vec<Setting>,
    file: String,
    text: String,
}

impl Settings {
    /// Reads a project file: a map from flags to values, and from commands to such maps.
    ///
    /// # Errors
    /// The problems of the file.
    pub fn read(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let file = path.display().to_string();
        let help = "check its permissions, or remove it";
        let whole = |message: String| vec![Diagnostic::error(Code::File, message).help(help).in_file(&file, "")];
        let bytes =
            read_file(path, source::MAX_BYTES as u64).map_err(|error| whole(format!("the project file {error}")))?;
        Self::parse(&file, &bytes)
    }

    /// The same from the content of the file.
    ///
    /// # Errors
    /// The problems of the file.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Vec<Diagnostic>> {
        let text = source::text(bytes).map_err(|problem| vec![problem.in_file(file, "")])?;
        let tree = source::parse_or_begin(text, BEGIN).map_err(|problem| vec![problem.in_file(file, text)])?;
        let mut settings = Self { all: Vec::new(), file: file.to_owned(), text: text.to_owned() };
        let Value::Map(entries) = tree.value else {
            let problem = Diagnostic::error(Code::WrongType, "a project file is a map from flags to values");
            return Err(vec![problem.at(tree.span).help("write `namespace: shop`").in_file(file, text)]);
        };
        let mut problems = Vec::new();
        for entry in entries {
            let command = entry.key.clone();
            match entry.node.value {
                Value::Map(inner) => {
                    for entry in inner {
                        settings.add(Some(command.clone()), entry, &mut problems);
                    }
                }
                _ => settings.add(None, entry, &mut problems),
            }
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    fn add(&mut self, command: Option<String>, entry: Entry, problems: &mut Vec<Diagnostic>) {
        let name = entry.key.replace('_', "-");
        let values = match entry.node.value {
            Value::Seq(nodes) => nodes.into_iter().map(|node| single(node.value)).collect::<Option<Vec<_>>>(),
            value => single(value).map(|value| vec![value]),
        };
        match values {
            Some(values) => self.all.push(Setting { command, name, values, span: entry.key_span }),
            None => problems.push(
                Diagnostic::error(
                    Code::WrongType,
                    format!("`{name}` is a flag, and its value is a single value or a list"),
                )
                .at(entry.node.span)
                .help("write `tag: fast`, or `tag: [fast, pods]`")
                .in_file(&self.file, &self.text),
            ),
        }
    }

    /// A problem of a setting's value.
    pub fn problem(&self, setting: &Setting, message: String) -> Diagnostic {
        let help = match &setting.command {
            Some(command) => format!("`shakedown {command} --help` shows what `--{}` can be", setting.name),
            None => format!("`shakedown run --help` shows what `--{}` can be", setting.name),
        };
        Diagnostic::error(Code::InvalidValue, message).at(setting.span).help(help).in_file(&self.file, &self.text)
    }

    /// The problem of a setting whose name is not one of these, which are all `what`.
    pub fn unknown(&self, setting: &Setting, word: &str, known: &[&str], what: &str) -> Diagnostic {
        Diagnostic::error(Code::UnknownKey, format!("there is no {what} `{word}`"))
            .at(setting.span)
            .help("`shakedown config run` shows the flags of a command")
            .maybe_help(suggestion(word, known, what))
            .in_file(&self.file, &self.text)
    }
}

/// A single value as a flag would have it.
fn single(value: Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Int(value) => Some(value.to_string()),
        Value::Float(value) => Some(value.to_string()),
        Value::String(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_for_all_commands_or_for_one() {
        let text = "namespace: shop\nrun:\n  retry_inconclusive: 1\n  tag: [a, b]\n  sandbox: true\n";
        let settings = Settings::parse("shakedown.yaml", text.as_bytes()).expect("settings");
        let short = |it: &Setting| {
            let command = it.command.clone().unwrap_or_default();
            format!("{command} {} {} {}", it.name, it.values.join("+"), it.span.line)
        };
        let all: Vec<String> = settings.all.iter().map(short).collect();
        assert_eq!(all, [" namespace shop 1", "run retry-inconclusive 1 3", "run tag a+b 4", "run sandbox true 5"]);
        let unknown = settings.unknown(&settings.all[0], "namespac", &["namespace"], "flag");
        assert!(unknown.render(false).contains("did you mean `namespace`?"), "{}", unknown.render(false));
    }

    #[test]
    fn every_problem_has_a_next_step() {
        for text in ["", "# nothing\n", "- a\n", "tag: [[a]]\n"] {
            let problem = Settings::parse("shakedown.yaml", text.as_bytes()).expect_err(text).remove(0);
            let help = problem.help.unwrap_or_default();
            assert!(!help.is_empty() && !help.contains("init"), "{text:?}: {} ({help})", problem.message);
        }
        let settings = Settings::parse("shakedown.yaml", b"run:\n  tag: a\n").expect("settings");
        let setting = &settings.all[0];
        assert!(settings.problem(setting, String::new()).help.expect("a help").contains("`shakedown run --help`"));
        let many: Vec<String> = (0..60).map(|it| format!("flag-{it}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(settings.unknown(setting, "zzz", &many, "flag").help.is_some());
    }

    #[test]
    fn what_is_no_flag_with_a_value_has_its_position() {
        for (text, line) in [("run:\n  tag: {a: b}\n", 2), ("- a\n", 1), ("tag: [[a]]\n", 1), ("a: b: c\n", 1)] {
            let problems = Settings::parse("shakedown.yaml", text.as_bytes()).expect_err(text);
            assert_eq!(problems[0].line(), Some(line), "{text}");
        }
    }
}
