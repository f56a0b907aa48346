//! Selectors of pods, and the peers at the other end of a fault's links.

use std::fmt;

use indexmap::IndexMap;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::fault::PeerPort;
use crate::units::Percent;

/// Selects pods. At least one of `name`, `prefix`, `labels` and `owner` is required. A pod must match all of them.
/// `count` or `percent` narrows the selection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PodSelector {
    /// The full name of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["nats-0"]))]
    pub name: Option<String>,
    /// A prefix of the pods' names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["vllm-agg-0-vllmdecodeworker"]))]
    pub prefix: Option<String>,
    /// The pods' labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelSelector>,
    /// The workload that owns the pods, as `kind/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["deployment/worker"]), regex(pattern = r"^[A-Za-z]+/[^/]+$"))]
    pub owner: Option<String>,
    /// The pods' namespace. Default: the scenario's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), extend("examples" = ["dynamo"]))]
    pub namespace: Option<String>,
    /// Take this number of the matching pods, chosen by the run's seed. Fewer matching pods are an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1), extend("examples" = [1]))]
    pub count: Option<u32>,
    /// Take this share of the matching pods, rounded up, chosen by the run's seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<Percent>,
}

/// Labels that a pod must have: `{app: worker}`, `app=worker,tier!=test` as in kubectl, or `matchLabels` and
/// `matchExpressions` as in Kubernetes.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct LabelSelector {
    /// Labels with their required values.
    #[serde(rename = "matchLabels", skip_serializing_if = "IndexMap::is_empty")]
    pub match_labels: IndexMap<String, String>,
    /// Expressions that must all hold.
    #[serde(rename = "matchExpressions", skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<Expression>,
}

/// One condition on a label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The label's name.
    #[schemars(extend("examples" = ["app.kubernetes.io/name"]))]
    pub key: String,
    /// How its value is compared.
    pub operator: Operator,
    /// The values to compare with; none for `Exists` and `DoesNotExist`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("examples" = [["worker", "frontend"]]))]
    pub values: Vec<String>,
}

/// How a label's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is missing or has none of the values.
    NotIn,
    /// The label exists.
    Exists,
    /// The label does not exist.
    DoesNotExist,
}

impl<'de> Deserialize<'de> for LabelSelector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Labels;
        impl<'de> de::Visitor<'de> for Labels {
            type Value = LabelSelector;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("labels such as `{app: worker}`, or `matchLabels` and `matchExpressions`")
            }

            fn visit_map<M: de::MapAccess<'de>>(self, mut map: M) -> Result<LabelSelector, M::Error> {
                let mut selector = LabelSelector::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "matchLabels" => selector.match_labels.extend(map.next_value::<IndexMap<String, String>>()?),
                        "matchExpressions" => selector.match_expressions = map.next_value()?,
                        _ => {
                            let value = map.next_value()?;
                            selector.match_labels.insert(key, value);
                        }
                    }
                }
                Ok(selector)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<LabelSelector, E> {
                LabelSelector::of_text(text).ok_or_else(|| {
                    E::custom(format_args!(
                        "`{text}` does not select by labels\nwrite `labels: {{app: worker}}` or `labels: app=worker`"
                    ))
                })
            }
        }
        deserializer.deserialize_any(Labels)
    }
}

impl JsonSchema for LabelSelector {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LabelSelector".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let expression = generator.subschema_for::<Expression>();
        json_schema!({
            "type": ["object", "string"],
            "description": "Labels that a pod must have: `{app: worker}`, `app=worker,tier!=test` as in kubectl, or `matchLabels` and `matchExpressions` as in Kubernetes.",
            "pattern": Self::pattern(),
            "properties": {
                "matchLabels": {
                    "description": "Labels with their required values.",
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "examples": [{"app": "worker"}],
                },
                "matchExpressions": {
                    "description": "Expressions that must all hold.",
                    "type": "array",
                    "items": expression,
                },
            },
            "additionalProperties": {"type": "string"},
            "minProperties": 1,
            "examples": [{"app": "worker"}, "app=worker"],
        })
    }
}

impl LabelSelector {
    /// The notation of kubectl: `app=worker,tier!=test`. None for other text.
    fn of_text(text: &str) -> Option<Self> {
        let is_key = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'))
        };
        let is_value = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        let mut selector = Self::default();
        for term in text.split(',') {
            let (key, value) = term.split_once('=')?;
            let (key, is_not) = match key.strip_suffix('!') {
                Some(key) => (key.trim(), true),
                None => (key.trim(), false),
            };
            let value = value.strip_prefix('=').filter(|_| !is_not).unwrap_or(value).trim();
            if !is_key(key) || !is_value(value) {
                return None;
            }
            let (key, value) = (key.to_owned(), value.to_owned());
            if is_not {
                let operator = Operator::NotIn;
                selector.match_expressions.push(Expression { key, operator, values: vec![value] });
            } else {
                selector.match_labels.insert(key, value);
            }
        }
        Some(selector)
    }

    /// The same as a regular expression for the schema. The text can come from a template.
    fn pattern() -> String {
        const TERM: &str = r"\s*[A-Za-z0-9][A-Za-z0-9._/-]*\s*(==?|!=)\s*[A-Za-z0-9._-]*\s*";
        format!(r"^{TERM}(,{TERM})*$|\{{\{{[\s\S]*\}}\}}")
    }

    /// True if it matches every pod.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

/// The other end of a link: exactly one of `service`, `pods`, `cidr` and `host`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// A Service, by name: its current pods, and pods that join it later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), extend("examples" = ["nats"]))]
    pub service: Option<String>,
    /// Pods, with the selectors of a fault's targets except `count` and `percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodSelector>,
    /// A CIDR block outside the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["203.0.113.0/24"]))]
    pub cidr: Option<String>,
    /// A host name outside the cluster. Planning resolves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["models.example.org"]))]
    pub host: Option<String>,
    /// The namespace of a `service`. Default: the scenario's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"), extend("examples" = ["bus"]))]
    pub namespace: Option<String>,
    /// Only these ports of the peer. Its other ports stay open. Default: all ports. For a `service`, these are the
    /// Service's own ports, by number or name. They select the pods' ports behind them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PeerPort>,
}
