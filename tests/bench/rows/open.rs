//! Open loop: what a request costs, and how well the schedule is kept.

use super::{Contender, cost, interleaved, ours, peers, ratios};
use crate::support::table::{Table, range};
use crate::support::{Measured, Nginx, Options, median};

pub fn rows(options: &Options, table: &mut Table) {
    let nginx = Nginx::start(options);
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
        if rate > 1_000 {
            let ratio = |name| Some(median(ratios(mine, at(name)?, cost).into_iter()));
            let words = |ratio: f64| format!("{ratio:.2} of oha's");
            table.row(
                &format!("open loop, {rate}/s: CPU µs/request"),
                "at most oha's; aim for wrk2's",
                cells(&|_, round| cost(round), 2),
                ratio("oha").map(|ratio| (ratio <= 1.0, words(ratio))),
            );
        }
        // Ours says for how long it really asked; the others are taken at their word.
        let asked = |contender: &Contender, round: &Measured| {
            let length = seconds + if contender.0 == "wrk2" { 10 } else { 0 };
            round.served as f64 / round.told("due").unwrap_or((rate * length) as f64)
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
