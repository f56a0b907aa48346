//! Label selectors as sets: matching, intersecting, negating, and writing them back as Kubernetes' own.
//!
//! A selector is stored as one test per key. For a key, a pod either lacks the label or has one value, so a test is a
//! set over "missing" and the values. All operators of NetworkPolicy are such sets. This module knows nothing about the
//! use of selectors.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use shakedown_schemas::scenario;

/// The labels of an object.
pub type Labels = BTreeMap<String, String>;

/// The allowed values of a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Values {
    /// These only.
    Only(BTreeSet<String>),
    /// All but these.
    AllBut(BTreeSet<String>),
}

/// The test of one key: whether the label may be missing, and its allowed values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Test {
    missing: bool,
    values: Values,
}

/// A label selector: every key's test must hold. The default selects everything.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Selector {
    tests: BTreeMap<String, Test>,
}

impl Values {
    fn has(&self, value: &str) -> bool {
        match self {
            Self::Only(set) => set.contains(value),
            Self::AllBut(set) => !set.contains(value),
        }
    }

    fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(a), Self::Only(b)) => Self::Only(a & b),
            (Self::Only(a), Self::AllBut(b)) | (Self::AllBut(b), Self::Only(a)) => Self::Only(a - b),
            (Self::AllBut(a), Self::AllBut(b)) => Self::AllBut(a | b),
        }
    }

    fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Only(a), _) => a.iter().all(|value| other.has(value)),
            (Self::AllBut(a), Self::AllBut(b)) => b.is_subset(a),
            // The set of label values counts as infinite.
            (Self::AllBut(_), Self::Only(_)) => false,
        }
    }
}

impl Test {
    fn is(values: impl IntoIterator<Item = String>) -> Self {
        Self { missing: false, values: Values::Only(values.into_iter().collect()) }
    }

    fn is_not(values: impl IntoIterator<Item = String>) -> Self {
        Self { missing: true, values: Values::AllBut(values.into_iter().collect()) }
    }

    const fn exists() -> Self {
        Self { missing: false, values: Values::AllBut(BTreeSet::new()) }
    }

    const fn does_not_exist() -> Self {
        Self { missing: true, values: Values::Only(BTreeSet::new()) }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        value.map_or(self.missing, |value| self.values.has(value))
    }

    fn and(&self, other: &Self) -> Self {
        Self { missing: self.missing && other.missing, values: self.values.and(&other.values) }
    }

    fn within(&self, other: &Self) -> bool {
        (other.missing || !self.missing) && self.values.within(&other.values)
    }

    fn is_void(&self) -> bool {
        !self.missing && matches!(&self.values, Values::Only(set) if set.is_empty())
    }

    fn is_anything(&self) -> bool {
        self.missing && matches!(&self.values, Values::AllBut(set) if set.is_empty())
    }

    /// The complement, as tests that Kubernetes has an operator for.
    fn negated(&self) -> Vec<Self> {
        match (self.missing, &self.values) {
            (false, Values::Only(set)) => vec![Self::is_not(set.iter().cloned())],
            (true, Values::Only(set)) if set.is_empty() => vec![Self::exists()],
            // "Missing or one of": no operator says that, but its complement is "there, and none of".
            (true, Values::Only(set)) => vec![Self { missing: false, values: Values::AllBut(set.clone()) }],
            (true, Values::AllBut(set)) => vec![Self::is(set.iter().cloned())],
            (false, Values::AllBut(set)) if set.is_empty() => vec![Self::does_not_exist()],
            (false, Values::AllBut(set)) => vec![Self::does_not_exist(), Self::is(set.iter().cloned())],
        }
    }

    fn requirements(&self, key: &str) -> Vec<LabelSelectorRequirement> {
        let requirement = |operator: &str, set: &BTreeSet<String>| LabelSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: (!set.is_empty()).then(|| set.iter().cloned().collect()),
        };
        match (self.missing, &self.values) {
            (false, Values::Only(set)) => vec![requirement("In", set)],
            (true, Values::Only(set)) => {
                debug_assert!(set.is_empty(), "no conjunction of operators says `missing or one of`");
                vec![requirement("DoesNotExist", &BTreeSet::new())]
            }
            (true, Values::AllBut(set)) => vec![requirement("NotIn", set)],
            (false, Values::AllBut(set)) if set.is_empty() => vec![requirement("Exists", set)],
            (false, Values::AllBut(set)) => vec![requirement("Exists", &BTreeSet::new()), requirement("NotIn", set)],
        }
    }
}

impl Selector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects pods that have this label with this value.
    pub fn label(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { tests: BTreeMap::from([(key.into(), Test::is([value.into()]))]) }
    }

    /// Selects pods without the label or with another value.
    pub fn not_label(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { tests: BTreeMap::from([(key.into(), Test::is_not([value.into()]))]) }
    }

    /// True when an object with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.holds(|key| labels.get(key).map(String::as_str))
    }

    /// True if it selects the object whose labels this function looks up.
    pub fn holds<'l>(&self, value: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.tests.iter().all(|(key, test)| test.holds(value(key)))
    }

    /// The intersection of both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        for (key, test) in &other.tests {
            both.require(key, test);
        }
        both
    }

    /// Selectors that together select exactly the complement of this one: one per test, because a pod that fails a
    /// conjunction fails at least one of its parts. None when this one selects everything.
    pub fn negated(&self) -> Vec<Self> {
        self.tests
            .iter()
            .flat_map(|(key, test)| test.negated().into_iter().map(move |test| (key, test)))
            .map(|(key, test)| {
                let mut selector = Self::default();
                selector.require(key, &test);
                selector
            })
            .collect()
    }

    /// True when every object that this one selects is selected by the other as well.
    pub fn within(&self, other: &Self) -> bool {
        self.is_void()
            || other.tests.iter().all(|(key, test)| self.tests.get(key).is_some_and(|mine| mine.within(test)))
    }

    /// True when no labels can match: two tests contradict each other.
    pub fn is_void(&self) -> bool {
        self.tests.values().any(Test::is_void)
    }

    /// True when it selects everything.
    pub fn is_everything(&self) -> bool {
        self.tests.is_empty()
    }

    /// In the notation of Kubernetes: single values as `matchLabels`, the rest as `matchExpressions`.
    pub fn to_kubernetes(&self) -> LabelSelector {
        let mut labels = BTreeMap::new();
        let mut expressions = Vec::new();
        for (key, test) in &self.tests {
            match (&test.values, test.missing) {
                (Values::Only(set), false) if set.len() == 1 => {
                    labels.extend(set.first().map(|value| (key.clone(), value.clone())));
                }
                _ => expressions.extend(test.requirements(key)),
            }
        }
        LabelSelector {
            match_labels: (!labels.is_empty()).then_some(labels),
            match_expressions: (!expressions.is_empty()).then_some(expressions),
        }
    }

    fn require(&mut self, key: &str, test: &Test) {
        let both = self.tests.get(key).map_or_else(|| test.clone(), |mine| mine.and(test));
        if both.is_anything() {
            self.tests.remove(key);
        } else {
            self.tests.insert(key.to_owned(), both);
        }
    }

    /// Adds an expression. The operator is `In`, `NotIn`, `Exists` or `DoesNotExist`. With any other operator, nothing
    /// is selected.
    pub fn require_expression(&mut self, key: &str, operator: &str, values: impl IntoIterator<Item = String>) {
        let test = match operator {
            "In" => Test::is(values),
            "NotIn" => Test::is_not(values),
            "Exists" => Test::exists(),
            "DoesNotExist" => Test::does_not_exist(),
            // An API server stores no other operator. An unknown operator selects nothing.
            _ => Test::is([]),
        };
        self.require(key, &test);
    }
}

impl From<&LabelSelector> for Selector {
    fn from(selector: &LabelSelector) -> Self {
        let mut all = Self::default();
        for (key, value) in selector.match_labels.iter().flatten() {
            all.require(key, &Test::is([value.clone()]));
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.as_deref().unwrap_or_default();
            all.require_expression(&expression.key, &expression.operator, values.iter().cloned());
        }
        all
    }
}

impl From<&scenario::LabelSelector> for Selector {
    fn from(selector: &scenario::LabelSelector) -> Self {
        let mut all = Self::default();
        for (key, value) in &selector.match_labels {
            all.require(key, &Test::is([value.clone()]));
        }
        for expression in &selector.match_expressions {
            let operator = match expression.operator {
                scenario::Operator::In => "In",
                scenario::Operator::NotIn => "NotIn",
                scenario::Operator::Exists => "Exists",
                scenario::Operator::DoesNotExist => "DoesNotExist",
            };
            all.require_expression(&expression.key, operator, expression.values.iter().cloned());
        }
        all
    }
}

impl From<&BTreeMap<String, String>> for Selector {
    /// The selector of a Service: every label must have its value.
    fn from(labels: &BTreeMap<String, String>) -> Self {
        Self { tests: labels.iter().map(|(key, value)| (key.clone(), Test::is([value.clone()]))).collect() }
    }
}

impl fmt::Display for Selector {
    /// In the notation of `kubectl -l`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |set: &BTreeSet<String>| set.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let mut first = true;
        for (key, test) in &self.tests {
            for part in test.requirements(key) {
                if !first {
                    out.write_str(",")?;
                }
                first = false;
                let values: BTreeSet<String> = part.values.into_iter().flatten().collect();
                match (part.operator.as_str(), values.len()) {
                    ("In", 1) => write!(out, "{key}={}", join(&values))?,
                    ("In", _) => write!(out, "{key} in ({})", join(&values))?,
                    ("NotIn", 1) => write!(out, "{key}!={}", join(&values))?,
                    ("NotIn", _) => write!(out, "{key} notin ({})", join(&values))?,
                    ("Exists", _) => out.write_str(key)?,
                    _ => write!(out, "!{key}")?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn parse(json: serde_json::Value) -> Selector {
        let selector: LabelSelector = serde_json::from_value(json).expect("a label selector");
        Selector::from(&selector)
    }

    #[test]
    fn not_in_matches_what_lacks_the_key() {
        let selector = parse(serde_json::json!({"matchExpressions": [
            {"key": "app", "operator": "NotIn", "values": ["nats"]},
        ]}));
        assert!(selector.matches(&labels(&[])));
        assert!(selector.matches(&labels(&[("app", "etcd")])));
        assert!(!selector.matches(&labels(&[("app", "nats")])));
    }

    #[test]
    fn the_complement_of_a_conjunction_has_one_part_per_test() {
        let selector = parse(serde_json::json!({"matchLabels": {"app": "nats", "tier": "bus"}}));
        let parts: Vec<String> = selector.negated().iter().map(ToString::to_string).collect();
        assert_eq!(parts, ["app!=nats", "tier!=bus"]);
        // A pod that shares one label only is not selected, so the complement must hold it.
        let half = labels(&[("app", "nats"), ("tier", "web")]);
        assert!(!selector.matches(&half));
        assert!(selector.negated().iter().any(|part| part.matches(&half)));
    }

    #[test]
    fn a_selector_and_its_complement_split_all_labels() {
        let values = ["a", "b"];
        let selectors = [
            serde_json::json!({}),
            serde_json::json!({"matchLabels": {"k": "a", "l": "b"}}),
            serde_json::json!({"matchExpressions": [
                {"key": "k", "operator": "Exists"}, {"key": "k", "operator": "NotIn", "values": ["a"]},
                {"key": "l", "operator": "DoesNotExist"},
            ]}),
            serde_json::json!({"matchExpressions": [
                {"key": "k", "operator": "In", "values": ["a"]}, {"key": "k", "operator": "NotIn", "values": ["a"]},
            ]}),
            serde_json::json!({"matchExpressions": [{"key": "k", "operator": "Gt", "values": ["a"]}]}),
        ];
        let choices: Vec<Option<&str>> = std::iter::once(None).chain(values.into_iter().map(Some)).collect();
        for selector in selectors.map(parse) {
            for k in &choices {
                for l in &choices {
                    let labels: Labels = [("k", k), ("l", l)]
                        .into_iter()
                        .filter_map(|(key, value)| value.map(|value| (key.to_owned(), value.to_owned())))
                        .collect();
                    let outside = selector.negated().iter().any(|part| part.matches(&labels));
                    assert_ne!(selector.matches(&labels), outside, "{selector} on {labels:?}");
                    let back = Selector::from(&selector.to_kubernetes());
                    assert_eq!(back.matches(&labels), selector.matches(&labels), "{selector} on {labels:?}");
                }
            }
        }
    }

    #[test]
    fn within_compares_sets() {
        let narrow = parse(serde_json::json!({"matchLabels": {"app": "nats", "tier": "bus"}}));
        let wide = parse(serde_json::json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}));
        assert!(narrow.within(&wide) && !wide.within(&narrow));
        assert!(wide.within(&Selector::everything()));
    }
}
