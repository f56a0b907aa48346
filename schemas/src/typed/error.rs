//! One error of reading a type from the tree, in serde's terms on the way up and in a person's terms at the end.

use std::fmt;

use serde::de;

use super::guess;
use crate::diagnostic::{Code, Diagnostic, suggestion, words};
use crate::source::{Entry, Node, Span, Step, Value};

/// What went wrong, where. It travels up through the readers, each of which adds its step to the path.
#[derive(Debug)]
pub(crate) struct ReadError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    span: Option<Span>,
    /// What stands there, in words.
    found: String,
    /// What a value of another type looks like it should have been.
    hint: Option<String>,
    /// What to write in the place of what was guessed, and how many steps it is from there to the node that is wrong.
    answer: Option<(String, usize)>,
    /// The steps from the node that is to be taken out up to the root: the last step is the first of the path.
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Kind {
    WrongType(String),
    Custom(String),
    Missing(&'static str),
    UnknownKey(String, &'static [&'static str]),
    UnknownWord(String, &'static [&'static str]),
    EmptyMap(&'static str, &'static [&'static str]),
    NoMap(&'static str, &'static [&'static str]),
    SeveralKeys(&'static str, Vec<String>),
}

impl ReadError {
    fn new(kind: Kind) -> Self {
        Self(Box::new(Inner { kind, span: None, found: String::new(), hint: None, answer: None, steps: Vec::new() }))
    }

    pub(super) fn wrong_type(expected: impl Into<String>) -> Self {
        Self::new(Kind::WrongType(expected.into()))
    }

    pub(super) fn no_kind(name: &'static str, variants: &'static [&'static str]) -> Self {
        Self::new(Kind::EmptyMap(name, variants))
    }

    pub(super) fn not_a_kind(name: &'static str, variants: &'static [&'static str]) -> Self {
        Self::new(Kind::NoMap(name, variants))
    }

    pub(super) fn two_kinds(name: &'static str, entries: &[Entry], second: &Entry) -> Self {
        let mut fault = Self::new(Kind::SeveralKeys(name, entries.iter().map(|entry| entry.key.clone()).collect()));
        fault.0.span = Some(second.key_span);
        fault
    }

    /// At this node, unless it already has a place.
    pub(super) fn or_at(mut self, node: &Node, owner: Span) -> Self {
        if self.0.span.is_none() {
            let whole = matches!(self.0.kind, Kind::Missing(_) | Kind::EmptyMap(..))
                || matches!(node.value, Value::Map(_) | Value::Seq(_));
            self.0.span = Some(if whole || node.span.len == 0 { owner } else { node.span });
            self.0.found = found(&node.value);
            self.0.hint = hint(&self.0.kind, &node.value);
        }
        self
    }

    /// At this key.
    pub(super) fn at_key(mut self, entry: &Entry) -> Self {
        self.0.span = Some(entry.key_span);
        self
    }

    /// With what to write in the place of this entry of a map of a type, where that is known. What is known of the whole
    /// is better than what is known of a part.
    pub(super) fn guessed(mut self, of: &str, entry: &Entry) -> Self {
        if let Some(answer) = guess::answer(of, &entry.key, &entry.node) {
            self.0.answer = Some((answer, self.0.steps.len()));
        }
        self
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

    /// The path, from the root, of the node that is wrong.
    pub(super) fn path(&self) -> Vec<Step> {
        self.0.steps.iter().rev().cloned().collect()
    }

    /// The path of the entry that was guessed, where its answer is known.
    pub(super) fn guess(&self) -> Option<Vec<Step>> {
        let (_, inside) = self.0.answer.as_ref()?;
        let mut path = self.path();
        // An unknown kind has no step of its own: its whole is taken out.
        path.truncate(path.len().saturating_sub(*inside).max(1));
        Some(path)
    }

    /// True when something is missing that a guess may have been meant to be.
    pub(super) fn lacks(&self) -> bool {
        matches!(self.0.kind, Kind::Missing(_) | Kind::EmptyMap(..))
    }

    /// The key that is missing at the path, if that is what is wrong.
    pub(super) fn missing(&self) -> Option<&'static str> {
        match self.0.kind {
            Kind::Missing(key) => Some(key),
            _ => None,
        }
    }

    pub(super) fn into_diagnostic(self) -> Diagnostic {
        let Inner { kind, span, found, hint, answer, steps } = *self.0;
        let diagnostic = match kind {
            Kind::WrongType(expected) if found == "nothing" => {
                let key = match steps.first() {
                    Some(Step::Key(key)) => format!("`{key}` has no value"),
                    _ => "there is no value here".to_owned(),
                };
                Diagnostic::error(Code::WrongType, key)
                    .label(format!("expected {expected}"))
                    .help("give it a value, or remove the key")
            }
            Kind::WrongType(expected) => {
                let hint = match steps.first() {
                    Some(Step::Key(key)) => hint.map(|hint| with_key(key, hint)).or_else(|| instead(key, &found)),
                    _ => hint,
                };
                Diagnostic::error(Code::WrongType, format!("expected {expected}, found {found}")).maybe_help(hint)
            }
            // Quantities put what to write instead behind a line break.
            Kind::Custom(text) => match text.split_once('\n') {
                Some((message, help)) => Diagnostic::error(Code::InvalidValue, message).help(help),
                None => Diagnostic::error(Code::InvalidValue, text),
            },
            Kind::Missing(key) => {
                let whose = match steps.first() {
                    Some(Step::Key(owner)) => format!("`{owner}` needs the key `{key}`"),
                    Some(Step::Index(_)) => format!("this element needs the key `{key}`"),
                    None => format!("the scenario needs the key `{key}`"),
                };
                Diagnostic::error(Code::MissingKey, whose).label(format!("`{key}` is missing")).maybe_help(example(key))
            }
            Kind::UnknownKey(key, known) => {
                Diagnostic::error(Code::UnknownKey, format!("there is no key `{key}` here"))
                    .label("unknown key")
                    .maybe_help(suggestion(&key, known, "key here"))
            }
            Kind::UnknownWord(word, known) => {
                Diagnostic::error(Code::UnknownKind, format!("`{word}` is not one of the choices"))
                    .label("unknown word")
                    .maybe_help(suggestion(&word, known, "choice"))
            }
            Kind::EmptyMap(name, variants) => Diagnostic::error(Code::NotOneKind, format!("{} is empty", noun(name)))
                .help(format!("write a map with one key, its kind: {}", choices(variants))),
            Kind::NoMap(name, variants) => Diagnostic::error(
                Code::NotOneKind,
                format!("expected {}, found {found}", if name.is_empty() { "a kind" } else { noun(name) }),
            )
            .help(choices(variants)),
            Kind::SeveralKeys(name, keys) => {
                let keys: Vec<&str> = keys.iter().take(6).map(String::as_str).collect();
                Diagnostic::error(
                    Code::NotOneKind,
                    format!("{} has one key, its kind, and this has several: {}", noun(name), words(&keys)),
                )
                .label("one too many")
                .help("make each an entry of its own, or indent what belongs under the first key")
            }
        };
        let diagnostic = diagnostic.maybe_help(answer.map(|(text, _)| text));
        match span {
            Some(span) => diagnostic.at(span),
            None => diagnostic,
        }
    }
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

/// How a key that is often forgotten is written.
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

/// A hint that shows a value in quotes shows the line.
fn with_key(key: &str, hint: String) -> String {
    match hint.strip_prefix("write `\"") {
        Some(rest) => format!("write `{key}: \"{rest}"),
        None => hint,
    }
}

/// What other tools have in the place of a key, written as it is here.
fn instead(key: &str, found: &str) -> Option<String> {
    let has_stages = key == "concurrency" && matches!(found, "a map" | "a list");
    has_stages.then(|| {
        "write `concurrency: 200`, and give each stage a phase: `{name: up, duration: 5m, load: {users: {concurrency: 50}}}`; \
         a `rate` can also be a ramp: `rate: {from: 0/s, to: 200/s, over: 5m}`"
            .to_owned()
    })
}

fn hint(kind: &Kind, value: &Value) -> Option<String> {
    let Kind::WrongType(expected) = kind else { return None };
    match value {
        Value::Int(value) if expected.starts_with("text") => Some(format!("write `\"{value}\"` to mean it as text")),
        Value::Bool(value) if expected.starts_with("text") => Some(format!("write `\"{value}\"` to mean it as text")),
        // `1.10` has become 1.1.
        Value::Float(_) if expected.starts_with("text") => {
            Some("to mean it as text, put it in quotes as it is written".to_owned())
        }
        Value::String(text) if expected.contains("number") && text.parse::<f64>().is_ok() => {
            Some(format!("remove the quotes: `{text}`"))
        }
        Value::String(text) if expected.contains("`true`") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::Map(_) if expected.starts_with("a list") => {
            Some("begin each element with `- `, or put it in `[` and `]`".to_owned())
        }
        Value::String(text) if expected.starts_with("a list") => Some(format!("write `[{}]`", short(text))),
        Value::Map(_) if expected.starts_with("text") => {
            Some("a template expression needs quotes: `\"{{ name }}\"`".to_owned())
        }
        _ => None,
    }
}

/// serde's names of types, for people.
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
        Self::new(Kind::Custom(message.to_string()))
    }

    fn invalid_type(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::wrong_type(humane(&expected.to_string()))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::wrong_type(humane(&expected.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Kind::Missing(field))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownKey(field.to_owned(), expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Kind::UnknownWord(variant.to_owned(), expected))
    }
}
