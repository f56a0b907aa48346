//! The beginning of a list of names in a sentence.

/// The first `most` names, and the number of the others: `a, b and 3 more`.
pub fn first_few(names: &[impl AsRef<str>], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    match names.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_are_counted() {
        let names = ["a", "b", "c", "d"];
        assert_eq!(first_few(&names, 4), "a, b, c, d");
        assert_eq!(first_few(&names, 3), "a, b, c and 1 more");
        assert_eq!(first_few(&names[..0], 3), "");
    }
}
