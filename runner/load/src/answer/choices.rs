//! The choices of an answer, each by itself: with `n` above 1, their deltas arrive in any order.

use super::asked::Asked;
use super::echo::Echo;
use super::kept::Kept;
use crate::scan::Search;

/// The most choices of one answer. The API allows 128.
const MOST: usize = 256;

/// The choices so far, by their index.
#[derive(Debug, Default)]
pub(super) struct Choices(Vec<(u64, Choice)>);

/// One choice as far as it is needed.
#[derive(Debug, Default)]
struct Choice {
    search: Search,
    echo: Echo,
    /// Its text, if it is compared.
    text: Option<Kept>,
    /// A long silence of the stream ended, and it has no text since.
    is_after_gap: bool,
    is_finished: bool,
}

impl Choices {
    /// Adds text, which may be empty. Returns false if that exceeds a limit.
    pub(super) fn add(&mut self, asked: &Asked<'_>, index: u64, text: &str) -> bool {
        let at = match self.0.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => at,
            Err(_) if self.0.len() >= MOST => return false,
            Err(at) => {
                let text = asked.keeps_text.then(|| Kept::new(asked.kept));
                self.0.insert(at, (index, Choice { text, ..Choice::default() }));
                at
            }
        };
        let (_, choice) = &mut self.0[at];
        let text = text.as_bytes();
        if text.is_empty() {
            return true;
        }
        asked.expects.look(&mut choice.search, text);
        choice.echo.text(text, std::mem::take(&mut choice.is_after_gap));
        choice.text.as_mut().is_none_or(|whole| whole.add(text))
    }

    /// A long silence of the stream ended.
    pub(super) fn gap(&mut self) {
        self.0.iter_mut().for_each(|(_, choice)| choice.is_after_gap = true);
    }

    /// The choice with this index has its finish reason.
    pub(super) fn finish(&mut self, index: u64) {
        self.0.iter_mut().filter(|(known, _)| *known == index).for_each(|(_, choice)| choice.is_finished = true);
    }

    /// Whether this many choices are there, and each has a finish reason.
    pub(super) fn are_finished(&self, asked: &Asked<'_>) -> bool {
        self.0.len() >= asked.choices.max(1) && self.0.iter().all(|(_, choice)| choice.is_finished)
    }

    /// The search in the choice that a check is about: the first.
    pub(super) fn search(&self) -> Option<&Search> {
        self.0.first().map(|(_, choice)| &choice.search)
    }

    /// Whether a choice repeated its own text after a gap.
    pub(super) fn are_repeated(&mut self) -> bool {
        self.0.iter_mut().any(|(_, choice)| choice.echo.is_repeated())
    }

    /// The text of each choice, if they are compared.
    pub(super) fn texts(&self) -> Vec<Vec<u8>> {
        self.0.iter().filter_map(|(_, choice)| Some(choice.text.as_ref()?.bytes().to_vec())).collect()
    }
}
