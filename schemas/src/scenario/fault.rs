//! Faults: what is done to the cluster, one variant per kind.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::selector::{Peer, PodSelector};
use crate::units::{Duration, UnitError};

/// One thing done to the cluster: a map with one key, the kind of fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Cut the links between the target pods and some peers, and leave every other link as it is.
    Partition(Partition),
}

impl Fault {
    /// The kind, as it is written in a scenario.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Partition(_) => "partition",
        }
    }

    /// The target pods.
    pub const fn pods(&self) -> &PodSelector {
        match self {
            Self::Partition(partition) => &partition.pods,
        }
    }

    /// How long after the phase's start the fault is injected.
    pub fn after(&self) -> Duration {
        match self {
            Self::Partition(partition) => partition.after.unwrap_or_default(),
        }
    }

    /// How long the fault lasts; without it, until the phase's end.
    pub const fn lasts(&self) -> Option<Duration> {
        match self {
            Self::Partition(partition) => partition.lasts,
        }
    }
}

/// Cuts the links between the target pods and some peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// The target pods.
    pub pods: PodSelector,
    /// The peers that the targets lose.
    #[schemars(length(min = 1))]
    pub from: Vec<Peer>,
    /// Which way the links are cut, seen from the target pods. Default `both`.
    #[serde(default)]
    pub direction: Direction,
    /// Cut off the replacement as well when a target is replaced while the fault stands. Default: only report it. Of
    /// several partitions that share a target, one that says so is enough.
    #[serde(default)]
    pub follow: bool,
    /// What shows that the links are really cut. Default `auto`.
    #[serde(default)]
    pub prove: Prove,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// Which way a link is acted on, seen from the fault's target pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// What the targets open.
    Egress,
    /// What the targets accept.
    Ingress,
    /// Both.
    #[default]
    Both,
}

impl Direction {
    /// True when connections that the targets open are meant.
    pub const fn has_egress(self) -> bool {
        matches!(self, Self::Egress | Self::Both)
    }

    /// True when connections that the targets accept are meant.
    pub const fn has_ingress(self) -> bool {
        matches!(self, Self::Ingress | Self::Both)
    }
}

/// What shows that a partition acts, beside its policy being in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prove {
    /// A witness where an image for it is known; else the policy counts where this cluster is known to enforce policies,
    /// or where the run's own requests change. Without any of these the scenario is inconclusive.
    #[default]
    Auto,
    /// A witness: a short-lived pod that could connect to the peer before, and cannot now. Needs an image
    /// (`--witness-image`), and a partition that cuts what the targets open.
    Witness,
    /// The run's own requests: their success rate or latency leaves the baseline's band while the fault stands.
    Traffic,
    /// Nothing more: that the policy is in place is enough.
    Applied,
}

impl Prove {
    /// The way in a word, as a scenario writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Witness => "witness",
            Self::Traffic => "traffic",
            Self::Applied => "applied",
        }
    }
}

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
