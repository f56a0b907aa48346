//! A server that is stopped for 2 s of 10 s. A request that is due at t of the stall waits for the rest of it, so that the
//! truth at 1,000/s and at any other rate is p90 1,000, p99 1,900 and max 2,000 ms, but for the time that the server needs to
//! catch up afterwards: that is in its log, and the reference, a client that does next to nothing (`bare`), shows it too.

use std::time::Duration;

use super::{Contender, ours, peers};
use crate::support::table::Table;
use crate::support::{Measured, Nginx, Options, measure, median, own};

pub fn rows(options: &Options, table: &mut Table) {
    for (rate, limit, tolerances) in [
        (1_000_u64, 10_000_u64, [0.03, 0.02, 0.02]),
        (1_000, 50, [0.05, 0.05, 0.05]),
        (5_000, 10_000, [0.10, 0.10, 0.10]),
    ] {
        let mut all: Vec<(&str, Vec<Measured>)> = Vec::new();
        let mut by_log = Vec::new();
        for _ in 0..options.rounds.min(3) {
            for name in ["ours", "oha", "reference"] {
                let nginx = Nginx::start(options);
                let Some((name, command)) = contender(options, name, rate, limit, &nginx.url()) else { continue };
                let round = std::thread::scope(|scope| {
                    scope.spawn(|| nginx.stop_for(Duration::from_secs(4), Duration::from_secs(2)));
                    measure(&command, &nginx)
                });
                if name == "ours" {
                    by_log.push((round.number("p90_ms") / nginx.took(rate, 0.9) - 1.0).abs());
                }
                match all.iter_mut().find(|(it, _)| *it == name) {
                    Some((_, rounds)) => rounds.push(round),
                    None => all.push((name, vec![round])),
                }
            }
        }
        let cells = all.iter().map(|(name, rounds)| (*name, percentiles(rounds))).collect();
        let mine = &all[0].1;
        let off = |key: &str, truth: f64| {
            mine.iter().map(|round| (round.number(key) / truth - 1.0).abs()).fold(0.0, f64::max)
        };
        let offs = [off("p90_ms", 1000.0), off("p99_ms", 1900.0), off("max_ms", 2000.0)];
        let unsent: f64 = mine.iter().map(|round| round.number("not_sent") + round.number("failures")).sum();
        let mut is_met = unsent == 0.0 && offs.iter().zip(tolerances).all(|(off, tolerance)| *off <= tolerance);
        let peak = median(mine.iter().map(|round| round.peak_mib));
        // The server takes time to catch up, which is no error of ours.
        let by_log = by_log.into_iter().fold(0.0, f64::max);
        let mut words = format!(
            "off by {:.1}, {:.1}, {:.1} % at most; p90 by {:.1} % of what the server's log says",
            offs[0] * 100.0,
            offs[1] * 100.0,
            offs[2] * 100.0,
            by_log * 100.0
        );
        if let Some((_, reference)) = all.iter().find(|(name, _)| *name == "reference") {
            let late = |rounds: &[Measured]| median(rounds.iter().map(|round| round.number("p90_ms") - 1000.0));
            words.push_str(&format!("; late by {:.2} of the reference's", late(mine) / late(reference)));
        }
        if rate == 5_000 {
            is_met &= peak < 95.4;
            words.push_str(&format!("; peak {peak:.0} MiB"));
        }
        let what = match limit {
            50 => format!("stall of 2 s at {rate}/s, at most 50 in flight: p90 / p99 / max ms"),
            _ => format!("stall of 2 s at {rate}/s: p90 / p99 / max ms"),
        };
        let goal = match (rate, limit) {
            (5_000, _) => "1000 / 1900 / 2000 within 10 %, below 95 MiB (100 MB)",
            (_, 50) => "1000 / 1900 / 2000 within 5 %",
            _ => "1000 / 1900 / 2000 within 3, 2 and 2 %, nothing unsent",
        };
        table.row(&what, goal, cells, Some((is_met, words)));
    }
}

/// A program that can show this stall, if it is installed. With a limit only ours can; and a connection for each request, as
/// the reference has them, is more than a machine can hold at the higher rate.
fn contender(options: &Options, name: &str, rate: u64, limit: u64, url: &str) -> Option<Contender> {
    let rate_text = rate.to_string();
    match name {
        "ours" => Some(ours(url, 10, &["rate", &rate_text, "limit", &limit.to_string()])),
        "oha" if limit > 50 => {
            let command =
                format!("oha -c 50 -q {rate} --latency-correction -z 10s --no-tui --output-format json {url}");
            peers(options, vec![("oha", command)]).pop()
        }
        "reference" if limit > 50 && rate == 1_000 => Some(("reference", own(&["--bare", url, "10", &rate_text]))),
        _ => None,
    }
}

/// What a tool says of itself.
fn percentiles(rounds: &[Measured]) -> String {
    let text = |keys: [&str; 3]| {
        let value = |key: &str| median(rounds.iter().map(|round| round.number(key)));
        format!("{:.0} / {:.0} / {:.0}", value(keys[0]), value(keys[1]), value(keys[2]))
    };
    match rounds {
        [round, ..] if round.figure("p90_ms").is_some() => text(["p90_ms", "p99_ms", "max_ms"]),
        _ => {
            let ms = |pointer: &str| {
                let values = rounds.iter().filter_map(|round| round.output.pointer(pointer)?.as_f64());
                median(values.map(|seconds| seconds * 1e3))
            };
            let [p90, p99] = ["/latencyPercentiles/p90", "/latencyPercentiles/p99"].map(ms);
            format!("{p90:.0} / {p99:.0} / {:.0}", ms("/summary/slowest"))
        }
    }
}
