//! What the rounds of a witness show: whether it is cut off, and when it was not since its proof.

use std::collections::BTreeSet;
use std::time::Duration;

use shakedown_probe::{Log, Round};
use tokio::time::Instant;

use super::Stretch;

/// The number of rounds in a row without a connection that count as a cut.
const ROUNDS: usize = 2;
/// Rounds that begin less often than this on average show nothing of the time between them.
const RAREST: Duration = Duration::from_secs(1);

/// What a witness shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing that it reached before the cut.
    Cut,
    /// It can still connect to these endpoints.
    Open(BTreeSet<String>),
    /// Neither, and why.
    Unknown(String),
}

impl Seen {
    /// What the last rounds after this one show of the endpoints that were reachable before the cut.
    pub(super) fn new(before: &BTreeSet<String>, after: u64, rounds: &[Round]) -> Self {
        let later: Vec<&Round> = rounds.iter().filter(|round| round.round > after).collect();
        let last = &later[later.len().saturating_sub(ROUNDS)..];
        let open = open(before, last.iter().copied());
        match last.len() {
            ROUNDS if open.is_empty() => Self::Cut,
            ROUNDS => Self::Open(open),
            0 => Self::Unknown("it has not tried to connect since the last look".to_owned()),
            _ => Self::Unknown("it has tried to connect only once since the last look".to_owned()),
        }
    }
}

/// The rounds of a witness since it proved the cut.
#[derive(Debug)]
pub(super) struct Watched {
    /// The last round that was taken in, and about when it began.
    last: (u64, Instant),
    /// The last round that had begun at the last look.
    begun: u64,
    /// What was not proven. Each lasts until it was cut off again.
    stretches: Vec<Stretch>,
}

impl Watched {
    /// A witness that is proven to be cut off by this log.
    pub(super) fn new(log: &Log, at: Instant) -> Self {
        let last = log.rounds.last().map_or(log.begun, |round| round.round);
        Self { last: (last, at), begun: log.begun, stretches: Vec::new() }
    }

    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    pub(super) fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// Takes in the rounds since the last look. They began evenly between the two looks, as far as is known.
    pub(super) fn take_in(&mut self, before: &BTreeSet<String>, log: &Log, now: Instant) {
        let (last, at) = self.last;
        let new: Vec<&Round> = log.rounds.iter().filter(|round| round.round > last).collect();
        let Some(&first) = new.first() else { return };
        let begun = u32::try_from(log.begun - last).unwrap_or(u32::MAX);
        let spacing = (now - at) / begun;
        let moment = |round: &Round| at + spacing.saturating_mul(u32::try_from(round.round - last).unwrap_or(u32::MAX));
        let seen_from = if spacing > RAREST { now } else { moment(first) };
        if spacing > RAREST || first.round > last + 1 {
            let why = "the witness was not seen to try".to_owned();
            self.stretches.push(Stretch { from: at, to: Some(seen_from), why, target: None });
        }
        for &round in &new {
            let open = open(before, std::iter::once(round));
            let lasting = self.stretches.iter_mut().find(|stretch| stretch.to.is_none());
            match (lasting, open.is_empty()) {
                (Some(stretch), true) => stretch.to = Some(moment(round)),
                (None, false) => {
                    let why = format!("the witness could connect to {}", join(&open));
                    self.stretches.push(Stretch { from: moment(round), to: None, why, target: None });
                }
                _ => {}
            }
            self.last = (round.round, moment(round));
        }
        self.begun = log.begun;
    }
}

/// What was reachable before the cut and is again in these rounds.
fn open<'a>(before: &BTreeSet<String>, rounds: impl Iterator<Item = &'a Round>) -> BTreeSet<String> {
    rounds.flat_map(|round| round.open.intersection(before)).cloned().collect()
}

/// Texts in one line.
pub(super) fn join(texts: &BTreeSet<String>) -> String {
    texts.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
