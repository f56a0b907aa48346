//! Detects whether a stream that continued after a gap repeated earlier text: a request that moves to another worker can
//! start again, or with a token that was already sent. Keeps a few hundred bytes, regardless of the answer's length.

/// From this length on, in bytes, equal texts are no coincidence.
const ENOUGH: usize = 16;

/// The length of the compared texts, in bytes: the beginning, the end before a gap, and the text after it.
const LOOKED_AT: usize = 128;

/// The text of one answer, as far as it is compared.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// Its beginning.
    first: Vec<u8>,
    /// Its end.
    last: Vec<u8>,
    /// The text after the last gap. None before the first gap.
    after: Option<Vec<u8>>,
    is_repeated: bool,
}

impl Echo {
    /// Appends text. `after_gap` is true if it arrived after a long silence.
    pub(super) fn text(&mut self, text: &[u8], after_gap: bool) {
        if after_gap && !self.last.is_empty() {
            self.settle();
            self.after = Some(Vec::new());
        }
        if let Some(after) = &mut self.after {
            let room = LOOKED_AT.saturating_sub(after.len());
            after.extend_from_slice(&text[..room.min(text.len())]);
            if after.len() >= LOOKED_AT {
                self.settle();
            }
        }
        // The text after a gap is compared with the text before it.
        if self.after.is_none() {
            self.remember(text);
        }
    }

    /// True when text after a gap repeats text before it.
    pub(super) fn is_repeated(&mut self) -> bool {
        self.settle();
        self.is_repeated
    }

    fn remember(&mut self, text: &[u8]) {
        let room = LOOKED_AT.saturating_sub(self.first.len());
        self.first.extend_from_slice(&text[..room.min(text.len())]);
        self.last.extend_from_slice(&text[text.len().saturating_sub(LOOKED_AT)..]);
        self.last.drain(..self.last.len().saturating_sub(LOOKED_AT));
    }

    fn settle(&mut self) {
        let Some(after) = self.after.take() else { return };
        let begins = self.first.iter().zip(&after).take_while(|(one, other)| one == other).count();
        let again = (ENOUGH..=after.len().min(self.last.len())).any(|length| self.last.ends_with(&after[..length]));
        self.is_repeated |= begins >= ENOUGH || again;
        self.remember(&after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeats(pieces: &[(&str, bool)]) -> bool {
        let mut echo = Echo::default();
        pieces.iter().for_each(|(text, after_gap)| echo.text(text.as_bytes(), *after_gap));
        echo.is_repeated()
    }

    const TEXT: &str = "It was the best of times, it was the worst of times, it was the age of wisdom";

    #[test]
    fn detects_repeated_text_after_a_gap() {
        let (before, rest) = TEXT.split_at(50);
        assert!(!repeats(&[(before, false), (rest, true)]), "it goes on where it was");
        assert!(repeats(&[(before, false), (TEXT, true)]), "it begins anew");
        assert!(repeats(&[(before, false), (&TEXT[..20], true), (&TEXT[20..], false)]), "in pieces");
        assert!(repeats(&[(before, false), (&TEXT[30..], true)]), "its last 20 bytes come again");
        assert!(!repeats(&[(before, false), (&TEXT[40..], true)]), "ten bytes can be an accident");
        assert!(!repeats(&[(before, false), (before, false)]), "without a gap it is the model's own");
        assert!(repeats(&[(before, false), (rest, true), (before, true)]), "after the second gap");
        assert!(!repeats(&[("", true), (TEXT, true)]), "before the first text there is nothing to repeat");
        let long = "abcdefghij".repeat(100);
        assert!(!repeats(&[(&long, false), (TEXT, true), (&long, false)]));
    }
}
