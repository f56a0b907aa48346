//! Ports as people write them.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::units::UnitError;

/// A port, or a range of ports with both ends included: `4222`, `4222-4224`, `53/udp`. TCP unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first port, 1 to 65535.
    pub first: u16,
    /// The last port; the same as `first` for a single one.
    pub last: u16,
    /// True for UDP.
    pub udp: bool,
}

impl FromStr for PortRange {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bad = || UnitError {
            message: format!("`{text}` is not a port"),
            help: Some("write a port, a range or a protocol: `4222`, `4222-4224`, `53/udp`".to_owned()),
        };
        let (numbers, udp) = match text.trim().split_once('/') {
            None => (text.trim(), false),
            Some((numbers, protocol)) => match protocol.to_ascii_lowercase().as_str() {
                "tcp" => (numbers, false),
                "udp" => (numbers, true),
                _ => return Err(bad()),
            },
        };
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        // `parse` alone would take `+80`.
        let port = |text: &str| text.trim().parse::<u16>().ok().filter(|_| !text.contains('+')).ok_or_else(bad);
        let (first, last) = (port(first)?, port(last)?);
        if first == 0 || last < first {
            return Err(bad());
        }
        Ok(Self { first, last, udp })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.first)?;
        if self.last != self.first {
            write!(out, "-{}", self.last)?;
        }
        if self.udp { out.write_str("/udp") } else { Ok(()) }
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.first == self.last && !self.udp {
            serializer.serialize_u16(self.first)
        } else {
            serializer.collect_str(self)
        }
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = PortRange;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a port such as `4222`, `4222-4224` or `53/udp`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PortRange, E> {
                text.parse().map_err(|error: UnitError| {
                    E::custom(format_args!("{}\n{}", error.message, error.help.unwrap_or_default()))
                })
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<PortRange, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<PortRange, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for PortRange {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port, a range with both ends included, or either with a protocol. TCP unless it says otherwise.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": r"^\s*[0-9]+\s*(-\s*[0-9]+\s*)?(/([tT][cC][pP]|[uU][dD][pP]))?\s*$"},
            ],
            "examples": [4222, "4222-4224", "53/udp"],
        })
    }
}
