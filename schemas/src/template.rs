//! Template expressions in string values: `{{ name }}`, with the filters of minijinja. They are evaluated on the tree
//! after the YAML was parsed, so they cannot change its structure or its positions. The statements of the template
//! language (`{% ... %}`) are refused, because a scenario is data.
//!
//! The requests of a load may also contain request data (`{{ n }}`), which is known only at run time. It stays in the
//! text, and `scenario::RequestText` parses it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use indexmap::IndexMap;
use minijinja::value::{Object, Serde, ValueKind};
use minijinja::{Environment, ErrorKind, State, UndefinedBehavior};

use crate::diagnostic::{Code, Diagnostic, closest, words};
use crate::foreign;
use crate::pieces::{Piece, pieces};
use crate::scenario::{Data, LoadKindInfo, REQUEST_NAMES, RequestText, TextPart};
use crate::source::{Node, Span, Step, Value, place};

/// The longest text that an expression may produce, in bytes.
const MAX_RENDERED: usize = 1 << 20;

/// The longest text that all expressions of a file may produce together, in bytes. A file can repeat one long variable
/// many times.
const MAX_RENDERED_BY_FILE: usize = 16 << 20;

/// The maximum work of one expression, in minijinja's fuel: 1 per instruction, and 1 per 64 bytes that a filter or an
/// operator reads or produces. It bounds memory as well: 64 bytes per unit are 4 MiB.
const MAX_FUEL: u64 = 1 << 16;

/// The maximum work of all expressions of a file: 64 MiB.
const MAX_FUEL_BY_FILE: u64 = 1 << 20;

/// The number of errors after which no further expression is evaluated. Only 100 are shown, and each failing expression
/// may use its maximum of work.
const MAX_ERRORS: usize = 500;

/// The help for long texts.
const BODY_HELP: &str = "put a long body into a separate file: `body_file: body.json`";

/// A filter that records the work of an expression and returns its value unchanged.
const METER: &str = "__meter";

/// The function that reads an environment variable. A variable of this name hides it.
const ENV: &str = "env";

/// The value of an environment variable, or the default.
fn environment_variable(name: &str, default: Option<String>) -> Result<String, minijinja::Error> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty()).or(default);
    value.ok_or_else(|| minijinja::Error::from(ErrorKind::InvalidOperation).with_source(Unset(name.to_owned())))
}

/// An environment variable that is not set.
#[derive(Debug)]
struct Unset(String);

impl std::fmt::Display for Unset {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "the environment variable `{}` is not set", self.0)
    }
}

impl std::error::Error for Unset {}

/// The longest expression, in bytes. minijinja recurses for every operator, and the stack is limited.
const MAX_EXPRESSION: usize = 1000;

/// Values by name.
pub(crate) type Vars = IndexMap<String, serde_json::Value>;

/// Renders templates and records the variables that they use.
pub(crate) struct Templates<'t> {
    text: &'t str,
    environment: Environment<'static>,
    variables: Arc<Variables>,
    /// The fuel that the latest expression used.
    meter: Arc<AtomicU64>,
    /// The remainder of [`MAX_FUEL_BY_FILE`].
    fuel: u64,
    /// The remainder of [`MAX_RENDERED_BY_FILE`].
    room: usize,
    /// True after the file's limit was exceeded. This is reported once.
    gave_up: bool,
    /// The variables that expressions use, defined or not.
    pub used: BTreeSet<String>,
    /// The variables of the file itself. They hide request data of the same name.
    pub declared: BTreeSet<String>,
    /// The values that steps capture from their answers.
    captured: BTreeSet<String>,
    pub errors: Vec<Diagnostic>,
}

/// The values of variables, converted to minijinja's type once instead of per expression.
#[derive(Debug, Default)]
struct Variables(RwLock<IndexMap<String, minijinja::Value>>);

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &minijinja::Value) -> Option<minijinja::Value> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key.as_str()?).cloned()
    }
}

impl Variables {
    fn has(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains_key(name)
    }

    fn names(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

impl<'t> Templates<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // A function such as `namespace` would hide a missing variable of that name.
        let globals: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
        for name in globals {
            environment.remove_global(&name);
        }
        // These filters produce text of any length from a number.
        for name in ["indent", "format", "tojson", "batch", "slice"] {
            environment.remove_filter(name);
        }
        environment.add_function(ENV, environment_variable);
        let meter = Arc::new(AtomicU64::new(0));
        let reading = Arc::clone(&meter);
        environment.add_filter(METER, move |state: &State<'_, '_>, value: minijinja::Value| {
            reading.store(state.fuel_levels().map_or(0, |(used, _)| used), Ordering::Relaxed);
            value
        });
        Self {
            text,
            environment,
            variables: Arc::default(),
            meter,
            fuel: MAX_FUEL_BY_FILE,
            room: MAX_RENDERED_BY_FILE,
            gave_up: false,
            used: BTreeSet::new(),
            declared: BTreeSet::new(),
            captured: BTreeSet::new(),
            errors: Vec::new(),
        }
    }

    /// Sets a variable for all later expressions.
    pub(crate) fn define(&self, name: &str, value: &serde_json::Value) {
        let value = minijinja::Value::from(Serde(value));
        self.variables.0.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    /// Renders every string of the tree in place. A string that cannot be rendered becomes an error and a stand-in,
    /// which causes no further errors.
    pub(crate) fn render(&mut self, node: &mut Node) {
        captured(node, &mut self.captured);
        self.render_at(node, &mut Vec::new());
    }

    fn render_at(&mut self, node: &mut Node, path: &mut Vec<Step>) {
        match &mut node.value {
            Value::String(text) if text.contains('$') && foreign::shell(text, path).is_some() => {
                self.errors.extend(foreign::shell(text, path).map(|problem| problem.at(node.span)));
                node.value = Value::Hole(0);
            }
            Value::String(text) if text.contains("{{") || text.contains("{%") => {
                let text = std::mem::take(text);
                let parts = self.parts(&text, node.span, is_sent(path));
                node.value = match parts {
                    // Only requests contain request data, so only their literal braces need escaping.
                    Some(parts) if is_sent(path) => Value::Rendered(RequestText::of(parts).to_string()),
                    Some(parts) => Value::Rendered(RequestText::of(parts).texts().collect()),
                    None => Value::Hole(0),
                };
            }
            Value::Seq(nodes) => {
                for (index, node) in nodes.iter_mut().enumerate() {
                    path.push(Step::Index(index));
                    self.render_at(node, path);
                    path.pop();
                }
            }
            Value::Map(entries) => {
                for entry in entries {
                    path.push(Step::Key(entry.key.clone()));
                    self.render_at(&mut entry.node, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    /// The parts of one string, or none after an error at its position. Request data is kept if `is_sent`.
    fn parts(&mut self, text: &str, span: Span, is_sent: bool) -> Option<Vec<TextPart>> {
        if self.gave_up || self.errors.len() >= MAX_ERRORS {
            return None;
        }
        let mut parts = Vec::new();
        let mut length = 0;
        for piece in pieces(text) {
            let part = match piece {
                Piece::Text(text) => Ok(TextPart::Text(text.to_owned())),
                Piece::Bad(message, help) => {
                    self.errors.push(Diagnostic::error(Code::Template, message).at(span).help(help));
                    return None;
                }
                Piece::Expression(expression) => match Data::parse(expression) {
                    Some(data) if is_sent && !self.declared.contains(data.name()) => Ok(TextPart::Data(data)),
                    _ => self
                        .expression(expression, is_sent)
                        .map(TextPart::Text)
                        .map_err(|diagnostic| diagnostic.at(self.inner(expression, span))),
                },
            };
            match part {
                Ok(part) => {
                    length += if let TextPart::Text(text) = &part { text.len() } else { 0 };
                    parts.push(part);
                }
                Err(diagnostic) => {
                    self.errors.push(diagnostic);
                    return None;
                }
            }
            if length > MAX_RENDERED.min(self.room) {
                self.gave_up = length <= MAX_RENDERED;
                let message = match length > MAX_RENDERED {
                    true => format!("this template produces more than {MAX_RENDERED} bytes"),
                    false => format!("the templates of this file produce more than {MAX_RENDERED_BY_FILE} bytes"),
                };
                self.errors.push(Diagnostic::error(Code::Template, message).at(span).help(BODY_HELP));
                return None;
            }
        }
        self.room -= length;
        Some(parts)
    }

    #[expect(clippy::result_large_err, reason = "one caller, which unpacks it immediately")]
    fn expression(&mut self, source: &str, is_sent: bool) -> Result<String, Diagnostic> {
        if source.len() > MAX_EXPRESSION {
            let message = format!("this template expression is longer than {MAX_EXPRESSION} bytes");
            return Err(Diagnostic::error(Code::Template, message).help("put values under `vars`"));
        }
        self.environment.set_fuel(Some(self.fuel.min(MAX_FUEL)));
        let mut named = self
            .environment
            .compile_expression(source)
            .map_err(|error| failed("this template expression cannot be read", &error))?
            .undeclared_variables(false);
        let calls_env = source.contains("env(") && !self.variables.has(ENV);
        if calls_env {
            named.remove(ENV);
        } else if named.contains(ENV) && !self.variables.has(ENV) {
            return Err(undefined_variable(ENV, &self.variables.names(), &[]));
        }
        let is_data = |name: &str| {
            named.contains(name) && !self.declared.contains(name) && (is_sent || !self.variables.has(name))
        };
        if let Some(name) = REQUEST_NAMES.into_iter().find(|name| is_data(name)) {
            return Err(misused_data(name, is_sent));
        }
        self.used.extend(named.iter().cloned());
        let undefined = || -> Option<Diagnostic> {
            let mut missing: Vec<&str> =
                named.iter().map(String::as_str).filter(|name| !self.variables.has(name)).collect();
            missing.sort_by_key(|name| source.find(name));
            let more: &[&str] = if is_sent { &REQUEST_NAMES } else { &[] };
            if let Some(name) = missing.iter().find(|name| is_sent && self.captured.contains(**name)) {
                let problem =
                    Diagnostic::error(Code::UndefinedVariable, format!("the variable `{name}` is not defined"));
                let help = format!("a step captures it: write `{{{{ capture.{name} }}}}`");
                return Some(problem.label("no such variable").help(help));
            }
            missing.first().map(|name| undefined_variable(name, &self.variables.names(), more))
        };
        // A valid expression is also valid in parentheses.
        let metered = format!("({source}\n)|{METER}");
        let context = minijinja::Value::from_dyn_object(Arc::clone(&self.variables));
        self.meter.store(0, Ordering::Relaxed);
        let value = self.environment.compile_expression(&metered).and_then(|expression| expression.eval(context));
        self.fuel -= self.meter.load(Ordering::Relaxed).min(self.fuel);
        if value.as_ref().is_err_and(|error| error.kind() == ErrorKind::OutOfFuel) {
            self.gave_up = self.fuel < MAX_FUEL;
        }
        let value = value.map_err(|error| match error.kind() {
            ErrorKind::UndefinedError | ErrorKind::UnknownFunction => {
                undefined().unwrap_or_else(|| failed("this template expression has no value", &error))
            }
            ErrorKind::OutOfFuel => Diagnostic::error(
                Code::Template,
                match self.fuel < MAX_FUEL {
                    true => "the template expressions of this file need too much computation",
                    false => "this template expression needs too much computation or produces too much text",
                },
            )
            .help(BODY_HELP),
            _ => match std::error::Error::source(&error).and_then(|source| source.downcast_ref::<Unset>()) {
                Some(unset) => Diagnostic::error(Code::UndefinedVariable, unset.to_string())
                    .label("not set")
                    .help("set it, or give a default: `{{ env(\"NAME\", \"default\") }}`"),
                None => failed("this template expression cannot be computed", &error),
            },
        })?;
        match value.kind() {
            ValueKind::Undefined => Err(undefined().unwrap_or_else(|| {
                Diagnostic::error(Code::UndefinedVariable, "this template expression has no value")
                    .help("one of its variables has no such field")
            })),
            ValueKind::None => Ok("null".to_owned()),
            ValueKind::Bool => Ok(if value.is_true() { "true" } else { "false" }.to_owned()),
            ValueKind::Number | ValueKind::String => Ok(value.to_string()),
            kind => Err(Diagnostic::error(
                Code::Template,
                format!("this template expression gives a {kind}; only single values can be inserted into text"),
            )
            .help("a list can be joined: `{{ list | join(\",\") }}`")),
        }
    }

    /// The position of an expression within its string, if the file contains it literally.
    fn inner(&self, expression: &str, span: Span) -> Span {
        if span.file > 0 {
            return span;
        }
        let raw = self.text.get(span.offset..span.offset + span.len).unwrap_or_default();
        match raw.find(expression) {
            Some(at) if !expression.trim().is_empty() => {
                let leading = expression.len() - expression.trim_start().len();
                place(self.text, span.offset + at + leading, expression.trim().len())
            }
            _ => span,
        }
    }
}

/// True for a path that can contain request data.
fn is_sent(path: &[Step]) -> bool {
    let keys: Vec<&str> = path
        .iter()
        .map(|step| match step {
            Step::Key(key) => key.as_str(),
            Step::Index(_) => "[]",
        })
        .collect();
    match keys.as_slice() {
        ["load", _, kind, rest @ ..] => LoadKindInfo::of(kind).is_some_and(|kind| kind.is_sent(rest)),
        _ => false,
    }
}

/// Collects the names of the values that steps capture, also under the words that other tools have for it.
fn captured(node: &Node, names: &mut BTreeSet<String>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                match &entry.node.value {
                    Value::Map(values) if matches!(entry.key.as_str(), "capture" | "extract") => {
                        names.extend(values.iter().map(|value| value.key.clone()));
                    }
                    _ => captured(&entry.node, names),
                }
            }
        }
        Value::Seq(nodes) => nodes.iter().for_each(|node| captured(node, names)),
        _ => {}
    }
}

/// The error for request data where it is not allowed, or in an expression that cannot be evaluated per request.
fn misused_data(name: &str, is_sent: bool) -> Diagnostic {
    let written = match name {
        "row" => "row.column",
        "capture" => "capture.name",
        name => name,
    };
    if is_sent {
        return Diagnostic::error(Code::Template, format!("`{name}` is request data and must be written alone")).help(
            format!("write `{{{{ {written} }}}}`, `{{{{ {written} | urlencode }}}}` or `{{{{ {written} | tojson }}}}`"),
        );
    }
    Diagnostic::error(Code::UndefinedVariable, format!("the variable `{name}` is not defined"))
        .label("no such variable")
        .help(format!(
            "request data is available only in {}. For a value that is the same in all requests, define `{name}` under \
             `vars`",
            words(&LoadKindInfo::sent_keys())
        ))
}

fn undefined_variable(name: &str, known: &[String], more: &[&str]) -> Diagnostic {
    let hint = format!("give it a value under `vars`, or with `--var {name}=value`");
    let known: Vec<&str> = known.iter().map(String::as_str).chain(more.iter().copied()).collect();
    let help = match closest(name, known.iter().copied()) {
        Some(meant) => format!("did you mean `{meant}`? Otherwise {hint}"),
        None if known.is_empty() || known.len() > 20 => hint,
        None => format!("{hint}; known are {}", words(&known)),
    };
    Diagnostic::error(Code::UndefinedVariable, format!("the variable `{name}` is not defined"))
        .label("no such variable")
        .help(help)
}

fn failed(what: &str, error: &minijinja::Error) -> Diagnostic {
    let why = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    Diagnostic::error(Code::Template, format!("{what}: {why}"))
        .help("write an expression such as `{{ name }}` or `{{ name | default(\"x\") }}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(text: &str) -> Result<String, String> {
        let vars: Vars = serde_json::from_str(r#"{"a": "x", "n": 3, "on": true, "list": [1, 2], "map": {"k": "v"}}"#)
            .expect("the variables of the test");
        let mut templates = Templates::new(text);
        vars.iter().for_each(|(name, value)| templates.define(name, value));
        let out = templates.parts(text, Span::default(), false).map(RequestText::of);
        out.map(|text| text.texts().collect())
            .ok_or_else(|| templates.errors.pop().map(|error| error.message).unwrap_or_default())
    }

    #[test]
    fn expressions_are_replaced_and_the_rest_is_unchanged() {
        for (text, rendered) in [
            ("{{ a }}", "x"),
            ("{{a}}-{{ n }}", "x-3"),
            ("{{ n * 2 }}", "6"),
            ("{{ on }}", "true"),
            ("{{ missing | default('d') }}", "d"),
            ("{{ list | join(',') }}", "1,2"),
            ("{{ map.k }}", "v"),
            ("{{ {'k': {'l': 1}}.k.l }}", "1"),
            ("{{ '}}' }}", "}}"),
            ("{{ '{%' }}", "{%"),
            ("{# kept #} {{ a }} }} {", "{# kept #} x }} {"),
        ] {
            assert_eq!(render(text).as_deref(), Ok(rendered), "{text}");
        }
    }

    #[test]
    fn an_environment_variable_is_read_and_a_missing_one_is_an_error() {
        // Cargo sets this variable for its tests.
        let folder = env!("CARGO_MANIFEST_DIR");
        assert_eq!(render("{{ env('CARGO_MANIFEST_DIR') }}").as_deref(), Ok(folder));
        assert_eq!(render("{{ env('NO_SUCH_VARIABLE', a) }}-{{ n }}").as_deref(), Ok("x-3"));
        for (text, message) in [
            ("{{ env('NO_SUCH_VARIABLE') }}", "the environment variable `NO_SUCH_VARIABLE` is not set"),
            ("{{ env }}", "the variable `env` is not defined"),
        ] {
            let error = render(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn errors_name_the_reason() {
        for (text, message) in [
            ("{{ missing }}", "the variable `missing` is not defined"),
            ("{{ namespace }}", "the variable `namespace` is not defined"),
            ("{{ range(3) }}", "the variable `range` is not defined"),
            ("{{ map.nothing }}", "has no value"),
            ("{{ a", "never ends"),
            ("{% if a %}b{% endif %}", "statements"),
            ("{{ list }}", "only single values"),
            ("{{ }}", "cannot be read"),
            ("{{ a + }}", "cannot be read"),
        ] {
            let error = render(text).expect_err(text);
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    /// The limits of one expression, and of all expressions of a file.
    #[test]
    fn work_and_text_are_bounded() {
        let begin = crate::tests::processor_time();
        let chain = |start: &str, step: &str, times: usize| format!("{{{{ {start}{} }}}}", step.repeat(times));
        for (text, message) in [
            (chain("'x'", "|replace('x','xxxxxxxxxxxxxxxx')", 8), "too much computation"),
            (chain("'x'", "|replace('','xxxxxxxxxxxxxxxxxxxx')", 12), "too much computation"),
            (chain("['x','x']", "|join('xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')|list", 20), "too much computation"),
            (chain("'x' * 90000000", "", 0), "too much computation"),
            (chain("('x' * 3000000)", "|replace('x','y')", 40), "too much computation"),
            (chain("([1] * 100000000)", "|join('x')", 1), "too much computation"),
            (chain("('x' * 1000000)", " ~ ('x' * 1000000)", 30), "too much computation"),
            (chain("'x' * 1100000", "", 0), "more than 1048576 bytes"),
        ] {
            let error = render(&text).expect_err(&text);
            assert!(error.contains(message), "{text}: {error}");
        }
        let mut templates = Templates::new("");
        templates.define("a", &"x".repeat(100_000).into());
        let mut asked = |text: &str| -> usize {
            let text = text.repeat(20);
            (0..1000).take_while(|_| templates.parts(&text, Span::default(), false).is_some()).count()
        };
        let short = asked("{{ a[:1] }}{{ (a | replace('x', 'y')) | length }}");
        assert!((5..=1000).contains(&short), "{short}");
        assert!(
            templates.errors[0].message.contains("of this file need too much computation"),
            "{:?}",
            templates.errors
        );
        assert_eq!(templates.errors.len(), 1, "{:?}", templates.errors);
        let mut templates = Templates::new("");
        templates.define("a", &"x".repeat(100_000).into());
        let long = (0..1000).take_while(|_| templates.parts("{{ a }}", Span::default(), false).is_some()).count();
        assert_eq!(long, MAX_RENDERED_BY_FILE / 100_000);
        assert!(templates.errors[0].message.contains("templates of this file produce more"), "{:?}", templates.errors);
        let took = crate::tests::processor_time() - begin;
        assert!(took < std::time::Duration::from_secs(60), "{took:?}");
    }

    #[test]
    fn no_expression_exhausts_the_stack_or_the_memory() {
        let deep =
            [format!("{}1", "-".repeat(900)), format!("{}1", "not ".repeat(240)), format!("1{}", "+1".repeat(490))];
        for source in deep.iter().map(String::as_str).chain(["'a' * 100000000000", "'a' | indent(10000000000)"]) {
            // It may succeed or fail. It must return.
            let _ = render(&format!("{{{{ {source} }}}}"));
        }
        for long in ["not ".repeat(20_000), "[]".to_owned() + &"|list".repeat(20_000), "(".repeat(20_000)] {
            let error = render(&format!("{{{{ {long} }}}}")).expect_err("a long expression");
            assert!(error.contains("longer than"), "{error}");
        }
    }
}
