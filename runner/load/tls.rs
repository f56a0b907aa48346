//! TLS for the connections of one load. The trusted roots are the system's (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
//! others).

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::observe::Failure;

/// Whom to trust, and whom to expect.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS to a host of this name, trusting the system's roots.
    ///
    /// # Errors
    /// When the name is none that a certificate could have, or when there are no roots.
    pub(super) fn new(host: &str) -> Result<Self, String> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err("found no trusted root certificates: install `ca-certificates` or set SSL_CERT_FILE".to_owned());
        }
        Self::with_roots(host, roots)
    }

    /// TLS to a host of this name, trusting these roots.
    ///
    /// # Errors
    /// When the name is none that a certificate could have.
    pub(super) fn with_roots(host: &str, roots: RootCertStore) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a host name for TLS"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Agrees on TLS over a connection.
    pub(super) async fn agree(&self, stream: TcpStream) -> Result<Box<TlsStream<TcpStream>>, Failure> {
        self.connector.connect(self.name.clone(), stream).await.map(Box::new).map_err(|_| Failure::Tls)
    }
}
