//! The keys of a run's objects in a cluster, the items to remove, and the actions that the journal records.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Kind;

/// Removes secrets from a text.
pub type Mask = Box<dyn Fn(&str) -> String + Send + Sync>;

/// An object, exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace. Empty for a cluster-scoped kind.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, if the key means exactly this object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl ObjectKey {
    /// The command that removes it.
    pub fn delete_command(&self) -> String {
        let namespace = if self.namespace.is_empty() { String::new() } else { format!("-n {} ", self.namespace) };
        format!("kubectl {namespace}delete {} {}", self.kind.kubectl(), self.name)
    }
}

/// How to remove a leftover by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remedy {
    /// The kubectl command.
    pub command: String,
    /// What blocks the object's deletion, if it was accepted and has not ended.
    pub held: Option<String>,
}

impl ObjectKey {
    /// The command that removes this object by hand, given its current state. An accepted deletion waits for finalizers, so
    /// another deletion does not help.
    pub fn remedy(&self, object: &Value) -> Remedy {
        let finalizers = object["metadata"]["finalizers"].as_array().into_iter().flatten();
        let finalizers: Vec<&str> = finalizers.filter_map(Value::as_str).collect();
        // A resource of Chaos Mesh has to be recovered first: `shakedown cleanup` says how.
        let is_held = !object["metadata"]["deletionTimestamp"].is_null() && !finalizers.is_empty();
        if !is_held || self.kind.is_chaos() {
            return Remedy { command: self.delete_command(), held: None };
        }
        let holders: Vec<String> = finalizers.iter().map(|it| format!("{it} ({})", holder(it))).collect();
        // With the UID, the command changes no other object that has this name by then.
        let patch = json!({"metadata": {"finalizers": null, "uid": object["metadata"]["uid"]}});
        let namespace = if self.namespace.is_empty() { String::new() } else { format!("-n {} ", self.namespace) };
        Remedy {
            command: format!(
                "kubectl {namespace}patch {} {} --type=merge -p '{patch}'",
                self.kind.kubectl(),
                self.name
            ),
            held: Some(format!(
                "its deletion was accepted and waits for {} {}; if the controller is gone for good, the command removes it \
                 without the controller",
                if finalizers.len() == 1 { "the finalizer" } else { "the finalizers" },
                holders.join(", ")
            )),
        }
    }
}

/// The owner of a finalizer.
fn holder(finalizer: &str) -> String {
    match finalizer.split_once('/') {
        Some(("kubernetes.io", _)) => "of Kubernetes".to_owned(),
        Some((domain, _)) => format!("of the controller of {domain}"),
        None if matches!(finalizer, "foregroundDeletion" | "orphan") => "of the garbage collector".to_owned(),
        None => "of an unnamed controller".to_owned(),
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind.kubectl(), self.name)?;
        if self.namespace.is_empty() { Ok(()) } else { write!(out, " in namespace {}", self.namespace) }
    }
}

/// An object or label of a run in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// An object that a run created.
    Object(ObjectKey),
    /// A label that a run put on another owner's object.
    Mark(ObjectKey, String),
}

impl Item {
    /// The object, or the one that carries the label.
    pub const fn key(&self) -> &ObjectKey {
        let (Self::Object(key) | Self::Mark(key, _)) = self;
        key
    }

    /// Whether both mean the same item, regardless of the UIDs.
    pub fn same(&self, other: &Self) -> bool {
        let (key, its) = (self.key(), other.key());
        let label = |item: &Self| match item {
            Self::Object(_) => None,
            Self::Mark(_, label) => Some(label.clone()),
        };
        (key.kind, &key.namespace, &key.name) == (its.kind, &its.namespace, &its.name) && label(self) == label(other)
    }

    /// Whether it has an effect. A label that no policy selects has none.
    pub const fn acts(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// The kubectl command that removes it.
    pub fn command(&self) -> String {
        match self {
            Self::Object(key) => key.delete_command(),
            Self::Mark(key, label) => unmark_command(key, label),
        }
    }
}

/// The kubectl command that removes a label.
pub fn unmark_command(key: &ObjectKey, label: &str) -> String {
    let namespace = if key.namespace.is_empty() { String::new() } else { format!("-n {} ", key.namespace) };
    format!("kubectl {namespace}label {} {} {label}-", key.kind.kubectl(), key.name)
}

impl fmt::Display for Item {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(key) => write!(out, "{key}"),
            Self::Mark(key, label) => write!(out, "the label {label} of {key}"),
        }
    }
}

/// One change of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectAction {
    /// An object is created.
    Create(ObjectKey),
    /// An object is deleted.
    Delete(ObjectKey),
    /// Puts a label on another owner's object.
    Mark(ObjectKey, String),
    /// That label is taken off.
    Unmark(ObjectKey, String),
}

impl ObjectAction {
    /// The item that its undo removes, if any.
    pub(crate) fn undo(&self) -> Option<Item> {
        match self {
            Self::Create(key) => Some(Item::Object(key.clone())),
            Self::Mark(key, label) => Some(Item::Mark(key.clone(), label.clone())),
            Self::Delete(_) | Self::Unmark(..) => None,
        }
    }

    /// The same without secrets.
    pub(crate) fn masked(&self, mask: &Mask) -> Self {
        let clean =
            |key: &ObjectKey| ObjectKey { namespace: mask(&key.namespace), name: mask(&key.name), ..key.clone() };
        match self {
            Self::Create(key) => Self::Create(clean(key)),
            Self::Delete(key) => Self::Delete(clean(key)),
            Self::Mark(key, label) => Self::Mark(clean(key), mask(label)),
            Self::Unmark(key, label) => Self::Unmark(clean(key), mask(label)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_held_is_released_and_not_deleted_again() {
        let key = ObjectKey { kind: Kind::NetworkPolicy, namespace: "n".into(), name: "cut".into(), uid: None };
        let delete = Remedy { command: "kubectl -n n delete networkpolicy cut".into(), held: None };
        let finalizers = |list: &[&str]| json!({"metadata": {"uid": "u", "finalizers": list}});
        assert_eq!(key.remedy(&finalizers(&[])), delete);
        assert_eq!(key.remedy(&finalizers(&["example.org/stuck"])), delete, "it was not deleted yet");
        let mut object = finalizers(&["example.org/stuck"]);
        object["metadata"]["deletionTimestamp"] = json!("2026-03-01T12:00:00Z");
        let remedy = key.remedy(&object);
        assert_eq!(
            remedy.command,
            r#"kubectl -n n patch networkpolicy cut --type=merge -p '{"metadata":{"finalizers":null,"uid":"u"}}'"#
        );
        assert_eq!(
            remedy.held.as_deref(),
            Some(
                "its deletion was accepted and waits for the finalizer example.org/stuck (of the controller of example.org); \
                 if the controller is gone for good, the command removes it without the controller"
            )
        );
        for (finalizer, owner) in [
            ("foregroundDeletion", "of the garbage collector"),
            ("kubernetes.io/pvc-protection", "of Kubernetes"),
            ("hold", "of an unnamed controller"),
        ] {
            object["metadata"]["finalizers"] = json!([finalizer, "other.io/x"]);
            let held = key.remedy(&object).held.unwrap();
            assert!(held.contains(&format!("the finalizers {finalizer} ({owner}), other.io/x (")), "{held}");
        }
    }
}
