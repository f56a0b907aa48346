//! The secrets of a scenario, which must not appear in reports, logs or terminals. This module knows which texts are
//! secrets. The reports crate finds and removes them.

use indexmap::IndexMap;

use super::RequestText;

/// A known or possible secret of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The value of a header. It is a secret if the header's name says so.
    Header {
        /// The header's name.
        name: String,
        /// Its value, or a part of it.
        value: String,
    },
    /// A URL, which may carry a password.
    Url(String),
    /// A text.
    Text(String),
    /// A base64 text, as in objects of kind `Secret`.
    Base64(String),
}

impl Secret {
    /// Headers that may contain request data.
    pub(crate) fn headers(headers: &IndexMap<String, RequestText>) -> Vec<Self> {
        let mut found = Vec::new();
        for (name, value) in headers {
            let is_same = value.data().next().is_none();
            for text in value.texts() {
                let header = |value: &str| Self::Header { name: name.clone(), value: value.to_owned() };
                if is_same {
                    found.push(header(text));
                } else {
                    // Request data does not appear in reports. Words next to it are not secrets if they consist of
                    // letters only, such as `Bearer`.
                    let words = text.split_whitespace().filter(|word| !word.chars().all(char::is_alphabetic));
                    found.extend(words.map(header));
                }
            }
        }
        found
    }

    /// Headers without request data.
    pub(crate) fn plain_headers(headers: &IndexMap<String, String>) -> Vec<Self> {
        let header = |(name, value): (&String, &String)| Self::Header { name: name.clone(), value: value.clone() };
        headers.iter().map(header).collect()
    }
}
