//! Serialises durations of the standard library in the notation of scenarios. For `#[serde(serialize_with = …)]`.

use serde::Serializer;

use super::Duration;

/// A duration such as `1m30s`.
///
/// # Errors
/// Those of the serializer.
pub fn duration<S: Serializer>(duration: &std::time::Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Duration::from(*duration))
}

/// The same for an optional duration.
///
/// # Errors
/// Those of the serializer.
pub fn optional<S: Serializer>(duration: &Option<std::time::Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match duration {
        Some(it) => self::duration(it, serializer),
        None => serializer.serialize_none(),
    }
}
