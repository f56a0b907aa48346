//! Whether a stream that went on after a gap brought text again that had been there before: a request that moves to another
//! worker can begin anew, or with a token that was sent already. Keeps a few hundred bytes, however long the answer is.

/// A text is the same by no accident from so many bytes on.
const ENOUGH: usize = 16;

/// So much of the beginning, of the end before a gap, and of what follows it is compared.
const LOOKED_AT: usize = 128;

/// The text of one answer, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct Echo {
    /// Its beginning.
    first: Vec<u8>,
    /// Its end.
    last: Vec<u8>,
    /// What followed the last gap; none before the first.
    after: Option<Vec<u8>>,
    is_repeated: bool,
}

impl Echo {
    /// The text goes on; `after_gap` when it had been silent for long.
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
        // What follows a gap is compared with what was there before it.
        if self.after.is_none() {
            self.remember(text);
        }
    }

    /// True when what followed a gap had been there before it.
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
    fn text_that_comes_again_after_a_gap_is_repeated() {
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
