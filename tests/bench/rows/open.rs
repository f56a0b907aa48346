//! Open loop: what a request costs, and how well the schedule is kept.

use super::{Contender, cost, interleaved, ours, peers, ratios};
use crate::support::own;
use crate::support::table::{Table, range};
use crate::support::{Measured, Nginx, Options, median};

/// How far the time of an answer is off that the engine reads later than it arrives.
fn arrivals(options: &Options, nginx: &Nginx, table: &mut Table) {
    let (url, seconds) = (nginx.url(), options.seconds);
    let waking = own(&["--waking", &url, &seconds.to_string(), "1000"]);
    let contenders = [ours(&url, seconds, &["rate", "1000"]), ("reference", waking)];
    let measured = interleaved(&contenders, options.rounds, nginx);
    for (name, key) in [("p50", "service_p50_us"), ("p99", "service_p99_us")] {
        let cells = contenders
            .iter()
            .zip(&measured)
            .map(|(contender, rounds)| (contender.0, range(rounds.iter().map(|round| round.number(key)), 0)));
        let apart = measured[0].iter().zip(&measured[1]).map(|(ours, it)| ours.number(key) - it.number(key));
        let apart = median(apart);
        table.row(
            &format!("1,000/s: {name} from sending to the last byte, µs"),
            "at most 20 µs more than a client that wakes up at once",
            cells.collect(),
            Some((apart <= 20.0, format!("{apart:+.0} µs"))),
        );
    }
}

pub fn rows(options: &Options, table: &mut Table) {
    let nginx = Nginx::start(options);
    arrivals(options, &nginx, table);
    let (url, seconds) = (nginx.url(), options.seconds);
    for rate in [1_000_u64, 5_000, 20_000] {
        let mut contenders = vec![ours(&url, seconds, &["rate", &rate.to_string()])];
        contenders.extend(peers(
            options,
            vec![
                // wrk2 measures itself for ten seconds before it counts.
                ("wrk2", format!("wrk2 -t2 -c50 -R{rate} -d{}s {url}", seconds + 10)),
                ("h2load", format!("h2load --h1 -t2 -c50 --rps {} -D {seconds} {url}", rate / 50)),
                ("oha", format!("oha -c 50 -q {rate} --latency-correction -z {seconds}s --no-tui {url}")),
            ],
        ));
        let measured = interleaved(&contenders, options.rounds, &nginx);
        let at = |name: &str| contenders.iter().position(|(it, _)| *it == name).map(|at| &measured[at]);
        let cells = |value: &dyn Fn(&Contender, &Measured) -> f64, digits: usize| {
            let cell = |(contender, rounds): (&Contender, &Vec<Measured>)| {
                (contender.0, range(rounds.iter().map(|round| value(contender, round)), digits))
            };
            contenders.iter().zip(&measured).map(cell).collect::<Vec<_>>()
        };
        let mine = &measured[0];
        let ratio = |name| Some(median(ratios(mine, at(name)?, cost).into_iter()));
        let of = [("oha", 0.9), ("h2load", 1.3)].map(|(name, most)| ratio(name).map(|ratio| (name, most, ratio)));
        let of: Vec<_> = of.into_iter().flatten().collect();
        let words = of.iter().map(|(name, _, ratio)| format!("{ratio:.2} of {name}'s")).collect::<Vec<_>>().join(", ");
        table.row(
            &format!("open loop, {rate}/s: CPU µs/request"),
            "at most 0.9 of oha's and 1.3 of h2load's",
            cells(&|_, round| cost(round), 2),
            (!of.is_empty()).then(|| (of.iter().all(|(_, most, ratio)| ratio <= most), words)),
        );
        table.row(
            &format!("open loop, {rate}/s: wake-ups per request"),
            "",
            cells(&|_, round| round.wakes as f64 / round.served as f64, 2),
            None,
        );
        // Ours says for how long it really asked; the others are taken at their word.
        let asked = |contender: &Contender, round: &Measured| {
            let length = seconds + if contender.0 == "wrk2" { 10 } else { 0 };
            round.served as f64 / round.figure("due").unwrap_or((rate * length) as f64)
        };
        let sent = median(mine.iter().map(|round| asked(&contenders[0], round)));
        table.row(
            &format!("schedule, {rate}/s: sent / asked"),
            "1.000 ± 0.001",
            cells(&asked, 4),
            Some(((sent - 1.0).abs() <= 0.001, String::new())),
        );
        let apart: f64 = mine.iter().map(|round| (round.number("issued") - round.number("outcomes")).abs()).sum();
        table.row(
            &format!("schedule, {rate}/s: issued less all outcomes"),
            "0",
            vec![("ours", format!("{apart:.0}"))],
            Some((apart == 0.0, String::new())),
        );
        let late = median(mine.iter().map(|round| round.number("late_p99_ms")));
        table.row(
            &format!("schedule, {rate}/s: lateness p99, ms"),
            "at most 0.3",
            vec![("ours", range(mine.iter().map(|round| round.number("late_p99_ms")), 2))],
            Some((late <= 0.3, String::new())),
        );
        let dispersion = median(mine.iter().map(|round| round.dispersion));
        table.row(
            &format!("schedule, {rate}/s: dispersion in 10 ms at the server"),
            "at most 0.1",
            cells(&|_, round| round.dispersion, 2),
            Some((dispersion <= 0.1, String::new())),
        );
        if rate == 20_000 {
            let peak = median(mine.iter().map(|round| round.peak_mib));
            table.row(
                "whole process at 20,000/s: peak MiB",
                "below 38 (40 MB)",
                cells(&|_, round| round.peak_mib, 0),
                Some((peak < 38.1, String::new())),
            );
        }
    }
}
