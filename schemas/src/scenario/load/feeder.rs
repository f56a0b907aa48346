//! Sources of request data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A table of request data. Each request uses one row, and `{{ row.column }}` inserts one of its values. After the last
/// row the table starts again. The row depends only on the request's number and the run's seed, so it is the same in
/// every run with that seed, for any number of threads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Feeder {
    /// The path of the table, relative to the scenario file: CSV (`.csv`) with column names in the first line, or JSON
    /// Lines (`.jsonl`, `.ndjson`) with one object per line.
    #[schemars(extend("examples" = ["users.csv"]))]
    pub file: String,
    /// The order of the rows. Default `sequential`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// The order in which requests use rows or prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// One after another, by the request's number. It starts again after the last one.
    Sequential,
    /// Random, from the request's number and the run's seed.
    Random,
}

/// A set of prompts. Each request uses one. The choice depends only on the request's number and the run's seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prompts {
    /// The path of the set, relative to the scenario file: a text with one prompt per line, or JSON Lines (`.jsonl`,
    /// `.ndjson`) of objects with `prompt` (a text) or `messages` (a chat), and optionally `max_tokens` in place of the
    /// load's.
    #[schemars(extend("examples" = ["prompts.jsonl"]))]
    pub file: String,
    /// Only prompts with this number of words. Default: all prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<WordRange>,
    /// The order of the prompts. Default `random`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
}

/// A number of words, separated by white space. Both limits are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WordRange {
    /// At least this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [100]))]
    pub min: Option<u32>,
    /// At most this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = [500]))]
    pub max: Option<u32>,
}

impl WordRange {
    /// True if a prompt of this length is within the limits.
    pub fn holds(self, words: usize) -> bool {
        let (min, max) = (self.min.unwrap_or(0) as usize, self.max.map_or(usize::MAX, |max| max as usize));
        (min..=max).contains(&words)
    }
}
