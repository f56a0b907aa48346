//! A tolerant reader of JavaScript: statements and literals. It runs nothing. What is more than a literal is not
//! understood, and never guessed.

use std::collections::BTreeMap;

use super::tokens::{Kind, Token, tokens};
use crate::source::{self, Entry, Node, Span, Value};

/// The deepest literal that is read.
const DEEPEST: usize = 32;

/// Tokens that follow each other, by their indexes: the first, and the one after the last.
pub(super) type Range = std::ops::Range<usize>;

/// A script.
pub(super) struct Script<'s> {
    source: &'s str,
    pub tokens: Vec<Token<'s>>,
    /// For each opening bracket the index of the closing one.
    pairs: BTreeMap<usize, usize>,
    /// The constants with a literal value.
    pub constants: BTreeMap<&'s str, Node>,
}

/// What was not understood: its line and its text.
pub(super) type Strange = (u32, String);

impl<'s> Script<'s> {
    pub fn read(source: &'s str) -> Self {
        let tokens = tokens(source);
        let mut pairs = BTreeMap::new();
        let mut open = Vec::new();
        for (index, token) in tokens.iter().enumerate() {
            match (token.kind, token.text) {
                (Kind::Sign, "(" | "[" | "{") => open.push(index),
                (Kind::Sign, ")" | "]" | "}") => _ = open.pop().map(|begin| pairs.insert(begin, index)),
                _ => {}
            }
        }
        // What is never closed ends with the file.
        pairs.extend(open.into_iter().map(|begin| (begin, tokens.len())));
        Self { source, tokens, pairs, constants: BTreeMap::new() }
    }

    pub fn is(&self, index: usize, text: &str) -> bool {
        self.tokens.get(index).is_some_and(|token| token.text == text && matches!(token.kind, Kind::Sign | Kind::Word))
    }

    pub fn word(&self, index: usize) -> Option<&'s str> {
        self.tokens.get(index).filter(|token| token.kind == Kind::Word).map(|token| token.text)
    }

    pub fn line(&self, index: usize) -> u32 {
        self.tokens.get(index).map_or(1, |token| token.line)
    }

    /// What is between an opening bracket and its closing one, and the index after that.
    pub fn inside(&self, open: usize) -> (Range, usize) {
        let close = self.pairs.get(&open).copied().unwrap_or(self.tokens.len());
        (open + 1..close.max(open + 1), (close + 1).min(self.tokens.len()))
    }

    /// The text of some tokens, on one line and not too long.
    pub fn shown(&self, range: &Range) -> String {
        let tokens = self.tokens.get(range.clone()).unwrap_or_default();
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return String::new() };
        let text = self.source[first.offset..last.offset + last.text.len()].split_whitespace();
        let text = text.collect::<Vec<_>>().join(" ");
        if text.chars().count() > 60 { format!("{}…", text.chars().take(59).collect::<String>()) } else { text }
    }

    /// The parts of a range between commas that are in no brackets.
    pub fn parts(&self, range: Range) -> Vec<Range> {
        let mut parts = self.split(&range, ",");
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// The parts of a range between marks that are in no brackets. A part may be empty.
    fn split(&self, range: &Range, mark: &str) -> Vec<Range> {
        let mut parts = Vec::new();
        let (mut begin, mut at) = (range.start, range.start);
        while at < range.end {
            if self.is(at, mark) {
                parts.push(begin..at);
                begin = at + 1;
            }
            at = self.after(at).min(range.end);
        }
        parts.push(begin..range.end);
        parts
    }

    /// The index after a token, or after what its bracket contains.
    fn after(&self, at: usize) -> usize {
        if self.pairs.contains_key(&at) { self.inside(at).1 } else { at + 1 }
    }

    /// The statements of a range.
    pub fn statements(&self, range: Range) -> Vec<Range> {
        let mut found = Vec::new();
        let (mut begin, mut at) = (range.start, range.start);
        while at < range.end {
            if self.is(at, ";") {
                found.push(begin..at);
                at += 1;
                begin = at;
                continue;
            }
            at = self.after(at).min(range.end);
            if at < range.end && self.ends_before(at) {
                found.push(begin..at);
                begin = at;
            }
        }
        found.push(begin..range.end);
        found.retain(|statement| !statement.is_empty());
        found
    }

    /// Whether a statement without a semicolon ends before this token, which is on another line.
    fn ends_before(&self, at: usize) -> bool {
        let (last, next) = (self.tokens[at - 1], self.tokens[at]);
        let goes_on = ["else", "catch", "finally", "in", "of", "instanceof"];
        let is_complete = match last.kind {
            Kind::Sign => matches!(last.text, ")" | "]" | "}"),
            _ => !matches!(last.text, "return" | "const" | "let" | "var" | "new" | "await" | "export" | "default"),
        };
        next.line > last.line
            && is_complete
            && next.kind != Kind::Template
            && !(next.kind == Kind::Sign && next.text != "{")
            && !goes_on.contains(&next.text)
    }

    /// The literal of a range. What is not understood in it becomes nothing, and is listed in `strange`.
    pub fn literal(&self, range: &Range, strange: &mut Vec<Strange>) -> Node {
        self.value(range, strange, 0)
    }

    /// The same, if all of it is understood.
    pub fn whole_literal(&self, range: &Range) -> Option<Node> {
        let mut strange = Vec::new();
        let node = self.literal(range, &mut strange);
        strange.is_empty().then_some(node)
    }

    fn span(&self, range: &Range) -> Span {
        let token = self.tokens.get(range.start);
        Span { offset: token.map_or(0, |it| it.offset), line: self.line(range.start), column: 1, ..Span::default() }
    }

    fn value(&self, range: &Range, strange: &mut Vec<Strange>, depth: usize) -> Node {
        let span = self.span(range);
        let node = |value| Node { span, value };
        let all = self.tokens.get(range.clone()).unwrap_or_default();
        if depth < DEEPEST {
            match all {
                [one] => {
                    if let Some(value) = self.scalar(one) {
                        return node(value);
                    }
                }
                [minus, number] if minus.text == "-" && number.kind == Kind::Number => {
                    if let Some(value) = self.scalar(number) {
                        return node(match value {
                            Value::Int(number) => Value::Int(-number),
                            Value::Float(number) => Value::Float(-number),
                            other => other,
                        });
                    }
                }
                [open, ..] if self.inside(range.start).1 == range.end && open.kind == Kind::Sign => {
                    let (inner, _) = self.inside(range.start);
                    match open.text {
                        "{" => return node(self.map(inner, strange, depth)),
                        "[" => {
                            let parts = self.parts(inner).into_iter();
                            return node(Value::Seq(parts.map(|part| self.value(&part, strange, depth + 1)).collect()));
                        }
                        "(" => return self.value(&inner, strange, depth + 1),
                        _ => {}
                    }
                }
                [json, dot, stringify, ..]
                    if (json.text, dot.text, stringify.text) == ("JSON", ".", "stringify")
                        && self.inside(range.start + 3).1 == range.end =>
                {
                    let (inner, _) = self.inside(range.start + 3);
                    if let [one] = &self.parts(inner)[..]
                        && let Some(inner) = self.whole_literal(one)
                    {
                        return node(Value::String(source::json(inner.value).to_string()));
                    }
                }
                _ => {
                    if let Some(text) = self.joined(range, depth) {
                        return node(Value::String(text));
                    }
                }
            }
        }
        if let Some(default) = self.default_of(range) {
            strange.push((
                span.line,
                format!(
                    "`{}` is not read: its default is taken, and `vars` can have it with `env(…)`",
                    self.shown(range)
                ),
            ));
            return node(default);
        }
        strange.push((span.line, format!("`{}` is no literal, and is not carried over", self.shown(range))));
        node(Value::Null)
    }

    /// The keys of an object.
    fn map(&self, range: Range, strange: &mut Vec<Strange>, depth: usize) -> Value {
        let mut entries: Vec<Entry> = Vec::new();
        for part in self.parts(range) {
            let first = &self.tokens[part.start];
            let key = match first.kind {
                Kind::Text | Kind::Template => self.scalar(first).and_then(|it| match it {
                    Value::String(text) => Some(text),
                    _ => None,
                }),
                Kind::Word | Kind::Number => Some(first.text.to_owned()),
                Kind::Regex | Kind::Sign => None,
            };
            let value = part.start + 2..part.end;
            match key.filter(|_| self.is(part.start + 1, ":") && !value.is_empty()) {
                Some(key) => {
                    entries.retain(|entry| entry.key != key);
                    let node = self.value(&value, strange, depth + 1);
                    entries.push(Entry { key, key_span: self.span(&part), node });
                }
                None => strange.push((
                    self.line(part.start),
                    format!("`{}` is no literal, and is not carried over", self.shown(&part)),
                )),
            }
        }
        Value::Map(entries)
    }

    /// A number, a text, a word of the language, or a constant.
    fn scalar(&self, token: &Token<'s>) -> Option<Value> {
        match token.kind {
            Kind::Number => {
                let text = token.text.replace('_', "");
                let whole = text.parse::<i128>().map(Value::Int).ok();
                whole.or_else(|| text.parse::<f64>().ok().filter(|it| it.is_finite()).map(Value::Float))
            }
            Kind::Text => unescaped(token.text).map(Value::String),
            Kind::Template => self.filled(token.text).map(Value::String),
            Kind::Word => match token.text {
                "true" => Some(Value::Bool(true)),
                "false" => Some(Value::Bool(false)),
                "null" | "undefined" => Some(Value::Null),
                name => self.constants.get(name).map(|node| node.value.clone()),
            },
            Kind::Regex | Kind::Sign => None,
        }
    }

    /// A text of backticks in which only constants are inserted.
    fn filled(&self, text: &str) -> Option<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, inner)) = rest.split_once("${") {
            let (name, after) = inner.split_once('}')?;
            out.push_str(before);
            // Its escapes were read already.
            out.push_str(&plain(&self.constants.get(name.trim())?.value)?.replace('\\', "\\\\"));
            rest = after;
        }
        out.push_str(rest);
        unescaped(&out)
    }

    /// Texts that are joined with `+`.
    fn joined(&self, range: &Range, depth: usize) -> Option<String> {
        let mut out = String::new();
        let parts = self.split(range, "+");
        if parts.len() < 2 || parts.iter().any(Range::is_empty) {
            return None;
        }
        let mut is_text = false;
        for part in parts {
            let mut strange = Vec::new();
            let value = self.value(&part, &mut strange, depth + 1).value;
            if !strange.is_empty() {
                return None;
            }
            is_text |= matches!(value, Value::String(_));
            out.push_str(&plain(&value)?);
        }
        // Numbers would be added.
        is_text.then_some(out)
    }

    /// The default of an environment variable: `__ENV.NAME || 'text'`.
    fn default_of(&self, range: &Range) -> Option<Value> {
        let [env, dot, _, or, default] = self.tokens.get(range.clone())? else { return None };
        let is_env = (env.text, dot.text) == ("__ENV", ".") && matches!(or.text, "||" | "??");
        is_env.then(|| self.scalar(default)).flatten()
    }
}

/// A value within a text.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text between quotes, with its escapes. None for escapes that are not known.
fn unescaped(text: &str) -> Option<String> {
    let mut out = String::new();
    // A text that is never closed has no value.
    let quote = text.chars().next()?;
    let inner = text[quote.len_utf8()..].strip_suffix(quote)?;
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        match letters.next()? {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            same @ ('\\' | '\'' | '"' | '`' | '/' | '$') => out.push(same),
            _ => return None,
        }
    }
    Some(out)
}
