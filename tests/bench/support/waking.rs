//! A client that wakes up for each answer at once: one connection, and a thread that blocks until the answer is there. It tells
//! how far an engine is off that reads answers later. `URL SECONDS RATE`; prints the time from sending to the last byte as JSON.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

pub fn run(words: &[String]) {
    let [url, seconds, rate] = words else { panic!("the waking client needs a URL, seconds and a rate") };
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let seconds: f64 = seconds.parse().expect("seconds");
    let rate: f64 = rate.parse().expect("a rate");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut took_us = Vec::new();
    let zero = Instant::now();
    for number in 0..(seconds * rate) as u64 {
        let due = zero + Duration::from_secs_f64(number as f64 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        stream.write_all(request.as_bytes()).expect("the request is sent");
        // The answer is small and comes in one piece.
        assert!(stream.read(&mut [0; 1024]).expect("an answer") > 0, "the server closed the connection");
        took_us.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    took_us.sort_by(f64::total_cmp);
    let at = |quantile: f64| took_us[((took_us.len() - 1) as f64 * quantile) as usize];
    println!("{}", json!({"service_p50_us": at(0.5), "service_p99_us": at(0.99)}));
}
