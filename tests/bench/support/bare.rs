//! A client that does next to nothing: it sends each request when it is due, on a connection that is idle or else on a new one,
//! and keeps how long it took. What it sees of a server that was stopped is what this machine takes to catch up, so that it
//! tells an engine's error from the machine's. `URL SECONDS RATE`; says what it saw as JSON.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// What all requests share.
#[derive(Default)]
struct Shared {
    idle: Vec<TcpStream>,
    took_ms: Vec<f64>,
}

pub fn run(words: &[String]) {
    let [url, seconds, rate] = words else { panic!("the bare client needs a URL, seconds and a rate") };
    let address = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let seconds: f64 = seconds.parse().expect("seconds");
    let rate: f64 = rate.parse().expect("a rate");
    super::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let shared: Arc<Mutex<Shared>> = Arc::default();
    runtime.block_on(async {
        let zero = Instant::now();
        let mut requests = tokio::task::JoinSet::new();
        for number in 0..(seconds * rate) as u64 {
            let due = zero + Duration::from_secs_f64(number as f64 / rate);
            tokio::time::sleep_until(due).await;
            let (address, shared) = (address.clone(), Arc::clone(&shared));
            requests.spawn(async move { request(&address, due, &shared).await.expect("an answer") });
            while let Some(ended) = requests.try_join_next() {
                ended.expect("no request is lost");
            }
        }
        requests.join_all().await;
    });
    let mut took_ms = std::mem::take(&mut shared.lock().expect("no panic").took_ms);
    took_ms.sort_by(f64::total_cmp);
    let at = |quantile: f64| took_ms[((took_ms.len() - 1) as f64 * quantile) as usize];
    println!("{}", json!({"p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": at(1.0)}));
}

async fn request(address: &str, due: Instant, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let idle = shared.lock().expect("no panic").idle.pop();
    let mut stream = match idle {
        Some(stream) => stream,
        None => TcpStream::connect(address).await?,
    };
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await?;
    // The answer is small and comes in one piece.
    let mut answer = [0; 1024];
    if stream.read(&mut answer).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let mut shared = shared.lock().expect("no panic");
    shared.took_ms.push(due.elapsed().as_secs_f64() * 1e3);
    shared.idle.push(stream);
    Ok(())
}
