//! Parses YAML text into a tree of nodes with positions. Only this file uses the YAML library, because the library's
//! interface changes often. It also rewrites the library's messages.
//!
//! It knows nothing about scenarios.

pub(crate) mod flow;
mod json;
pub(crate) mod node;

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use crate::diagnostic::{Code, Diagnostic};
pub(crate) use json::{json, node_of};
pub use node::Span;
pub(crate) use node::{Entry, Node, Step, Value};

/// The maximum size of a file, in bytes. A scenario of a thousand phases is far smaller.
pub const MAX_BYTES: usize = 1 << 20;

/// The maximum nesting of maps and lists. The deepest path of a scenario has about ten steps.
const MAX_DEPTH: usize = 48;

/// The maximum number of values of a file, after expansion of its anchors.
const MAX_NODES: usize = 100_000;

/// The text of a file: UTF-8, at most [`MAX_BYTES`], without a byte order mark.
///
/// # Errors
/// One problem. Its message names the position of the first invalid byte.
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Box<Diagnostic>> {
    if bytes.len() > MAX_BYTES {
        return Err(Box::new(
            Diagnostic::error(
                Code::Unreadable,
                // The reader may have stopped at the limit, so the actual size is unknown.
                format!("the file has more than {MAX_BYTES} bytes, and a scenario may have no more"),
            )
            .help("is this the right file? Long request bodies can be shortened, and scenarios can be split"),
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let good = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let span = place(good, good.len(), 0);
        Box::new(
            Diagnostic::error(
                Code::Unreadable,
                format!("the file is not UTF-8 text (line {}, column {})", span.line, span.column),
            )
            .help("is this the right file? If it is, save it with the encoding UTF-8"),
        )
    })
}

/// Parses a file's text, which contains one YAML document.
///
/// # Errors
/// The first problem. The meaning of the rest of the file is uncertain.
pub(crate) fn parse(text: &str) -> Result<Node, Box<Diagnostic>> {
    parse_or_begin(text, "`shakedown init` writes a first scenario")
}

/// The same for any file. `begin` says how to begin one.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_or_begin(text: &str, begin: &str) -> Result<Node, Box<Diagnostic>> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        emit_comments: false,
        reject_unsupported_tags: true,
        budget: serde_saphyr::budget! { max_depth: MAX_DEPTH, max_nodes: MAX_NODES, max_documents: 2 },
    };
    let tree: Spanned<Tree> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| Box::new(problem(&error, text)))?;
    let node = tree.place(text);
    if node.value == Value::Null {
        let problem = Diagnostic::error(Code::Documents, "the file has no content");
        return Err(Box::new(problem.help(begin)));
    }
    Ok(node)
}

/// A plain scalar as in YAML (`3`, `true`, `text`). Anything that is not a single scalar stays text.
pub(crate) fn scalar(text: &str) -> Value {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false, emit_comments: false };
    // The text may be other YAML than a scalar. Then it stays text.
    match serde_saphyr::from_str_with_options::<Tree>(text, options) {
        Ok(Tree::Scalar(value)) => value,
        _ => Value::String(text.to_owned()),
    }
}

/// The position of a byte offset.
pub(crate) fn place(text: &str, offset: usize, len: usize) -> Span {
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    Span {
        offset,
        len,
        line: u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX - 1) + 1,
        column: u32::try_from(before[line_start..].chars().count()).unwrap_or(u32::MAX - 1) + 1,
        file: 0,
    }
}

/// The tree as the library returns it. `place` adds the positions.
enum Tree {
    Scalar(Value),
    Seq(Vec<Spanned<Tree>>),
    Map(Vec<(Spanned<String>, Spanned<Tree>)>),
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("text, a number, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Int(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Int(value.into())))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Int(value)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Tree, E> {
        Ok(Tree::Scalar(i128::try_from(value).map_or(Value::Float(value as f64), Value::Int)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Scalar(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = access.next_element()? {
            nodes.push(node);
        }
        Ok(Tree::Seq(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Tree::Map(entries))
    }
}

/// Converts the library's nodes to [`Node`]s.
trait Place {
    fn place(self, text: &str) -> Node;
}

impl Place for Spanned<Tree> {
    fn place(self, text: &str) -> Node {
        let mut span = span(self.referenced, text);
        let value = match self.value {
            Tree::Scalar(value) => value,
            Tree::Seq(nodes) => Value::Seq(nodes.into_iter().map(|node| node.place(text)).collect()),
            Tree::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, node)| {
                        let mut node = node.place(text);
                        let key_span = self::span(key.referenced, text);
                        // A missing value gets the position of its key.
                        if node.value == Value::Null && node.span.len == 0 {
                            node.span = key_span;
                        }
                        Entry { key: key.value, key_span, node }
                    })
                    .collect(),
            ),
        };
        // The library gives only the start of a map or a list. It ends with its last part.
        let last = match &value {
            Value::Seq(nodes) => nodes.last().map(|node| node.span),
            Value::Map(entries) => entries.last().map(|entry| entry.node.span.max(entry.key_span)),
            _ => None,
        };
        if let Some(last) = last {
            span.len = span.len.max((last.offset + last.len).saturating_sub(span.offset));
        }
        Node { span, value }
    }
}

fn span(location: Location, text: &str) -> Span {
    let span = location.span();
    let (offset, len) = match (span.byte_offset(), span.byte_len()) {
        (Some(offset), Some(len)) => (offset as usize, len as usize),
        // Syntax errors have offsets in characters only.
        _ => {
            let mut bytes = text.char_indices().map(|(at, _)| at).skip(span.offset() as usize);
            let offset = bytes.next().unwrap_or(text.len());
            (offset, bytes.next().unwrap_or(text.len()) - offset)
        }
    };
    let offset = offset.min(text.len());
    Span {
        offset,
        len: len.min(text.len() - offset),
        line: u32::try_from(location.line()).unwrap_or(u32::MAX),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX),
        file: 0,
    }
}

/// The diagnostic for an error of the library.
fn problem(error: &Error, text: &str) -> Diagnostic {
    let error = error.without_snippet();
    let plain = UserMessageFormatter.format_message(error).into_owned();
    let diagnostic = match error {
        Error::DuplicateMappingKey { key, .. } => Diagnostic::error(
            Code::DuplicateKey,
            match key {
                Some(key) => format!("the key `{key}` is given twice in the same map"),
                None => "a key is given twice in the same map".to_owned(),
            },
        )
        .help("keep one of the two"),
        Error::MultipleDocuments { .. } => {
            Diagnostic::error(Code::Documents, "the file has more than one YAML document")
                .help("one file holds one scenario: move the part after the line `---` to another file")
        }
        Error::NonFiniteFloat { .. } => {
            Diagnostic::error(Code::InvalidValue, "a scenario can contain only finite numbers")
                .help("write a number, or put the text into quotes")
        }
        _ => syntax(&plain, text, error.location()),
    };
    let Some(location) = error.location().filter(|location| location.line() > 0) else { return diagnostic };
    let mut at = span(location, text);
    // The library reports an indenting tab after the tab, or at the end of the previous line.
    if diagnostic.message.contains("a tab") {
        let line = text[..at.offset].rfind('\n').map_or(0, |newline| newline + 1);
        let tab = text[line..].find('\t').map(|tab| line + tab);
        at = tab.map_or(at, |tab| place(text, tab, 1));
    }
    diagnostic.at(at)
}

/// The key and the unquoted template expression of a line, with the missing quotes.
fn quoted_line(line: &str) -> Option<String> {
    let (before, behind) = line.split_once("{{")?;
    let (expression, _) = behind.split_once("}}")?;
    let key = before.trim_end().strip_suffix(':')?;
    let key = key.rsplit(['{', ',', ' ', '-']).next().filter(|key| !key.is_empty())?;
    Some(format!("{key}: \"{{{{ {} }}}}\"", expression.trim()))
}

/// The diagnostic for an error that the library distinguishes only by its message.
fn syntax(plain: &str, text: &str, location: Option<Location>) -> Diagnostic {
    let plain = plain.trim();
    let has = |words: &str| plain.contains(words);
    let at = location.map_or(0, |location| span(location, text).offset);
    let line = text[..at].rfind('\n').map_or(text, |newline| &text[newline + 1..]);
    let line = line.lines().next().unwrap_or_default();

    if has("Depth") || has("recursion limit") {
        return Diagnostic::error(Code::Limit, format!("maps and lists are nested more than {MAX_DEPTH} deep"))
            .help("a scenario needs about ten levels");
    }
    if has("Nodes") {
        let message = format!("the file has more than {MAX_NODES} values, counting each that an alias repeats");
        return Diagnostic::error(Code::Limit, message).help("use fewer aliases, or make several scenarios of it");
    }
    if has("imits breached") || has("alias") && has("xceeded") || has("xpansion") {
        return Diagnostic::error(Code::Limit, "the file's anchors and aliases expand to too much")
            .help("write the values out instead");
    }
    if has("ecursive reference") {
        return Diagnostic::error(Code::Limit, "an alias refers to a value that it is part of")
            .help("write the value out instead");
    }
    if has("unknown value") || has("unknown anchor") {
        return Diagnostic::error(Code::Syntax, "the alias refers to an anchor that does not come before it")
            .help("a text that begins with `*` needs quotes");
    }
    let error = |message: &str| Diagnostic::error(Code::Syntax, format!("the file is not YAML: {message}"));
    let next_has_tab = text[at..].split('\n').nth(1).is_some_and(|next| next.starts_with('\t'));
    if line.contains('\t') || next_has_tab {
        return error("the indentation contains a tab").help("indent with spaces");
    }
    if has("string scalar") && line.contains("{{") {
        let written = quoted_line(line).unwrap_or_else(|| "key: \"{{ name }}\"".to_owned());
        return error("a key must be text").help(format!("a template expression needs quotes: `{written}`"));
    }
    if has("unexpected character") {
        let what = text[at..].chars().next().map_or(String::new(), |it| format!(" `{}`", it.escape_default()));
        return error(&format!("it has the character{what}"))
            .help("is this a text file? If it is, remove the character");
    }
    let help = if has("mapping values") {
        Some("a text that contains `: ` needs quotes; each key needs a separate line")
    } else if has("unclosed quote") {
        Some("close it with the same quote")
    } else if has("unclosed bracket") {
        Some("close it, or put the text into quotes")
    } else if has("unsupported tag") {
        Some("remove the tag: the key determines the type of its value")
    } else if has("document start") {
        Some("is this the right file? A scenario begins with `version: 1`")
    } else if has("block collection") || has("block mapping") || has("indent") {
        Some("the elements of one list, and the keys of one map, begin at the same column")
    } else {
        None
    };
    let problem = if has("string scalar") { error("a key must be text") } else { error(&lower(plain)) };
    problem.maybe_help(help.map(str::to_owned))
}

fn lower(message: &str) -> String {
    let mut characters = message.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}
