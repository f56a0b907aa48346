//! Which characters the parts of a request have.

/// What RFC 9110 calls a token: methods and the names of headers.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// True for a character that a path or a query has.
pub(super) fn is_of_path(character: char) -> bool {
    !(character.is_whitespace() || character.is_control() || character == '#')
}
