//! `shakedown init`: writes a first scenario, which runs in the sandbox unchanged.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use shakedown_schemas::{Overrides, json_schema};

use super::args::Init;
use super::{Failure, exit, print};

const TEMPLATE: &str = include_str!("init/scenario.yaml");

/// The schema's file, next to the scenario: editors use it for completion without a network.
const SCHEMA: &str = "shakedown.schema.json";

/// Writes the scenario, and the schema next to it.
///
/// # Errors
/// Exit code 2 if the file exists already or a value cannot be part of a scenario, 3 if the file cannot be written.
pub fn init(args: &Init) -> Result<u8, Failure> {
    let file = &args.file;
    let text = scenario(args);
    shakedown_schemas::parse(&file.display().to_string(), text.as_bytes(), &Overrides::default()).map_err(
        |problems| {
            let problems: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
            Failure::usage(format!("these values do not make a valid scenario: {}", problems.join("; ")))
        },
    )?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).create_new(!args.force);
    let mut out = options.open(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => {
            Failure::usage(format!("{} already exists\nhelp: name another file, or add --force", file.display()))
        }
        _ => unwritten(file, &error),
    })?;
    out.write_all(text.as_bytes()).map_err(|error| unwritten(file, &error))?;
    let schema = file.with_file_name(SCHEMA);
    std::fs::write(&schema, json_schema::text(&json_schema::scenario_schema()))
        .map_err(|error| unwritten(&schema, &error))?;
    print::line(format_args!("wrote {} and {}", file.display(), schema.display()));
    print::line(format_args!("rehearse it without a cluster: shakedown run --sandbox {}", file.display()));
    print::line(format_args!("preview it on your cluster:    shakedown plan {}", file.display()));
    Ok(exit::PASSED)
}

fn unwritten(file: &Path, error: &std::io::Error) -> Failure {
    Failure::environment(format!("could not write {}: {error}", file.display()))
}

fn scenario(args: &Init) -> String {
    // These values are quoted in the template.
    let inner = |text: &str| quoted(text).trim_matches('"').to_owned();
    let values = [
        ("@SCHEMA@", SCHEMA.to_owned()),
        ("@NAME@", plain(&args.name)),
        ("@NAMESPACE@", plain(args.namespace.as_deref().unwrap_or("dynamo"))),
        ("@PODS@", plain(&args.pods)),
        ("@PEER@", plain(&args.peer)),
        ("@SERVICE@", inner(&args.service)),
        ("@PATH@", plain(&args.path)),
    ];
    values.iter().fold(TEMPLATE.to_owned(), |text, (mark, value)| text.replace(mark, value))
}

/// A value as YAML: plain if that is unambiguous, or else as a JSON string, which is valid YAML.
fn plain(text: &str) -> String {
    let letter = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '/');
    let bare = letter && text.chars().all(|it| it.is_ascii_alphanumeric() || "-./_".contains(it));
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_lowercase().as_str());
    if bare && !word { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_change_the_structure() {
        let hostile = "x\"}\nversion: 2 # {{ n }}";
        assert_eq!(plain(hostile), "\"x\\\"}\\nversion: 2 # {{ n }}\"");
        assert_eq!((plain("nats"), plain("yes"), plain("4222")), ("nats".into(), "\"yes\"".into(), "\"4222\"".into()));
    }
}
