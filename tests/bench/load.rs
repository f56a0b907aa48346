//! The cost and the accuracy of the load engine, compared with other load generators: one table, with the goal of
//! each row and whether it is met.
//!
//! `cargo bench --bench load` measures everything, in about a quarter of an hour. `-- --only closed,stall` measures some of it
//! (`closed`, `open`, `stall`, `memory`, `compete`, `streams`), `--rounds 5 --seconds 8` do it more thoroughly.
//! `-- --soak 3600 --rate 1000` sends for an hour and tells every minute how much memory the engine has.
//!
//! Peers take part where they are installed: `wrk` and `h2load` (Debian: `wrk`, `nghttp2-client`), `oha` (`cargo install oha`)
//! and `wrk2`; `--peers FOLDER` looks there first. The server is Debian's `nginx` (`nginx-light`) with a small answer, on
//! loopback, or a server of this program's own; both are started and stopped by it. `reference` in the table is a plain client of
//! its own: on reqwest for token streams (`support/reference.rs`), one that does next to nothing for a stall (`support/bare.rs`).
//!
//! Every measured program is a child of its own. Rounds are interleaved, so that whatever else the machine does meets all
//! programs alike, and a ratio is formed within each round; the table gives medians and, in brackets, the smallest and the
//! largest value. Compare within one table only. Processor time is what the kernel charged to the child (user and system),
//! memory its highest resident size.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a terminal")]

mod rows;
mod support;

use rows::{closed, compete, memory, open, stall, streams};
use support::table::Table;
use support::{Options, tool};

/// A group of rows.
type Group = (&'static str, fn(&Options, &mut Table));

const GROUPS: [Group; 6] = [
    ("closed", closed::rows),
    ("open", open::rows),
    ("stall", stall::rows),
    ("memory", memory::rows),
    ("compete", compete::rows),
    ("streams", streams::rows),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("--child") => return support::child::run(&words[1..]),
        Some("--bare") => return support::bare::run(&words[1..]),
        Some("--reference") => return support::reference::run(&words[1..]),
        Some("--server") => return support::server::run(&words[1..]),
        Some("--waking") => return support::waking::run(&words[1..]),
        Some("--burn") => return support::burn(&words[1..]),
        _ => {}
    }
    let options = Options::read(words);
    if let Some(seconds) = options.soak {
        return memory::soak(seconds, options.rate);
    }
    if tool(&options, "nginx").is_none() {
        return println!("skipped: nginx is not installed");
    }
    let mut table = Table::default();
    for (name, rows) in GROUPS.iter().filter(|(name, _)| options.is_wanted(name)) {
        eprintln!("measuring {name}");
        rows(&options, &mut table);
    }
    table.print(&options);
}
