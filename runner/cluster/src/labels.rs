//! The labels that identify the runner's objects in a cluster.

/// The label of every object that the runner creates, with the value [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGER: &str = "shakedown";
/// The run's id, on every object that it creates.
pub const RUN: &str = "shakedown.dev/run";
/// The fault's name, on the objects that make it.
pub const FAULT: &str = "shakedown.dev/fault";
/// The annotation that records the namespace and name under which an object was created, and the token of the request.
/// It distinguishes an object from its copies, which carry the same labels.
pub const CREATED: &str = "shakedown.dev/created";
/// The annotation with the version that an object had before it was replaced. It makes a replacement a change even if the
/// content is unchanged.
pub const REPLACED: &str = "shakedown.dev/replaced";
/// The beginning of the labels that are put on objects of others (pods, namespaces) while a fault lasts.
pub const MARK_PREFIX: &str = "mark.shakedown.dev/";

/// The label with which a run marks an object: `role` distinguishes its marks, `name` is for readers.
pub fn mark(run: &str, serial: usize, role: &str, name: &str) -> String {
    let name: String = name_part(name).chars().take(24).collect();
    let name = name.trim_end_matches('-');
    let dash = if name.is_empty() { "" } else { "-" };
    format!("{MARK_PREFIX}{run}.{serial}.{role}{dash}{name}")
}

/// The run that a mark belongs to.
pub fn mark_run(label: &str) -> Option<&str> {
    label.strip_prefix(MARK_PREFIX)?.split('.').next()
}

/// Whether a run may have created an object: it is not a copy under another name or in another namespace.
pub fn is_original(object: &serde_json::Value) -> bool {
    let metadata = &object["metadata"];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let begins = format!("{}/{}/", text(&metadata["namespace"]), text(&metadata["name"]));
    // Objects of earlier versions lack the annotation.
    metadata["annotations"][CREATED].as_str().is_none_or(|created| created.starts_with(&begins))
}

/// Whether labels are those of an object that a run created.
pub fn is_of_run<'a>(label: impl Fn(&str) -> Option<&'a str>) -> bool {
    label(MANAGED_BY) == Some(MANAGER) && label(RUN).is_some()
}

/// A name as a label's value: invalid characters are replaced by `-`, and it is cut at 63 characters.
pub fn value(name: &str) -> String {
    let text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).take(63).collect();
    text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// A name as a part of an object's name: lower case letters, digits and `-`, at most 40 characters.
pub fn name_part(name: &str) -> String {
    let text: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(40)
        .collect();
    text.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_valid_labels_and_tell_their_run() {
        for name in
            ["nats-cut", "", "ÄÖÜ", "a-very-long-name-of-a-fault-that-goes-on", "twenty-three-letters-xy-", "A b"]
        {
            let label = mark("20260301-105959-abcde", 17, "t3", name);
            let key = label.strip_prefix(MARK_PREFIX).unwrap();
            assert!(key.len() <= 63 && key.ends_with(|c: char| c.is_ascii_alphanumeric()), "{key}");
            assert_eq!(mark_run(&label), Some("20260301-105959-abcde"));
        }
        assert_eq!(mark_run("app"), None);
    }
}
