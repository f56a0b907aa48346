//! A small HTTP server on loopback, for loads that need no cluster.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::spawn;

/// A port of loopback on which nobody listens.
pub fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port of loopback").port()
}

/// Answers every request with this status and `ok` until the test process ends; returns its URL.
pub fn serve(status: u16) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    spawn(move || {
        for stream in listener.incoming().flatten() {
            spawn(move || answer(stream, status));
        }
    });
    url
}

/// Answers GET requests, which have no body, one after the other.
fn answer(stream: TcpStream, status: u16) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    for line in BufReader::new(stream).lines() {
        if line.ok()?.is_empty() {
            write!(writer, "HTTP/1.1 {status} Status\r\ncontent-length: 2\r\n\r\nok").ok()?;
        }
    }
    Some(())
}
