//! The scenarios that a command selects: files, folders and globs, parsed. `filter` then filters them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use shakedown_reports::{Redactor, SHORTEST};
use shakedown_sandbox::Topology;
use shakedown_schemas::{Diagnostic, Document, Explained, FileError, MAX_FILE, Overrides, read_file};

use super::args::Selection;
use super::checked::{Checked, Unread};
use super::ci::Ci;
use super::console::Style;
use super::filter::{self, Selected};
use super::{Failure, exit, print, project, topologies};

/// The largest file of a secret, in bytes.
const SECRET: u64 = 1 << 20;
/// The name of the scenario on stdin.
const STDIN: &str = "-";

/// Parses all selected files and filters them.
///
/// # Errors
/// As for `suite`.
pub fn scenarios(selection: &Selection, style: Style, redactor: &Redactor) -> Result<Vec<Document>, Failure> {
    suite(selection, style, redactor).map(|selected| selected.documents)
}

/// The same, with the part of the suite that they are.
///
/// # Errors
/// Exit code 2 if a path does not exist or a file is invalid (all errors of all files are printed), 5 if no scenario is
/// left.
pub fn suite(selection: &Selection, style: Style, redactor: &Redactor) -> Result<Selected, Failure> {
    let checked = check(selection, style, redactor)?;
    report(&checked, style, redactor)?;
    if let Some(name) = checked.topologies.first() {
        return Err(Failure::usage(Explained::new(
            format!("`{name}` is a sandbox topology, not a scenario"),
            format!("`--sandbox --sandbox-topology {name}` runs scenarios in it"),
        )));
    }
    filter::filter(checked.documents, selection)
}

/// Prints the problems of the files.
///
/// # Errors
/// Exit code 2 if a file is invalid.
pub fn report(checked: &Checked, style: Style, redactor: &Redactor) -> Result<(), Failure> {
    checked.unread.iter().for_each(|it| print::remark_prose(&format!("error: {}\n", it.why)));
    checked.problems.iter().for_each(|problem| print::problem(problem, style.colored(), redactor));
    let (errors, broken) = (checked.errors(), checked.broken);
    if broken > 0 {
        Ci::detect().problems(checked, redactor).iter().for_each(print::remark);
        return Err(Failure::usage(Explained::new(
            format!(
                "{errors} {} in {broken} {}; nothing was run",
                if errors == 1 { "error" } else { "errors" },
                if broken == 1 { "file" } else { "files" }
            ),
            "`shakedown explain CODE` explains a code such as S010",
        )));
    }
    Ok(())
}

/// Reads and checks the files.
///
/// # Errors
/// Exit code 2 for variables that cannot be read, 5 for a folder or a pattern without files.
pub fn check(selection: &Selection, style: Style, redactor: &Redactor) -> Result<Checked, Failure> {
    let overrides = overrides(selection, style, redactor)?;
    let mut found = Vec::new();
    let named = selection.all();
    let (paths, mut unread) = files(&named)?;
    let mut all_topologies = Vec::new();
    for path in paths {
        let name = path.display().to_string();
        let bytes = match read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let why = Explained::new(format!("`{name}` {error}"), "check the path and its permissions");
                unread.push(Unread { path: name, why });
                continue;
            }
        };
        if topologies::is_topology(&bytes) {
            match named.contains(&name) {
                true => all_topologies.push((Topology::read(&name, &bytes).err().unwrap_or_default(), name)),
                false => print::note(format_args!("skipped {name}: a sandbox topology")),
            }
            continue;
        }
        let parsed = shakedown_schemas::parse_all(&name, &bytes, &overrides);
        found.push((name, bytes, parsed));
    }
    let mut checked =
        Checked { documents: Vec::new(), topologies: Vec::new(), broken: unread.len(), unread, problems: Vec::new() };
    for (problems, name) in all_topologies {
        if problems.is_empty() {
            checked.topologies.push(name);
        } else {
            checked.broken += 1;
            checked.problems.extend(problems);
        }
    }
    for parsed in of_suite(found, &overrides) {
        match parsed {
            Ok(of_file) => {
                of_file.iter().for_each(|document| learn(redactor, document));
                // The combinations of a matrix share most warnings.
                for warning in of_file.iter().flat_map(|document| &document.warnings) {
                    if !checked.problems.contains(warning) {
                        checked.problems.push(warning.clone());
                    }
                }
                checked.documents.extend(of_file);
            }
            Err(problems) => {
                checked.broken += 1;
                checked.problems.extend(problems);
            }
        }
    }
    Ok(checked)
}

/// The content of a file, or of stdin.
fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    if path != Path::new(STDIN) {
        return read_file(path, MAX_FILE);
    }
    let mut bytes = Vec::new();
    // A scenario is far smaller. Reading more would only use memory.
    std::io::stdin().lock().take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file that was read: its name, its content, and what was found in it.
type Read = (String, Vec<u8>, Parsed);

/// The scenarios of a file, or its problems.
type Parsed = Result<Vec<Document>, Vec<Diagnostic>>;

/// The files of one suite. A variable of the command line must be one of some file, and not of each.
fn of_suite(read: Vec<Read>, overrides: &Overrides) -> Vec<Parsed> {
    let lacks =
        |name: &str, parsed: &Parsed| parsed.as_ref().is_err_and(|problems| Overrides::is_unknown(name, problems));
    let is_of_some = |(name, _): &(String, _)| !read.iter().all(|(.., parsed)| lacks(name, parsed));
    let of_some = overrides.vars.iter().filter(|it| is_of_some(it)).map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let again = |(name, bytes, parsed): Read| {
        let has_more = of_some.iter().any(|name| lacks(name, &parsed));
        match parsed {
            Err(problems) if has_more => {
                let mut known = overrides.known_to(&problems);
                known.vars.extend(overrides.vars.iter().filter(|(name, _)| !of_some.contains(name)).cloned());
                shakedown_schemas::parse_all(&name, &bytes, &known)
            }
            parsed => parsed,
        }
    };
    read.into_iter().map(again).collect()
}

/// Checks that the files name the namespace of the command line, where both name one: with a typo in either, the run would
/// act on an unintended namespace.
///
/// # Errors
/// With exit code 2 when a file names another one.
pub fn in_namespace(documents: &[Document], given: Option<&str>) -> Result<(), Failure> {
    let Some(given) = given else { return Ok(()) };
    let differs = |document: &&Document| document.scenario.namespace.as_deref().is_some_and(|named| named != given);
    let problems: Vec<String> = documents
        .iter()
        .filter(differs)
        .map(|document| {
            let line = document.line("namespace").unwrap_or(1);
            let named = document.scenario.namespace.as_deref().unwrap_or_default();
            format!("{}:{line}: `namespace: {named}` does not match `--namespace {given}`", document.file)
        })
        .collect();
    if problems.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(Explained::new(
        problems.join("\n"),
        format!(
            "leave one of them out, or write `namespace: \"{{{{ namespace }}}}\"` and use `--var namespace={given}`"
        ),
    )))
}

/// A value that a scenario sends as a secret is redacted everywhere.
fn learn(redactor: &Redactor, document: &Document) {
    document.scenario.secrets().iter().for_each(|secret| redactor.learn_secret(secret));
}

/// The name and the value of a `--secret`: NAME=VALUE, NAME@FILE, or the name of an environment variable.
fn secret(text: &str) -> Result<(String, String), Failure> {
    // The first of `=` and `@` decides: a value may contain `@`, and a path `=`.
    let (name, value) = match text.split_once(['=', '@']) {
        Some((name, value)) if text[name.len()..].starts_with('=') => (name, value.to_owned()),
        Some((name, file)) => (name, secret_file(name, file)?),
        None => match std::env::var(text) {
            Ok(value) => (text, value),
            Err(_) => {
                return Err(Failure::usage(Explained::new(
                    format!("--secret {text}: there is no environment variable of this name"),
                    "write --secret NAME=VALUE or \
                     --secret NAME@FILE, or set it",
                )));
            }
        },
    };
    Ok((name.trim().to_owned(), value))
}

/// A secret from a file, without the line break at its end, as in a mounted Secret or a file of an editor.
fn secret_file(name: &str, file: &str) -> Result<String, Failure> {
    let describe = |problem: &str| {
        let help = "name a file with the value alone, or write --secret NAME=VALUE";
        Failure::usage(Explained::new(format!("the file `{file}` of --secret {name} {problem}"), help))
    };
    let bytes = read_file(Path::new(file), SECRET).map_err(|error| describe(&error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| describe("is not UTF-8 text"))?;
    Ok(text.strip_suffix('\n').map_or(text.as_str(), |it| it.strip_suffix('\r').unwrap_or(it)).to_owned())
}

fn overrides(selection: &Selection, style: Style, redactor: &Redactor) -> Result<Overrides, Failure> {
    let mut overrides = Overrides::default();
    for path in &selection.vars_files {
        let name = path.display().to_string();
        let bytes = read_file(path, MAX_FILE).map_err(|error| {
            Failure::usage(Explained::new(format!("the file of variables `{name}` {error}"), VARS_FILE))
        })?;
        overrides.add_file(&name, &bytes).map_err(|diagnostics| {
            diagnostics.iter().for_each(|problem| print::problem(problem, style.colored(), redactor));
            Failure::usage(Explained::new(format!("`{name}` is not a file of variables"), VARS_FILE))
        })?;
    }
    for pair in &selection.vars {
        overrides.add_var(pair).map_err(Failure::usage)?;
    }
    for text in &selection.secrets {
        let (name, value) = secret(text)?;
        // The message must not contain the whole argument, which includes the value.
        if !redactor.learn(&value) {
            return Err(Failure::usage(Explained::new(
                format!(
                    "the value of --secret {name} is shorter than {SHORTEST} characters, so it cannot be redacted from the \
                 reports"
                ),
                "use a longer value, or --var",
            )));
        }
        overrides.add_secret(&name, value).map_err(Failure::usage)?;
    }
    Ok(overrides)
}

/// How to write a file of variables.
const VARS_FILE: &str = "a file of variables is a YAML map, such as `rate: 50/s`";

/// How to write a pattern of files.
const GLOB: &str = "put a pattern such as 'scenarios/**/*.yaml' into quotes, or name a folder";

/// The files of the paths without duplicates, in the order of the command line and by name within a folder, and the paths
/// that match no file, to be printed with the problems of the files.
fn files(paths: &[String]) -> Result<(Vec<PathBuf>, Vec<Unread>), Failure> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for text in paths {
        let path = Path::new(text);
        if text == STDIN {
            found.push(path.to_owned());
        } else if path.is_dir() {
            let before = found.len();
            folder(path, &mut found)?;
            if found.len() == before {
                return Err(Failure {
                    why: Explained::new(
                        format!("no scenario files (*.yaml, *.yml) in the folder `{text}`"),
                        "name another folder; `shakedown \
                         init` writes a first scenario",
                    ),
                    code: exit::NOTHING_SELECTED,
                });
            }
        } else if path.exists() {
            found.push(path.to_owned());
        } else if text.contains(['*', '?', '[']) {
            let matches = glob::glob(text)
                .map_err(|error| Failure::usage(Explained::new(format!("`{text}` is not a glob: {error}"), GLOB)))?;
            let before = found.len();
            found.extend(matches.filter_map(Result::ok).filter(|path| path.is_file()));
            if found.len() == before {
                let why = Explained::new(format!("no file matches `{text}`"), GLOB);
                return Err(Failure { why, code: exit::NOTHING_SELECTED });
            }
        } else {
            let why = Explained::new(
                format!("there is no file or folder `{text}`"),
                "check the path; `shakedown list .` shows the scenarios below a folder",
            );
            missing.push(Unread { path: text.clone(), why });
        }
    }
    let mut seen = BTreeSet::new();
    found.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    Ok((found, missing))
}

/// True for a fragment.
fn is_part(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.ends_with(".fragment.yaml") || name.ends_with(".fragment.yml")
}

fn folder(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error| Failure::unread(path, &error);
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(unreadable)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')))
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            folder(&entry, found)?;
        } else if entry.file_name().is_some_and(|name| name == project::FILE || is_part(name)) {
            // The defaults of flags, or a part of scenarios.
        } else if entry.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            found.push(entry);
        }
    }
    Ok(())
}
