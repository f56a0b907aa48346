//! TLS for the connections of one load: versions 1.2 and 1.3, the trusted roots, and the client certificate. The trusted
//! roots are the system's (`SSL_CERT_FILE` and `SSL_CERT_DIR` override them) unless the scenario names its own.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use shakedown_schemas::scenario::TlsOptions;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::{self, Failed};
use super::socket::Socket;
use shakedown_observe::Failure;

/// The trusted roots, the client certificate and the expected server name.
#[derive(Clone)]
pub(super) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
    http2: bool,
}

impl fmt::Debug for Tls {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Tls {
    /// TLS to this host, with the settings of the scenario. `file` reads the scenario's files.
    ///
    /// # Errors
    /// When the host cannot occur in a certificate, when there are no roots, or when a file contains no certificate or no
    /// matching key.
    pub(super) fn new(
        host: &str,
        options: Option<&TlsOptions>,
        http2: bool,
        file: impl Fn(&str) -> Result<Arc<[u8]>, String>,
    ) -> Result<Self, String> {
        let options = options.cloned().unwrap_or_default();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let builder = match (options.insecure, &options.ca) {
            (true, _) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Trusting { provider: Arc::clone(&provider) })),
            (false, Some(ca)) => builder.with_root_certificates(roots_of(ca, &file(ca)?)?),
            (false, None) => builder.with_root_certificates(system_roots()?),
        };
        let mut config = match (&options.cert, &options.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert, &file(cert)?)?;
                let secret = PrivateKeyDer::from_pem_slice(&file(key)?)
                    .map_err(|error| format!("`{key}` contains no private key: {error}"))?;
                builder
                    .with_client_auth_cert(chain, secret)
                    .map_err(|error| format!("`{cert}` and `{key}` do not match: {error}"))?
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        let host = options.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is not a host name for TLS"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name, http2 })
    }

    /// Performs the TLS handshake on a connection.
    pub(super) async fn agree(&self, stream: Socket) -> Result<Box<TlsStream<Socket>>, Failed> {
        let made = self.connector.connect(self.name.clone(), stream).await;
        let stream = made.map_err(|error| failure::of_agreement(&error))?;
        // A server without ALPN sends nothing, so it is not known whether it speaks HTTP/2.
        if self.http2 && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            let cause = "the server did not agree to HTTP/2 (ALPN): leave out `version: http2`";
            return Err(Failed::new(Failure::Protocol, cause));
        }
        Ok(Box::new(stream))
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err("found no trusted root certificates: install `ca-certificates`, set SSL_CERT_FILE, or name \
                    your own with `tls: {ca: ca.pem}`"
            .to_owned());
    }
    Ok(roots)
}

fn roots_of(name: &str, pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(name, pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("`{name}` contains a certificate that cannot be a root: {error}"))?;
    }
    Ok(roots)
}

fn certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(certificates) if certificates.is_empty() => Err(format!("`{name}` contains no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(format!("`{name}` contains no certificate: {error}")),
    }
}

/// Trusts every certificate, because the scenario asks for it. Signatures are still verified: they prove that the server
/// owns the key of its certificate.
#[derive(Debug)]
struct Trusting {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
