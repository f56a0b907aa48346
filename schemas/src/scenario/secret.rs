//! What in a scenario must not reach a report, a log or a terminal. Which texts are secrets is known here, by kind; how they
//! are found again and taken out is the reports' business.

use indexmap::IndexMap;

use super::RequestText;

/// Something in a scenario that is a secret, or may be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The value of a header: a secret if the header's name says so.
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
    /// A text in base64, as objects of the kind `Secret` have it.
    Base64(String),
}

impl Secret {
    /// Headers as they are sent, with data that can differ from request to request.
    pub(crate) fn headers(headers: &IndexMap<String, RequestText>) -> Vec<Self> {
        let mut found = Vec::new();
        for (name, value) in headers {
            let is_same = value.data().next().is_none();
            for text in value.texts() {
                let header = |value: &str| Self::Header { name: name.clone(), value: value.to_owned() };
                if is_same {
                    found.push(header(text));
                } else {
                    // No report has what differs from request to request. Words next to it are no secrets if they have
                    // letters only, such as `Bearer`.
                    let words = text.split_whitespace().filter(|word| !word.chars().all(char::is_alphabetic));
                    found.extend(words.map(header));
                }
            }
        }
        found
    }

    /// Headers as they are sent.
    pub(crate) fn plain_headers(headers: &IndexMap<String, String>) -> Vec<Self> {
        let header = |(name, value): (&String, &String)| Self::Header { name: name.clone(), value: value.clone() };
        headers.iter().map(header).collect()
    }
}
