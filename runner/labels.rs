//! The labels by which everything of ours in a cluster is recognised.

/// The label of every object that the runner creates, with the value [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`].
pub const MANAGER: &str = "shakedown";
/// The run's id, on every object that it creates.
pub const RUN: &str = "shakedown.dev/run";
/// The fault's name, on the objects that make it.
pub const FAULT: &str = "shakedown.dev/fault";
/// The beginning of the labels that are put on objects of others (pods, namespaces) while a fault lasts.
pub const MARK_PREFIX: &str = "mark.shakedown.dev/";

/// A name as a label's value: what a value may not hold becomes `-`, and it is cut at 63 characters.
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
