//! Closed loop: what a request costs when requests come as fast as they can.

use super::{cost, interleaved, ours, peers, ratios};
use crate::support::table::{Table, range};
use crate::support::{Nginx, Options, median};

pub fn rows(options: &Options, table: &mut Table) {
    let nginx = Nginx::start(options);
    let (url, seconds) = (nginx.url(), options.seconds);
    let mut contenders = vec![ours(&url, seconds, &["closed", "50"])];
    contenders.extend(peers(
        options,
        vec![
            ("wrk", format!("wrk -t2 -c50 -d{seconds}s {url}")),
            ("h2load", format!("h2load --h1 -t2 -c50 -D {seconds} {url}")),
            ("oha", format!("oha -c 50 -z {seconds}s --no-tui {url}")),
        ],
    ));
    let measured = interleaved(&contenders, options.rounds, &nginx);
    let cells = |value: fn(&crate::support::Measured) -> f64, digits: usize| {
        let cell =
            |(contender, rounds): (&super::Contender, &Vec<_>)| (contender.0, range(rounds.iter().map(value), digits));
        contenders.iter().zip(&measured).map(cell).collect::<Vec<_>>()
    };
    let against =
        contenders.iter().position(|(name, _)| *name == "oha").map(|at| ratios(&measured[0], &measured[at], cost));
    let ratio = against.map(|ratios| median(ratios.into_iter()));
    table.row(
        "closed loop, 50 connections: CPU µs/request",
        "at most oha's; aim for 0.85 of it",
        cells(cost, 2),
        ratio.map(|ratio| (ratio <= 1.0, format!("{ratio:.2} of oha's"))),
    );
    table.row(
        "closed loop, 50 connections: requests/s",
        "",
        cells(|round| round.served as f64 / round.seconds, 0),
        None,
    );
    table.row("closed loop, 50 connections: peak MiB", "", cells(|round| round.peak_mib, 0), None);
}
