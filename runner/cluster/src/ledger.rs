//! Our objects in the cluster and how each is identified: by the UID in the server's answer, or, without an answer, by
//! the token of that attempt. A name or a label alone proves nothing, because every client can use it. The token of an
//! answered attempt proves nothing either, because a copy of the object carries it.

use std::hash::{BuildHasher, Hasher, RandomState};

use serde_json::Value;
use tokio::time::Instant;

use super::ObjectKey;
use crate::labels;

/// All objects and labels that were begun and are not known to be gone.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    claims: Vec<Claim>,
    count: u64,
    /// The number of the last part.
    parts: u64,
    ends: Vec<UnclearEnd>,
}

/// A pod of another owner of which it is not known whether we ended it.
#[derive(Debug)]
struct UnclearEnd {
    part: u64,
    key: ObjectKey,
    /// Its number in the journal, where there is one.
    entry: Option<u64>,
    /// Until when it may still be ended.
    until: Instant,
}

/// One object that we created or may have created, or one label that we put on an object of another client.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// Distinguishes it from all other objects.
    number: u64,
    /// The part of the ledger that it belongs to.
    part: u64,
    /// Its name, without a UID; with it for a label.
    pub key: ObjectKey,
    /// The token that was sent, with the number of the attempt.
    token: String,
    /// How many tries there were.
    tries: u32,
    /// The tries without an answer.
    unanswered: Vec<u32>,
    /// As the server answered.
    uid: Option<String>,
    /// The label, where it is one.
    pub label: Option<String>,
    /// Its number in the journal, where there is one.
    pub entry: Option<u64>,
    /// Whether the action has ended, successfully or not.
    ended: bool,
    /// Until when the server may still carry out an unanswered attempt.
    unclear: Option<Instant>,
    /// Its object was deleted. If one appears from now on, it is late.
    undone: bool,
}

impl Ledger {
    /// Begins a part for one of several scenarios that run at the same time, and returns its number.
    pub const fn another_part(&mut self) -> u64 {
        self.parts += 1;
        self.parts
    }

    /// Records an action that is about to be taken.
    pub fn open(&mut self, part: u64, key: ObjectKey, label: Option<&str>, token: &str, entry: Option<u64>) -> u64 {
        self.count += 1;
        self.claims.push(Claim {
            number: self.count,
            part,
            key,
            token: token.to_owned(),
            tries: 0,
            unanswered: Vec::new(),
            uid: None,
            label: label.map(str::to_owned),
            entry,
            ended: false,
            unclear: None,
            undone: false,
        });
        self.count
    }

    fn claim(&mut self, number: u64) -> Option<&mut Claim> {
        self.claims.iter_mut().find(|claim| claim.number == number)
    }

    /// Starts another attempt and returns the annotation that identifies its object.
    pub fn another_try(&mut self, number: u64) -> String {
        let Some(claim) = self.claim(number) else { return String::new() };
        claim.tries += 1;
        claim.mark(claim.tries)
    }

    /// Records that the latest attempt had no answer and may be carried out until then.
    pub fn unclear(&mut self, number: u64, until: Instant) {
        if let Some(claim) = self.claim(number) {
            claim.unclear = claim.unclear.max(Some(until));
            claim.unanswered.push(claim.tries);
        }
    }

    /// Records that the action succeeded, and the UID of its object.
    pub fn done(&mut self, number: u64, uid: Option<String>) {
        if let Some(claim) = self.claim(number) {
            (claim.ended, claim.uid) = (true, uid);
        }
    }

    /// Records that the action failed. True if it can have had no effect; it is then forgotten.
    pub fn failed(&mut self, number: u64) -> bool {
        let Some(claim) = self.claim(number) else { return true };
        claim.ended = true;
        let nothing = claim.unclear.is_none();
        if nothing {
            self.claims.retain(|claim| claim.number != number);
        }
        nothing
    }

    /// Whether an object of that name may be ours.
    pub fn knows(&self, key: &ObjectKey) -> bool {
        self.claims.iter().any(|claim| claim.is_of(key))
    }

    /// Whether this very object is ours.
    pub fn owns(&self, key: &ObjectKey, object: &Value) -> bool {
        self.claims.iter().any(|claim| claim.is_of(key) && claim.is(object))
    }

    /// Records that the object is deleted or does not exist: an object that a late attempt creates must be removed.
    pub fn undone(&mut self, key: &ObjectKey) {
        self.claims.iter_mut().filter(|claim| claim.is_of(key)).for_each(|claim| claim.undone = true);
    }

    fn of(&self, part: u64) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(move |claim| claim.part == part)
    }

    /// The names under which a late object of this part may still appear.
    pub fn late_keys(&self, part: u64) -> Vec<ObjectKey> {
        let now = Instant::now();
        let is_open =
            |claim: &&Claim| claim.undone && claim.label.is_none() && claim.unclear.is_some_and(|until| until > now);
        let mut keys: Vec<ObjectKey> = self.of(part).filter(is_open).map(|claim| claim.key.clone()).collect();
        keys.sort();
        keys.dedup();
        keys
    }

    /// Whether an object appeared after its removal: an attempt of an undone claim created it, and no other claim has it.
    pub fn is_late(&self, key: &ObjectKey, object: &Value) -> bool {
        let mut owners = self.claims.iter().filter(|claim| claim.is_of(key) && claim.is(object)).peekable();
        owners.peek().is_some() && owners.all(|claim| claim.undone)
    }

    /// Whether we made the object with that UID.
    pub fn made(&self, uid: &str) -> bool {
        self.claims.iter().any(|claim| claim.uid.as_deref() == Some(uid))
    }

    /// Records the object that exists under a name, and returns the journal's numbers of the objects that are proven to
    /// be gone by this. The object of an action that is running, or may still be carried out, is not.
    pub fn seen(&mut self, key: &ObjectKey, object: Option<&Value>) -> Vec<u64> {
        let now = Instant::now();
        self.forget(|claim| {
            let gone = object.is_none_or(|object| !claim.is(object));
            claim.is_of(key) && gone && claim.is_over(now)
        })
    }

    /// Forgets an object that belongs to another run by now, and returns its numbers in the journal.
    pub fn disown(&mut self, key: &ObjectKey) -> Vec<u64> {
        self.forget(|claim| claim.is_of(key) && claim.uid.is_some() && claim.uid == key.uid)
    }

    /// Records that one of our labels was removed.
    pub fn unmarked(&mut self, key: &ObjectKey, label: &str) -> Vec<u64> {
        let now = Instant::now();
        self.forget(|claim| claim.key == *key && claim.label.as_deref() == Some(label) && claim.is_over(now))
    }

    fn forget(&mut self, gone: impl Fn(&Claim) -> bool) -> Vec<u64> {
        let entries = self.claims.iter().filter(|claim| gone(claim)).filter_map(|claim| claim.entry).collect();
        self.claims.retain(|claim| !gone(claim));
        entries
    }

    /// The number of the last action.
    pub const fn last(&self) -> u64 {
        self.count
    }

    /// The creations of this part that were started after that action and are not known to be gone.
    pub fn open_claims(&self, part: u64, since: u64) -> Vec<Claim> {
        self.of(part).filter(|claim| claim.number > since).cloned().collect()
    }

    /// Until when an attempt at any action of this part may still be carried out.
    pub fn unclear_until(&self, part: u64) -> Option<Instant> {
        let ends = self.ends.iter().filter(|end| end.part == part).map(|end| end.until);
        self.of(part).filter_map(|claim| claim.unclear).chain(ends).max().filter(|until| *until > Instant::now())
    }

    /// Takes note of a pod that may have been ended, or may be until then.
    pub fn unclear_end(&mut self, part: u64, key: ObjectKey, entry: Option<u64>, until: Instant) {
        self.ends.push(UnclearEnd { part, key, entry, until });
    }

    /// The pods of this part that may have been ended, each with its number in the journal.
    pub fn unclear_ends(&self, part: u64) -> Vec<(ObjectKey, Option<u64>)> {
        self.ends.iter().filter(|end| end.part == part).map(|end| (end.key.clone(), end.entry)).collect()
    }

    /// A pod has ended.
    pub fn ended(&mut self, key: &ObjectKey) {
        self.ends.retain(|end| end.key != *key);
    }
}

impl Claim {
    fn is_of(&self, key: &ObjectKey) -> bool {
        let named = (self.key.kind, &self.key.namespace, &self.key.name) == (key.kind, &key.namespace, &key.name);
        self.label.is_none() && named
    }

    /// Whether an object of the claim's name is the claim's.
    fn is(&self, object: &Value) -> bool {
        let created = &object["metadata"]["annotations"][labels::CREATED];
        self.uid.as_deref().is_some_and(|uid| object["metadata"]["uid"] == uid)
            || self.unanswered.iter().any(|number| *created == self.mark(*number).as_str())
    }

    /// Whether no attempt at the action can still be carried out.
    fn is_over(&self, now: Instant) -> bool {
        self.ended && self.unclear.is_none_or(|until| until <= now)
    }

    /// The annotation of one attempt. It contains the object's name, so that a copy under another name is not taken for ours.
    fn mark(&self, number: u32) -> String {
        format!("{}/{}/{}-{number}", self.key.namespace, self.key.name, self.token)
    }
}

/// A token for one creation.
pub(super) fn token() -> String {
    // A hasher's keys are random.
    format!("{:016x}", RandomState::new().build_hasher().finish())
}
