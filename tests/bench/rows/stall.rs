//! A server that is stopped for 2 s of 10 s. A request that is due at t of the stall waits for the rest of it, so that the
//! truth at 1,000/s and at any other rate is p90 1,000, p99 1,900 and max 2,000 ms, but for the time that the server needs to
//! catch up afterwards: that is in its log.

use std::time::Duration;

use super::{Contender, ours, peers};
use crate::support::table::Table;
use crate::support::{Measured, Nginx, Options, measure, median};

pub fn rows(options: &Options, table: &mut Table) {
    for (rate, limit, tolerances) in [
        (1_000_u64, 10_000_u64, [0.03, 0.02, 0.02]),
        (1_000, 50, [0.05, 0.05, 0.05]),
        (5_000, 10_000, [0.10, 0.10, 0.10]),
    ] {
        let mut all: Vec<(&str, Vec<Measured>)> = Vec::new();
        let mut by_log = Vec::new();
        for _ in 0..options.rounds.min(3) {
            let mut contenders =
                vec![|url: &str| ours(url, 10, &["rate", &rate.to_string(), "limit", &limit.to_string()])]
                    .into_iter()
                    .map(|make| Box::new(make) as Box<dyn Fn(&str) -> Contender>)
                    .collect::<Vec<_>>();
            for name in ["oha", "h2load"] {
                if limit == 50 || super::tool(options, name).is_none() {
                    continue;
                }
                contenders.push(Box::new(move |url: &str| {
                    let command = match name {
                        "oha" => format!(
                            "oha -c 50 -q {rate} --latency-correction -z 10s --no-tui --output-format json {url}"
                        ),
                        _ => format!("h2load --h1 -t2 -c50 --rps {} -D 10 {url}", rate / 50),
                    };
                    peers(options, vec![(name, command)]).remove(0)
                }));
            }
            for make in &contenders {
                let nginx = Nginx::start(options);
                let (name, command) = make(&nginx.url());
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

/// What a tool says of itself.
fn percentiles(rounds: &[Measured]) -> String {
    let text = |keys: [&str; 3]| {
        let value = |key: &str| median(rounds.iter().map(|round| round.number(key)));
        format!("{:.0} / {:.0} / {:.0}", value(keys[0]), value(keys[1]), value(keys[2]))
    };
    match rounds {
        [round, ..] if round.told("p90_ms").is_some() => text(["p90_ms", "p99_ms", "max_ms"]),
        [round, ..] if round.output.get("latencyPercentiles").is_some() => {
            let ms = |pointer: &str| {
                let values = rounds.iter().filter_map(|round| round.output.pointer(pointer)?.as_f64());
                median(values.map(|seconds| seconds * 1e3))
            };
            let [p90, p99] = ["/latencyPercentiles/p90", "/latencyPercentiles/p99"].map(ms);
            format!("{p90:.0} / {p99:.0} / {:.0}", ms("/summary/slowest"))
        }
        _ => "tells no percentiles".to_owned(),
    }
}
