//! Subjects: words joined by dots. Subscriptions may have wildcards: `*` matches one word, `>` as the last matches one or
//! more.

/// Whether messages can be published to this subject: no empty word, no wildcard, no white space.
pub fn is_literal(subject: &str) -> bool {
    is_pattern(subject) && subject.split('.').all(|word| word != "*" && word != ">")
}

/// Whether this can be subscribed to.
pub fn is_pattern(pattern: &str) -> bool {
    let mut words = pattern.split('.').peekable();
    while let Some(word) = words.next() {
        let unreadable = word.is_empty() || word.chars().any(|c| c.is_whitespace() || c.is_control());
        if unreadable || (word == ">" && words.peek().is_some()) {
            return false;
        }
    }
    true
}

/// Whether a message to `subject` goes to subscribers of `pattern`; both are valid.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut words = subject.split('.');
    for expected in pattern.split('.') {
        match (expected, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (expected, Some(word)) if expected == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_stand_for_whole_words() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.b.c", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.*.c", "a.b.c", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a.b", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a*", "ab", false),
            ("a*", "a*", true),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn subjects_are_checked() {
        for good in ["a", "a.b", "_INBOX.x-1", "a.*.c", "a.>", ">"] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.>.b", "a\tb"] {
            assert!(!is_pattern(bad), "{bad:?}");
        }
        assert!(is_literal("a.b"));
        assert!(!is_literal("a.*"));
        assert!(!is_literal(">"));
    }
}
