//! What the load engine costs and whether its numbers are true, side by side with other load generators.
//!
//! `cargo bench --bench load` measures; `-- --rounds 5 --seconds 8 --only closed` narrows or widens it. Peers are used
//! where they are installed: `wrk`, `h2load` (Debian: `wrk`, `nghttp2-client`) and `oha` (`cargo install oha`). The
//! server is Debian's `nginx` with a small answer, on loopback, started and stopped by this program.
//!
//! Every measured program is a child of its own. Rounds are interleaved, so that whatever else the machine does meets
//! all programs alike; the table gives medians and, in brackets, the smallest and the largest value. Compare within one
//! table only. Processor time is what the kernel charged to the child, memory its highest resident size.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::tokens::{TOKENS, Tokens};
use support::{Measured, Nginx, measure, median, range, tool};

/// What this program was asked to do.
struct Options {
    rounds: usize,
    seconds: u64,
    only: Option<String>,
}

fn main() {
    let mut words = std::env::args().skip(1);
    let mut options = Options { rounds: 3, seconds: 5, only: None };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--child" => return support::child::run(&words.collect::<Vec<_>>()),
            "--tokens" => return support::tokens::run(),
            "--rounds" => options.rounds = number(words.next()) as usize,
            "--seconds" => options.seconds = number(words.next()),
            "--only" => options.only = words.next(),
            // What cargo itself passes.
            _ => {}
        }
    }
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| only == name);
    if tool("nginx").is_none() {
        return println!("skipped: nginx is not installed");
    }
    if is_wanted("closed") {
        closed(&options);
    }
    if is_wanted("open") {
        open(&options);
    }
    if is_wanted("stall") {
        stall(&options);
    }
    if is_wanted("streams") {
        streams(&options);
    }
    if is_wanted("memory") {
        memory();
    }
}

fn number(word: Option<String>) -> u64 {
    word.and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("a number is missing"))
}

/// One program that takes part: its name and its command.
type Contender = (&'static str, Vec<String>);

fn ours(url: &str, seconds: u64, more: &[&str]) -> Contender {
    let program = std::env::current_exe().expect("this program has a path").display().to_string();
    let mut command = vec![program, "--child".to_owned(), url.to_owned(), seconds.to_string()];
    command.extend(more.iter().map(ToString::to_string));
    ("ours", command)
}

fn peers(candidates: Vec<(&'static str, String)>) -> Vec<Contender> {
    candidates
        .into_iter()
        .map(|(name, command)| (name, command.split(' ').map(str::to_owned).collect()))
        .filter(|(_, command): &Contender| tool(&command[0]).is_some())
        .collect()
}

/// Runs all contenders in turn, `rounds` times over.
fn interleaved(contenders: &[Contender], rounds: usize, nginx: &Nginx) -> Vec<Vec<Measured>> {
    let mut measured: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, command), into) in contenders.iter().zip(&mut measured) {
            into.push(measure(command, Some(nginx)));
        }
    }
    measured
}

fn closed(options: &Options) {
    let nginx = Nginx::start();
    let (url, seconds) = (nginx.url(), options.seconds);
    let mut contenders = vec![ours(&url, seconds, &["closed", "50"])];
    contenders.extend(peers(vec![
        ("wrk", format!("wrk -t2 -c50 -d{seconds}s {url}")),
        ("h2load", format!("h2load --h1 -t2 -c50 -D {seconds} {url}")),
        ("oha", format!("oha -c 50 -z {seconds}s --no-tui {url}")),
    ]));
    println!("\nclosed loop, 50 connections, {seconds} s, {} rounds\n", options.rounds);
    println!("| client | requests/s | CPU µs/request | × ours | peak MiB |\n| --- | --- | --- | --- | --- |");
    let measured = interleaved(&contenders, options.rounds, &nginx);
    let cost = |round: &Measured| round.cpu_seconds * 1e6 / round.served as f64;
    for ((name, _), rounds) in contenders.iter().zip(&measured) {
        // A ratio per round: both ran one after the other under the same neighbours.
        let ratios: Vec<f64> = rounds.iter().zip(&measured[0]).map(|(peer, ours)| cost(peer) / cost(ours)).collect();
        println!(
            "| {name} | {:.0} | {} | {:.2} | {:.0} |",
            median(rounds.iter().map(|round| round.served as f64 / round.seconds)),
            range(rounds.iter().map(cost)),
            median(ratios.into_iter()),
            median(rounds.iter().map(|round| round.peak_mib)),
        );
    }
}

fn open(options: &Options) {
    let nginx = Nginx::start();
    let (url, seconds) = (nginx.url(), options.seconds);
    for rate in [1_000_u64, 5_000, 20_000] {
        let mut contenders = vec![ours(&url, seconds, &["rate", &rate.to_string()])];
        contenders.extend(peers(vec![
            ("oha", format!("oha -c 50 -q {rate} --latency-correction -z {seconds}s --no-tui {url}")),
            ("h2load", format!("h2load --h1 -t2 -c50 --rps {} -D {seconds} {url}", rate / 50)),
        ]));
        println!("\nopen loop, {rate} requests/s, {seconds} s, {} rounds\n", options.rounds);
        println!(
            "| client | sent / asked | CPU µs/request | dispersion in 10 ms | own p50 / p99 ms | late p50 / p99 ms | peak MiB |"
        );
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for ((name, _), rounds) in contenders.iter().zip(interleaved(&contenders, options.rounds, &nginx)) {
            let told = |key: &str| rounds.iter().filter_map(|round| round.told(key)).collect::<Vec<_>>();
            let shown = |key: &str| match told(key) {
                values if values.is_empty() => "-".to_owned(),
                values => format!("{:.3}", median(values.into_iter())),
            };
            println!(
                "| {name} | {:.4} | {} | {} | {} / {} | {} / {} | {:.0} |",
                median(rounds.iter().map(|round| {
                    // Ours says for how long it really asked; the others are taken at their word.
                    let asked = round.told("due").unwrap_or((rate * seconds) as f64);
                    round.served as f64 / asked
                })),
                range(rounds.iter().map(|round| round.cpu_seconds * 1e6 / round.served as f64)),
                range(rounds.iter().map(|round| round.dispersion)),
                shown("p50_ms"),
                shown("p99_ms"),
                shown("late_p50_ms"),
                shown("late_p99_ms"),
                median(rounds.iter().map(|round| round.peak_mib)),
            );
            for round in rounds.iter().filter(|round| round.told("issued") != round.told("outcomes")) {
                println!("WRONG: issued and outcomes differ: {:?}", round.output);
            }
        }
    }
}

fn stall(options: &Options) {
    println!(
        "\na server stopped for 2 s of 10 s, {} rounds; the truth is p90 1000, p99 1900, max 2000 ms\n",
        options.rounds
    );
    println!(
        "| load | sent | p50 | p90 | p99 | max ms | failed | peak MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for (rate, limit) in [(1_000_u64, 10_000_u64), (1_000, 50), (5_000, 10_000)] {
        for _ in 0..options.rounds {
            let nginx = Nginx::start();
            let (_, command) = ours(&nginx.url(), 10, &["rate", &rate.to_string(), "limit", &limit.to_string()]);
            let round = std::thread::scope(|scope| {
                scope.spawn(|| nginx.stop_for(Duration::from_secs(4), Duration::from_secs(2)));
                measure(&command, Some(&nginx))
            });
            let told = |key: &str| round.told(key).map_or("-".to_owned(), |value| format!("{value:.1}"));
            println!(
                "| {rate}/s, at most {limit} at once | {} of {} | {} | {} | {} | {} | {} | {:.0} |",
                told("issued"),
                told("due"),
                told("p50_ms"),
                told("p90_ms"),
                told("p99_ms"),
                told("max_ms"),
                round.output.get("failed").unwrap_or(&Value::Null),
                round.peak_mib,
            );
        }
    }
}

fn streams(options: &Options) {
    println!("\ntoken streams, {TOKENS} tokens each, the first after 50 ms, then one every 10 ms\n");
    println!("| at once | streams | CPU µs/token | first token p50 / p99 ms | end p50 ms (true: 1040) | peak MiB |");
    println!("| --- | --- | --- | --- | --- | --- |");
    let server = Tokens::start();
    for at_once in [100, 300] {
        for _ in 0..options.rounds {
            let (_, command) = ours(&server.url(), options.seconds, &["streams", &at_once.to_string()]);
            let round = measure(&command, None);
            let told = |key: &str| round.told(key).unwrap_or(f64::NAN);
            println!(
                "| {at_once} | {} | {:.2} | {:.1} / {:.1} | {:.1} | {:.0} |",
                told("succeeded"),
                round.cpu_seconds * 1e6 / (told("succeeded") * TOKENS as f64),
                told("first_token_p50_ms"),
                told("first_token_p99_ms"),
                told("p50_ms"),
                round.peak_mib,
            );
        }
    }
}

fn memory() {
    println!("\nmemory over time, 5000 requests/s\n\n| seconds | peak MiB |\n| --- | --- |");
    let nginx = Nginx::start();
    for seconds in [10, 60] {
        let (_, command) = ours(&nginx.url(), seconds, &["rate", "5000"]);
        println!("| {seconds} | {:.1} |", measure(&command, Some(&nginx)).peak_mib);
    }
}
