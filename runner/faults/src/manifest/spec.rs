//! The spec of an object that is created: plain data.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use shakedown_cluster::ObjectKey;
use shakedown_schemas::scenario::Condition;
use shakedown_schemas::units::as_text;

/// A condition and its object.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Check {
    /// The object, if it is not the fault's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<ObjectKey>,
    /// The condition.
    pub condition: Condition,
}

/// The spec of the driver: plain data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ManifestSpec {
    /// The object's key.
    pub key: ObjectKey,
    /// The object. A plan lists it among the objects that will be created.
    #[serde(skip)]
    pub object: Value,
    /// The conditions that hold once the fault acts.
    pub active_when: Vec<Check>,
    /// The conditions that hold once its effects are gone.
    pub gone_when: Vec<Check>,
    /// The limits of its steps.
    pub limits: Limits,
}

/// The limits of an object's steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// The time until its conditions hold.
    #[serde(serialize_with = "as_text::duration")]
    pub within: Duration,
    /// The time after which an object of Chaos Mesh is removed by force; `None` for never.
    #[serde(serialize_with = "as_text::optional", skip_serializing_if = "Option::is_none")]
    pub force_after: Option<Duration>,
}
