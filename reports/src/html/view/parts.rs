//! Parts that several sections of the page use.

use serde::Serialize;
use shakedown_schemas::result::{Trial, Verdict};

use crate::words;

/// The most rows of a long table, such as events. The rest are only counted.
pub(super) const ROWS: usize = 300;

/// A verdict as a word with a sign.
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

/// The URL fragment of a scenario.
pub(super) fn anchor(index: usize) -> String {
    format!("s{}", index + 1)
}

/// The kind of trial run. Empty for an ordinary run.
pub(super) const fn trial(it: Trial) -> &'static str {
    match it {
        Trial::Control => "control run",
        Trial::Overkill => "overkill run",
        Trial::Shortened => "shortened run",
    }
}

/// A wall-clock time, to the second.
pub(super) fn clock(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
