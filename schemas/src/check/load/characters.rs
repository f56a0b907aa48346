//! The characters that the parts of a request may contain.

/// True for a token of RFC 9110: a method or the name of a header.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// True for a character of a path or a query.
pub(super) fn is_of_path(character: char) -> bool {
    !(character.is_whitespace() || character.is_control() || character == '#')
}
