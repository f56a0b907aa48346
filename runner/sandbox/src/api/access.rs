//! Access control of the API server: clients need its token and must address this machine.
//!
//! Any page in a browser of this machine, and any user of it, can reach loopback. A page cannot know the token, and it
//! names its own host even where that leads here (DNS rebinding).
//!
//! It uses TLS with a self-signed certificate, because kubectl sends no token to a server without TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use http::HeaderMap;
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use rcgen::CertifiedKey;
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::error::ApiError;

/// The names by which loopback is asked for.
const HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// The server's certificate and its token, both made for one sandbox.
pub(crate) struct Access {
    /// The self-signed certificate that clients trust, as PEM.
    pub certificate: String,
    /// The token of clients, sent as `Authorization: Bearer TOKEN`.
    pub token: String,
    /// TLS for accepted connections.
    pub tls: TlsAcceptor,
    port: u16,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Access").field("port", &self.port).finish_non_exhaustive()
    }
}

impl Access {
    /// A certificate and a token for the server at this address.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub(crate) fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let names = HOSTS.map(|name| name.trim_matches(['[', ']']).to_owned());
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(names).context("the sandbox could not make a certificate")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key))
            .context("the sandbox could not use its certificate")?;
        Ok(Self {
            certificate: cert.pem(),
            token: Uuid::from_u128(rand::random()).simple().to_string(),
            tls: TlsAcceptor::from(Arc::new(config)),
            port: address.port(),
        })
    }

    /// Refuses a request that means another host, or that has no token where one is needed.
    ///
    /// # Errors
    /// The error for the client.
    pub(crate) fn check(&self, request: &Parts) -> Result<(), ApiError> {
        let host = request.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
        let host = host.as_deref().or_else(|| request.uri.authority().map(http::uri::Authority::as_str));
        if !host.is_some_and(|host| self.is_here(host)) {
            return Err(ApiError::other_host());
        }
        // As on a real cluster, these paths need no token.
        let is_open = matches!(request.uri.path(), "/healthz" | "/livez" | "/readyz");
        if is_open || bearer(&request.headers).is_some_and(|token| is_same(token, self.token.as_bytes())) {
            Ok(())
        } else {
            Err(ApiError::unauthorized())
        }
    }

    fn is_here(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(443)),
        };
        port == Some(self.port) && HOSTS.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Compares in constant time.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_host_and_only_with_the_token() {
        let access = Access::new(([127, 0, 0, 1], 6443).into()).unwrap();
        let other = Access::new(([127, 0, 0, 1], 6443).into()).unwrap();
        let code = |host: &str, token: &str, path: &str| {
            let request = http::Request::get(path).header(HOST, host).header(AUTHORIZATION, token);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            access.check(&parts).err().map(|error| error.code)
        };
        let token = format!("Bearer {}", access.token);
        for host in ["127.0.0.1:6443", "localhost:6443", "LOCALHOST:6443", "[::1]:6443"] {
            assert_eq!(code(host, &token, "/api"), None, "{host}");
        }
        for host in ["evil.example:6443", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:6443", "", ":6443"] {
            assert_eq!(code(host, &token, "/api"), Some(403), "{host}");
        }
        for wrong in ["", "Bearer", "Bearer ", &format!("Bearer {}", other.token), &token[..token.len() - 1]] {
            assert_eq!(code("127.0.0.1:6443", wrong, "/api"), Some(401), "{wrong}");
        }
        assert_eq!(code("127.0.0.1:6443", &format!("bearer  {}", access.token), "/api"), None);
        assert_eq!(code("127.0.0.1:6443", "", "/readyz"), None);
        assert_eq!(code("evil.example:6443", "", "/readyz"), Some(403));
        assert!(!format!("{access:?}").contains(&access.token));
    }
}
