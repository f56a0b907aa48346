//! The findings of the doctor, and the names of permissions.

use shakedown_cluster::Access;
use shakedown_schemas::Explained;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    Ok,
    Warning,
    Problem,
}

/// The result of one check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) text: String,
    pub(super) help: Option<String>,
}

impl Finding {
    pub(super) fn ok(text: impl Into<String>) -> Self {
        Self { level: Level::Ok, text: text.into(), help: None }
    }

    pub(super) fn new(level: Level, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { level, text: text.into(), help: Some(help.into()) }
    }

    pub(super) fn of(level: Level, found: Explained) -> Self {
        Self { level, text: found.message, help: found.help }
    }
}

pub(super) const fn access(group: &'static str, resource: &'static str, verb: &'static str) -> Access {
    Access { group, resource, verb }
}

pub(super) fn name(access: &Access) -> String {
    let group = if access.group.is_empty() { String::new() } else { format!(".{}", access.group) };
    format!("{} {}{group}", access.verb, access.resource)
}
