//! Encodings of values in requests.

/// Percent-encodes a text for a URL: every byte but letters, digits and `-._~` (RFC 3986, section 2.3).
pub(super) fn percent_encoded(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
