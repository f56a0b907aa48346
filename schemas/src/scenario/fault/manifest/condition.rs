//! Conditions on fields of objects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One condition on a field of an object: exactly one of `equals`, `not_equals` and `exists`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The object. Default: the object that the fault creates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<ObjectName>,
    /// The path of the field from the object's root: keys separated by `.`, `[2]` for an element of a list,
    /// `[type=Ready]` for the element whose field has this value.
    #[schemars(extend("examples" = ["status.phase", "status.conditions[type=AllInjected].status"]))]
    pub field: String,
    /// The field has this value: text, a number or a boolean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["True"]))]
    pub equals: Option<Value>,
    /// The field exists and has another value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["Failed"]))]
    pub not_equals: Option<Value>,
    /// The field exists (`true`) or does not exist (`false`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [true]))]
    pub exists: Option<bool>,
}

/// An object of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectName {
    /// Its API version.
    #[schemars(extend("examples" = ["chaos-mesh.org/v1alpha1"]))]
    pub api_version: String,
    /// Its kind.
    #[schemars(extend("examples" = ["PodNetworkChaos"]))]
    pub kind: String,
    /// Its name.
    #[schemars(extend("examples" = ["web-0"]))]
    pub name: String,
    /// Its namespace. Default: the scenario's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["shop"]))]
    pub namespace: Option<String>,
}

/// The path of a field in an object, in the notation of [`Condition::field`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    /// The first element of a list whose field has this value.
    Where(String, String),
}

impl Field {
    /// Parses a path such as `status.conditions[type=Ready].status`.
    ///
    /// # Errors
    /// A sentence on what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("`{text}` is not a field: {what}");
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let (inside, after) = inside.split_once(']').ok_or_else(|| bad("a `[` has no `]`"))?;
                steps.push(match inside.split_once('=') {
                    Some((key, value)) if !key.trim().is_empty() => {
                        Step::Where(key.trim().to_owned(), value.trim().trim_matches(['"', '\'']).to_owned())
                    }
                    Some(_) => return Err(bad("there is no key before `=`")),
                    None => {
                        Step::Index(inside.trim().parse().map_err(|_| bad("`[...]` holds a number or `key=value`"))?)
                    }
                });
                rest = after;
                match rest.strip_prefix('.') {
                    Some("") => return Err(bad("it ends with a dot")),
                    Some(after) => rest = after,
                    None if rest.is_empty() || rest.starts_with('[') => {}
                    None => return Err(bad("a `.` is missing after `]`")),
                }
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return Err(bad("a key is empty"));
                }
                steps.push(Step::Key(rest[..end].to_owned()));
                rest = match rest[end..].strip_prefix('.') {
                    Some("") => return Err(bad("it ends with a dot")),
                    Some(after) => after,
                    None => &rest[end..],
                };
            }
        }
        if steps.is_empty() { Err(bad("it is empty")) } else { Ok(Self(steps)) }
    }

    /// The value of the field, if the object has it.
    pub fn of<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(*index),
            Step::Where(key, wanted) => {
                value.as_array()?.iter().find(|it| it.get(key).is_some_and(|it| has_text(it, wanted)))
            }
        })
    }
}

/// True if a value has this text: a string itself, another value as JSON.
fn has_text(value: &Value, text: &str) -> bool {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned) == text
}

impl Condition {
    /// True if it holds for an object. None is an object that does not exist.
    pub fn holds(&self, object: Option<&Value>) -> bool {
        let found = Field::parse(&self.field).ok().and_then(|field| field.of(object?)).filter(|value| !value.is_null());
        let same = |wanted: &Value| {
            found.is_some_and(|value| value == wanted || wanted.as_str().is_some_and(|wanted| has_text(value, wanted)))
        };
        match (&self.equals, &self.not_equals, self.exists) {
            (Some(wanted), ..) => same(wanted),
            // A field that does not exist yet also lacks the value. That shows nothing, so the field must exist.
            (None, Some(unwanted), _) => found.is_some() && !same(unwanted),
            (None, None, Some(exists)) => found.is_some() == exists,
            (None, None, None) => false,
        }
    }

    /// The condition in words.
    pub fn text(&self) -> String {
        let value = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match (&self.equals, &self.not_equals, self.exists) {
            (Some(wanted), ..) => format!("{} is {}", self.field, value(wanted)),
            (None, Some(unwanted), _) => format!("{} is not {}", self.field, value(unwanted)),
            (None, None, Some(false)) => format!("{} does not exist", self.field),
            (None, None, _) => format!("{} exists", self.field),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_lead_through_maps_and_lists() {
        let object = json!({"status": {"phase": "Up", "n": 3, "conditions": [
            {"type": "Selected", "status": "True"},
            {"type": "AllInjected", "status": "False"},
        ]}});
        for (field, expected) in [
            ("status.phase", Some(json!("Up"))),
            ("status.conditions[type=AllInjected].status", Some(json!("False"))),
            ("status.conditions[0].type", Some(json!("Selected"))),
            ("status.conditions[type=Paused].status", None),
            ("spec.x", None),
        ] {
            assert_eq!(Field::parse(field).unwrap().of(&object), expected.as_ref(), "{field}");
        }
        for bad in ["", ".a", "a.", "a..b", "a[", "a[x]", "a[=b]", "a[0]b", "a[0]."] {
            Field::parse(bad).expect_err(bad);
        }
    }

    #[test]
    fn conditions_need_an_existing_field_except_to_ask_for_its_absence() {
        let object = json!({"status": {"phase": "Up", "n": 3, "ok": true}});
        let holds = |text: &str| serde_json::from_str::<Condition>(text).unwrap().holds(Some(&object));
        assert!(holds(r#"{"field": "status.phase", "equals": "Up"}"#));
        assert!(holds(r#"{"field": "status.n", "equals": 3}"#) && holds(r#"{"field": "status.ok", "equals": "true"}"#));
        assert!(!holds(r#"{"field": "status.phase", "not_equals": "Up"}"#));
        assert!(!holds(r#"{"field": "status.missing", "not_equals": "Up"}"#));
        assert!(holds(r#"{"field": "status.missing", "exists": false}"#));
        let gone: Condition = serde_json::from_str(r#"{"field": "metadata.name", "exists": false}"#).unwrap();
        assert!(gone.holds(None));
    }
}
