//! An error of deserialising the tree. It is built in serde's terms and converted to a [`Diagnostic`] for people.

use std::fmt;

use serde::de;

use super::guess::{self, Answer};
use crate::diagnostic::{Code, Diagnostic, suggestion, words};
use crate::scenario::FaultInfo;
use crate::source::flow::{flow, quoted};
use crate::source::{Entry, Node, Span, Step, Value};

/// An error with its position. Each reader on the way up adds its step to the path.
#[derive(Debug)]
pub(crate) struct ReadError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    span: Option<Span>,
    /// The value there, in words.
    found: String,
    /// How to write the value that was probably meant.
    hint: Option<String>,
    /// An entry with this key as an example, of the type that has it.
    example: Option<String>,
    /// The answer to a guess, and the number of steps from there to the invalid node.
    answer: Option<(Answer, usize)>,
    /// The steps from the invalid node up to the root, in reverse order of the path.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum ErrorKind {
    WrongType(String),
    Custom(String),
    Missing(&'static str),
    UnknownKey(String, &'static [&'static str]),
    UnknownWord(String, &'static [&'static str]),
    EmptyMap(&'static str, &'static [&'static str]),
    NoMap(&'static str, &'static [&'static str]),
    /// The keys, and what to write for each entry.
    SeveralKeys(&'static str, Vec<(String, String)>),
}

impl ReadError {
    fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            span: None,
            found: String::new(),
            hint: None,
            example: None,
            answer: None,
            steps: Vec::new(),
        }))
    }

    pub(super) fn wrong_type(expected: impl Into<String>) -> Self {
        Self::new(ErrorKind::WrongType(expected.into()))
    }

    pub(super) fn no_kind(name: &'static str, variants: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::EmptyMap(name, variants))
    }

    pub(super) fn not_a_kind(name: &'static str, variants: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::NoMap(name, variants))
    }

    pub(super) fn two_kinds(name: &'static str, entries: &[Entry], second: &Entry) -> Self {
        let fields = entries.iter().take(6);
        let fields = fields.map(|it| (it.key.clone(), format!("{}: {}", it.key, flow(&it.node)))).collect();
        let mut fault = Self::new(ErrorKind::SeveralKeys(name, fields));
        fault.0.span = Some(second.key_span);
        fault.0.answer = guess::of_several(name, entries).map(|answer| (answer, 0));
        fault
    }

    /// Sets the position of this node, unless there is one already.
    pub(super) fn or_at(mut self, node: &Node, owner: Span) -> Self {
        if self.0.span.is_none() {
            let whole = matches!(self.0.kind, ErrorKind::Missing(_) | ErrorKind::EmptyMap(..))
                || matches!(node.value, Value::Map(_) | Value::Seq(_));
            self.0.span = Some(if whole || node.span.len == 0 { owner } else { node.span });
            self.0.found = found(&node.value);
            self.0.hint = hint(&self.0.kind, &node.value);
        }
        self
    }

    /// Sets the position of this key.
    pub(super) fn at_key(mut self, entry: &Entry) -> Self {
        self.0.span = Some(entry.key_span);
        self
    }

    /// With what to write in the place of this entry of a map of a type, where that is known. What is known of the whole
    /// is better than what is known of a part. `map` has all entries next to it.
    pub(super) fn guessed(mut self, of: &str, entry: &Entry, map: &[Entry]) -> Self {
        if let Some(answer) = guess::answer(of, &entry.key, &entry.node, map) {
            self.0.answer = Some((answer, self.0.steps.len()));
        }
        if self.0.steps.is_empty() && matches!(self.0.kind, ErrorKind::WrongType(_)) {
            self = self.with_example(of, &entry.key);
        }
        self
    }

    /// With an example of this key, unless there is one already.
    fn with_example(mut self, of: &str, key: &str) -> Self {
        self.0.example = self.0.example.or_else(|| crate::explain::example_of(of, key));
        self
    }

    /// With an example of the key that a map of this type lacks.
    pub(super) fn lacking(self, of: &str) -> Self {
        match self.0.kind {
            ErrorKind::Missing(key) => self.with_example(of, key),
            _ => self,
        }
    }

    /// The same for a text in the place of a kind.
    pub(super) fn guessed_text(mut self, of: &str, text: &str) -> Self {
        self.0.answer = guess::of_text(of, text).map(|answer| (answer, 0));
        self
    }

    pub(super) fn within(mut self, step: Step) -> Self {
        self.0.steps.push(step);
        self
    }

    /// The path of the invalid node from the root.
    pub(super) fn path(&self) -> Vec<Step> {
        self.0.steps.iter().rev().cloned().collect()
    }

    /// The paths of the guessed entry and of those that its answer also replaces, if its answer is known.
    pub(super) fn guesses(&self) -> Vec<Vec<Step>> {
        let Some((answer, inside)) = &self.0.answer else { return Vec::new() };
        let mut path = self.path();
        // An unknown kind has no step of its own, so the whole value is removed.
        path.truncate(path.len().saturating_sub(*inside).max(1));
        let owner = &path[..path.len() - 1];
        let also = answer.also.iter().map(|key| owner.iter().cloned().chain([Step::Key(key.clone())]).collect());
        also.chain([path.clone()]).collect()
    }

    /// True if a required key is missing that a guess may stand for.
    pub(super) fn lacks(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Missing(_) | ErrorKind::EmptyMap(..))
    }

    /// True if a map that needs one key, its kind, has none.
    pub(super) fn is_empty_kind(&self) -> bool {
        matches!(self.0.kind, ErrorKind::EmptyMap(..))
    }

    /// The missing key at the path, for an error of that kind.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.0.kind {
            ErrorKind::Missing(key) => Some(key),
            _ => None,
        }
    }

    pub(super) fn into_diagnostic(self) -> Diagnostic {
        let Inner { kind, span, found, hint, example, answer, steps } = *self.0;
        let diagnostic = match kind {
            ErrorKind::WrongType(expected) if found == "nothing" => {
                let key = match steps.first() {
                    Some(Step::Key(key)) => format!("`{key}` has no value"),
                    _ => "there is no value here".to_owned(),
                };
                let help = match steps.first() {
                    Some(Step::Key(key)) if expected.starts_with("a map with keys") => {
                        let example = example.unwrap_or_else(|| format!("{key}: {{}}"));
                        format!("write `{example}`, or remove the key")
                    }
                    _ => match example {
                        Some(example) => format!("write `{example}`, or remove the key"),
                        None => "give it a value, or remove the key".to_owned(),
                    },
                };
                Diagnostic::error(Code::WrongType, key).label(format!("expected {expected}")).help(help)
            }
            ErrorKind::WrongType(expected) => {
                let hint = match steps.first() {
                    Some(Step::Key(key)) => hint
                        .map(|hint| with_key(key, hint))
                        .or_else(|| instead(key, &found))
                        .or_else(|| example.map(|example| format!("write `{example}`")))
                        .or_else(|| written(&expected).map(|value| format!("write `{key}: {value}`"))),
                    _ => hint.or_else(|| written(&expected).map(|value| format!("write `{value}`"))),
                };
                Diagnostic::error(Code::WrongType, format!("expected {expected}, found {found}")).maybe_help(hint)
            }
            // Quantities add their help after a line break.
            ErrorKind::Custom(text) => match text.split_once('\n') {
                Some((message, help)) => Diagnostic::error(Code::InvalidValue, message).help(help),
                None => Diagnostic::error(Code::InvalidValue, text).help("correct the value, or remove its key"),
            },
            ErrorKind::Missing(key) => {
                let whose = match steps.first() {
                    Some(Step::Key(owner)) => format!("`{owner}` needs the key `{key}`"),
                    Some(Step::Index(_)) => format!("this element needs the key `{key}`"),
                    None => format!("the file needs the key `{key}`"),
                };
                let own = example.unwrap_or_else(|| format!("{key}: ..."));
                let help = self::example(key).unwrap_or_else(|| format!("add `{own}`"));
                Diagnostic::error(Code::MissingKey, whose).label(format!("`{key}` is missing")).help(help)
            }
            ErrorKind::UnknownKey(key, known) => {
                Diagnostic::error(Code::UnknownKey, format!("there is no key `{key}` here"))
                    .label("unknown key")
                    .help("correct the key, or remove it")
                    .maybe_help(suggestion(&key, known, "key here"))
            }
            ErrorKind::UnknownWord(word, known) => {
                let known: Vec<&str> = known.iter().copied().filter(|it| !guess::UNLISTED.contains(it)).collect();
                Diagnostic::error(Code::UnknownKind, format!("`{word}` is not one of the choices"))
                    .label("unknown word")
                    .help("correct the word, or remove its key")
                    .maybe_help(suggestion(&word, &known, "choice"))
            }
            ErrorKind::EmptyMap(name, variants) => {
                Diagnostic::error(Code::NotOneKind, format!("{} is empty", noun(name)))
                    .help(format!("write a map with one key, its kind: {}", choices(variants)))
            }
            ErrorKind::NoMap(name, variants) => Diagnostic::error(
                Code::NotOneKind,
                format!(
                    "expected {}, found {found}",
                    if noun(name) == "this" { "one of the choices" } else { noun(name) }
                ),
            )
            .help(choices(variants)),
            ErrorKind::SeveralKeys(name, keys) => several_keys(name, &keys, steps.first()),
        };
        let diagnostic = diagnostic.maybe_help(answer.map(|(answer, _)| answer.text));
        match span {
            Some(span) => diagnostic.at(span),
            None => diagnostic,
        }
    }
}

/// Several keys where the kind is the only one, or a fault without a name, whose kind is in the place of it.
fn several_keys(name: &str, fields: &[(String, String)], own_key: Option<&Step>) -> Diagnostic {
    let keys: Vec<&str> = fields.iter().map(|(key, _)| key.as_str()).collect();
    let (message, help) = match own_key {
        Some(Step::Key(kind)) if name == "Fault" && FaultInfo::of(kind).is_some() => {
            let fields = fields.iter().map(|(_, field)| field.as_str()).collect::<Vec<_>>().join(", ");
            let example = format!("write `faults: {{{}: {{{kind}: {{{fields}}}}}}}`", kind.replace('_', "-"));
            ("a fault needs a name".to_owned(), example)
        }
        _ => (
            format!("{} has exactly one key, its kind, but there are several: {}", noun(name), words(&keys)),
            "make each an entry of its own, or indent what belongs under the first key".to_owned(),
        ),
    };
    Diagnostic::error(Code::NotOneKind, message).label("one too many").help(help)
}

fn choices(variants: &[&str]) -> String {
    match variants {
        [one] => format!("the only choice is `{one}`"),
        _ => format!("the choices are {}", words(variants)),
    }
}

fn noun(name: &str) -> &'static str {
    match name {
        "Fault" => "a fault",
        "Expectation" => "an expectation",
        _ => "this",
    }
}

/// The help for a key that is often forgotten.
fn example(key: &str) -> Option<String> {
    let text = match key {
        "version" => "begin the file with `version: 1`",
        "name" => "write `name: short-name`",
        "load" => "write `load: {main: {http: {service: \"shop:80\"}, rate: 20/s}}`",
        "phases" => "write `phases: [{name: baseline, duration: 30s}]`",
        "duration" => "write `duration: 30s`",
        "percentile" => "write `percentile: p95`",
        "to" => "write the name of an earlier phase, such as `to: baseline`",
        "pods" => "say which pods, such as `pods: {labels: {app: worker}, count: 1}`",
        "from" => "say which links are cut, such as `from: [{service: nats}]`",
        "model" => "write the model's name as the server knows it",
        "prompt" => "write `prompt: Say hello.`",
        "port" => "write the port that the pods serve, such as `port: 8080`",
        "for" => "write how long it must hold, such as `for: 10s`",
        "file" => "write the path of a file, relative to the scenario, such as `file: users.csv`",
        _ => return None,
    };
    Some(text.to_owned())
}

fn found(value: &Value) -> String {
    match value {
        Value::Null | Value::Gone => "nothing".to_owned(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Int(value) => format!("the number `{value}`"),
        Value::Float(value) => format!("the number `{value}`"),
        Value::String(text) | Value::Rendered(text) if text.is_empty() => "empty text".to_owned(),
        Value::String(text) => format!("the text `{}`", short(text)),
        Value::Rendered(text) => format!("the text `{}` (from the template)", short(text)),
        Value::Seq(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
        Value::Hole(_) => "nothing".to_owned(),
    }
}

/// The beginning of a text, on one line.
fn short(text: &str) -> String {
    let line: String = text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(40).collect();
    if text.chars().count() > 40 { format!("{line}...") } else { line }
}

/// A value of the expected type, for the help.
fn written(expected: &str) -> Option<String> {
    let value = match expected {
        "text" => "\"some text\"".to_owned(),
        "`true` or `false`" => "true".to_owned(),
        "a number" => "1.5".to_owned(),
        "a list" => "[...]".to_owned(),
        "a map (`key: value`)" => "{name: value}".to_owned(),
        _ if expected.starts_with("a whole number") => "1".to_owned(),
        _ => {
            // `a map with the key `partition``, `a map with keys such as `name``: the first key in backticks.
            let key = expected.strip_prefix("a map with ")?.split('`').nth(1)?;
            format!("{{{key}: ...}}")
        }
    };
    Some(value)
}

/// Adds the key to a hint that shows a value.
fn with_key(key: &str, hint: String) -> String {
    match hint.strip_prefix("write `") {
        Some(rest) => format!("write `{key}: {rest}"),
        None => hint,
    }
}

/// The whole number that a text means: `1` of `v1`, `1.0` and `1 pod`.
fn whole(text: &str) -> Option<u64> {
    let text = text.trim().trim_start_matches(['v', 'x', 'V', 'X']);
    let number = text.find(|c: char| !c.is_ascii_digit() && c != '.').map_or(text, |end| &text[..end]);
    let is_number = text == number || text[number.len()..].trim().chars().all(char::is_alphabetic);
    let value = number.parse::<f64>().ok().filter(|it| it.fract() == 0.0 && *it < 1e9)?;
    is_number.then_some(value as u64)
}

/// The equivalent of a key's value in other tools.
fn instead(key: &str, found: &str) -> Option<String> {
    let has_stages = key == "concurrency" && matches!(found, "a map" | "a list");
    has_stages.then(|| {
        "write `concurrency: 200`, or a ramp: `concurrency: {from: 0, to: 200, over: 5m}`; give each further stage a phase: \
         `{name: up, duration: 5m, load: {users: {concurrency: 50}}}`"
            .to_owned()
    })
}

fn hint(kind: &ErrorKind, value: &Value) -> Option<String> {
    let ErrorKind::WrongType(expected) = kind else { return None };
    match value {
        Value::Int(value) if expected.starts_with("text") => Some(format!("write `\"{value}\"` to mean it as text")),
        Value::Bool(value) if expected.starts_with("text") => Some(format!("write `\"{value}\"` to mean it as text")),
        // `1.10` has become 1.1.
        Value::Float(_) if expected.starts_with("text") => {
            Some("to mean it as text, put it in quotes as it is written".to_owned())
        }
        Value::String(text) if expected.starts_with("a whole number") => whole(text).map(|it| format!("write `{it}`")),
        Value::Float(number) if expected.starts_with("a whole number") && number.fract() == 0.0 && *number >= 0.0 => {
            Some(format!("write `{number}`"))
        }
        Value::String(text) if expected.contains("number") && text.parse::<f64>().is_ok() => {
            Some(format!("write `{text}`"))
        }
        Value::String(text) if expected.contains("`true`") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::Map(_) if expected.starts_with("a list") => {
            Some("begin each element with `- `, or put it in `[` and `]`".to_owned())
        }
        // Words with commas are several.
        Value::String(text) if expected.starts_with("a list") => {
            let words = text.split(',').map(|it| quoted(it.trim())).collect::<Vec<_>>().join(", ");
            Some(format!("write `[{words}]`"))
        }
        Value::Map(_) if expected.starts_with("text") => {
            Some("a template expression needs quotes: `\"{{ name }}\"`".to_owned())
        }
        _ => None,
    }
}

/// Readable names for serde's names of types.
fn humane(expected: &str) -> String {
    match expected {
        "a string" | "string" | "a borrowed string" => "text".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a map (`key: value`)".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number from 0 upwards".to_owned(),
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        other => other.to_owned(),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0.kind)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(ErrorKind::Custom(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::wrong_type(humane(&expected.to_string()))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::wrong_type(humane(&expected.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(ErrorKind::Missing(field))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::UnknownKey(field.to_owned(), expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(ErrorKind::UnknownWord(variant.to_owned(), expected))
    }
}
