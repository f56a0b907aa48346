//! Looks for a text in a body that arrives in pieces, without keeping the body (Knuth, Morris and Pratt, 1977).

/// A text to look for, with the table that says where to go on after a mismatch.
#[derive(Debug, Clone)]
pub(super) struct Needle {
    text: Vec<u8>,
    /// For each prefix: the length of its longest proper prefix that is also its suffix.
    fallback: Vec<usize>,
}

impl Needle {
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

/// How much of the text has been matched so far in one body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    matched: usize,
}

impl Scan {
    /// Takes the next piece of the body.
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

    /// True once the text was seen.
    pub(super) fn found(self, needle: &Needle) -> bool {
        self.matched == needle.text.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_text_is_everywhere() {
        let needle = Needle::new("");
        let mut scan = Scan::default();
        scan.feed(&needle, b"anything");
        assert!(scan.found(&needle));
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
