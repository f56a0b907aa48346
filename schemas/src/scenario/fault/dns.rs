//! `dns`: names that the target pods cannot look up, or look up wrongly.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::selector::PodSelector;
use crate::units::Duration;

/// Answers the target pods' DNS questions with errors or with random addresses. Applications that keep answers notice
/// nothing until they ask again. Needs Chaos Mesh with its DNS server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsFault {
    /// The target pods.
    pub pods: PodSelector,
    /// The names; `*` may stand at the end. Default: all names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["models.example.org", "nats.*"]]))]
    pub patterns: Vec<String>,
    /// What the answers are. Default `error`.
    #[serde(default)]
    pub answer: DnsAnswer,
    /// Act on the replacement as well when a target is replaced while the fault stands. Default: only report it.
    #[serde(default)]
    pub follow: bool,
    /// How long after the phase's start the fault is injected. Default: at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long the fault lasts. Default: until the phase's end.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Duration>,
}

/// What a DNS question gets for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DnsAnswer {
    /// An error.
    #[default]
    Error,
    /// A random address.
    Random,
}
