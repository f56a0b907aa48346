//! The status of a chaos: one record per target, and the conditions that follow from all of them.
//!
//! In scope: the phases of a record and their transitions. Out of scope: carrying out a step
//! (`controllers::chaos`).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most events that a record keeps.
const EVENTS: usize = 100;

/// The desired state of a chaos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Desired {
    /// To be injected.
    Run,
    /// To be recovered.
    Stop,
}

impl Desired {
    /// The word of `desiredPhase`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Run => "Run",
            Self::Stop => "Stop",
        }
    }
}

/// The phase of a target. Phases follow each other only in a cycle: a target that waits for its injection has to be injected
/// before it can be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Not injected: before the injection, and after the recovery.
    #[serde(rename = "Not Injected")]
    NotInjected,
    /// The rules are written, but the daemon has not read them yet.
    #[serde(rename = "Not Injected/Wait")]
    Injecting,
    /// Injected.
    #[serde(rename = "Injected")]
    Injected,
    /// The rules are withdrawn, but the daemon has not read this yet.
    #[serde(rename = "Injected/Wait")]
    Recovering,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Inject.
    Apply,
    /// Recover.
    Recover,
}

/// One target of a chaos.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// `namespace/pod` or `namespace/pod/container`.
    pub id: String,
    /// `.` of the selector's pods, `.Target` of the target's.
    pub selector_key: String,
    pub phase: Phase,
    pub injected_count: u32,
    pub recovered_count: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

/// An operation on a target, and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    #[serde(rename = "type")]
    kind: String,
    operation: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    message: String,
    timestamp: String,
}

impl Record {
    /// A target before any step.
    pub fn new(id: String, selector_key: &str) -> Self {
        let selector_key = selector_key.to_owned();
        Self { id, selector_key, phase: Phase::NotInjected, injected_count: 0, recovered_count: 0, events: Vec::new() }
    }

    /// The next step, if any.
    pub fn next(&self, desired: Desired) -> Option<Operation> {
        match (self.phase, desired) {
            (Phase::NotInjected, Desired::Run) | (Phase::Injecting, _) => Some(Operation::Apply),
            (Phase::Injected, Desired::Stop) | (Phase::Recovering, _) => Some(Operation::Recover),
            (Phase::NotInjected, Desired::Stop) | (Phase::Injected, Desired::Run) => None,
        }
    }

    /// Applies the result of a step: the next phase, or the failure.
    pub fn take(&mut self, operation: Operation, came: &Result<Phase, Failed>, now: &str) {
        let (kind, message) = match came {
            Ok(phase) => {
                self.phase = *phase;
                match phase {
                    Phase::Injected if operation == Operation::Apply => self.injected_count += 1,
                    Phase::NotInjected if operation == Operation::Recover => self.recovered_count += 1,
                    _ => return,
                }
                ("Succeeded", String::new())
            }
            Err(failed) => {
                self.phase = failed.phase;
                ("Failed", failed.message.clone())
            }
        };
        let operation = match operation {
            Operation::Apply => "Apply",
            Operation::Recover => "Recover",
        };
        if self.events.len() == EVENTS {
            self.events.remove(0);
        }
        self.events.push(Event { kind: kind.into(), operation: operation.into(), message, timestamp: now.to_owned() });
    }

    /// The namespace, pod and container of the id; the last is empty where the id has none.
    pub fn parts(&self) -> (&str, &str, &str) {
        let mut parts = self.id.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default();
        (next(), next(), next())
    }
}

/// A failed step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failed {
    /// The target's phase after it.
    pub phase: Phase,
    /// Why.
    pub message: String,
}

impl Failed {
    /// A failure that changed nothing: the target is not injected.
    pub fn whole(message: impl Into<String>) -> Self {
        Self { phase: Phase::NotInjected, message: message.into() }
    }
}

/// The records of a status; `None` before the selection of targets.
pub(crate) fn read(chaos: &Value) -> Option<Vec<Record>> {
    let records = chaos.pointer("/status/experiment/containerRecords")?;
    match Vec::<Record>::deserialize(records) {
        Ok(records) => Some(records),
        Err(error) => {
            tracing::warn!(%error, "the records of a chaos cannot be read; its targets are selected anew");
            None
        }
    }
}

/// The conditions that follow from these records.
pub(crate) fn conditions(records: Option<&[Record]>, paused: bool) -> Value {
    let all = |phase| records.is_some_and(|records| records.iter().all(|record| record.phase == phase));
    let condition = |kind: &str, is_so: bool| json!({"type": kind, "status": if is_so { "True" } else { "False" }});
    json!([
        condition("Selected", records.is_some()),
        condition("AllInjected", all(Phase::Injected)),
        // Also true before the injection, as in Chaos Mesh.
        condition("AllRecovered", all(Phase::NotInjected)),
        condition("Paused", paused),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object;

    fn are(records: Option<&[Record]>, paused: bool) -> Vec<bool> {
        let chaos = json!({"status": {"conditions": conditions(records, paused)}});
        ["Selected", "AllInjected", "AllRecovered", "Paused"]
            .map(|kind| object::condition(&chaos, kind) == Some("True"))
            .to_vec()
    }

    #[test]
    fn the_phases_go_in_a_circle_and_what_is_begun_has_to_be_finished() {
        let mut record = Record::new("a/p".into(), ".");
        let mut seen = Vec::new();
        for (desired, phase) in [
            (Desired::Run, Phase::Injecting),
            (Desired::Stop, Phase::Injected),
            (Desired::Stop, Phase::Recovering),
            (Desired::Run, Phase::NotInjected),
        ] {
            let operation = record.next(desired).unwrap();
            record.take(operation, &Ok(phase), "now");
            seen.push(operation);
        }
        assert_eq!(seen, [Operation::Apply, Operation::Apply, Operation::Recover, Operation::Recover]);
        assert_eq!((record.injected_count, record.recovered_count, record.events.len()), (1, 1, 2));
        assert_eq!(record.next(Desired::Stop), None);
    }

    #[test]
    fn all_recovered_is_also_true_before_anything_was_injected() {
        assert_eq!(are(None, false), [false; 4]);
        assert_eq!(read(&json!({"status": {}})), None);
        let mut records = vec![Record::new("a/p".into(), "."), Record::new("a/q/c".into(), ".Target")];
        assert_eq!(are(Some(&records), true), [true, false, true, true]);
        records[0].take(Operation::Apply, &Ok(Phase::Injected), "now");
        assert_eq!(are(Some(&records), false), [true, false, false, false]);
        records[1].take(Operation::Apply, &Ok(Phase::Injected), "now");
        assert_eq!(are(Some(&records), false), [true, true, false, false]);
        let chaos = json!({"status": {"experiment": {"containerRecords": records}}});
        assert_eq!(read(&chaos).unwrap(), records);
        assert_eq!(records[1].parts(), ("a", "q", "c"));
        let first = &chaos["status"]["experiment"]["containerRecords"][0];
        assert_eq!((&first["phase"], &first["injectedCount"]), (&json!("Injected"), &json!(1)));
        assert_eq!(first["events"][0]["type"], "Succeeded");
    }

    #[test]
    fn failures_are_told_and_the_oldest_forgotten() {
        let mut record = Record::new("a/p".into(), ".");
        for number in 0..EVENTS + 5 {
            record.take(Operation::Apply, &Err(Failed::whole(format!("no {number}"))), "now");
        }
        assert_eq!(record.events.len(), EVENTS);
        assert_eq!((record.events[0].message.as_str(), record.phase), ("no 5", Phase::NotInjected));
    }
}
