//! The headers of an answer, independent of the protocol.

use http::header::{HeaderMap, HeaderName};

/// The headers of an answer.
pub(super) trait Headers {
    /// The values of all headers with this name.
    fn values(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]>;

    /// Calls `show` with the name and the value of each header.
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
