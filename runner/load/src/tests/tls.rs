//! TLS: agreed on with those whom we trust, and failures of their own names with everybody else.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// Of these tests only, for `server.test`, until 2126.
const CERTIFICATE: &[u8] = include_bytes!("certificates/server.crt");
/// Of a server that nothing here has to do with.
const OTHER: &[u8] = include_bytes!("certificates/other.crt");
const KEY: &[u8] = include_bytes!("certificates/server.key");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

fn files() -> Files {
    Files::of([("ca.pem", CERTIFICATE), ("key.pem", KEY), ("other.pem", OTHER)])
}

/// How a server speaks TLS.
#[derive(Debug, Clone)]
struct Ways {
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Wants a certificate of ours.
    asks: bool,
    alpn: Vec<Vec<u8>>,
}

impl Default for Ways {
    fn default() -> Self {
        Self { versions: rustls::ALL_VERSIONS.to_vec(), asks: false, alpn: Vec::new() }
    }
}

/// A server that answers every request with `hello`, over TLS.
async fn server(ways: Ways) -> (SocketAddr, tokio::task::JoinHandle<()>) {
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
                // A small request comes in one piece.
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

/// Sends a load with these options of TLS, of which every request must end alike.
/// Gives the cause that a report shows.
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
async fn each_cause_is_said_in_its_own_words() {
    let (address, task) = server(Ways::default()).await;
    let of = async |host, tls| all_end_as(address, host, tls, "http1", Some(Failure::Tls)).await;
    let other = of("other.test", json!({"ca": "ca.pem"})).await;
    assert!(other.contains("not valid for name") && other.contains("server.test"), "{other}");
    let untrusted = of("server.test", json!({"ca": "other.pem"})).await;
    assert!(untrusted.contains("UnknownIssuer") && untrusted.contains("`tls: {ca: FILE}`"), "{untrusted}");
    let none = all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http2", Some(Failure::Protocol)).await;
    assert!(none.contains("ALPN"), "{none}");
    task.abort();
    // HTTP to a server of TLS: it answers with an alert.
    let (address, task) = server(Ways::default()).await;
    let planned = planned_at(address, json!({"http": {}, "rate": "100/s"}));
    let seen = send(planned, 50 * MS, 5_000 * MS).await;
    let causes: Vec<_> = seen.segments[0].samples.iter().map(|(_, sample)| sample.cause.as_str()).collect();
    assert!(causes.iter().any(|it| it.contains("speaks TLS")), "{causes:?}");
    task.abort();
}

#[tokio::test]
async fn with_those_whom_we_trust_by_either_version() {
    for versions in [vec![&rustls::version::TLS12], vec![&rustls::version::TLS13]] {
        let (address, task) =
            server(Ways { versions, alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..Ways::default() }).await;
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
async fn a_client_certificate_is_shown_and_its_absence_is_an_alert() {
    for versions in [vec![&rustls::version::TLS12], vec![&rustls::version::TLS13]] {
        let (address, task) = server(Ways { versions, asks: true, ..Ways::default() }).await;
        let with = json!({"ca": "ca.pem", "cert": "ca.pem", "key": "key.pem"});
        all_end_as(address, "server.test", with, "http1", None).await;
        all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http1", Some(Failure::TlsAlert)).await;
        task.abort();
    }
}

#[tokio::test]
async fn a_server_without_http2() {
    // One that knows nothing of ALPN, and one that says so.
    for (alpn, wanted) in [(Vec::new(), Failure::Protocol), (vec![b"http/1.1".to_vec()], Failure::TlsAlert)] {
        let (address, task) = server(Ways { alpn, ..Ways::default() }).await;
        all_end_as(address, "server.test", json!({"ca": "ca.pem"}), "http2", Some(wanted)).await;
        task.abort();
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls() {
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
fn files_that_hold_something_else_are_told() {
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
