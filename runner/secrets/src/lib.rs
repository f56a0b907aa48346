//! Finds secrets in texts and redacts them: as they are, in every ordinary spelling, in base64 and in hexadecimal.
//!
//! A text repeats a secret as the programs before it wrote it down. Each character may be escaped, as in JSON, URLs, HTML, YAML,
//! a shell or a language, and escapes may be escaped again, up to three times. In base64 a secret has three forms, because what
//! is in front of it shifts its bits: `user:SECRET` does.
//!
//! By hand, because a search for fixed texts, such as that of aho-corasick, would need every spelling of every character in every
//! combination. In an ordinary text, the pairs of [`Starts`] already rule out almost every place.

mod redact;
mod spelling;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

pub use redact::Redactor;
use spelling::{Character, Code, DEPTH, Place, SIGNS, codes_at};

/// The replacement of a secret.
pub const MASK: &str = "[redacted]";
/// The minimum length of a secret, in characters. Redacting shorter values such as `on` would make texts unreadable.
pub const SHORTEST: usize = 4;

/// A range of a text, in bytes.
pub type Range = (usize, usize);

/// The secrets, compiled for the search.
#[derive(Debug, Default)]
pub struct Secrets {
    known: BTreeSet<Vec<u8>>,
    patterns: Vec<Pattern>,
    starts: Starts,
}

/// A secret in one encoding, whose characters may be escaped.
#[derive(Debug)]
struct Pattern {
    characters: Vec<Place>,
    /// Whether the characters next to it in base64 have bits of the secret.
    shares: [bool; 2],
    is_base64: bool,
}

/// The patterns by what they can begin with.
#[derive(Debug, Default)]
struct Starts {
    /// The pairs, each as a bit: what begins with no such pair is no secret.
    pairs: Vec<u64>,
    /// The patterns that begin with a pair as it is.
    literals: BTreeMap<(u8, u8), BTreeSet<usize>>,
    /// The patterns that begin with an escape.
    codes: BTreeMap<Code, BTreeSet<usize>>,
}

impl Starts {
    fn add(&mut self, first: &Character, second: &Character, pattern: usize) {
        for pair in first.starts(second) {
            self.add_pair(pair);
            if !SIGNS.contains(&pair.0) || first.is_literal(pair.0) {
                self.literals.entry(pair).or_default().insert(pattern);
            }
        }
        for code in first.codes() {
            self.codes.entry(code).or_default().insert(pattern);
        }
    }

    fn add_pair(&mut self, (first, second): (u8, u8)) {
        self.pairs.resize(1 << 10, 0);
        let bit = usize::from(first) << 8 | usize::from(second);
        self.pairs[bit >> 6] |= 1 << (bit & 63);
    }

    /// The patterns that may begin at a place of a text, which is not its last.
    fn at(&self, text: &[u8], at: usize) -> BTreeSet<usize> {
        let escaped = codes_at(text, at).into_iter().filter_map(|code| self.codes.get(&code));
        self.literals.get(&(text[at], text[at + 1])).into_iter().chain(escaped).flatten().copied().collect()
    }

    fn may_begin(&self, first: u8, second: u8) -> bool {
        let bit = usize::from(first) << 8 | usize::from(second);
        self.pairs[bit >> 6] >> (bit & 63) & 1 == 1
    }
}

impl Secrets {
    /// Learns a secret. Returns false if it is too short.
    pub fn learn(&mut self, secret: &[u8]) -> bool {
        let characters = Character::all(secret);
        if characters.len() < SHORTEST {
            return false;
        }
        if !self.known.insert(secret.to_vec()) {
            return true;
        }
        self.add(Pattern { characters, shares: [false; 2], is_base64: false });
        self.add(Pattern { characters: Character::hex(secret), shares: [false; 2], is_base64: false });
        for offset in 0..3 {
            let mut shifted = vec![0; offset];
            shifted.extend(secret);
            let (whole, begin) = (shifted.len() * 8 / 6, (offset * 8).div_ceil(6));
            let both =
                [STANDARD_NO_PAD, URL_SAFE_NO_PAD].map(|base64| base64.encode(&shifted)[begin..whole].to_owned());
            let shares = [offset > 0, shifted.len() * 8 % 6 > 0];
            for text in BTreeSet::from(both) {
                let characters = Character::base64(&text);
                if characters.len() >= SHORTEST {
                    self.add(Pattern { characters, shares, is_base64: true });
                }
            }
        }
        true
    }

    fn add(&mut self, pattern: Pattern) {
        let [first, second, ..] = &pattern.characters[..] else { return };
        let number = self.patterns.len();
        self.starts.add(first, second, number);
        self.patterns.push(pattern);
    }

    /// The ranges of secrets in a text, in order. Overlapping secrets are one range, so that no part of one remains.
    pub fn ranges(&self, text: &[u8]) -> Vec<Range> {
        let at = self.begins(text);
        let found = at.flat_map(|at| self.beginning(text, at).filter_map(move |pattern| pattern.range(text, at)));
        merged(found.collect())
    }

    /// The places of a text at which a secret may begin.
    fn begins(&self, text: &[u8]) -> impl Iterator<Item = usize> {
        let pairs = if self.patterns.is_empty() { &[] } else { text }.windows(2).enumerate();
        pairs.filter(|(_, pair)| self.starts.may_begin(pair[0], pair[1])).map(|(at, _)| at)
    }

    /// The patterns that may begin at a place of a text.
    fn beginning(&self, text: &[u8], at: usize) -> impl Iterator<Item = &Pattern> {
        self.starts.at(text, at).into_iter().map(|number| &self.patterns[number])
    }

    /// Where the beginning of a secret is at the end of a text that was cut, if it is long enough to be recognised.
    pub fn begun(&self, text: &[u8]) -> Option<usize> {
        self.begins(text).find(|at| self.beginning(text, *at).any(|pattern| pattern.is_begun(text, *at)))
    }

    /// Replaces the secrets in a text; in one that was cut, also the beginning of one at its end.
    pub fn mask(&self, text: &mut Vec<u8>, is_cut: bool) {
        // Both are found before anything is replaced: what one hides may be a part of the other.
        let begun = if is_cut { self.begun(text) } else { None };
        let mut found = self.ranges(text);
        found.extend(begun.map(|at| (at, text.len())));
        for (from, to) in merged(found).into_iter().rev() {
            text.splice(from..to, MASK.bytes());
        }
    }
}

/// The ranges in order. Those that overlap are one.
fn merged(mut found: Vec<Range>) -> Vec<Range> {
    found.sort_unstable();
    let mut ranges: Vec<Range> = Vec::new();
    for (from, to) in found {
        match ranges.last_mut() {
            Some(last) if from < last.1 => last.1 = last.1.max(to),
            _ => ranges.push((from, to)),
        }
    }
    ranges
}

impl Pattern {
    /// The range that a secret at this place takes, in its longest spelling.
    fn range(&self, text: &[u8], at: usize) -> Option<Range> {
        let mut to = self.end(text, at)?;
        let mut from = at;
        if self.is_base64 {
            let shares =
                |place: Option<&u8>| place.is_some_and(|it| it.is_ascii_alphanumeric() || b"+/-_".contains(it));
            from -= usize::from(self.shares[0] && shares(at.checked_sub(1).map(|before| &text[before])));
            to += usize::from(self.shares[1] && shares(text.get(to)));
            to += text[to..].iter().take(2).take_while(|it| **it == b'=').count();
        }
        Some((from, to))
    }

    fn end(&self, text: &[u8], at: usize) -> Option<usize> {
        let (mut ends, mut next) = (vec![at], Vec::new());
        for character in &self.characters {
            next.clear();
            ends.iter().filter(|end| **end < text.len()).for_each(|end| character.ends(text, *end, DEPTH, &mut next));
            if next.is_empty() {
                return None;
            }
            next.sort_unstable();
            next.dedup();
            std::mem::swap(&mut ends, &mut next);
        }
        ends.last().copied()
    }

    /// Whether the text from there on may be the beginning of a secret, of at least [`SHORTEST`] characters.
    fn is_begun(&self, text: &[u8], at: usize) -> bool {
        // A character has two digits.
        let shortest = if self.characters[0].is_hex { 2 * SHORTEST } else { SHORTEST };
        let mut ends = vec![at];
        for (number, character) in self.characters.iter().enumerate() {
            if number >= shortest && ends.iter().any(|end| character.is_begun(&text[*end..])) {
                return true;
            }
            let mut next = Vec::new();
            ends.iter().filter(|end| **end < text.len()).for_each(|end| character.ends(text, *end, DEPTH, &mut next));
            if next.is_empty() {
                return false;
            }
            next.sort_unstable();
            next.dedup();
            ends = next;
        }
        false
    }
}

#[cfg(test)]
mod tests;
