//! Whether an answer is the one that the same prompt had before: with a model that answers a prompt always alike, a stream
//! that lost or repeated tokens on its way differs from it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use super::failure::bounded;

/// So many prompts are remembered.
const MOST_PROMPTS: usize = 10_000;

/// So much of two answers that differ is shown.
const SHOWN: usize = 40;

/// The answers of one phase, by the bodies of their requests.
#[derive(Debug)]
pub(super) struct Oracle {
    /// The phase whose answers are the measure.
    phase: usize,
    known: Mutex<HashMap<Bytes, Known>>,
}

/// An answer that is the measure.
#[derive(Debug)]
struct Known {
    text: Vec<u8>,
    tokens: u64,
}

impl Clone for Oracle {
    /// The same question, about another run.
    fn clone(&self) -> Self {
        Self::new(self.phase)
    }
}

impl Oracle {
    /// Compares with the answers of this phase.
    pub(super) fn new(phase: usize) -> Self {
        Self { phase, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Bytes, Known>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Compares a whole answer to a request that was due in a phase. The first in the oracle's own phase is the measure.
    ///
    /// # Errors
    /// In words, what differs, or that there is nothing to compare with.
    pub(super) fn compare(&self, body: Bytes, phase: usize, text: Vec<u8>, tokens: u64) -> Result<(), String> {
        if phase < self.phase {
            return Ok(());
        }
        let mut known = self.known();
        let has_room = known.len() < MOST_PROMPTS;
        match known.get(&body) {
            Some(first) => same(&first.text, &text),
            None if phase == self.phase && has_room => {
                known.insert(body, Known { text, tokens });
                Ok(())
            }
            None if has_room => Err("`same_as`: that phase has no answer to this prompt".to_owned()),
            None => Err(format!("`same_as`: more than {MOST_PROMPTS} prompts")),
        }
    }

    /// How many tokens fewer an answer brought than the one that is the measure; none where there is no measure.
    pub(super) fn lost(&self, body: &Bytes, tokens: u64) -> u64 {
        self.known().get(body).map_or(0, |first| first.tokens.saturating_sub(tokens))
    }
}

fn same(wanted: &[u8], found: &[u8]) -> Result<(), String> {
    if wanted == found {
        return Ok(());
    }
    let at = wanted.iter().zip(found).take_while(|(one, other)| one == other).count();
    let shown = |text: &[u8]| {
        let rest = bounded(&String::from_utf8_lossy(&text[at..]), SHOWN);
        if rest.is_empty() { "its end".to_owned() } else { format!("`{rest}`") }
    };
    Err(format!("`same_as`: expected {} after {at} bytes and found {}", shown(wanted), shown(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_compared_with_the_first_of_the_phase_that_is_the_measure() {
        let oracle = Oracle::new(1);
        let ask = |phase, prompt: &'static str, text: &str| {
            oracle.compare(Bytes::from_static(prompt.as_bytes()), phase, text.as_bytes().to_vec(), 5)
        };
        assert_eq!(ask(0, "a", "warming up"), Ok(()), "before the phase nothing is compared");
        assert_eq!(ask(1, "a", "one two"), Ok(()));
        assert_eq!(ask(1, "b", "three"), Ok(()));
        assert_eq!(ask(2, "a", "one two"), Ok(()));
        let differs = |phase, text| ask(phase, "a", text).unwrap_err();
        assert_eq!(differs(2, "one one two"), "`same_as`: expected `two` after 4 bytes and found `one two`");
        assert_eq!(differs(1, "one"), "`same_as`: expected ` two` after 3 bytes and found its end");
        assert_eq!(differs(2, "one two!"), "`same_as`: expected its end after 7 bytes and found `!`");
        assert!(ask(2, "c", "new").unwrap_err().contains("no answer to this prompt"));
        assert_eq!(oracle.lost(&Bytes::from_static(b"a"), 2), 3);
        assert_eq!((oracle.lost(&Bytes::from_static(b"a"), 9), oracle.lost(&Bytes::from_static(b"c"), 2)), (0, 0));
        assert_eq!(oracle.clone().compare(Bytes::from_static(b"a"), 1, b"another".to_vec(), 1), Ok(()), "another run");
    }
}
