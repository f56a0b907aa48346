//! The headers of an answer, by the protocol that read them.

use http::header::{HeaderMap, HeaderName};

/// The headers of an answer.
pub(super) trait Headers {
    /// The values of all of this name.
    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]>;

    /// Shows the name and the value of each.
    fn each(&self, show: &mut dyn FnMut(&str, &[u8]));
}

impl Headers for HeaderMap {
    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.get_all(name).iter().map(|value| value.as_bytes())
    }

    fn each(&self, show: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|(name, value)| show(name.as_str(), value.as_bytes()));
    }
}

impl Headers for [httparse::Header<'_>] {
    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        self.iter().filter(move |header| header.name.eq_ignore_ascii_case(name.as_str())).map(|header| header.value)
    }

    fn each(&self, show: &mut dyn FnMut(&str, &[u8])) {
        self.iter().for_each(|header| show(header.name, header.value));
    }
}
