//! Whether a Schedule or a Workflow acts. Its own status says only that it has created an object, which may never be injected.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use shakedown_cluster::{Cluster, ClusterError, Kind, ObjectKey};
use shakedown_schemas::result::Proof;

use super::dependants::{Dependants, kinds_of_dependants, made};
use crate::Finding;
use crate::chaos::{failing, was_injected};

/// The objects through which an object acts.
pub(super) struct Acting {
    /// Their kinds. Empty for an object that acts itself, or through kinds that are not known.
    kinds: Vec<Kind>,
    /// The first one that was injected, as text. It may be gone again by the next check.
    seen: Option<String>,
    /// Their latest states that were kept, by their keys as text.
    states: BTreeMap<String, (ObjectKey, Value)>,
}

impl Acting {
    /// Of an object of this kind.
    pub(super) fn of(kind: Kind, object: &Value) -> Self {
        let mut types = BTreeSet::new();
        add_types(&object["spec"], &mut types);
        let kinds: Vec<Kind> = kinds_of_dependants(kind).into_iter().filter(|it| types.contains(it.name())).collect();
        let mut acting = types.iter().filter(|name| name.ends_with("Chaos")).peekable();
        let is_known = acting.peek().is_some() && acting.all(|name| Kind::CHAOS.iter().any(|it| it.name() == *name));
        Self { kinds: if is_known { kinds } else { Vec::new() }, seen: None, states: BTreeMap::new() }
    }

    /// Whether one of them was injected, now or before. None for an object that acts itself.
    pub(super) async fn look(&mut self, cluster: &Cluster, key: &ObjectKey) -> Result<Option<Finding>, ClusterError> {
        let finding = |holds: bool, detail: String| Ok(Some(Finding { shows: Proof::Applied, holds, detail }));
        if self.kinds.is_empty() {
            return Ok(None);
        }
        if let Some(seen) = &self.seen {
            return finding(true, seen.clone());
        }
        let (made, unlisted) = made(cluster, key, self.kinds.iter().copied()).await?;
        let mut acting = made.iter().filter(|(key, _)| Kind::CHAOS.contains(&key.kind)).peekable();
        if let Some((child, _)) = acting.clone().find(|(_, object)| was_injected(object)) {
            let seen = format!("{child}, which {key} created, was injected");
            self.seen = Some(seen.clone());
            return finding(true, seen);
        }
        if !unlisted.is_empty() {
            let kinds = Dependants { left: Vec::new(), unlisted }.unlisted_kinds();
            return finding(
                false,
                format!(
                    "it is unknown whether an object that {key} created was injected: this account may not list {kinds}"
                ),
            );
        }
        let why =
            acting.clone().find_map(|(_, object)| failing(object)).map(|why| format!(": {why}")).unwrap_or_default();
        match acting.peek() {
            Some((child, _)) => finding(false, format!("{child}, which {key} created, was not injected yet{why}")),
            None => finding(false, format!("{key} has created no object that acts yet")),
        }
    }

    /// Keeps the states of those that exist. Only these show what a failed injection leaves once they are gone.
    pub(super) async fn keep_states(&mut self, cluster: &Cluster, key: &ObjectKey) -> Result<(), ClusterError> {
        if !self.kinds.is_empty() {
            let (made, _) = made(cluster, key, self.kinds.iter().copied()).await?;
            self.states.extend(made.into_iter().map(|(key, object)| (key.to_string(), (key, object))));
        }
        Ok(())
    }

    /// The states that were kept.
    pub(super) fn states(&self) -> impl Iterator<Item = (&ObjectKey, &Value)> {
        self.states.values().map(|(key, object)| (key, object))
    }

    /// What to do about an object that has not acted in time. None for one that acts itself.
    pub(super) fn help(&self) -> Option<String> {
        let is_late = !self.kinds.is_empty() && self.seen.is_none();
        is_late.then(|| {
            "a Schedule creates its first object at the first of its times, and a Workflow when its node starts: raise `within` \
             above the time until then"
                .to_owned()
        })
    }
}

/// Whether an object acts only through objects that it creates, one of which must have been injected.
pub fn acts_through_others(kind: Kind, object: &Value) -> bool {
    !Acting::of(kind, object).kinds.is_empty()
}

/// The types of the objects that this spec of a Schedule or a Workflow creates, and those that they create.
fn add_types<'v>(spec: &'v Value, types: &mut BTreeSet<&'v str>) {
    types.extend(spec["type"].as_str());
    for template in spec["templates"].as_array().into_iter().flatten() {
        types.extend(template["templateType"].as_str());
        add_types(&template["schedule"], types);
    }
    if spec["workflow"].is_object() {
        add_types(&spec["workflow"], types);
    }
}

#[cfg(test)]
mod tests;
