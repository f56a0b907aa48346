//! Resolves a captured URL. Servers name what they created by a path or by a whole URL, and a browser follows both. A load
//! sends to one host only, so a URL of another origin is a failure.

use http::uri::{Authority, Scheme};

use super::text::{Draw, Text};

/// The data of one request gives no valid request, for this reason if it is known.
#[derive(Debug)]
pub(super) struct Unwritable(pub(super) Option<String>);

impl<E: std::error::Error> From<E> for Unwritable {
    fn from(_: E) -> Self {
        Self(None)
    }
}

/// The place of a load's requests.
#[derive(Debug, Clone)]
pub(super) struct Root {
    pub(super) scheme: Scheme,
    /// The host of the load, and the one that the request's header names.
    pub(super) hosts: Vec<Authority>,
    /// The scheme and host before the path, if they are sent.
    pub(super) origin: String,
    /// The path of the load's URL, without a trailing `/`.
    pub(super) stem: String,
}

impl Root {
    /// The path of a text that begins with a captured value: a URL of the same origin (RFC 3986, section 5.2.2), or a path.
    /// The path of a header that has a URL begins at the root of the server, and any other below the load's own path.
    ///
    /// # Errors
    /// When it is neither, or has another origin.
    pub(super) fn path(&self, text: &Text, draw: &Draw<'_>) -> Result<Vec<u8>, Unwritable> {
        let mut whole = Vec::new();
        text.write(draw, &mut whole);
        let whole = std::str::from_utf8(&whole)?;
        let is_url = text.begins_with_url(draw);
        let is_scheme = |it: &str| it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let (scheme, rest) = match whole.split_once("://").filter(|(scheme, _)| is_scheme(scheme)) {
            Some((scheme, rest)) => (scheme, rest),
            None => match whole.strip_prefix("//").filter(|_| is_url) {
                Some(rest) => (self.scheme.as_str(), rest),
                None if !whole.starts_with('/') => {
                    let words = format!("`{whole}` is not a path or a URL: write the beginning of the path before it");
                    return Err(Unwritable(Some(words)));
                }
                None if is_url => return Ok(whole.as_bytes().to_vec()),
                None => return Ok([&self.stem, whole].concat().into_bytes()),
            },
        };
        let (host, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !scheme.eq_ignore_ascii_case(self.scheme.as_str()) || !self.is_host(host) {
            let own = self.hosts.first().map_or("", Authority::as_str);
            let words = format!("`{whole}` has another origin than the load (`{}://{own}`)", self.scheme);
            return Err(Unwritable(Some(words)));
        }
        Ok([if path.starts_with('/') { "" } else { "/" }, path].concat().into_bytes())
    }

    fn is_host(&self, host: &str) -> bool {
        let usual = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = |it: &Authority| it.port_u16().unwrap_or(usual);
        let is_same =
            |own: &Authority, it: &Authority| own.host().eq_ignore_ascii_case(it.host()) && port(own) == port(it);
        host.parse::<Authority>().is_ok_and(|it| self.hosts.iter().any(|own| is_same(own, &it)))
    }
}
