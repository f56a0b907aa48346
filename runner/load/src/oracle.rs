//! Compares answers with those to the same prompts in a reference phase. With a model whose answers are deterministic, a
//! stream that lost or repeated tokens on its way differs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use super::failure::bounded;

/// The most prompts whose answers are stored.
const MOST_PROMPTS: usize = 10_000;

/// How many characters of two different answers are shown.
const SHOWN: usize = 40;

/// The reference answers of one phase, by request body.
#[derive(Debug)]
pub(super) struct Oracle {
    /// The reference phase.
    phase: usize,
    known: Mutex<HashMap<Bytes, Reference>>,
}

/// A reference answer.
#[derive(Debug)]
struct Reference {
    /// The text of each choice.
    texts: Vec<Vec<u8>>,
    tokens: u64,
}

impl Clone for Oracle {
    /// The same reference phase without answers, for another run.
    fn clone(&self) -> Self {
        Self::new(self.phase)
    }
}

impl Oracle {
    /// Compares with the answers of this phase.
    pub(super) fn new(phase: usize) -> Self {
        Self { phase, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Bytes, Reference>> {
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Compares the texts of a whole answer to a request that was due in `phase`. In the reference phase the first answer to a prompt
    /// becomes its reference.
    ///
    /// # Errors
    /// The difference in words, or that there is no reference.
    pub(super) fn compare(&self, body: Bytes, phase: usize, texts: Vec<Vec<u8>>, tokens: u64) -> Result<(), String> {
        if phase < self.phase {
            return Ok(());
        }
        let mut known = self.known();
        let has_room = known.len() < MOST_PROMPTS;
        match known.get(&body) {
            Some(first) => same(&first.texts, &texts),
            None if phase == self.phase && has_room => {
                known.insert(body, Reference { texts, tokens });
                Ok(())
            }
            None if has_room => Err("`same_as`: the reference phase has no answer to this prompt".to_owned()),
            None => Err(format!("`same_as`: more than {MOST_PROMPTS} prompts")),
        }
    }

    /// How many tokens an answer lacks compared with its reference. 0 without a reference.
    pub(super) fn lost(&self, body: &Bytes, tokens: u64) -> u64 {
        self.known().get(body).map_or(0, |first| first.tokens.saturating_sub(tokens))
    }
}

fn same(wanted: &[Vec<u8>], found: &[Vec<u8>]) -> Result<(), String> {
    if wanted.len() != found.len() {
        return Err(format!("`same_as`: expected {} choices and found {}", wanted.len(), found.len()));
    }
    let Some(choice) = wanted.iter().zip(found).position(|(one, other)| one != other) else { return Ok(()) };
    let of = if wanted.len() > 1 { format!(" of choice {choice}") } else { String::new() };
    let (wanted, found) = (&wanted[choice], &found[choice]);
    let at = wanted.iter().zip(found).take_while(|(one, other)| one == other).count();
    let shown = |text: &[u8]| {
        let rest = bounded(&String::from_utf8_lossy(&text[at..]), SHOWN);
        if rest.is_empty() { "its end".to_owned() } else { format!("`{rest}`") }
    };
    Err(format!("`same_as`: expected {} after {at} bytes{of} and found {}", shown(wanted), shown(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_with_the_first_answer_of_the_reference_phase() {
        let oracle = Oracle::new(1);
        let ask = |phase, prompt: &'static str, text: &str| {
            oracle.compare(Bytes::from_static(prompt.as_bytes()), phase, vec![text.as_bytes().to_vec()], 5)
        };
        assert_eq!(ask(0, "a", "warming up"), Ok(()), "before the phase nothing is compared");
        assert_eq!(ask(1, "a", "one two"), Ok(()));
        assert_eq!(ask(1, "b", "three"), Ok(()));
        assert_eq!(ask(2, "a", "one two"), Ok(()));
        let differs = |phase, text| ask(phase, "a", text).unwrap_err();
        assert_eq!(differs(2, "one one two"), "`same_as`: expected `two` after 4 bytes and found `one two`");
        assert_eq!(differs(1, "one"), "`same_as`: expected ` two` after 3 bytes and found its end");
        assert_eq!(differs(2, "one two!"), "`same_as`: expected its end after 7 bytes and found `!`");
        let two = |text: &[u8]| oracle.compare(Bytes::from_static(b"two"), 1, vec![b"a".to_vec(), text.to_vec()], 5);
        assert_eq!(two(b"one two"), Ok(()));
        assert_eq!(two(b"one").unwrap_err(), "`same_as`: expected ` two` after 3 bytes of choice 1 and found its end");
        let one = oracle.compare(Bytes::from_static(b"two"), 1, vec![b"a".to_vec()], 5);
        assert_eq!(one.unwrap_err(), "`same_as`: expected 2 choices and found 1");
        assert!(ask(2, "c", "new").unwrap_err().contains("no answer to this prompt"));
        assert_eq!(oracle.lost(&Bytes::from_static(b"a"), 2), 3);
        assert_eq!((oracle.lost(&Bytes::from_static(b"a"), 9), oracle.lost(&Bytes::from_static(b"c"), 2)), (0, 0));
        assert_eq!(
            oracle.clone().compare(Bytes::from_static(b"a"), 1, vec![b"another".to_vec()], 1),
            Ok(()),
            "another run"
        );
    }
}
