//! Failures of commands.

use shakedown_schemas::Explained;
use std::path::Path;

use super::exit;

/// The failure of a command.
#[derive(Debug)]
pub struct Failure {
    /// The error with the next step.
    pub why: Explained,
    /// The exit code.
    pub code: u8,
}

impl Failure {
    /// An error of the environment: exit code 3.
    pub fn environment(why: impl Into<Explained>) -> Self {
        Self { why: why.into(), code: exit::ENVIRONMENT }
    }

    /// A file that could not be written: exit code 3.
    pub fn unwritten(path: &Path, error: &std::io::Error) -> Self {
        let help = "free some space, or name a place where you may write";
        Self::environment(Explained::new(format!("could not write {}: {error}", path.display()), help))
    }

    /// A folder that could not be read: exit code 2.
    pub fn unread(folder: &Path, error: &std::io::Error) -> Self {
        let help = "check the path and its permissions";
        Self::usage(Explained::new(format!("could not read the folder `{}`: {error}", folder.display()), help))
    }

    /// A usage error: exit code 2.
    pub fn usage(why: impl Into<Explained>) -> Self {
        Self { why: why.into(), code: exit::USAGE }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// The sources of the command line, without their tests.
    fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((path, text));
            }
        }
    }

    /// The arguments of a call, from its open parenthesis or brace.
    fn arguments(text: &str) -> &str {
        let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
        for (at, c) in text.char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => quoted = !quoted,
                '(' | '{' if !quoted => depth += 1,
                ')' | '}' if !quoted => {
                    depth -= 1;
                    if depth == 0 {
                        return &text[..=at];
                    }
                }
                _ => {}
            }
        }
        text
    }

    /// Every error of the command line names a next step.
    #[test]
    fn every_failure_that_is_written_here_has_a_next_step() {
        let mut all = Vec::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("runner/cli"), &mut all);
        assert!(all.len() > 40, "{}", all.len());
        let (mut seen, mut lacking) = (0, Vec::new());
        for (path, text) in &all {
            for begin in ["Failure::usage(", "Failure::environment(", "Failure {"] {
                for (at, _) in text.match_indices(begin) {
                    let said = arguments(&text[at + begin.len() - 1..]);
                    // Other texts come from functions that are named here.
                    if !said.contains('"') {
                        continue;
                    }
                    seen += 1;
                    if !said.contains("Explained::new(") {
                        lacking.push(format!(
                            "{}: {}",
                            path.display(),
                            said.lines().map(str::trim).collect::<String>()
                        ));
                    }
                }
            }
        }
        assert!(seen > 30, "{seen}");
        assert_eq!(lacking, Vec::<String>::new());
    }
}
