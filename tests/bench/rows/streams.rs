//! Token streams whose timing the server knows: 100 tokens, the first 50 ms after the request, then one every 10 ms.
//!
//! The Rust client of vLLM's benchmark is not in any registry. Measured side by side elsewhere it cost 6.8 and 5.5 µs of
//! processor time per chunk at 100 and 300 streams, where a plain reqwest client that parses each event and records its
//! times cost 5.7 and 6.1: that client is here (`reference`), and the goal is the same multiple of it.

use std::time::Duration;

use super::ours;
use crate::support::server::{Server, TOKENS};
use crate::support::table::{Table, range};
use crate::support::{Measured, Nowhere, Options, measure, median, own};

/// What was measured of two things side by side.
type Pair = (Vec<Measured>, Vec<Measured>);

/// What vLLM's client cost, as a multiple of the reference, by how many streams there are at once.
const GOALS: [(u64, f64); 2] = [(100, 6.8 / 5.7), (300, 5.5 / 6.1)];

/// How long a stream takes, in seconds.
const STREAM_S: f64 = 1.04;

pub fn rows(options: &Options, table: &mut Table) {
    let server = Server::start("tokens");
    let mut peaks = Vec::new();
    for (at_once, goal) in GOALS {
        let (mut mine, mut reference) = (Vec::new(), Vec::new());
        let mut errors = Vec::new();
        for _ in 0..options.rounds {
            let rate = format!("{:.3}", at_once as f64 / STREAM_S);
            server.stamps();
            let (_, command) = ours(&server.url(), options.seconds.max(6), &["streams_per_second", &rate]);
            let round = measure(&command, &Nowhere);
            errors.push(against_stamps(&round, &server.stamps(), at_once as f64 / STREAM_S));
            mine.push(round);
            let (url, seconds, streams) = (server.url(), options.seconds.max(6).to_string(), at_once.to_string());
            reference.push(measure(&own(&["--reference", &url, &seconds, &streams]), &Nowhere));
        }
        let cost = |round: &Measured| round.cpu_seconds * 1e6 / (round.number("succeeded") * TOKENS as f64);
        let ratio = median(super::ratios(&mine, &reference, cost).into_iter());
        table.row(
            &format!("token streams, {at_once} at once: CPU µs/chunk"),
            &format!("at most vLLM's client: {goal:.2} of the reference"),
            vec![("ours", range(mine.iter().map(cost), 2)), ("reference", range(reference.iter().map(cost), 2))],
            Some((ratio <= goal, format!("{ratio:.2} of it"))),
        );
        let (p50, p99) = (median(errors.iter().map(|it| it.0)), median(errors.iter().map(|it| it.1)));
        table.row(
            &format!("token streams, {at_once} at once: first token against the server's stamps, ms off at p50, p99"),
            "at most 2 and 1.5 (when a core is free)",
            vec![("ours", format!("{p50:.2}, {p99:.2}"))],
            Some((p50 <= 2.0 && p99 <= 1.5, String::new())),
        );
        peaks.push((mine, reference));
    }
    let kib = |pick: fn(&Pair) -> &Vec<Measured>| {
        let peak = |at: usize| median(pick(&peaks[at]).iter().map(|round| round.peak_mib));
        (peak(1) - peak(0)) * 1024.0 / 200.0
    };
    let mine = kib(|it| &it.0);
    table.row(
        "token streams: memory per stream, KiB",
        "at most 90",
        vec![("ours", format!("{mine:.0}")), ("reference", format!("{:.0}", kib(|it| &it.1)))],
        Some((mine <= 90.0, String::new())),
    );
    stalled(&server, options, table);
}

/// How far the first token is off from what the server's own stamps say, in ms, at p50 and p99.
fn against_stamps(round: &Measured, stamps: &[f64], rate: f64) -> (f64, f64) {
    // Requests are due at even steps from the load's start, and first tokens leave in the same order.
    let zero = round.number("zero_ns");
    let mut true_ms: Vec<f64> =
        stamps.iter().enumerate().map(|(number, stamp)| (stamp - zero) / 1e6 - number as f64 / rate * 1e3).collect();
    true_ms.sort_by(f64::total_cmp);
    let at = |quantile: f64| true_ms[((true_ms.len() as f64 * quantile).ceil() as usize).clamp(1, true_ms.len()) - 1];
    (round.number("first_token_p50_ms") - at(0.5), round.number("first_token_p99_ms") - at(0.99))
}

/// A stall of 2 s under 100 new streams a second, with and without a limit of 120 at once.
fn stalled(server: &Server, options: &Options, table: &mut Table) {
    let run = |limit: u64| {
        let (_, command) = ours(&server.url(), 10, &["streams_per_second", "100", "limit", &limit.to_string()]);
        std::thread::scope(|scope| {
            scope.spawn(|| server.stop_for(Duration::from_secs(4), Duration::from_secs(2)));
            measure(&command, &Nowhere)
        })
    };
    let rounds: Vec<[Measured; 2]> = (0..options.rounds.min(3)).map(|_| [run(10_000), run(120)]).collect();
    let p90 = |which: usize| median(rounds.iter().map(|round| round[which].number("first_token_p90_ms")));
    let gap = median(rounds.iter().map(|round| round[0].number("longest_gap_max_ms")));
    let off = (p90(0) / 1110.0 - 1.0).abs();
    table.row(
        "a stall of 2 s under 100 new streams/s: first token p90, ms; longest gap in a stream, ms",
        "1110 within 5 %; 2000 within 5 %",
        vec![("ours", format!("{:.0}; {gap:.0}", p90(0)))],
        Some((off <= 0.05 && (gap / 2000.0 - 1.0).abs() <= 0.05, String::new())),
    );
    let truth = queued(120);
    let off = (p90(1) / truth - 1.0).abs();
    table.row(
        "the same with 120 in flight at most: first token p90, ms",
        &format!("{truth:.0} within 5 %: the queue behind the limit, simulated"),
        vec![("ours", format!("{:.0}", p90(1)))],
        Some((off <= 0.05, format!("off by {:.1} %", off * 100.0))),
    );
}

/// What p90 of the time to the first token is by right when this many streams may be in flight at once: a simulation of ten
/// seconds at 100/s, with a server that stops from 4 s to 6 s and sends what it missed at once.
fn queued(limit: usize) -> f64 {
    let (stop, go) = (4.0, 6.0);
    // When something that would happen at a moment happens with the stop.
    let with_stop = |at: f64| if (stop..go).contains(&at) { go } else { at };
    let mut free: Vec<f64> = vec![0.0; limit];
    let mut times: Vec<f64> = (0..1000)
        .map(|number| {
            let due = f64::from(number) / 100.0;
            free.sort_by(f64::total_cmp);
            let sent = due.max(free[0]);
            // The server takes the request when it is there, and counts from then.
            let taken = with_stop(sent);
            free[0] = with_stop(taken + STREAM_S);
            (with_stop(taken + 0.05) - due) * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[899]
}
