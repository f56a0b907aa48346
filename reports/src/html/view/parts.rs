//! What all sections of the page have in common.

use serde::Serialize;
use shakedown_schemas::result::{Trial, Verdict};

use crate::words;

/// Rows of a table that may be long, such as events; the rest is counted.
pub(super) const ROWS: usize = 300;

/// A verdict in a word, with a sign.
#[derive(Debug, Serialize)]
pub(super) struct Badge {
    pub(super) class: &'static str,
    pub(super) word: &'static str,
    pub(super) symbol: &'static str,
}

impl Badge {
    pub(super) const fn new(verdict: Verdict) -> Self {
        Self { class: verdict.word(), word: words::verdict(verdict), symbol: words::symbol(verdict) }
    }
}

/// The fragment by which a scenario is linked to.
pub(super) fn anchor(index: usize) -> String {
    format!("s{}", index + 1)
}

/// What kind of run it was, where it was no ordinary one.
pub(super) const fn trial(it: Trial) -> &'static str {
    match it {
        Trial::Control => "control run",
        Trial::Overkill => "overkill run",
    }
}

/// A moment of the wall clock, to the second.
pub(super) fn clock(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
