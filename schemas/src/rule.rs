//! Rules on combinations of keys of one map, as far as a JSON Schema can express them. The checks enforce the same
//! rules, with messages and positions.

use serde_json::{Value, json};

/// A rule on the keys of one map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Exactly one of these.
    One(&'static [&'static str]),
    /// At least one of these.
    Some(&'static [&'static str]),
    /// Not both of these.
    NotBoth(&'static str, &'static str),
}

impl Rule {
    /// At least one limit.
    pub const LIMITS: Self = Self::Some(&["min", "max"]);

    /// The rule as JSON Schema.
    pub(crate) fn schema(self) -> Value {
        let each = |keys: &[&str]| keys.iter().map(|key| json!({"required": [key]})).collect::<Vec<_>>();
        match self {
            Self::One(keys) => json!({"oneOf": each(keys)}),
            Self::Some(keys) => json!({"anyOf": each(keys)}),
            Self::NotBoth(one, other) => json!({"not": {"required": [one, other]}}),
        }
    }

    /// The rule as a sentence.
    pub fn text(self) -> String {
        let keys = |keys: &[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        match self {
            Self::One(all) => format!("Exactly one of {} is given.", keys(all)),
            Self::Some(all) => format!("At least one of {} is given.", keys(all)),
            Self::NotBoth(one, other) => format!("`{one}` and `{other}` exclude each other."),
        }
    }
}
