//! A stream of events of the OpenAI API.

use serde_json::Value;

use super::assembled::Assembled;
use super::echo::Echo;
use super::found::{Asked, Found};
use super::kept::{MAX_JSON, Room};
use super::object::{NoAnswer, unreadable, words};
use crate::sse::{ERROR, Event, Parser};
use shakedown_observe::{Failure, Peculiarity};

/// An event of more bytes is a peculiarity.
const LARGE_EVENT: usize = 1 << 20;

/// The events of one answer, as far as they came.
#[derive(Debug)]
pub(super) struct Events {
    parser: Parser,
    read: Progress,
    /// What the parser and the assembled answer take.
    room: Room,
}

/// What events have brought.
#[derive(Debug, Default)]
struct Progress {
    /// How many events brought tokens.
    pieces: u64,
    /// How many tokens the server says that there were.
    tokens: Option<u64>,
    has_end_mark: bool,
    echo: Echo,
    /// What they amount to, and how many bytes they had, where something is asked of it.
    assembled: Option<(Assembled, usize)>,
}

impl Events {
    /// No events yet.
    pub(super) fn new(asked: &Asked<'_>) -> Self {
        let assembled = asked.expects.wants_json().then(Default::default);
        let read = Progress { assembled, ..Progress::default() };
        Self { parser: Parser::default(), read, room: Room::new(asked.kept) }
    }

    /// Takes the next piece of the stream.
    pub(super) fn piece(&mut self, asked: &Asked<'_>, found: &mut Found, piece: &[u8], after_gap: bool) {
        let Self { parser, read, room } = self;
        let mut after_gap = after_gap;
        let fed = parser.feed(piece, |event| {
            read.event(asked, found, event, &mut after_gap);
        });
        found.odd.add_if(parser.has_comments(), Peculiarity::Comments);
        let assembled = read.assembled.as_ref().map_or(0, |(_, length)| *length);
        if fed.is_err() || assembled > MAX_JSON || !room.resize(parser.kept() + assembled) {
            found.failure.get_or_insert(Failure::TooLarge);
        }
    }

    /// The stream came to its end: an event that no empty line has ended counts.
    pub(super) fn finish(&mut self, asked: &Asked<'_>, found: &mut Found) {
        let Self { parser, read, .. } = self;
        if read.has_end_mark {
            return;
        }
        parser.finish(|event| {
            // A broken one is the end of a stream that broke off.
            let is_whole = event.name == ERROR || is_end_mark(event.data) || is_json(event.data);
            if is_whole {
                found.odd.add(Peculiarity::NoLastLine);
                read.event(asked, found, event, &mut false);
            }
        });
    }

    /// How many events brought tokens.
    pub(super) const fn pieces(&self) -> u64 {
        self.read.pieces
    }

    /// How many tokens the server says that there were so far.
    pub(super) const fn tokens(&self) -> Option<u64> {
        self.read.tokens
    }

    /// Whether the mark came that ends a stream.
    pub(super) const fn has_end_mark(&self) -> bool {
        self.read.has_end_mark
    }

    /// Whether text came again after a gap.
    pub(super) fn is_repeated(&mut self) -> bool {
        self.read.echo.is_repeated()
    }

    /// What the events amount to, and how many bytes they had, where something is asked of it.
    pub(super) fn assembled(&mut self) -> Option<(Value, usize)> {
        self.read.assembled.take().map(|(whole, length)| (whole.into_value(), length))
    }
}

impl Progress {
    fn event(&mut self, asked: &Asked<'_>, found: &mut Found, event: Event<'_>, after_gap: &mut bool) {
        let Event { name, data } = event;
        if self.has_end_mark || found.failure.is_some() {
            return;
        }
        if name == ERROR {
            return found.fail(Failure::ApiError, Some(words(data)));
        }
        found.odd.add_if(data.len() > LARGE_EVENT, Peculiarity::LargeEvents);
        if is_end_mark(data) {
            found.odd.add_if(data.len() > b"[DONE]".len(), Peculiarity::BlanksAroundDone);
            self.has_end_mark = true;
            return;
        }
        if data.trim_ascii().is_empty() {
            return found.odd.add(Peculiarity::EmptyEvents);
        }
        let echo = &mut self.echo;
        let read = found.object(asked, data, |text| echo.text(text.as_bytes(), std::mem::take(after_gap)));
        match read {
            Ok(object) => {
                self.pieces += u64::from(object.has_text);
                // Some servers count with every event: the last count is the whole.
                self.tokens = object.tokens.or(self.tokens);
                if let Some((whole, length)) = &mut self.assembled {
                    whole.add(data);
                    *length += data.len();
                }
            }
            Err(NoAnswer::Failed(words)) => found.fail(Failure::ApiError, Some(words)),
            // Other kinds of events, such as `ping`, are not the API's.
            Err(NoAnswer::NotJson) if !name.is_empty() && name != b"message" => found.odd.add(Peculiarity::OtherEvents),
            Err(NoAnswer::NotJson) => found.fail(Failure::Protocol, Some(unreadable(data))),
        }
    }
}

fn is_end_mark(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}
