//! The rows of the table, by what they measure.

pub mod closed;
pub mod compete;
pub mod memory;
pub mod open;
pub mod stall;
pub mod streams;

use crate::support::{Measured, Options, Place, measure, tool};

/// A program that takes part: its name and its command.
pub type Contender = (&'static str, Vec<String>);

/// Our own engine, as a child of this program.
pub fn ours(url: &str, seconds: u64, more: &[&str]) -> Contender {
    let mut command = crate::support::own(&["--child", url, &seconds.to_string()]);
    command.extend(more.iter().map(ToString::to_string));
    ("ours", command)
}

/// The peers that are installed.
pub fn peers(options: &Options, candidates: Vec<(&'static str, String)>) -> Vec<Contender> {
    let found = candidates.into_iter().filter_map(|(name, command)| {
        let mut words: Vec<String> = command.split(' ').map(str::to_owned).collect();
        words[0] = tool(options, &words[0])?.display().to_string();
        Some((name, words))
    });
    found.collect()
}

/// Runs all contenders in turn, `rounds` times over; by contender.
pub fn interleaved(contenders: &[Contender], rounds: usize, place: &dyn Place) -> Vec<Vec<Measured>> {
    let mut measured: Vec<Vec<Measured>> = contenders.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, command), into) in contenders.iter().zip(&mut measured) {
            into.push(measure(command, place));
        }
    }
    measured
}

/// Processor time per request, in microseconds.
pub fn cost(round: &Measured) -> f64 {
    round.cpu_seconds * 1e6 / round.served as f64
}

/// Divided by a peer's in the same round, when both ran one after the other under the same neighbours.
pub fn ratios(ours: &[Measured], peer: &[Measured], value: impl Fn(&Measured) -> f64) -> Vec<f64> {
    ours.iter().zip(peer).map(|(ours, peer)| value(ours) / value(peer)).collect()
}
