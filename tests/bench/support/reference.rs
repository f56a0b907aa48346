//! A plain client for token streams, to compare with where no peer can be installed: reqwest on the work-stealing runtime,
//! each event parsed into types, times recorded in HDR histograms. `URL SECONDS STREAMS`; says what it saw as JSON.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Event {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Delta,
}

#[derive(Deserialize)]
struct Delta {
    content: Option<String>,
}

/// What one worker saw, in microseconds.
struct WorkerFigures {
    first: Histogram<u32>,
    gaps: Histogram<u32>,
    succeeded: u64,
}

pub fn run(words: &[String]) {
    let [url, seconds, streams] = words else { panic!("the reference needs a URL, seconds and streams") };
    _ = rustls::crypto::ring::default_provider().install_default();
    let seconds: u64 = seconds.parse().expect("seconds");
    let streams: usize = streams.parse().expect("a number of streams");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (first, succeeded) = runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let until = Instant::now() + Duration::from_secs(seconds);
        let workers: Vec<_> = (0..streams)
            .map(|_| tokio::spawn(worker(client.clone(), format!("{url}/v1/chat/completions"), until)))
            .collect();
        let (mut first, mut gaps) = (histogram(), histogram());
        let mut succeeded = 0;
        for worker in workers {
            let seen = worker.await.expect("a worker");
            first.add(seen.first).expect("the same bounds");
            gaps.add(seen.gaps).expect("the same bounds");
            succeeded += seen.succeeded;
        }
        (first, succeeded)
    });
    let ms = |quantile: f64| f64::from(u32::try_from(first.value_at_quantile(quantile)).unwrap_or(u32::MAX)) / 1e3;
    println!("{}", json!({"succeeded": succeeded, "first_token_p50_ms": ms(0.5), "first_token_p99_ms": ms(0.99)}));
}

fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds")
}

async fn worker(client: reqwest::Client, url: String, until: Instant) -> WorkerFigures {
    let mut seen = WorkerFigures { first: histogram(), gaps: histogram(), succeeded: 0 };
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "p"}], "max_tokens": 100, "stream": true});
    while Instant::now() < until {
        let sent = Instant::now();
        let Ok(mut response) = client.post(&url).json(&body).send().await else { continue };
        let mut text: Vec<u8> = Vec::new();
        let mut last: Option<Instant> = None;
        let mut is_done = false;
        while let Ok(Some(chunk)) = response.chunk().await {
            text.extend_from_slice(&chunk);
            while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = text.drain(..end + 2).collect();
                let Some(data) = event.strip_prefix(b"data: ") else { continue };
                if data.starts_with(b"[DONE]") {
                    is_done = true;
                } else if serde_json::from_slice::<Event>(data).is_ok_and(|event| {
                    event.choices.iter().any(|choice| choice.delta.content.as_ref().is_some_and(|it| !it.is_empty()))
                }) {
                    let now = Instant::now();
                    let (values, since) = match last {
                        None => (&mut seen.first, sent),
                        Some(last) => (&mut seen.gaps, last),
                    };
                    values.saturating_record((now - since).as_micros() as u64);
                    last = Some(now);
                }
            }
        }
        seen.succeeded += u64::from(is_done);
    }
    seen
}
