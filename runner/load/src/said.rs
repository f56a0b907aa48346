//! The parts of a model's answer, for the comparison of answers.

use std::collections::BTreeMap;
use std::fmt;

/// The parts of one choice that are not empty.
pub(super) type Said = BTreeMap<ChoicePart, Vec<u8>>;

/// A part of a choice. The parts of tool calls have the index of their call. Their ids are random and not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ChoicePart {
    Text,
    Reasoning,
    Refusal,
    ToolName(u64),
    ToolArguments(u64),
    FunctionName,
    FunctionArguments,
    Finish,
}

impl ChoicePart {
    /// Whether its deltas repeat it, instead of continuing it.
    pub(super) const fn is_said_once(self) -> bool {
        matches!(self, Self::ToolName(_) | Self::FunctionName | Self::Finish)
    }
}

impl fmt::Display for ChoicePart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => out.write_str("the text"),
            Self::Reasoning => out.write_str("the reasoning"),
            Self::Refusal => out.write_str("the refusal"),
            Self::ToolName(call) => write!(out, "the name of tool call {call}"),
            Self::ToolArguments(call) => write!(out, "the arguments of tool call {call}"),
            Self::FunctionName => out.write_str("the name of the function call"),
            Self::FunctionArguments => out.write_str("the arguments of the function call"),
            Self::Finish => out.write_str("the `finish_reason`"),
        }
    }
}
