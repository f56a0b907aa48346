//! What all tools have in common: steps with faults, requests, and the values of a scenario.

use std::time::Duration;

use crate::source::{self, Value};

/// A value of the scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Out {
    /// Text, quoted where YAML needs it.
    Text(String),
    /// A number or another value that is written as it is.
    Plain(String),
    Map(Vec<(String, Out)>),
    List(Vec<Out>),
}

impl Out {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A number, `true` or `false`, unchanged. Any other text is quoted, so that it cannot become structure.
    pub fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        match source::scalar(&text) {
            Value::Int(_) | Value::Float(_) | Value::Bool(_) => Self::Plain(text),
            _ => Self::Text(text),
        }
    }

    pub fn map<const N: usize>(pairs: [(&str, Self); N]) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Labels, or any other map to text.
    pub fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key, Self::Text(value))).collect())
    }

    /// In YAML's flow style.
    pub fn flow(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Plain(text) => text.clone(),
            Self::Map(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|(key, value)| format!("{}: {}", quoted(key), value.flow())).collect();
                format!("{{{}}}", pairs.join(", "))
            }
            Self::List(items) => format!("[{}]", items.iter().map(Self::flow).collect::<Vec<_>>().join(", ")),
        }
    }
}

/// The scenario before it is written.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub name: Option<String>,
    pub description: Option<String>,
    pub tags: Vec<String>,
    pub requests: Vec<Request>,
    pub steps: Vec<Step>,
    /// The step of the faults that a file applies together.
    pub together: Option<usize>,
}

/// A request that the other tool sends as a probe.
#[derive(Debug)]
pub(super) struct Request {
    pub name: String,
    pub url: String,
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// The conditions for a successful answer.
    pub check: Vec<(String, Out)>,
    pub timeout: Option<String>,
}

/// Faults that act at the same time: a phase.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub name: String,
    pub faults: Vec<Fault>,
}

/// A fault.
#[derive(Debug)]
pub(super) struct Fault {
    pub name: String,
    pub kind: &'static str,
    pub body: Vec<(String, Out)>,
    /// How long it lasts. None for a fault that happens once, and where the file does not say it.
    pub lasts: Option<Duration>,
    /// The time from the beginning of its step.
    pub after: Duration,
}

impl Fault {
    pub fn new(name: impl Into<String>, kind: &'static str, pods: Out) -> Self {
        let body = vec![("pods".to_owned(), pods)];
        Self { name: name.into(), kind, body, lasts: None, after: Duration::ZERO }
    }

    /// Sets a key, where there is a value.
    pub fn set(&mut self, key: &str, value: Option<Out>) {
        self.body.extend(value.map(|value| (key.to_owned(), value)));
    }

    pub fn set_text(&mut self, key: &str, value: Option<String>) {
        self.set(key, value.map(Out::Text));
    }

    /// True if the fault happens once and has no end.
    pub fn is_once(&self) -> bool {
        matches!(self.kind, "pod_kill" | "container_kill")
    }
}

impl Draft {
    /// Adds a step with one fault.
    pub fn step(&mut self, fault: Fault) {
        self.steps.push(Step { name: fault.name.clone(), faults: vec![fault] });
    }
}

/// Text as a YAML scalar, quoted only where another value would be read. Its braces begin no template of ours.
pub(super) fn quoted(text: &str) -> String {
    let text = &text.replace("{{", "{{ '{{' }}").replace("{%", "{{ '{%' }}");
    let plain = text.starts_with(|letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '/' | '.' | '_'))
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./%: ".contains(letter))
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && matches!(source::scalar(text), Value::String(same) if same == *text);
    if plain { text.to_owned() } else { serde_json::Value::from(text.as_str()).to_string() }
}
