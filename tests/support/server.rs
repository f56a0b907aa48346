//! Servers on loopback, for loads that need no cluster.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use shakedown_fakes::{Answer, HttpServer};

/// A port of loopback that refuses connections.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port of loopback").port()
}

/// Answers every request with this status and `ok` until the test process ends; returns its URL.
pub fn serve(status: u16) -> String {
    HttpServer::forever(move |_| status.into())
}

/// Answers each POST with 200 and every other request with 401, with the request itself as the body, as careless services do.
/// Returns its URL, and everything that it received so far.
pub fn echo() -> (String, Arc<Mutex<String>>) {
    let heard: Arc<Mutex<String>> = Arc::default();
    let kept = Arc::clone(&heard);
    let url = HttpServer::forever(move |request| {
        let whole = request.whole();
        kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&whole);
        Answer::new(if request.method() == "POST" { 200 } else { 401 }, whole)
    });
    (url, heard)
}
