//! The schemes of the URLs of a kind of load.

/// A scheme of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// Its name, such as `https`.
    pub name: &'static str,
    /// The port of a URL that names none. None if every URL must name one.
    pub port: Option<u16>,
}

impl Scheme {
    /// HTTP, without TLS and with it.
    pub const HTTP: [Self; 2] = [Self { name: "http", port: Some(80) }, Self { name: "https", port: Some(443) }];

    /// What follows `scheme://`, for a URL of this scheme.
    pub fn strip<'u>(&self, url: &'u str) -> Option<&'u str> {
        let (name, rest) = url.split_once("://")?;
        name.eq_ignore_ascii_case(self.name).then_some(rest)
    }
}
