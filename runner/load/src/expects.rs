//! The conditions on an answer, compiled once and checked for every answer.

use std::cmp::Ordering;

use http::header::HeaderName;
use regex::Regex;
use serde_json::Value;
use shakedown_schemas::pattern::{self, Pattern};
use shakedown_schemas::scenario::{Check, JsonCheck, TextCheck};

use super::failure::bounded;
use super::headers::Headers;
use super::path::{Path, TooMuch, compared};
use super::scan::{Needle, Search};
use shakedown_observe::Finish;

/// The conditions on an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Expects {
    /// The statuses that count as success. Empty for 200 to 299.
    statuses: Vec<u16>,
    headers: Vec<(HeaderName, TextRule)>,
    contains: Option<Needle>,
    matches: Option<Pattern>,
    /// The text of `matches`.
    expression: String,
    json: Vec<JsonRule>,
    /// The accepted finish reasons. Empty for all that are not failures.
    finish: Vec<String>,
}

#[derive(Debug, Clone)]
struct TextRule {
    equals: Option<String>,
    contains: Option<String>,
    matches: Option<Regex>,
    exists: Option<bool>,
}

#[derive(Debug, Clone)]
struct JsonRule {
    /// The path as written in the scenario.
    written: String,
    path: Path,
    wanted: JsonCondition,
}

#[derive(Debug, Clone)]
enum JsonCondition {
    Equals(Value),
    NotEquals(Value),
    Contains(String),
    Matches(Regex),
    Exists(bool),
}

impl Expects {
    /// Compiles a check.
    ///
    /// # Errors
    /// A sentence about an invalid header, expression or path.
    pub(super) fn new(check: Option<&Check>) -> Result<Self, String> {
        let Some(check) = check else { return Ok(Self::default()) };
        let header = |(name, rule): (&String, &TextCheck)| -> Result<_, String> {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header"))?;
            Ok((name, TextRule::new(rule)?))
        };
        Ok(Self {
            statuses: check.status.clone(),
            headers: check.headers.iter().map(header).collect::<Result<_, _>>()?,
            contains: check.contains.as_deref().map(Needle::new),
            matches: check.matches.as_deref().map(pattern::compile).transpose()?,
            expression: check.matches.clone().unwrap_or_default(),
            json: check.json.iter().map(JsonRule::new).collect::<Result<_, _>>()?,
            finish: check.finish_reason.clone(),
        })
    }

    pub(super) fn takes_status(&self, status: u16) -> bool {
        if self.statuses.is_empty() { (200..300).contains(&status) } else { self.statuses.contains(&status) }
    }

    /// Whether this finish reason, or its absence, is accepted.
    pub(super) fn takes_finish(&self, name: Option<&str>) -> bool {
        match (self.finish.as_slice(), name) {
            ([], name) => !name.is_some_and(|name| Finish::of(name).is_failure()),
            (_, None) => false,
            (all, Some(name)) => all.iter().any(|known| known == name),
        }
    }

    /// The condition that a rejected finish reason fails: the expected and the actual value.
    pub(super) fn explain_finish(&self, name: &str) -> String {
        match self.finish.as_slice() {
            [] => format!("`finish_reason` is `{name}`"),
            all => {
                let all: Vec<String> = all.iter().map(|it| format!("`{it}`")).collect();
                format!("`check.finish_reason`: expected {}, found `{}`", all.join(" or "), short(name))
            }
        }
    }

    /// Whether the headers meet their conditions.
    pub(super) fn takes_headers(&self, headers: &(impl Headers + ?Sized)) -> bool {
        self.headers.iter().all(|(name, rule)| {
            let mut values = headers.values(name).map(String::from_utf8_lossy);
            match rule.exists {
                Some(false) => values.next().is_none(),
                _ => values.any(|value| rule.takes(&value)),
            }
        })
    }

    /// Whether there are conditions on the body.
    pub(super) fn reads_body(&self) -> bool {
        self.wants_json() || self.contains.is_some() || self.matches.is_some()
    }

    /// The condition that a rejected head fails: the expected and the actual value.
    pub(super) fn explain_head(&self, status: u16, headers: &(impl Headers + ?Sized)) -> String {
        if !self.takes_status(status) {
            return match self.statuses.as_slice() {
                [] => "expected a status of 200 to 299".to_owned(),
                wanted => {
                    let wanted: Vec<String> = wanted.iter().map(u16::to_string).collect();
                    format!("`check.status`: expected {}, found {status}", wanted.join(" or "))
                }
            };
        }
        for (name, rule) in &self.headers {
            let values: Vec<_> = headers.values(name).map(String::from_utf8_lossy).collect();
            let holds = match rule.exists {
                Some(false) => values.is_empty(),
                _ => values.iter().any(|value| rule.takes(value)),
            };
            if !holds {
                let found = match values.as_slice() {
                    [] => "no such header".to_owned(),
                    values => values.iter().map(|value| format!("`{}`", short(value))).collect::<Vec<_>>().join(", "),
                };
                return format!("`check.headers` `{name}`: expected {}, found {found}", rule.words());
            }
        }
        String::new()
    }

    /// The condition that a JSON body fails, if any.
    pub(super) fn explain_json(&self, body: &Value, length: usize) -> Option<String> {
        let failed = self.json.iter().find(|rule| rule.takes(body, length) != Ok(true))?;
        let found = std::cell::RefCell::new(Vec::new());
        let look = |value: &Value| {
            found.borrow_mut().push(short(&value.to_string()));
            found.borrow().len() >= 3
        };
        let found = match failed.path.any(body, length, &look) {
            Err(TooMuch) => "too much work to search".to_owned(),
            Ok(_) if found.borrow().is_empty() => "nothing there".to_owned(),
            Ok(_) => format!("`{}`", found.into_inner().join("`, `")),
        };
        Some(format!("`check.json` `{}`: expected {}, found {found}", failed.written, failed.wanted.words()))
    }

    /// The condition that a complete text fails, if any.
    pub(super) fn explain_text(&self, search: &Search) -> Option<String> {
        if let Some(text) = self.contains.as_ref().filter(|text| !search.found(Some(text), None)) {
            return Some(format!("`check.contains`: expected `{}`, which is not in the body", short(&text.text())));
        }
        let has_match = search.found(None, self.matches.as_ref());
        (!has_match).then(|| format!("`check.matches`: nothing in the body matches `{}`", short(&self.expression)))
    }

    /// Whether the body must be buffered and parsed as JSON.
    pub(super) fn wants_json(&self) -> bool {
        !self.json.is_empty()
    }

    /// Whether a JSON body of `length` bytes meets its conditions.
    ///
    /// # Errors
    /// When a path needs too much work.
    pub(super) fn takes_json(&self, body: &Value, length: usize) -> Result<bool, TooMuch> {
        for rule in &self.json {
            if !rule.takes(body, length)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Searches the next chunk of a text.
    pub(super) fn look(&self, search: &mut Search, piece: &[u8]) {
        search.feed(self.contains.as_ref(), self.matches.as_ref(), piece);
    }

    /// Whether everything was found in a complete text.
    pub(super) fn found(&self, search: &Search) -> bool {
        search.found(self.contains.as_ref(), self.matches.as_ref())
    }
}

impl TextRule {
    fn new(check: &TextCheck) -> Result<Self, String> {
        Ok(Self {
            equals: check.equals.clone(),
            contains: check.contains.clone(),
            matches: check.matches.as_deref().map(expression).transpose()?,
            exists: check.exists,
        })
    }

    /// The condition in words.
    fn words(&self) -> String {
        let texts = [("", &self.equals), ("to contain ", &self.contains)];
        let mut words: Vec<String> = texts
            .into_iter()
            .filter_map(|(verb, text)| text.as_ref().map(|text| format!("{verb}`{}`", short(text))))
            .chain(self.matches.as_ref().map(|wanted| format!("a match of `{}`", short(wanted.as_str()))))
            .collect();
        match self.exists {
            Some(false) => words.push("none".to_owned()),
            Some(true) if words.is_empty() => words.push("one".to_owned()),
            _ => {}
        }
        words.join(" and ")
    }

    fn takes(&self, text: &str) -> bool {
        self.equals.as_ref().is_none_or(|wanted| text == wanted)
            && self.contains.as_ref().is_none_or(|wanted| text.contains(wanted.as_str()))
            && self.matches.as_ref().is_none_or(|wanted| wanted.is_match(text))
    }
}

impl JsonRule {
    fn new(check: &JsonCheck) -> Result<Self, String> {
        let path = Path::parse(&check.path)?;
        let wanted = match check {
            JsonCheck { equals: Some(value), .. } => JsonCondition::Equals(value.clone()),
            JsonCheck { not_equals: Some(value), .. } => JsonCondition::NotEquals(value.clone()),
            JsonCheck { contains: Some(text), .. } => JsonCondition::Contains(text.clone()),
            JsonCheck { matches: Some(text), .. } => JsonCondition::Matches(expression(text)?),
            JsonCheck { exists, .. } => JsonCondition::Exists(exists.unwrap_or(true)),
        };
        Ok(Self { written: check.path.clone(), path, wanted })
    }

    fn takes(&self, body: &Value, length: usize) -> Result<bool, TooMuch> {
        let any = |is_it: &dyn Fn(&Value) -> bool| self.path.any(body, length, is_it);
        match &self.wanted {
            JsonCondition::Equals(wanted) => any(&|value| is_same(value, wanted)),
            JsonCondition::NotEquals(wanted) => Ok(any(&|_| true)? && !any(&|value| is_same(value, wanted))?),
            JsonCondition::Contains(wanted) => {
                any(&|value| value.as_str().is_some_and(|text| text.contains(wanted.as_str())))
            }
            JsonCondition::Matches(wanted) => any(&|value| value.as_str().is_some_and(|text| wanted.is_match(text))),
            JsonCondition::Exists(wanted) => Ok(any(&|_| true)? == *wanted),
        }
    }
}

impl JsonCondition {
    /// The condition in words.
    fn words(&self) -> String {
        match self {
            Self::Equals(value) => format!("`{}`", short(&value.to_string())),
            Self::NotEquals(value) => format!("anything but `{}`", short(&value.to_string())),
            Self::Contains(text) => format!("text with `{}`", short(text)),
            Self::Matches(wanted) => format!("text that matches `{}`", short(wanted.as_str())),
            Self::Exists(true) => "something".to_owned(),
            Self::Exists(false) => "nothing".to_owned(),
        }
    }
}

/// Shortens a text for a report.
fn short(text: &str) -> String {
    bounded(text, 120)
}

/// As numbers if both are.
fn is_same(a: &Value, b: &Value) -> bool {
    a == b || compared(a, b) == Some(Ordering::Equal)
}

fn expression(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("`{text}` is not a regular expression: {error}"))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn expects(check: Value) -> Expects {
        Expects::new(Some(&serde_json::from_value(check).unwrap())).unwrap()
    }

    #[test]
    fn a_header_condition_holds_for_any_of_its_values() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("content-type", "application/json"), ("vary", "accept"), ("vary", "origin"), ("x-empty", "")]
        {
            headers.append(name, value.parse().unwrap());
        }
        for (check, holds) in [
            (json!({"Content-Type": {"contains": "json"}}), true),
            (json!({"content-type": {"contains": "json", "equals": "text/html"}}), false),
            (json!({"vary": {"equals": "origin"}}), true),
            (json!({"vary": {"matches": "^or.*n$", "exists": true}}), true),
            (json!({"vary": {"matches": "^x"}}), false),
            (json!({"x-empty": {"exists": true}}), true),
            (json!({"x-none": {"exists": true}}), false),
            (json!({"x-none": {"contains": "a"}}), false),
            (json!({"x-none": {"exists": false}}), true),
            (json!({"vary": {"exists": false}}), false),
        ] {
            assert_eq!(expects(json!({"headers": check})).takes_headers(&headers), holds, "{check}");
        }
    }

    #[test]
    fn a_json_condition_holds_for_any_value_of_its_path() {
        let body = json!({"status": "ok", "n": 3.0, "items": [{"id": "a-1", "price": 5}, {"id": "b-2", "price": 20}], "none": null});
        for (check, holds) in [
            (json!({"path": "$.status", "equals": "ok"}), true),
            (json!({"path": "$.n", "equals": 3}), true),
            (json!({"path": "$.status", "equals": "OK"}), false),
            (json!({"path": "$.items[*].price", "equals": 20}), true),
            (json!({"path": "$.items[*].price", "not_equals": 20}), false),
            (json!({"path": "$.items[*].price", "not_equals": 21}), true),
            (json!({"path": "$.nothing", "not_equals": 21}), false),
            (json!({"path": "$.items[?@.price > 10].id", "equals": "b-2"}), true),
            (json!({"path": "$..id", "matches": "^a-\\d$"}), true),
            (json!({"path": "$.items[-1].id", "contains": "b-"}), true),
            (json!({"path": "$.items[0].id", "contains": "b-"}), false),
            (json!({"path": "$.none", "exists": true}), true),
            (json!({"path": "$.none", "equals": null}), true),
            (json!({"path": "$.items[7]", "exists": false}), true),
            (json!({"path": "$.items[0]", "exists": false}), false),
        ] {
            assert_eq!(expects(json!({"json": [check]})).takes_json(&body, 200), Ok(holds), "{check}");
        }
        assert!(expects(json!({"json": [{"path": "$.a", "exists": true}]})).wants_json());
        // Two identifiers that are the same only as floating-point numbers.
        let order = json!([{"id": 9_007_199_254_740_993_u64, "other": 9_007_199_254_740_992_u64}]);
        for (check, holds) in [
            (json!({"path": "$[0].id", "equals": 9_007_199_254_740_993_u64}), true),
            (json!({"path": "$[0].id", "equals": 9_007_199_254_740_992_u64}), false),
            (json!({"path": "$[?@.id == @.other]", "exists": true}), false),
            (json!({"path": "$[?@.id > @.other]", "exists": true}), true),
        ] {
            assert_eq!(expects(json!({"json": [check]})).takes_json(&order, 60), Ok(holds), "{check}");
        }
    }

    #[test]
    fn accepts_all_reasons_but_failures_unless_some_are_listed() {
        let any = Expects::default();
        assert!(any.takes_finish(None) && any.takes_finish(Some("length")) && any.takes_finish(Some("eos")));
        assert!(!any.takes_finish(Some("abort")) && !any.takes_finish(Some("error")));
        let named = expects(json!({"finish_reason": ["stop", "abort"]}));
        assert!(named.takes_finish(Some("stop")) && named.takes_finish(Some("abort")));
        assert!(!named.takes_finish(Some("length")) && !named.takes_finish(None));
    }

    #[test]
    fn accepts_200_to_299_unless_statuses_are_listed() {
        assert!(Expects::default().takes_status(204) && !Expects::default().takes_status(304));
        let named = expects(json!({"status": [200, 404]}));
        assert!(named.takes_status(404) && !named.takes_status(204));
    }
}
