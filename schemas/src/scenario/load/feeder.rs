//! Where data of each request comes from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A table of which each request has a row: `{{ row.column }}` stands for its value. After the last row comes the first one
/// again. The row follows from the request's number and the run's seed alone, so that it is the same in every run with
/// that seed, however many threads send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feeder {
    /// The table, relative to the scenario's file: CSV (`.csv`) whose first line names the columns, or JSON Lines
    /// (`.jsonl`, `.ndjson`) with an object on each line.
    #[schemars(extend("examples" = ["users.csv"]))]
    pub file: String,
    /// Which row a request has. Default `sequential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// Which of several is chosen for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One after the other, by the request's number, and from the beginning again after the last.
    Sequential,
    /// Any, by the request's number and the run's seed.
    Random,
}

/// A set of prompts of which each request has one. The choice follows from the request's number and the run's seed
/// alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// The set, relative to the scenario's file: a text with a prompt on each line, or JSON Lines (`.jsonl`, `.ndjson`) of
    /// objects with `prompt` (a text) or `messages` (of a chat), and `max_tokens` where it is not the load's.
    #[schemars(extend("examples" = ["prompts.jsonl"]))]
    pub file: String,
    /// Only prompts of so many words. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<WordRange>,
    /// Which prompt a request has. Default `random`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// A number of words, both limits inclusive: what stands between white space counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordRange {
    /// At least so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [100]))]
    pub min: Option<u32>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [500]))]
    pub max: Option<u32>,
}

impl WordRange {
    /// Whether a prompt of so many words is meant.
    pub fn holds(self, words: usize) -> bool {
        let (min, max) = (self.min.unwrap_or(0) as usize, self.max.map_or(usize::MAX, |max| max as usize));
        (min..=max).contains(&words)
    }
}
