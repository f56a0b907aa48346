//! TLS: agreed on with those whom we trust, and a failure of its own name with everybody else.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::load::target::Target;
use crate::load::tls::Tls;

/// Of these tests only, for `server.test`, until 2126.
const CERTIFICATE: &[u8] = include_bytes!("certificates/server.crt");
const KEY: &[u8] = include_bytes!("certificates/server.key");

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
}

/// A server that answers every request with `hello`, over TLS.
async fn server() -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(KEY).unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
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

async fn send_to(address: SocketAddr, tls: Result<Tls, String>) -> LoadObservations {
    let planned = PlannedLoad {
        name: "load".to_owned(),
        load: serde_json::from_value(json!({"http": {"url": "x"}, "rate": "100/s", "timeout": "5s"})).unwrap(),
        endpoint: Endpoint { base: "http://server.test".to_owned(), addresses: vec![address] },
    };
    let mut target = Target::new(&planned).unwrap();
    target.tls = Some(tls.unwrap());
    let mut engine = Engine::of(vec![target]);
    engine.start(Instant::now(), Arc::default()).await.unwrap();
    tokio::time::sleep(100 * MS).await;
    engine.finish(5_000 * MS).await.unwrap().remove(0)
}

#[tokio::test]
async fn over_tls_with_a_trusted_server() {
    let (address, task) = server().await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate()).unwrap();
    let seen = send_to(address, Tls::with_roots("server.test", roots.clone())).await;
    assert_eq!(total(&seen).succeeded, due(100, end_ns(&seen)), "{:?}", total(&seen).failed);

    // Another name than the certificate's, and a certificate that nobody vouches for.
    for tls in [Tls::with_roots("other.test", roots), Tls::with_roots("server.test", RootCertStore::empty())] {
        let seen = send_to(address, tls).await;
        assert_eq!(total(&seen).failed, [(Failure::Tls, due(100, end_ns(&seen)))].into());
    }
    task.abort();
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
    let seen = send_to(address, Tls::with_roots("server.test", RootCertStore::empty())).await;
    assert_eq!(total(&seen).failed, [(Failure::Tls, due(100, end_ns(&seen)))].into());
    task.abort();
}
