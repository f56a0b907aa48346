//! Evaluates a JSON path (RFC 9535) on an answer, with a bound on the work.
//!
//! The library only parses the paths. Its evaluation stores the location of every node for each step, so a path with
//! several `..` needs orders of magnitude more memory than the answer. This evaluation stores nothing: it visits one node
//! after the other, and the first one that decides ends the search.

use std::borrow::Cow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::HashMap;

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery,
    SingularQuerySegment, Test, TestFunction,
};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::queryable::Queryable;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

/// The work limit for one path and one answer: an amount per byte of the answer, and a constant. Visiting a node costs
/// about one; an answer has at most one node for every other byte.
const WORK_OF_A_BYTE: u64 = 4;
const FREE_WORK: u64 = 1 << 18;
/// The work of compiling a regular expression from the answer itself.
const COMPILING: u64 = 1 << 14;
/// The maximum compiled size of such an expression, in bytes.
const COMPILED: usize = 1 << 18;
/// The most nodes that a function outside the RFC (such as `in` or `any_of`) accepts.
const MAX_NODES: usize = 10_000;

/// A compiled path.
#[derive(Debug, Clone)]
pub(super) struct Path {
    query: JpQuery,
    /// The regular expressions in the path, by their source text.
    patterns: HashMap<String, Option<Regex>>,
}

/// Evaluating a path exceeds the work limit for one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

/// Why a search ends before all nodes were visited.
enum Stop {
    Decided,
    TooMuch,
}

impl From<TooMuch> for Stop {
    fn from(_: TooMuch) -> Self {
        Self::TooMuch
    }
}

type Visited = Result<(), Stop>;

impl Path {
    /// Parses a path.
    ///
    /// # Errors
    /// A sentence about an invalid path.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let query = parse_json_path(text).map_err(|_| format!("`{text}` is not a JSON path"))?;
        let mut patterns = HashMap::new();
        patterns_of(&query.segments, &mut patterns);
        Ok(Self { query, patterns })
    }

    /// Whether the path finds a value for which `is_it` is true, in an answer of `length` bytes. Stops at the first such
    /// value.
    ///
    /// # Errors
    /// When the work limit is exceeded.
    pub(super) fn any(
        &self,
        body: &Value,
        length: usize,
        mut is_it: impl FnMut(&Value) -> bool,
    ) -> Result<bool, TooMuch> {
        let work = (length as u64).saturating_mul(WORK_OF_A_BYTE).saturating_add(FREE_WORK);
        let search = Search { path: self, root: body, work: Cell::new(work) };
        search.any(&self.query.segments, body, &mut |value| is_it(value))
    }
}

struct Search<'s> {
    path: &'s Path,
    root: &'s Value,
    /// The remaining work.
    work: Cell<u64>,
}

impl<'s> Search<'s> {
    fn charge(&self, work: u64) -> Result<(), TooMuch> {
        match self.work.get().checked_sub(work) {
            Some(left) => {
                self.work.set(left);
                Ok(())
            }
            None => Err(TooMuch),
        }
    }

    /// Charges the work of visiting a whole value, and stops when the limit is exceeded.
    fn charge_whole(&self, value: &Value) -> Result<(), TooMuch> {
        self.charge(1)?;
        match value {
            Value::String(text) => self.charge(text.len() as u64 / 64),
            Value::Array(list) => list.iter().try_for_each(|value| self.charge_whole(value)),
            Value::Object(map) => map.values().try_for_each(|value| self.charge_whole(value)),
            _ => Ok(()),
        }
    }

    fn any(
        &self,
        segments: &[Segment],
        from: &'s Value,
        is_it: &mut dyn FnMut(&'s Value) -> bool,
    ) -> Result<bool, TooMuch> {
        let mut act = |value| if is_it(value) { Err(Stop::Decided) } else { Ok(()) };
        match self.walk(segments, from, &mut act) {
            Ok(()) => Ok(false),
            Err(Stop::Decided) => Ok(true),
            Err(Stop::TooMuch) => Err(TooMuch),
        }
    }

    /// Calls `act` for each node that the segments select, starting at `from`.
    fn walk(&self, segments: &[Segment], from: &'s Value, act: &mut dyn FnMut(&'s Value) -> Visited) -> Visited {
        self.charge(1)?;
        match segments.split_first() {
            None => act(from),
            Some((segment, rest)) => self.segment(segment, rest, from, act),
        }
    }

    fn segment(
        &self,
        segment: &Segment,
        rest: &[Segment],
        from: &'s Value,
        act: &mut dyn FnMut(&'s Value) -> Visited,
    ) -> Visited {
        match segment {
            Segment::Selector(selector) => self.select(selector, rest, from, act),
            Segment::Selectors(selectors) => {
                selectors.iter().try_for_each(|selector| self.select(selector, rest, from, act))
            }
            Segment::Descendant(inner) => self.descend(inner, rest, from, act),
        }
    }

    fn descend(
        &self,
        inner: &Segment,
        rest: &[Segment],
        from: &'s Value,
        act: &mut dyn FnMut(&'s Value) -> Visited,
    ) -> Visited {
        self.charge(1)?;
        match from {
            Value::Array(list) => {
                self.segment(inner, rest, from, act)?;
                list.iter().try_for_each(|value| self.descend(inner, rest, value, act))
            }
            Value::Object(map) => {
                self.segment(inner, rest, from, act)?;
                map.values().try_for_each(|value| self.descend(inner, rest, value, act))
            }
            _ => Ok(()),
        }
    }

    fn select(
        &self,
        selector: &Selector,
        rest: &[Segment],
        from: &'s Value,
        act: &mut dyn FnMut(&'s Value) -> Visited,
    ) -> Visited {
        match (selector, from) {
            (Selector::Name(key), Value::Object(map)) => {
                map.get(key).map_or(Ok(()), |value| self.walk(rest, value, act))
            }
            (Selector::Index(index), Value::Array(list)) => {
                element(list, *index).map_or(Ok(()), |value| self.walk(rest, value, act))
            }
            (Selector::Wildcard, Value::Array(list)) => list.iter().try_for_each(|value| self.walk(rest, value, act)),
            (Selector::Wildcard, Value::Object(map)) => map.values().try_for_each(|value| self.walk(rest, value, act)),
            (Selector::Slice(start, end, step), Value::Array(list)) => {
                slice(list.len(), *start, *end, step.unwrap_or(1)).try_for_each(|at| self.walk(rest, &list[at], act))
            }
            (Selector::Filter(filter), Value::Array(list)) => {
                list.iter().try_for_each(|value| self.if_holds(filter, rest, value, act))
            }
            (Selector::Filter(filter), Value::Object(map)) => {
                map.values().try_for_each(|value| self.if_holds(filter, rest, value, act))
            }
            _ => Ok(()),
        }
    }

    fn if_holds(
        &self,
        filter: &Filter,
        rest: &[Segment],
        value: &'s Value,
        act: &mut dyn FnMut(&'s Value) -> Visited,
    ) -> Visited {
        if self.holds(filter, value)? { self.walk(rest, value, act) } else { Ok(()) }
    }

    fn holds(&self, filter: &Filter, at: &'s Value) -> Result<bool, TooMuch> {
        self.charge(1)?;
        match filter {
            Filter::Or(parts) => {
                for part in parts {
                    if self.holds(part, at)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Filter::And(parts) => {
                for part in parts {
                    if !self.holds(part, at)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Filter::Atom(FilterAtom::Filter { expr, not }) => Ok(self.holds(expr, at)? != *not),
            Filter::Atom(FilterAtom::Test { expr, not }) => Ok(self.test(expr, at)? != *not),
            Filter::Atom(FilterAtom::Comparison(comparison)) => self.compare(comparison, at),
        }
    }

    fn test(&self, test: &Test, at: &'s Value) -> Result<bool, TooMuch> {
        match test {
            Test::RelQuery(segments) => self.any(segments, at, &mut |_| true),
            Test::AbsQuery(query) => self.any(&query.segments, self.root, &mut |_| true),
            Test::Function(function) => match &**function {
                // A number is not a test.
                TestFunction::Length(_) | TestFunction::Count(_) => Ok(false),
                TestFunction::Value(of) => Ok(self.value(of, at)?.is_some()),
                other => Ok(self.function(other, at)?.is_some_and(|value| *value == Value::Bool(true))),
            },
        }
    }

    fn function(&self, function: &TestFunction, at: &'s Value) -> Result<Option<Cow<'s, Value>>, TooMuch> {
        let number = |count: usize| Some(Cow::Owned(Value::from(count)));
        Ok(match function {
            TestFunction::Length(of) => match self.value(of, at)?.as_deref() {
                Some(Value::String(text)) => {
                    self.charge(text.len() as u64 / 64)?;
                    number(text.chars().count())
                }
                Some(Value::Array(list)) => number(list.len()),
                Some(Value::Object(map)) => number(map.len()),
                _ => None,
            },
            TestFunction::Count(of) => number(self.count(of, at)?),
            TestFunction::Value(of) => self.value(of, at)?,
            TestFunction::Match(text, pattern) => Some(self.matches(text, pattern, true, at)?),
            TestFunction::Search(text, pattern) => Some(self.matches(text, pattern, false, at)?),
            TestFunction::Custom(name, of) => {
                let mut values = Vec::new();
                for of in of {
                    values.extend(self.nodes(of, at, MAX_NODES)?);
                }
                if values.len() >= MAX_NODES {
                    return Err(TooMuch);
                }
                // Each element of one list may be compared with each element of the other.
                if let [left, right] = values.as_slice() {
                    (0..right.as_array().map_or(1, Vec::len)).try_for_each(|_| self.charge_whole(left))?;
                }
                Some(Cow::Owned(Value::extension_custom(name, values)))
            }
        })
    }

    fn matches(&self, text: &FnArg, pattern: &FnArg, whole: bool, at: &'s Value) -> Result<Cow<'s, Value>, TooMuch> {
        let (text, pattern) = (self.value(text, at)?, self.value(pattern, at)?);
        let (Some(text), Some(pattern)) =
            (text.as_deref().and_then(Value::as_str), pattern.as_deref().and_then(Value::as_str))
        else {
            return Ok(Cow::Owned(false.into()));
        };
        self.charge(text.len() as u64 / 16)?;
        let written = regex_of(pattern, whole);
        let holds = match self.path.patterns.get(&written) {
            Some(known) => known.as_ref().is_some_and(|regex| regex.is_match(text)),
            None => {
                self.charge(COMPILING)?;
                compile(&written).is_some_and(|regex| regex.is_match(text))
            }
        };
        Ok(Cow::Owned(holds.into()))
    }

    /// The value of an argument, if it is a single value.
    fn value(&self, of: &FnArg, at: &'s Value) -> Result<Option<Cow<'s, Value>>, TooMuch> {
        let mut nodes = self.nodes(of, at, 2)?;
        Ok(if nodes.len() == 1 { nodes.pop() } else { None })
    }

    fn count(&self, of: &FnArg, at: &'s Value) -> Result<usize, TooMuch> {
        let mut count = 0;
        let mut take = |_: &'s Value| {
            count += 1;
            false
        };
        if let FnArg::Test(test) = of {
            match &**test {
                Test::RelQuery(segments) => _ = self.any(segments, at, &mut take)?,
                Test::AbsQuery(query) => _ = self.any(&query.segments, self.root, &mut take)?,
                Test::Function(_) => {}
            }
        }
        Ok(count)
    }

    /// The first `most` values of an argument.
    fn nodes(&self, of: &FnArg, at: &'s Value, most: usize) -> Result<Vec<Cow<'s, Value>>, TooMuch> {
        let mut found = Vec::new();
        let mut take = |value: &'s Value| {
            found.push(Cow::Borrowed(value));
            found.len() >= most
        };
        match of {
            FnArg::Literal(literal) => found.push(Cow::Owned(value_of(literal))),
            FnArg::Filter(filter) => found.push(Cow::Owned(self.holds(filter, at)?.into())),
            FnArg::Test(test) => match &**test {
                Test::RelQuery(segments) => _ = self.any(segments, at, &mut take)?,
                Test::AbsQuery(query) => _ = self.any(&query.segments, self.root, &mut take)?,
                Test::Function(function) => found.extend(self.function(function, at)?),
            },
        }
        Ok(found)
    }

    fn compare(&self, comparison: &Comparison, at: &'s Value) -> Result<bool, TooMuch> {
        let (left, right) = comparison.vals();
        let (left, right) = (self.comparable(left, at)?, self.comparable(right, at)?);
        let (left, right) = (left.as_deref(), right.as_deref());
        if let (Some(left), Some(right)) = (left, right) {
            self.charge_whole(if left.is_array() || left.is_object() { right } else { left })?;
        }
        Ok(match comparison {
            Comparison::Eq(..) => equal(left, right),
            Comparison::Ne(..) => !equal(left, right),
            Comparison::Lt(..) => less(left, right),
            Comparison::Lte(..) => less(left, right) || equal(left, right),
            Comparison::Gt(..) => less(right, left),
            Comparison::Gte(..) => less(right, left) || equal(left, right),
        })
    }

    fn comparable(&self, it: &Comparable, at: &'s Value) -> Result<Option<Cow<'s, Value>>, TooMuch> {
        Ok(match it {
            Comparable::Literal(literal) => Some(Cow::Owned(value_of(literal))),
            Comparable::Function(function) => self.function(function, at)?,
            Comparable::SingularQuery(SingularQuery::Current(steps)) => single(steps, at).map(Cow::Borrowed),
            Comparable::SingularQuery(SingularQuery::Root(steps)) => single(steps, self.root).map(Cow::Borrowed),
        })
    }
}

fn single<'v>(steps: &[SingularQuerySegment], from: &'v Value) -> Option<&'v Value> {
    steps.iter().try_fold(from, |value, step| match step {
        SingularQuerySegment::Name(key) => value.as_object()?.get(key),
        SingularQuerySegment::Index(index) => element(value.as_array()?, *index),
    })
}

fn element(list: &[Value], index: i64) -> Option<&Value> {
    let at = if index < 0 {
        list.len().checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(index).ok()?
    };
    list.get(at)
}

/// The indices that a slice selects (RFC 9535, section 2.3.4.2.2).
fn slice(length: usize, start: Option<i64>, end: Option<i64>, step: i64) -> Box<dyn Iterator<Item = usize>> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let normal = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    let places = |from: i64, to: i64| (from..to).map(|at| usize::try_from(at).unwrap_or_default());
    let by = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    match step {
        0 => Box::new(std::iter::empty()),
        1.. => {
            let (from, to) =
                (normal(start.unwrap_or(0)).clamp(0, length), normal(end.unwrap_or(length)).clamp(0, length));
            Box::new(places(from, to).step_by(by))
        }
        _ => {
            let last = length - 1;
            let from = start.map_or(last, normal).clamp(-1, last);
            let to = end.map_or(-1, normal).clamp(-1, last);
            Box::new(places(to + 1, from + 1).rev().step_by(by))
        }
    }
}

/// Compares two numbers. JSON has one number type: 1 and 1.0 are equal. Whole numbers are compared exactly, because identifiers
/// of more than 53 bits can be equal as floating-point numbers. None if one of the values is not a number.
pub(super) fn compared(left: &Value, right: &Value) -> Option<Ordering> {
    let whole = |it: &Value| it.as_i64().map(i128::from).or_else(|| it.as_u64().map(i128::from));
    match (whole(left), whole(right)) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Two missing values are equal.
fn equal(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => {
            compared(left, right).map_or_else(|| left == right, |order| order == Ordering::Equal)
        }
        (None, None) => true,
        _ => false,
    }
}

fn less(left: Option<&Value>, right: Option<&Value>) -> bool {
    match (left, right) {
        (Some(left @ Value::Number(_)), Some(right @ Value::Number(_))) => {
            compared(left, right) == Some(Ordering::Less)
        }
        (Some(Value::String(left)), Some(Value::String(right))) => left < right,
        _ => false,
    }
}

fn value_of(literal: &Literal) -> Value {
    match literal {
        Literal::Int(number) => (*number).into(),
        Literal::Float(number) => (*number).into(),
        Literal::String(text) => text.as_str().into(),
        Literal::Bool(value) => (*value).into(),
        Literal::Null => Value::Null,
    }
}

/// An I-Regexp (RFC 9485) in the syntax of `regex`: outside of brackets, `.` does not match a line end.
fn regex_of(pattern: &str, whole: bool) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut in_class = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                out.push(character);
                out.extend(characters.next());
            }
            '.' if !in_class => out.push_str(r"[^\n\r]"),
            _ => {
                in_class = character == '[' || in_class && character != ']';
                out.push(character);
            }
        }
    }
    if whole { format!("^(?:{out})$") } else { out }
}

fn compile(written: &str) -> Option<Regex> {
    RegexBuilder::new(written).size_limit(COMPILED).dfa_size_limit(COMPILED).build().ok()
}

/// Compiles the regular expressions of a path.
fn patterns_of(segments: &[Segment], out: &mut HashMap<String, Option<Regex>>) {
    for segment in segments {
        match segment {
            Segment::Descendant(inner) => patterns_of(std::slice::from_ref(inner), out),
            Segment::Selector(selector) => patterns_of_selector(selector, out),
            Segment::Selectors(selectors) => selectors.iter().for_each(|selector| patterns_of_selector(selector, out)),
        }
    }
}

fn patterns_of_selector(selector: &Selector, out: &mut HashMap<String, Option<Regex>>) {
    if let Selector::Filter(filter) = selector {
        patterns_of_filter(filter, out);
    }
}

fn patterns_of_filter(filter: &Filter, out: &mut HashMap<String, Option<Regex>>) {
    match filter {
        Filter::Or(parts) | Filter::And(parts) => parts.iter().for_each(|part| patterns_of_filter(part, out)),
        Filter::Atom(FilterAtom::Filter { expr, .. }) => patterns_of_filter(expr, out),
        Filter::Atom(FilterAtom::Test { expr, .. }) => match &**expr {
            Test::RelQuery(segments) => patterns_of(segments, out),
            Test::AbsQuery(query) => patterns_of(&query.segments, out),
            Test::Function(function) => {
                if let TestFunction::Match(_, pattern) | TestFunction::Search(_, pattern) = &**function
                    && let FnArg::Literal(Literal::String(pattern)) = pattern
                {
                    let written = regex_of(pattern, matches!(&**function, TestFunction::Match(..)));
                    out.entry(written).or_insert_with_key(|written| compile(written));
                }
            }
        },
        Filter::Atom(FilterAtom::Comparison(_)) => {}
    }
}

#[cfg(test)]
mod tests;
