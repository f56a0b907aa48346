//! Ports in the notation of scenarios.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Explained;

/// A port or an inclusive range of ports: `4222`, `4222-4224`, `53/udp`. TCP if no protocol is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    /// The first port, 1 to 65535.
    pub first: u16,
    /// The last port. Equal to `first` for a single port.
    pub last: u16,
    /// True for UDP.
    pub udp: bool,
}

impl FromStr for PortRange {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let bad = || {
            Explained::new(
                format!("`{text}` is not a port"),
                "write a port, a range or a protocol: `4222`, `4222-4224`, `53/udp`",
            )
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

/// A port of a peer: a number or a range, or the name of a port of a `service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerPort {
    /// By number.
    Numbers(PortRange),
    /// By its name in the Service.
    Name(String),
}

impl PeerPort {
    /// The numbers. None for a name.
    pub const fn numbers(&self) -> Option<PortRange> {
        match self {
            Self::Numbers(range) => Some(*range),
            Self::Name(_) => None,
        }
    }
}

impl FromStr for PeerPort {
    type Err = Explained;

    fn from_str(text: &str) -> Result<Self, Explained> {
        let name = text.trim();
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label = (1..=63).contains(&name.len())
            && name.bytes().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-')
            && name.bytes().any(|byte| byte.is_ascii_lowercase());
        if is_label {
            return Ok(Self::Name(name.to_owned()));
        }
        text.parse().map(Self::Numbers)
    }
}

impl fmt::Display for PeerPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(range) => range.fmt(out),
            Self::Name(name) => out.write_str(name),
        }
    }
}

impl Serialize for PeerPort {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Numbers(range) => range.serialize(serializer),
            Self::Name(name) => serializer.serialize_str(name),
        }
    }
}

impl<'de> Deserialize<'de> for PeerPort {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = PeerPort;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a port such as `4222`, `4222-4224`, `53/udp` or `http`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<PeerPort, E> {
                text.parse().map_err(|error: Explained| {
                    E::custom(format_args!("{}\n{}", error.message, error.help.unwrap_or_default()))
                })
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<PeerPort, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<PeerPort, E> {
                self.visit_str(&value.to_string())
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for PeerPort {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A port or an inclusive range of ports, with an optional protocol (TCP if it is missing). For a `service` \
                            also the name of one of its ports.",
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": 65535},
                {"type": "string", "pattern": r"^\s*[0-9]+\s*(-\s*[0-9]+\s*)?(/([tT][cC][pP]|[uU][dD][pP]))?\s*$"},
                {"type": "string", "pattern": r"^\s*([0-9][-0-9]*)?[a-z]([-a-z0-9]*[a-z0-9])?\s*$"},
            ],
            "examples": [4222, "4222-4224", "53/udp", "http"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_port_is_a_number_or_a_name() {
        let numbers = |text: &str| text.parse::<PeerPort>().ok().and_then(|it| it.numbers()).map(|it| it.to_string());
        for text in ["80", "80-90", "53/udp"] {
            assert_eq!(numbers(text).as_deref(), Some(text));
        }
        for name in ["http", "h2", "2h", "grpc-web", "a-1"] {
            assert_eq!(name.parse(), Ok(PeerPort::Name(name.to_owned())));
        }
        for wrong in ["", "-", "70000", "0", "Http", "http-", "-http", "http/udp", "a b", "90-80"] {
            assert!(wrong.parse::<PeerPort>().is_err(), "{wrong}");
        }
    }
}
