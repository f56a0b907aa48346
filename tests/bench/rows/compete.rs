//! Something else takes 0.8 of a core while 20,000 requests a second are due: no collapse into connections and failures.

use super::{ours, peers};
use crate::support::table::{Table, range};
use crate::support::{Measured, Nginx, Options, measure, own};

pub fn rows(options: &Options, table: &mut Table) {
    let nginx = Nginx::start(options);
    let (url, seconds) = (nginx.url(), options.seconds.max(8));
    let mut contenders = vec![ours(&url, seconds, &["rate", "20000"])];
    contenders.extend(peers(
        options,
        vec![(
            "oha",
            format!("oha -c 50 -q 20000 --latency-correction -z {seconds}s --no-tui --output-format json {url}"),
        )],
    ));
    let mut cells = Vec::new();
    let mut met = None;
    for (name, command) in &contenders {
        let rounds: Vec<Measured> = (0..options.rounds)
            .map(|_| {
                let burner = own(&["--burn", &(seconds + 2).to_string(), "0.8"]);
                let mut burner =
                    std::process::Command::new(&burner[0]).args(&burner[1..]).spawn().expect("a competitor");
                let round = measure(command, &nginx);
                burner.kill().ok();
                burner.wait().ok();
                round
            })
            .collect();
        let served = range(rounds.iter().map(|round| round.served as f64 / (20_000 * seconds) as f64), 3);
        let peak = range(rounds.iter().map(|round| round.peak_mib), 0);
        if *name == "ours" {
            let most = |key: &str| rounds.iter().map(|round| round.number(key)).fold(0.0, f64::max);
            let (connections, failures) = (most("connections"), most("failures") + most("not_sent"));
            cells.push((*name, format!("{served}; {connections:.0} connections, {failures:.0} failed; {peak} MiB")));
            let words = format!("p99 {:.0} ms at most", most("p99_ms"));
            met = Some((failures == 0.0 && connections < 2_000.0, words));
        } else {
            cells.push((*name, format!("{served}; {peak} MiB")));
        }
    }
    table.row(
        "a competing load of 0.8 cores at 20,000/s: served / asked; connections, failures; peak",
        "no collapse: nothing fails, connections stay few",
        cells,
        met,
    );
}
