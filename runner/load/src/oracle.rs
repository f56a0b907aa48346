//! Compares answers with those to the same prompts in a reference phase. With a model whose answers are deterministic, a
//! stream that lost or repeated tokens on its way differs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;

use super::failure::bounded;
use super::said::{ChoicePart, Said};

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
    /// What each choice says.
    said: Vec<Said>,
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

    /// Compares what a whole answer to a request that was due in `phase` says. In the reference phase the first
    /// answer to a prompt becomes its reference.
    ///
    /// Without a reference nothing is compared: with prompts in random order, some of them are not in the reference phase.
    ///
    /// # Errors
    /// The difference in words.
    pub(super) fn compare(&self, body: Bytes, phase: usize, said: Vec<Said>, tokens: u64) -> Result<(), String> {
        if phase < self.phase {
            return Ok(());
        }
        let mut known = self.known();
        let has_room = known.len() < MOST_PROMPTS;
        match known.get(&body) {
            Some(first) => same(&first.said, &said),
            None if phase == self.phase && has_room => {
                known.insert(body, Reference { said, tokens });
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Whether there is a reference answer to a prompt.
    pub(super) fn knows(&self, body: &Bytes) -> bool {
        self.known().contains_key(body)
    }

    /// How many tokens an answer lacks compared with its reference. 0 without a reference.
    pub(super) fn lost(&self, body: &Bytes, tokens: u64) -> u64 {
        self.known().get(body).map_or(0, |first| first.tokens.saturating_sub(tokens))
    }
}

fn same(wanted: &[Said], found: &[Said]) -> Result<(), String> {
    if wanted.len() != found.len() {
        return Err(format!("`same_as`: expected {} choices and found {}", wanted.len(), found.len()));
    }
    if wanted.iter().all(Said::is_empty) {
        return Err("`same_as`: the reference answer has nothing to compare".to_owned());
    }
    let differs = |(wanted, found): (&Said, &Said)| {
        let parts = wanted.keys().chain(found.keys()).copied();
        parts.filter(|part| wanted.get(part) != found.get(part)).min()
    };
    let different = wanted.iter().zip(found).map(differs).enumerate().find_map(|(at, part)| Some((at, part?)));
    let Some((choice, part)) = different else { return Ok(()) };
    let text = |said: &[Said]| said[choice].get(&part).cloned().unwrap_or_default();
    let (wanted_text, found_text) = (text(wanted), text(found));
    let same = wanted_text.iter().zip(&found_text).take_while(|(one, other)| one == other).count();
    let at = if part.is_said_once() { 0 } else { same };
    let mut place = if part.is_said_once() { String::new() } else { format!(" after {at} bytes") };
    if part != ChoicePart::Text {
        place.push_str(&format!(" in {part}"));
    }
    if wanted.len() > 1 {
        place.push_str(&format!(" of choice {choice}"));
    }
    let shown = |text: &[u8]| match bounded(&String::from_utf8_lossy(&text[at..]), SHOWN) {
        rest if !rest.is_empty() => format!("`{rest}`"),
        _ if part.is_said_once() => "nothing".to_owned(),
        _ => "its end".to_owned(),
    };
    Err(format!("`same_as`: expected {}{place} and found {}", shown(&wanted_text), shown(&found_text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A choice with this text.
    fn says(text: &str) -> Said {
        [(ChoicePart::Text, text.as_bytes().to_vec())].into()
    }

    /// Only the text was compared.
    #[test]
    fn compares_every_part_of_a_choice() {
        let choice = |parts: &[(ChoicePart, &str)]| -> Said {
            parts.iter().map(|(part, text)| (*part, text.as_bytes().to_vec())).collect()
        };
        let differs = |wanted: &[(ChoicePart, &str)], found: &[(ChoicePart, &str)]| {
            same(&[choice(wanted)], &[choice(found)]).err().unwrap_or_default()
        };
        let call = [(ChoicePart::ToolName(0), "find"), (ChoicePart::ToolArguments(0), r#"{"city":"Rome"}"#)];
        assert_eq!(differs(&call, &call), "");
        assert_eq!(
            differs(&call, &[call[0], (ChoicePart::ToolArguments(0), r#"{"city":"Paris"}"#)]),
            "`same_as`: expected `Rome\"}` after 9 bytes in the arguments of tool call 0 and found `Paris\"}`"
        );
        assert_eq!(
            differs(&call, &[(ChoicePart::ToolName(0), "found"), call[1]]),
            "`same_as`: expected `find` in the name of tool call 0 and found `found`"
        );
        assert_eq!(
            differs(&[(ChoicePart::Finish, "stop")], &[(ChoicePart::Finish, "length")]),
            "`same_as`: expected `stop` in the `finish_reason` and found `length`"
        );
        assert_eq!(
            differs(&[(ChoicePart::Text, "a")], &[(ChoicePart::Text, "a"), (ChoicePart::Refusal, "no")]),
            "`same_as`: expected its end after 0 bytes in the refusal and found `no`"
        );
        assert_eq!(differs(&[], &[]), "`same_as`: the reference answer has nothing to compare");
    }

    #[test]
    fn compares_with_the_first_answer_of_the_reference_phase() {
        let oracle = Oracle::new(1);
        let ask = |phase, prompt: &'static str, text: &str| {
            oracle.compare(Bytes::from_static(prompt.as_bytes()), phase, vec![says(text)], 5)
        };
        assert_eq!(ask(0, "a", "warming up"), Ok(()), "before the phase nothing is compared");
        assert_eq!(ask(1, "a", "one two"), Ok(()));
        assert_eq!(ask(1, "b", "three"), Ok(()));
        assert_eq!(ask(2, "a", "one two"), Ok(()));
        let differs = |phase, text| ask(phase, "a", text).unwrap_err();
        assert_eq!(differs(2, "one one two"), "`same_as`: expected `two` after 4 bytes and found `one two`");
        assert_eq!(differs(1, "one"), "`same_as`: expected ` two` after 3 bytes and found its end");
        assert_eq!(differs(2, "one two!"), "`same_as`: expected its end after 7 bytes and found `!`");
        let two = |text: &str| oracle.compare(Bytes::from_static(b"two"), 1, vec![says("a"), says(text)], 5);
        assert_eq!(two("one two"), Ok(()));
        assert_eq!(two("one").unwrap_err(), "`same_as`: expected ` two` after 3 bytes of choice 1 and found its end");
        let one = oracle.compare(Bytes::from_static(b"two"), 1, vec![says("a")], 5);
        assert_eq!(one.unwrap_err(), "`same_as`: expected 2 choices and found 1");
        assert_eq!(ask(2, "c", "new"), Ok(()), "nothing to compare with is no failure");
        let knows = |prompt: &'static [u8]| oracle.knows(&Bytes::from_static(prompt));
        assert_eq!([knows(b"a"), knows(b"b"), knows(b"c")], [true, true, false]);
        assert_eq!(oracle.lost(&Bytes::from_static(b"a"), 2), 3);
        assert_eq!((oracle.lost(&Bytes::from_static(b"a"), 9), oracle.lost(&Bytes::from_static(b"c"), 2)), (0, 0));
        assert_eq!(
            oracle.clone().compare(Bytes::from_static(b"a"), 1, vec![says("another")], 1),
            Ok(()),
            "another run"
        );
    }
}
