//! TLS: successful handshakes with trusted servers, and a named failure for each error.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A certificate for these tests only, for `server.test`, valid until 2126.
const CERTIFICATE: &[u8] = include_bytes!("certificates/server.crt");
/// A certificate of an unrelated server.
const OTHER: &[u8] = include_bytes!("certificates/other.crt");
const KEY: &[u8] = include_bytes!("certificates/server.key");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

fn files() -> Files {
    Files::of([("ca.pem", CERTIFICATE), ("key.pem", KEY), ("other.pem", OTHER)])
}

/// The TLS settings of a server.
#[derive(Debug, Clone)]
struct ServerTls {
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Requires a client certificate.
    asks: bool,
    alpn: Vec<Vec<u8>>,
}

impl Default for ServerTls {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS.to_vec(), asks: false, alpn: Vec::new() }
    }
}

/// A server that answers every request with `hello`, over TLS.
async fn server(ways: ServerTls) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&ways.versions).unwrap();
    let builder = if ways.asks {
        let mut roots = RootCertStore::empty();
        roots.add(certificate()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config =
        builder.with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(KEY).unwrap()).unwrap();
    config.alpn_protocols = ways.alpn.clone();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    return http2::serve(stream, None, Arc::default()).await;
                }
                let mut buffer = vec![0; 4096];
                // A small request arrives in one read.
                while stream.read(&mut buffer).await.is_ok_and(|size| size > 0) {
                    if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, task)
}

/// Sends a load with these TLS options. Every request must have the same outcome. Returns the cause in the report.
async fn all_end_as(
    address: SocketAddr,
    host: &str,
    tls: serde_json::Value,
    version: &str,
    wanted: Option<Failure>,
) -> String {
    let load = json!({"http": {"url": "x"}, "rate": "100/s", "arrival": "steady", "timeout": "5s", "tls": tls, "version": version});
    let planned = PlannedLoad {
        name: "load".to_owned(),
        load: serde_json::from_value(load).unwrap(),
        endpoint: Endpoint { base: format!("https://{host}"), addresses: vec![address] },
        files: files(),
        seed: 1,
    };
    let seen = send(planned, 50 * MS, 5_000 * MS).await;
    let total = total(&seen);
    let named = wanted.map_or(total.succeeded, |failure| total.failed.get(&failure).copied().unwrap_or(0));
    assert_eq!(named, due(100, end_ns(&seen)), "{tls} {version}: {} succeeded, {:?}", total.succeeded, total.failed);
    seen.segments[0].samples.iter().next().map_or_else(String::new, |(_, sample)| sample.cause.clone())
}

#[tokio::test]
async fn each_cause_has_its_own_message() {
    let (address, task) = server(ServerTls::default()).await;
    let of = async |host, tls| all_end_as(address, host, tls, "http1", Some(Failure::Tls)).await;
    let other = of("other.test", json!({"ca": "ca.pem"})).await;
    assert!(other.contains("not valid for name") && other.contains("server.test"), "{other}");
    let untrusted = of("server.test", json!({"ca": "other.pem"})).await;
    assert!(untrusted.contains("UnknownIssuer") && untrusted.contains("`tls: {ca: FILE}`"), "{untrusted}");
    let none = all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http2", Some(Failure::Protocol)).await;
    assert!(none.contains("ALPN"), "{none}");
    task.abort();
    // HTTP to a TLS server: it answers with an alert.
    let (address, task) = server(ServerTls::default()).await;
    let planned = planned_at(address, json!({"http": {}, "rate": "100/s"}));
    let seen = send(planned, 50 * MS, 5_000 * MS).await;
    let causes: Vec<_> = seen.segments[0].samples.iter().map(|(_, sample)| sample.cause.as_str()).collect();
    assert!(causes.iter().any(|it| it.contains("speaks TLS")), "{causes:?}");
    task.abort();
}

#[tokio::test]
async fn accepts_trusted_servers_with_both_versions() {
    for versions in [vec![&rustls::version::TLS12], vec![&rustls::version::TLS13]] {
        let (address, task) =
            server(ServerTls { versions, alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..ServerTls::default() })
                .await;
        for version in ["http1", "http2"] {
            all_end_as(address, "server.test", json!({"ca": "ca.pem"}), version, None).await;
            all_end_as(address, "other.test", json!({"ca": "ca.pem"}), version, Some(Failure::Tls)).await;
            all_end_as(address, "other.test", json!({"ca": "ca.pem", "server_name": "server.test"}), version, None)
                .await;
            all_end_as(address, "other.test", json!({"insecure": true}), version, None).await;
        }
        task.abort();
    }
}

#[tokio::test]
async fn sends_a_client_certificate_and_names_its_absence() {
    for versions in [vec![&rustls::version::TLS12], vec![&rustls::version::TLS13]] {
        let (address, task) = server(ServerTls { versions, asks: true, ..ServerTls::default() }).await;
        let with = json!({"ca": "ca.pem", "cert": "ca.pem", "key": "key.pem"});
        all_end_as(address, "server.test", with, "http1", None).await;
        all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http1", Some(Failure::TlsAlert)).await;
        task.abort();
    }
}

#[tokio::test]
async fn names_a_server_without_http2() {
    // One server without ALPN, and one with HTTP/1.1 only.
    for (alpn, wanted) in [(Vec::new(), Failure::Protocol), (vec![b"http/1.1".to_vec()], Failure::TlsAlert)] {
        let (address, task) = server(ServerTls { alpn, ..ServerTls::default() }).await;
        all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http2", Some(wanted)).await;
        task.abort();
    }
}

#[tokio::test]
async fn names_a_server_without_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let cause = all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http1", Some(Failure::Tls)).await;
    assert!(cause.contains("does not speak TLS") && cause.contains("`http://`"), "{cause}");
    task.abort();
}

#[test]
fn rejects_files_with_the_wrong_content() {
    for (tls, words) in [
        (json!({"ca": "key.pem"}), "no certificate"),
        (json!({"cert": "ca.pem", "key": "ca.pem"}), "no private key"),
        (json!({"ca": "none.pem"}), "was not read"),
        (json!({"ca": "ca.pem", "server_name": "a b"}), "not a host name"),
    ] {
        let load = json!({"http": {"url": "x"}, "rate": "1/s", "tls": tls});
        let planned = PlannedLoad {
            name: "load".to_owned(),
            load: serde_json::from_value(load).unwrap(),
            endpoint: Endpoint { base: "https://server.test".to_owned(), addresses: Vec::new() },
            files: files(),
            seed: 1,
        };
        let error = CompiledLoad::new(&planned).unwrap_err().to_string();
        assert!(error.contains(words), "{tls}: {error}");
    }
}
