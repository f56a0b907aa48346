//! A signed duration.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Duration;
use crate::Explained;

/// The shift of a clock: `+10m` forward, `-10m` back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    back: bool,
    by: Duration,
}

impl Offset {
    /// True for a shift back.
    pub const fn is_back(self) -> bool {
        self.back
    }

    /// The absolute value.
    pub const fn by(self) -> Duration {
        self.by
    }
}

impl FromStr for Offset {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let trimmed = text.trim();
        let (back, rest) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
        };
        let by: Duration = rest.parse()?;
        if by.is_zero() {
            return Err(Explained::new(format!("the offset `{trimmed}` is zero"), "write `+10m` or `-10m`"));
        }
        Ok(Self { back, by })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}{}", if self.back { "-" } else { "+" }, self.by)
    }
}

text_quantity!(
    Offset,
    "Offset",
    r"^\s*[+-]?([0-9]+(\.[0-9]+)?\s*(ns|us|µs|ms|s|m|h)\s*)+$",
    "the shift of a clock, forward (`+10m`) or back (`-10m`)",
    ["-10m", "+1h"]
);
