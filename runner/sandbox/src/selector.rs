//! Label and field selectors, from query strings and from objects.
//!
//! In scope: parsing and matching. Out of scope: the selectors of scenarios (`schemas`).

use serde_json::{Map, Value};
use shakedown_policy::Selector;

use super::error::ApiError;
use super::object;
use super::resource::Resource;

/// A conjunction of requirements on labels. The empty one matches everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Labels(Selector);

impl Labels {
    /// Reads the form of query strings: `a=b,c!=d,e in (f,g),h notin (i),j,!k`.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut selector = Selector::everything();
        for part in split_outside_parentheses(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let (key, operator, values) = parse_requirement(part).ok_or_else(|| {
                ApiError::bad_request(format!(
                    "unable to parse requirement: couldn't parse the selector string {part:?}"
                ))
            })?;
            selector.require_expression(&key, operator, values);
        }
        Ok(Self(selector))
    }

    /// Reads a `LabelSelector` (`matchLabels`, `matchExpressions`) as objects of `apps`, `batch` and policies carry it.
    pub fn from_selector(selector: &Value) -> Self {
        let mut all = equalities(selector.get("matchLabels"));
        for expression in object::list(selector, "/matchExpressions") {
            let values = object::list(expression, "/values").iter().filter_map(Value::as_str).map(str::to_owned);
            // Validation refuses other operators.
            all.require_expression(object::text(expression, "/key"), object::text(expression, "/operator"), values);
        }
        Self(all)
    }

    /// Reads the plain map of a service or replication controller. A missing one selects nothing.
    pub fn from_map(map: Option<&Value>) -> Option<Self> {
        let selector = equalities(map);
        (!selector.is_everything()).then_some(Self(selector))
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.0.holds(|key| labels?.get(key)?.as_str())
    }
}

fn equalities(map: Option<&Value>) -> Selector {
    let mut all = Selector::everything();
    for (key, value) in map.and_then(Value::as_object).into_iter().flatten() {
        all.require_expression(key, "In", [value.as_str().unwrap_or_default().to_owned()]);
    }
    all
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// A key, an operator of Kubernetes, and its values.
fn parse_requirement(part: &str) -> Option<(String, &'static str, Vec<String>)> {
    if let Some(key) = part.strip_prefix('!') {
        return label_key(key).map(|key| (key, "DoesNotExist", Vec::new()));
    }
    for (operator, meaning) in [("!=", "NotIn"), ("==", "In"), ("=", "In")] {
        if let Some((key, value)) = part.split_once(operator) {
            return Some((label_key(key)?, meaning, vec![label_value(value)?]));
        }
    }
    if let Some(list) = part.strip_suffix(')') {
        let (head, list) = list.split_once('(')?;
        let values = list.split(',').map(label_value).collect::<Option<Vec<_>>>()?;
        let mut words = head.split_whitespace();
        let key = label_key(words.next()?)?;
        let operator = words.next()?;
        return match (operator, words.next()) {
            ("in", None) => Some((key, "In", values)),
            ("notin", None) => Some((key, "NotIn", values)),
            _ => None,
        };
    }
    label_key(part).map(|key| (key, "Exists", Vec::new()))
}

fn label_key(text: &str) -> Option<String> {
    let text = text.trim();
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!text.is_empty() && text.chars().all(good)).then(|| text.to_string())
}

fn label_value(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).then(|| text.to_string())
}

/// A conjunction of comparisons with fields of an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Fields(Vec<(&'static str, String, bool)>);

/// The fields that lists and watches can be narrowed by, per plural name, besides `metadata.name` and `.namespace`.
const FIELDS: &[(&str, &[(&str, &str)])] = &[
    (
        "pods",
        &[
            ("spec.nodeName", "/spec/nodeName"),
            ("spec.restartPolicy", "/spec/restartPolicy"),
            ("spec.schedulerName", "/spec/schedulerName"),
            ("spec.serviceAccountName", "/spec/serviceAccountName"),
            ("status.phase", "/status/phase"),
            ("status.podIP", "/status/podIP"),
        ],
    ),
    (
        "events",
        &[
            ("involvedObject.kind", "/involvedObject/kind"),
            ("involvedObject.namespace", "/involvedObject/namespace"),
            ("involvedObject.name", "/involvedObject/name"),
            ("involvedObject.uid", "/involvedObject/uid"),
            ("involvedObject.apiVersion", "/involvedObject/apiVersion"),
            ("involvedObject.resourceVersion", "/involvedObject/resourceVersion"),
            ("involvedObject.fieldPath", "/involvedObject/fieldPath"),
            ("reason", "/reason"),
            ("reportingComponent", "/reportingComponent"),
            ("source", "/source/component"),
            ("type", "/type"),
        ],
    ),
    ("namespaces", &[("status.phase", "/status/phase")]),
    ("nodes", &[("spec.unschedulable", "/spec/unschedulable")]),
    ("secrets", &[("type", "/type")]),
    ("services", &[("spec.clusterIP", "/spec/clusterIP"), ("spec.type", "/spec/type")]),
    ("replicasets", &[("status.replicas", "/status/replicas")]),
    ("jobs", &[("status.successful", "/status/succeeded")]),
];

impl Fields {
    /// Reads `a=b,c!=d`. Fails on fields that the kind cannot be selected by.
    pub fn parse(resource: &Resource, text: &str) -> Result<Self, ApiError> {
        let mut comparisons = Vec::new();
        for part in text.split(',').filter(|p| !p.is_empty()) {
            let (field, value, equal) = if let Some((field, value)) = part.split_once("!=") {
                (field, value, false)
            } else if let Some((field, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (field, value, true)
            } else {
                return Err(ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
            };
            let pointer = match field {
                "metadata.name" => Some("/metadata/name"),
                "metadata.namespace" => Some("/metadata/namespace"),
                _ => FIELDS
                    .iter()
                    .find(|(plural, _)| *plural == resource.plural)
                    .and_then(|(_, fields)| fields.iter().find(|(known, _)| *known == field))
                    .map(|(_, pointer)| *pointer),
            };
            let pointer = pointer.ok_or_else(|| {
                ApiError::bad_request(format!(
                    "Unable to find \"{}, Resource={}\" that match label selector \"\", field selector {text:?}: \
                     field label not supported: {field}",
                    group_version(resource),
                    resource.plural
                ))
            })?;
            comparisons.push((pointer, value.to_string(), equal));
        }
        Ok(Self(comparisons))
    }

    /// Whether the object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(pointer, wanted, equal)| {
            let found = match object.pointer(pointer) {
                Some(Value::String(s)) => s.clone(),
                Some(Value::Null) | None => String::new(),
                Some(other) => other.to_string(),
            };
            (found == *wanted) == *equal
        })
    }
}

fn group_version(resource: &Resource) -> String {
    format!("{}/{}", resource.group, resource.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{EVENTS, PODS};
    use serde_json::json;

    fn selects(selector: &str, labels: &Value) -> bool {
        Labels::parse(selector).unwrap().matches(labels.as_object())
    }

    #[test]
    fn label_selectors_follow_the_table() {
        let labels = json!({"app": "web", "tier": "front", "empty": ""});
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app=web,tier=front", true),
            ("app=web,tier=back", false),
            ("app!=web", false),
            ("missing!=web", true),
            ("app in (api, web)", true),
            ("app in (api)", false),
            ("app notin (api,db)", true),
            ("missing notin (api)", true),
            ("app notin (web)", false),
            ("app", true),
            ("missing", false),
            ("!missing", true),
            ("!app", false),
            ("empty=", true),
            ("app in (web),!missing,tier", true),
        ] {
            assert_eq!(selects(selector, &labels), expected, "{selector}");
        }
    }

    #[test]
    fn malformed_label_selectors_are_bad_requests() {
        for selector in ["app in web", "app of (web)", "a b", "app=we b", "app in (web", "=x"] {
            assert_eq!(Labels::parse(selector).unwrap_err().code, 400, "{selector}");
        }
    }

    #[test]
    fn label_selectors_of_objects_match_like_the_text_form() {
        let selector = Labels::from_selector(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["back"]},
                {"key": "zone", "operator": "DoesNotExist"},
            ],
        }));
        assert_eq!(selector, Labels::parse("app=web,tier notin (back),!zone").unwrap());
        assert!(Labels::from_selector(&json!({})).matches(None));
        assert_eq!(Labels::from_map(Some(&json!({}))), None);
    }

    #[test]
    fn field_selectors_compare_fields_and_refuse_unknown_ones() {
        let pod = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        assert!(Fields::parse(&PODS, "metadata.name=a,status.phase!=Pending").unwrap().matches(&pod));
        assert!(!Fields::parse(&PODS, "spec.nodeName==m").unwrap().matches(&pod));
        assert!(Fields::parse(&EVENTS, "reason=Killing").is_ok());
        let error = Fields::parse(&PODS, "spec.color=red").unwrap_err();
        assert!(error.message.ends_with("field label not supported: spec.color"), "{error}");
    }
}
