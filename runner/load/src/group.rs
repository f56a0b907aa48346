//! The part of an answer that names the worker, and the observed names.

use std::cell::RefCell;
use std::collections::HashMap;

use http::header::HeaderName;
use serde_json::Value;
use shakedown_observe::LoadPart;
use shakedown_schemas::scenario::GroupBy;
use shakedown_schemas::tables::plain;

use super::path::Path;

/// The most groups that one lane tells apart. Answers of others are counted together.
const MOST: usize = 100;

/// The longest name of a group, in bytes. Longer names are cut.
const LONGEST: usize = 200;

/// The value of an answer that names its group.
#[derive(Debug, Clone)]
pub(super) enum GroupRule {
    /// A header.
    Header(HeaderName),
    /// A value in the body.
    Json(Box<Path>),
}

impl GroupRule {
    /// Compiles the rule.
    ///
    /// # Errors
    /// A sentence about an invalid header or path.
    pub(super) fn new(by: &GroupBy) -> Result<Self, String> {
        match (&by.header, &by.json) {
            (Some(name), _) => HeaderName::from_bytes(name.as_bytes())
                .map(Self::Header)
                .map_err(|_| format!("`{name}` is not a header")),
            (None, Some(path)) => Ok(Self::Json(Path::parse(path)?.into())),
            (None, None) => Err("`group_by` needs one of `header` and `json`".to_owned()),
        }
    }

    /// The path, if the body names the group.
    pub(super) const fn path(&self) -> Option<&Path> {
        match self {
            Self::Json(path) => Some(path),
            Self::Header(_) => None,
        }
    }
}

/// The name of the group in a body of `length` bytes.
pub(super) fn named_in(path: &Path, body: &Value, length: usize) -> Option<String> {
    let mut name = None;
    let search = path.any(body, length, |value| {
        name = (!value.is_null()).then(|| plain(value));
        true
    });
    search.ok().and(name)
}

/// The breakdown of a lane's requests: by step, and by the group of the answer. A part is identified by its index.
#[derive(Debug)]
pub(super) struct Parts {
    steps: usize,
    has_groups: bool,
    names: RefCell<HashMap<String, u16>>,
}

impl Parts {
    /// The parts of a load with these steps, and their names in the order of their indices.
    pub(super) fn new<'s>(steps: impl Iterator<Item = &'s str>, has_groups: bool) -> (Self, Vec<LoadPart>) {
        let mut all: Vec<LoadPart> = steps.map(|name| LoadPart::Step(name.to_owned())).collect();
        let steps = all.len();
        if has_groups {
            all.extend([LoadPart::Others, LoadPart::Unnamed, LoadPart::Unanswered]);
        }
        (Self { steps, has_groups, names: RefCell::default() }, all)
    }

    /// Whether there is nothing to break down.
    pub(super) const fn is_empty(&self) -> bool {
        self.steps == 0 && !self.has_groups
    }

    /// The part of a step.
    pub(super) fn step(&self, step: u16) -> Option<u16> {
        (usize::from(step) < self.steps).then_some(step)
    }

    /// The part of a request whose answer named this group, or none.
    pub(super) fn group(&self, named: Option<u16>, is_answered: bool) -> Option<u16> {
        let unnamed = self.steps as u16 + if is_answered { 1 } else { 2 };
        self.has_groups.then(|| named.unwrap_or(unnamed))
    }

    /// The part of a group with this name. Calls `add` if it is new.
    pub(super) fn named(&self, name: &[u8], add: impl FnOnce(LoadPart)) -> Option<u16> {
        let name = name[..name.len().min(LONGEST)].trim_ascii();
        if name.is_empty() {
            return None;
        }
        // Bytes that are no text all become the same one, and what is the same text is the same group.
        let name = String::from_utf8_lossy(name);
        let mut names = self.names.borrow_mut();
        if let Some(known) = names.get(&*name) {
            return Some(*known);
        }
        if names.len() >= MOST {
            return Some(self.steps as u16);
        }
        let place = (self.steps + 3 + names.len()) as u16;
        names.insert(name.to_string(), place);
        add(LoadPart::Group(name.into_owned()));
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The observations of a segment have one entry for each name.
    #[test]
    fn names_that_are_shown_alike_are_one_group() {
        let (parts, _) = Parts::new(["login"].into_iter(), true);
        let added = RefCell::new(Vec::new());
        let named = |name: &[u8]| parts.named(name, |part| added.borrow_mut().push(part));
        assert_eq!(named(b"worker-\xff"), named(b"worker-\xfe"));
        assert_ne!(named(b"others"), Some(1), "a group of its own");
        let group = |name: &str| LoadPart::Group(name.to_owned());
        assert_eq!(*added.borrow(), [group("worker-\u{fffd}"), group("others")]);
    }
}
