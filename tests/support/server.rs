//! A small HTTP server on loopback, for loads that need no cluster.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
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

/// Answers every GET with 401 and every request with the request itself, as careless services do, and keeps what was sent; returns its
/// URL and everything that has come so far.
pub fn echo() -> (String, Arc<Mutex<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let heard: Arc<Mutex<String>> = Arc::default();
    let kept = Arc::clone(&heard);
    spawn(move || {
        for stream in listener.incoming().flatten() {
            let kept = Arc::clone(&kept);
            spawn(move || repeat(stream, &kept));
        }
    });
    (url, heard)
}

/// Answers requests of one connection, one after the other.
fn repeat(stream: TcpStream, kept: &Mutex<String>) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let length = head.to_ascii_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body).ok()?;
        let whole = format!("{head}{}", String::from_utf8_lossy(&body));
        kept.lock().unwrap_or_else(PoisonError::into_inner).push_str(&whole);
        let status = if head.starts_with("POST ") { 200 } else { 401 };
        write!(writer, "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n{whole}", whole.len()).ok()?;
    }
}
