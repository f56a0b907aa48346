//! Searches for texts and patterns in a body that arrives in chunks, without buffering it. Texts are found by the algorithm
//! of Knuth, Morris and Pratt (1977), patterns by a DFA. By hand, because `memmem` of memchr searches one slice: a text that two
//! chunks share would be missed, or every chunk would have to be copied behind the end of the one before it.

use regex_automata::Input;
use regex_automata::dfa::Automaton;
use regex_automata::util::primitives::StateID;
use shakedown_schemas::pattern::Pattern;

/// The state of a search in one body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Search {
    scan: Scan,
    /// The state of the pattern's DFA. None before the first byte.
    state: Option<StateID>,
    matched: bool,
}

impl Search {
    /// Searches the next chunk of the body.
    pub(super) fn feed(&mut self, text: Option<&Needle>, pattern: Option<&Pattern>, piece: &[u8]) {
        if let Some(text) = text {
            self.scan.feed(text, piece);
        }
        let Some(pattern) = pattern.filter(|_| !self.matched) else { return };
        let mut state = self.state.unwrap_or_else(|| start(pattern));
        for byte in piece {
            state = pattern.next_state(state, *byte);
            if pattern.is_special_state(state) {
                if pattern.is_match_state(state) {
                    self.matched = true;
                    break;
                }
                if pattern.is_dead_state(state) {
                    break;
                }
            }
        }
        self.state = Some(state);
    }

    /// True when everything was found in the complete body.
    pub(super) fn found(&self, text: Option<&Needle>, pattern: Option<&Pattern>) -> bool {
        text.is_none_or(|text| self.scan.found(text))
            && pattern.is_none_or(|pattern| {
                // The DFA is one byte behind, and some patterns match only at the end.
                let state = self.state.unwrap_or_else(|| start(pattern));
                self.matched || pattern.is_match_state(pattern.next_eoi_state(state))
            })
    }
}

/// The state at the body's first byte.
fn start(pattern: &Pattern) -> StateID {
    // It rejects only searches for which the DFA was not built. The dead state matches nothing.
    pattern.start_state_forward(&Input::new("")).unwrap_or_default()
}

/// A text to search for, with its failure table.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    text: Vec<u8>,
    /// For each prefix: the length of its longest proper prefix that is also its suffix.
    fallback: Vec<usize>,
}

impl Needle {
    pub(super) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.text)
    }

    pub(super) fn new(text: &str) -> Self {
        let text = text.as_bytes().to_vec();
        let mut fallback = vec![0; text.len()];
        let mut matched = 0;
        for at in 1..text.len() {
            while matched > 0 && text[at] != text[matched] {
                matched = fallback[matched - 1];
            }
            if text[at] == text[matched] {
                matched += 1;
            }
            fallback[at] = matched;
        }
        Self { text, fallback }
    }
}

/// How much of the text has been matched in one body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    matched: usize,
}

impl Scan {
    /// Searches the next chunk of the body.
    pub(super) fn feed(&mut self, needle: &Needle, piece: &[u8]) {
        for byte in piece {
            if self.found(needle) {
                return;
            }
            while self.matched > 0 && *byte != needle.text[self.matched] {
                self.matched = needle.fallback[self.matched - 1];
            }
            if *byte == needle.text[self.matched] {
                self.matched += 1;
            }
        }
    }

    /// True once the text was found.
    pub(super) fn found(self, needle: &Needle) -> bool {
        self.matched == needle.text.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_text_always_matches() {
        let needle = Needle::new("");
        let mut scan = Scan::default();
        scan.feed(&needle, b"anything");
        assert!(scan.found(&needle));
    }

    #[test]
    fn finds_a_pattern_across_chunks() {
        let body = "one order-17 and a line\nend\u{e9}".as_bytes();
        for (text, found) in [
            (r"order-\d+", true),
            (r"order-\d{3}", false),
            ("^one", true),
            ("^order", false),
            ("end\u{e9}$", true),
            ("line$", false),
            ("(?m)line$", true),
            ("(?i)ORDER.17 AND", true),
            ("", true),
        ] {
            let pattern = shakedown_schemas::pattern::compile(text).unwrap();
            for cut in [1, 2, 5, 100] {
                let mut search = Search::default();
                body.chunks(cut).for_each(|piece| search.feed(None, Some(&pattern), piece));
                assert_eq!(search.found(None, Some(&pattern)), found, "{text} {cut}");
            }
        }
        let pattern = shakedown_schemas::pattern::compile("^$").unwrap();
        assert!(Search::default().found(None, Some(&pattern)), "an empty body");
        // Invalid UTF-8 is skipped.
        let mut search = Search::default();
        search.feed(None, Some(&pattern), b"\xff");
        assert!(!search.found(None, Some(&pattern)));
    }

    proptest! {
        #[test]
        fn finds_what_contains_finds(needle in "[ab]{1,6}", body in "[ab]{0,60}", cut in 1_usize..9) {
            let wanted = Needle::new(&needle);
            let mut scan = Scan::default();
            for piece in body.as_bytes().chunks(cut) {
                scan.feed(&wanted, piece);
            }
            prop_assert_eq!(scan.found(&wanted), body.contains(&needle));
        }
    }
}
