//! The measures of requests: durations and work.

use shakedown_observe::{Cell, Histogram};
use shakedown_schemas::scenario::LatencyOf;
use shakedown_schemas::units::Percentile;

/// A duration of which percentiles are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    /// From the due moment to the end.
    Latency,
    /// From the due moment to the first token of a stream.
    FirstToken,
    /// Between two pieces of a stream that brought tokens.
    TokenGap,
}

impl Timing {
    /// Its values in a cell.
    pub(super) const fn pick(self) -> fn(&Cell) -> &Histogram {
        match self {
            Self::Latency => |cell| &cell.latency,
            Self::FirstToken => |cell| &cell.first_token,
            Self::TokenGap => |cell| &cell.token_gaps,
        }
    }

    /// One of its values.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Latency => "a latency",
            Self::FirstToken => "a first token",
            Self::TokenGap => "an inter-token latency",
        }
    }

    /// The unit with one value each.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Latency | Self::FirstToken => "request",
            Self::TokenGap => "token gap",
        }
    }

    /// The beginning of a sentence about a percentile.
    pub(super) fn fact(self, percentile: Percentile, of: LatencyOf) -> String {
        match self {
            Self::Latency if of == LatencyOf::Successes => format!("{percentile} of successes"),
            Self::Latency => percentile.to_string(),
            Self::FirstToken => format!("time to first token {percentile}"),
            Self::TokenGap => format!("inter-token latency {percentile}"),
        }
    }
}

/// The counted unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Answers that succeeded.
    Answers,
    /// The tokens of answers that succeeded.
    Tokens,
}

impl Work {
    /// Its count in a cell.
    pub(super) const fn pick(self) -> fn(&Cell) -> u64 {
        match self {
            Self::Answers => |cell| cell.succeeded,
            Self::Tokens => |cell| cell.tokens,
        }
    }

    /// Its rate.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Answers => "successful answers per second",
            Self::Tokens => "output tokens per second",
        }
    }
}
