//! The choices of an answer, each by itself: with `n` above 1, their deltas arrive in any order.

use std::collections::BTreeMap;

use super::asked::Asked;
use super::echo::Echo;
use super::kept::Kept;
use crate::said::{ChoicePart, Said};
use crate::scan::Search;

/// The most choices of one answer. The API allows 128.
const MOST: usize = 256;

/// The most parts of one choice that are compared. Each tool call has two.
const MOST_PARTS: usize = 512;

/// The choices so far, by their index.
#[derive(Debug, Default)]
pub(super) struct Choices(Vec<(u64, Choice)>);

/// One choice as far as it is needed.
#[derive(Debug, Default)]
struct Choice {
    search: Search,
    echo: Echo,
    /// Its parts, if they are compared.
    parts: BTreeMap<ChoicePart, Kept>,
    /// A long silence of the stream ended, and it has no text since.
    is_after_gap: bool,
    is_finished: bool,
}

impl Choices {
    /// Adds text of one part, which may be empty. Returns false if that exceeds a limit.
    pub(super) fn add(&mut self, asked: &Asked<'_>, index: u64, part: ChoicePart, text: &str) -> bool {
        let at = match self.0.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => at,
            Err(_) if self.0.len() >= MOST => return false,
            Err(at) => {
                self.0.insert(at, (index, Choice::default()));
                at
            }
        };
        let (_, choice) = &mut self.0[at];
        let text = text.as_bytes();
        if text.is_empty() {
            return true;
        }
        match part {
            ChoicePart::Text => {
                asked.expects.look(&mut choice.search, text);
                choice.echo.text(text, std::mem::take(&mut choice.is_after_gap));
            }
            ChoicePart::Finish => choice.is_finished = true,
            _ => {}
        }
        !asked.keeps_text || choice.keep(asked, part, text)
    }

    /// A long silence of the stream ended.
    pub(super) fn gap(&mut self) {
        self.0.iter_mut().for_each(|(_, choice)| choice.is_after_gap = true);
    }

    /// Whether this number of choices exists, and each has a finish reason.
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

    /// The parts of each choice, if they are compared.
    pub(super) fn said(&self) -> Vec<Said> {
        let of = |choice: &Choice| choice.parts.iter().map(|(part, kept)| (*part, kept.bytes().to_vec())).collect();
        self.0.iter().map(|(_, choice)| of(choice)).collect()
    }
}

impl Choice {
    /// Keeps text for the comparison. Returns false if that exceeds a limit.
    fn keep(&mut self, asked: &Asked<'_>, part: ChoicePart, text: &[u8]) -> bool {
        if self.parts.len() >= MOST_PARTS && !self.parts.contains_key(&part) {
            return false;
        }
        let kept = self.parts.entry(part).or_insert_with(|| Kept::new(asked.kept));
        // Servers may repeat a name in each delta.
        part.is_said_once() && kept.bytes() == text || kept.add(text)
    }
}
