//! Properties of answers other than success: why a model ended them, whether a stream was complete, and how many met the
//! bounds of `goodput`.

use std::collections::BTreeMap;
use std::fmt;

macro_rules! words {
    ($(#[$about:meta])* $type:ident { $($(#[doc = $doc:literal])+ $name:ident = $word:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type {
            $($(#[doc = $doc])+ $name,)*
        }

        impl $type {
            /// All variants, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in reports.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(self.word())
            }
        }
    };
}

words! {
    /// Why a model ended an answer (`finish_reason` of the OpenAI API).
    Finish {
        /// The model finished, or reached a stop sequence.
        Stop = "stop";
        /// The answer reached its token limit.
        Length = "length";
        /// The model calls tools.
        ToolCalls = "tool_calls";
        /// The model calls a function, by the API's predecessor of tools.
        FunctionCall = "function_call";
        /// A content filter withheld text.
        ContentFilter = "content_filter";
        /// The server aborted the request.
        Abort = "abort";
        /// The server failed.
        Error = "error";
        /// A reason that the API does not define.
        Other = "other";
        /// The answer has no reason.
        None = "none";
    }
}

impl Finish {
    /// The reason with this name. Accepts the synonyms that servers use, such as `aborted` and `server_error`.
    pub fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "function_call" => Self::FunctionCall,
            "content_filter" => Self::ContentFilter,
            "insufficient_system_resource" => Self::Error,
            _ if ["abort", "cancel"].iter().any(|it| name.contains(it)) => Self::Abort,
            _ if ["error", "fail", "timeout", "timed_out"].iter().any(|it| name.contains(it)) => Self::Error,
            _ => Self::Other,
        }
    }

    /// True for a reason that means the request failed.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Abort | Self::Error)
    }
}

words! {
    /// Whether a stream was complete.
    Integrity {
        /// It ended normally, without a long gap.
        Complete = "complete";
        /// It ended without its end mark.
        Cut = "cut";
        /// It sent no further token until the request was given up.
        Stalled = "stalled";
        /// It ended normally, after a gap of at least 1 s that was ten times as long as its other gaps.
        Resumed = "resumed after a gap";
        /// It reported an error.
        Error = "ended with an error";
        /// It ended normally, but after a gap it repeated text from before the gap.
        Repeated = "repeated text";
    }
}

/// The properties of the answers of one cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The number of answers for each finish reason. Failed answers without a reason are not included.
    pub finish: BTreeMap<Finish, u64>,
    /// The number of streams for each integrity. Answers that are not streams are not included.
    pub streams: BTreeMap<Integrity, u64>,
    /// The number of requests that succeeded within all bounds, by the index of the set of bounds.
    pub good: BTreeMap<usize, u64>,
    /// Tokens in answers that failed.
    pub tokens_failed: u64,
    /// Tokens that failed answers lack, compared with the reference answers to the same prompts.
    pub tokens_lost: u64,
    /// Successful answers that were not compared, because the reference phase has none to the same prompt.
    pub unmatched: u64,
}

/// The first codes of finish reasons, integrities and bounds, within this process.
const FINISH: u64 = 8;
const STREAMS: u64 = 32;
const GOOD: u64 = 64;

impl Answers {
    /// Adds the counts of other answers.
    pub fn merge(&mut self, other: &Self) {
        other.numbers().into_iter().for_each(|(code, count)| self.add(code, count));
    }

    /// All counts other than 0, each with its code.
    pub(super) fn numbers(&self) -> Vec<(u64, u64)> {
        let finish = self.finish.iter().map(|(finish, count)| (FINISH + *finish as u64, *count));
        let streams = self.streams.iter().map(|(integrity, count)| (STREAMS + *integrity as u64, *count));
        let good = self.good.iter().map(|(bounds, count)| (GOOD + *bounds as u64, *count));
        let sums = [(0, self.tokens_failed), (1, self.tokens_lost), (2, self.unmatched)];
        let all = sums.into_iter().chain(finish).chain(streams).chain(good);
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// Adds to the count with this code.
    pub(super) fn add(&mut self, code: u64, count: u64) {
        match code {
            0 => self.tokens_failed += count,
            1 => self.tokens_lost += count,
            2 => self.unmatched += count,
            GOOD.. => *self.good.entry((code - GOOD) as usize).or_default() += count,
            STREAMS.. => {
                if let Some(integrity) = Integrity::ALL.get((code - STREAMS) as usize) {
                    *self.streams.entry(*integrity).or_default() += count;
                }
            }
            _ => {
                if let Some(finish) = code.checked_sub(FINISH).and_then(|code| Finish::ALL.get(code as usize)) {
                    *self.finish.entry(*finish).or_default() += count;
                }
            }
        }
    }
}

macro_rules! peculiarities {
    ($($(#[doc = $doc:literal])+ $name:ident = $words:literal;)*) => {
        /// A deviation of a server's answers from the API that does not fail a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Peculiarity {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Peculiarity {
            /// All variants, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The deviation as a predicate; the subject of the sentence is the server.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

peculiarities! {
    /// Both names of the reasoning text.
    TwoReasonings = "sends `reasoning` and `reasoning_content` in one message; the text counts once";
    /// A list instead of a string.
    ContentParts = "sends `content` as a list of parts";
    /// The added text and the whole text in one event.
    DeltaAndMessage = "sends `delta` and `message` in one choice; `delta` counts";
    /// An `error` field without an error.
    EmptyError = "sends an `error` that says nothing (`false`, `\"\"`, `{}`, `[]` or `0`) in events that are not errors";
    /// A token count that is not a whole number.
    OddUsage = "counts tokens in `usage` with values that are not whole numbers; they are ignored where they cannot be a count";
    /// An unused field of another type.
    OddType = "sends a field with a type that the API does not define; it is ignored";
    /// Half of a surrogate pair, bytes that are not UTF-8, or a byte order mark.
    NoCharacters = "sends text with what is no character, such as half of a surrogate pair; U+FFFD takes its place";
    /// Comments between events.
    Comments = "sends comments between events to keep the connection open";
    /// Events without data.
    EmptyEvents = "sends events whose data is empty";
    /// Named events that are not JSON.
    OtherEvents = "sends named events that are not JSON";
    /// `[DONE]` surrounded by blanks.
    BlanksAroundDone = "sends blanks around `[DONE]`";
    /// The last event is not terminated by an empty line.
    NoLastLine = "ends the stream without the empty line that ends its last event";
    /// An event of more than 1 MiB.
    LargeEvents = "sends events of more than 1 MiB";
    /// A token count below the number of chunks with tokens.
    FewTokens = "counts fewer tokens in `usage` than it sends chunks with tokens; each chunk counts as one";
    /// Events under another media type, or JSON lines in place of events.
    StreamType = "sends its streams with another `content-type` than `text/event-stream`";
    /// No `finish_reason` before `[DONE]`.
    NoFinish = "ends answers without a `finish_reason`; they count as successes";
    /// No `[DONE]` after the `finish_reason`.
    NoDone = "ends streams without `[DONE]`; those with a `finish_reason` for every choice count as successes";
    /// A `finish_reason` that the API does not define.
    OtherFinish = "gives a `finish_reason` that the API does not define; the answer counts as a success";
}

/// A set of peculiarities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peculiarities(u32);

impl Peculiarities {
    /// The set with these bits, as returned by [`Peculiarities::bits`].
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits of the set. They are valid only within this process.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Adds one member.
    pub const fn add(&mut self, peculiarity: Peculiarity) {
        self.0 |= 1 << peculiarity as u32;
    }

    /// Adds one member if `holds` is true.
    pub const fn add_if(&mut self, holds: bool, peculiarity: Peculiarity) {
        if holds {
            self.add(peculiarity);
        }
    }

    /// Adds the members of another set.
    pub const fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// The members, in order.
    pub fn iter(self) -> impl Iterator<Item = Peculiarity> {
        Peculiarity::ALL.iter().copied().filter(move |it| self.0 & (1 << *it as u32) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_its_own_code() {
        let mut all = Answers { tokens_failed: 5, tokens_lost: 6, unmatched: 7, ..Answers::default() };
        Finish::ALL.iter().zip(10..).for_each(|(finish, count)| *all.finish.entry(*finish).or_default() = count);
        Integrity::ALL
            .iter()
            .zip(30..)
            .for_each(|(integrity, count)| *all.streams.entry(*integrity).or_default() = count);
        (0..3).for_each(|bounds| *all.good.entry(bounds).or_default() = 50 + bounds as u64);
        let mut read = Answers::default();
        all.numbers().into_iter().for_each(|(code, count)| read.add(code, count));
        assert_eq!(read, all);
        read.merge(&all);
        assert_eq!(read.unmatched, 14);
        assert_eq!((read.tokens_failed + read.tokens_lost, read.finish[&Finish::Stop], read.good[&2]), (22, 20, 104));
        assert!(Answers::default().numbers().is_empty());
    }

    #[test]
    fn recognises_the_finish_reasons_of_servers() {
        for (name, finish, fails) in [
            ("stop", Finish::Stop, false),
            ("length", Finish::Length, false),
            ("content_filter", Finish::ContentFilter, false),
            ("abort", Finish::Abort, true),
            ("cancelled", Finish::Abort, true),
            ("ERROR", Finish::Error, true),
            ("eos_token", Finish::Other, false),
        ] {
            assert_eq!((Finish::of(name), Finish::of(name).is_failure()), (finish, fails), "{name}");
        }
    }

    #[test]
    fn a_set_contains_the_added_members() {
        let mut set = Peculiarities::default();
        set.add_if(false, Peculiarity::Comments);
        set.add_if(true, Peculiarity::OtherFinish);
        let mut other = Peculiarities::default();
        other.add(Peculiarity::TwoReasonings);
        set.merge(Peculiarities::from_bits(other.bits()));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Peculiarity::TwoReasonings, Peculiarity::OtherFinish]);
    }
}
