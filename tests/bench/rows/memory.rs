//! Memory: of a request in flight, over time, and over an hour.

use std::time::{Duration, Instant};

use super::{Contender, ours, peers};
use crate::support::server::Server;
use crate::support::table::{Table, range};
use crate::support::{Nginx, Nowhere, Options, Place, measure, median, own, resident_mib};

pub fn rows(options: &Options, table: &mut Table) {
    in_flight(options, table);
    let nginx = Nginx::start(options);
    let mut cells = Vec::new();
    let mut growth = f64::NAN;
    for name in ["ours", "oha"] {
        let peak = |seconds: u64| {
            let (_, command) = match name {
                "ours" => ours(&nginx.url(), seconds, &["rate", "5000"]),
                _ => {
                    let command =
                        format!("oha -c 50 -q 5000 --latency-correction -z {seconds}s --no-tui {}", nginx.url());
                    peers(options, vec![("oha", command)]).into_iter().next()?
                }
            };
            Some(measure(&command, &nginx).peak_mib)
        };
        let (Some(short), Some(long)) = (peak(10), peak(60)) else { continue };
        cells.push((name, format!("{:.1} ({short:.1} to {long:.1})", long - short)));
        if name == "ours" {
            growth = long - short;
        }
    }
    table.row(
        "growth from 10 s to 60 s at 5,000/s, MiB",
        "at most 1.9 (2 MB)",
        cells,
        Some((growth <= 1.91, String::new())),
    );
}

/// 200 and 4,000 requests that the server holds for six seconds: the difference of the peaks.
fn in_flight(options: &Options, table: &mut Table) {
    let server = Server::start("hold");
    let url = server.url();
    let contenders = |at_once: usize| -> Vec<Contender> {
        let mut all = vec![ours(&url, 4, &["closed", &at_once.to_string()])];
        all.extend(peers(
            options,
            vec![
                ("wrk", format!("wrk -t2 -c{at_once} -d4s --timeout 20s {url}")),
                ("h2load", format!("h2load --h1 -t2 -c{at_once} -n{at_once} {url}")),
                ("oha", format!("oha -c {at_once} -n {at_once} --no-tui {url}")),
            ],
        ));
        all
    };
    let (few, many) = (contenders(200), contenders(4_000));
    let mut cells = Vec::new();
    let mut mine = f64::NAN;
    for ((name, few), (_, many)) in few.iter().zip(&many) {
        let kib = |_| {
            let (low, high) = (measure(few, &Nowhere).peak_mib, measure(many, &Nowhere).peak_mib);
            (high - low) * 1024.0 / 3_800.0
        };
        let rounds: Vec<f64> = (0..options.rounds.min(2)).map(kib).collect();
        cells.push((*name, range(rounds.iter().copied(), 1)));
        if *name == "ours" {
            mine = median(rounds.into_iter());
        }
    }
    table.row("memory per request in flight, KiB", "at most 20", cells, Some((mine <= 20.0, String::new())));
}

/// Sends for a long time at one rate, and tells how much memory the engine has meanwhile.
pub fn soak(seconds: u64, rate: u64) {
    let nginx = Nginx::start(&Options::default());
    let command = own(&["--child", &nginx.url(), &seconds.to_string(), "rate", &rate.to_string(), "result", "1"]);
    println!("{rate} requests/s for {seconds} s\n\n| minute | resident MiB |\n| --- | --- |");
    let begun = Instant::now();
    let mut child = std::process::Command::new(&command[0])
        .args(&command[1..])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the engine starts");
    let every = Duration::from_secs((seconds / 60).clamp(1, 60));
    let mut seen: Vec<f64> = Vec::new();
    while child.try_wait().expect("the child can be waited for").is_none() {
        if begun.elapsed() >= every * (seen.len() as u32 + 1) && begun.elapsed() < Duration::from_secs(seconds) {
            if let Some(mib) = resident_mib(child.id()) {
                seen.push(mib);
                println!("| {:.1} | {mib:.1} |", begun.elapsed().as_secs_f64() / 60.0);
            }
            // The log of arrivals is as long as the run: it is not what is measured here.
            nginx.forget();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = child.wait_with_output().expect("the child's words");
    let figures: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let number = |key: &str| figures.get(key).and_then(serde_json::Value::as_f64).unwrap_or(f64::NAN);
    // The first tenth is warming up.
    let settled = &seen[seen.len() / 10..];
    let (first, last) = (settled.first().copied().unwrap_or(f64::NAN), settled.last().copied().unwrap_or(f64::NAN));
    let bytes = (last - first) * 1048576.0 / (seconds as f64 * 0.9);
    println!(
        "\n{:.0} issued, {:.0} with an outcome, {} failed; p99 {:.2} ms, generator late p99 {:.2} ms\n\
         from {first:.1} to {last:.1} MiB after the first tenth: {bytes:.0} bytes a second; result.json has {:.2} MB for this load",
        number("issued"),
        number("outcomes"),
        number("failures"),
        number("p99_ms"),
        number("late_p99_ms"),
        number("result_bytes") / 1e6,
    );
}
