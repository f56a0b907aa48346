//! What is known of answers apart from whether they succeeded: why a model ended them, whether a stream came whole, and how
//! many of them were good enough.

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
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word that people see.
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
        /// The model was done, or came to a stop sequence.
        Stop = "stop";
        /// The answer had as many tokens as it may have.
        Length = "length";
        /// The model calls tools.
        ToolCalls = "tool_calls";
        /// The model calls a function, as the API had it before tools.
        FunctionCall = "function_call";
        /// A filter held text back.
        ContentFilter = "content_filter";
        /// The server gave the request up.
        Abort = "abort";
        /// The server failed.
        Error = "error";
        /// A reason that the API does not have.
        Other = "other";
    }
}

impl Finish {
    /// The reason with this name. Names that servers use for the same are known.
    pub fn of(name: &str) -> Self {
        match name.to_ascii_lowercase().as_str() {
            "stop" => Self::Stop,
            "length" => Self::Length,
            "tool_calls" => Self::ToolCalls,
            "function_call" => Self::FunctionCall,
            "content_filter" => Self::ContentFilter,
            "abort" | "aborted" | "cancel" | "canceled" | "cancelled" => Self::Abort,
            "error" | "failed" | "failure" | "timeout" | "insufficient_system_resource" => Self::Error,
            _ => Self::Other,
        }
    }

    /// True when it says that the answer is not what was asked for.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Abort | Self::Error)
    }
}

words! {
    /// Whether a stream came whole.
    Integrity {
        /// It came to its end without a long gap.
        Complete = "complete";
        /// It broke off.
        Cut = "cut";
        /// It brought nothing more until it was given up.
        Stalled = "stalled";
        /// It came to its end, after a gap of at least a second that was ten times as long as its other gaps.
        Resumed = "resumed after a gap";
        /// It says that it failed.
        Error = "ended with an error";
        /// It came to its end, and after a gap it brought text again that had been there before the gap.
        Repeated = "repeated text";
    }
}

/// What is known of the answers of one cell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// How many answers ended for each reason. One that gave none is not in it.
    pub finish: BTreeMap<Finish, u64>,
    /// How many streams came how. An answer that is no stream is not in it.
    pub streams: BTreeMap<Integrity, u64>,
    /// How many requests succeeded within all bounds, for each set of bounds that the load was asked for.
    pub good: BTreeMap<usize, u64>,
    /// Tokens that came in answers that failed.
    pub tokens_failed: u64,
    /// Tokens that failed answers lack, compared with the answers to the same prompts that are the measure.
    pub tokens_lost: u64,
}

/// Where the numbers of finish reasons, of integrities and of bounds begin, within this process.
const FINISH: u64 = 8;
const STREAMS: u64 = 32;
const GOOD: u64 = 64;

impl Answers {
    /// Adds other answers.
    pub fn merge(&mut self, other: &Self) {
        other.numbers().into_iter().for_each(|(code, count)| self.add(code, count));
    }

    /// All counts that are not 0, each with a number that says what it is.
    pub(super) fn numbers(&self) -> Vec<(u64, u64)> {
        let finish = self.finish.iter().map(|(finish, count)| (FINISH + *finish as u64, *count));
        let streams = self.streams.iter().map(|(integrity, count)| (STREAMS + *integrity as u64, *count));
        let good = self.good.iter().map(|(bounds, count)| (GOOD + *bounds as u64, *count));
        let all = [(0, self.tokens_failed), (1, self.tokens_lost)].into_iter().chain(finish).chain(streams).chain(good);
        all.filter(|(_, count)| *count > 0).collect()
    }

    /// Adds to the count with this number.
    pub(super) fn add(&mut self, code: u64, count: u64) {
        match code {
            0 => self.tokens_failed += count,
            1 => self.tokens_lost += count,
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
        /// Something in which a server's answers depart from the API, and which breaks no request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Peculiarity {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Peculiarity {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// What the server does, as the rest of a sentence that begins with its name.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

peculiarities! {
    /// Both names of the same text.
    TwoReasonings = "sends `reasoning` and `reasoning_content` in one message; the text counts once";
    /// A list in the place of a text.
    ContentParts = "sends `content` as a list of parts";
    /// What an event adds, and the whole so far.
    DeltaAndMessage = "sends `delta` and `message` in one choice; `delta` counts";
    /// An error that is none.
    EmptyError = "sends an `error` that says nothing (`false`, `\"\"`, `{}`, `[]` or `0`) in events that are no error";
    /// A count that is no whole number.
    OddUsage = "counts tokens in `usage` by something else than a whole number; what cannot be a count is left out";
    /// Something that is of no use here and has another type.
    OddType = "sends a field with another type than the API's; it is left out";
    /// Comments between events.
    Comments = "sends comments between events to keep the connection open";
    /// Events without data.
    EmptyEvents = "sends events whose data is empty";
    /// Named events that are no JSON.
    OtherEvents = "sends named events that are not JSON";
    /// `[DONE]` with blanks.
    BlanksAroundDone = "sends blanks around `[DONE]`";
    /// The last event has no empty line behind it.
    NoLastLine = "ends the stream without the empty line that ends its last event";
    /// An event of more than 1 MiB.
    LargeEvents = "sends events of more than 1 MiB";
    /// A `finish_reason` that the API does not have.
    OtherFinish = "gives a `finish_reason` that the API does not have; the answer counts as a success";
}

/// A set of peculiarities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peculiarities(u32);

impl Peculiarities {
    /// A set by its bits, as [`Peculiarities::bits`] gives them.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Its bits, within this process.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Adds one.
    pub const fn add(&mut self, peculiarity: Peculiarity) {
        self.0 |= 1 << peculiarity as u32;
    }

    /// Adds one where something holds.
    pub const fn add_if(&mut self, holds: bool, peculiarity: Peculiarity) {
        if holds {
            self.add(peculiarity);
        }
    }

    /// Adds those of another set.
    pub const fn merge(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Its members, in order.
    pub fn iter(self) -> impl Iterator<Item = Peculiarity> {
        Peculiarity::ALL.iter().copied().filter(move |it| self.0 & (1 << *it as u32) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_a_number_of_its_own() {
        let mut all = Answers { tokens_failed: 5, tokens_lost: 6, ..Answers::default() };
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
        assert_eq!((read.tokens_failed + read.tokens_lost, read.finish[&Finish::Stop], read.good[&2]), (22, 20, 104));
        assert!(Answers::default().numbers().is_empty());
    }

    #[test]
    fn finish_reasons_are_known_by_what_servers_call_them() {
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
    fn a_set_has_what_was_added() {
        let mut set = Peculiarities::default();
        set.add_if(false, Peculiarity::Comments);
        set.add_if(true, Peculiarity::OtherFinish);
        let mut other = Peculiarities::default();
        other.add(Peculiarity::TwoReasonings);
        set.merge(Peculiarities::from_bits(other.bits()));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Peculiarity::TwoReasonings, Peculiarity::OtherFinish]);
    }
}
