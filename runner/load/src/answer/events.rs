//! A stream of events of the OpenAI API.

use serde_json::Value;

use super::asked::Asked;
use super::assembled::Assembled;
use super::found::Found;
use super::kept::{MAX_JSON, Room};
use super::object::{NoAnswer, unreadable, words};
use crate::sse::{ERROR, Event, Parser};
use shakedown_observe::{Failure, Peculiarity};

/// A larger event, in bytes, is a peculiarity.
const LARGE_EVENT: usize = 1 << 20;

/// The events of one answer so far.
#[derive(Debug)]
pub(super) struct Events {
    parser: Parser,
    read: Progress,
    /// The memory of the parser and the assembled answer.
    room: Room,
}

/// The content of the events so far.
#[derive(Debug, Default)]
struct Progress {
    /// The number of events with tokens.
    pieces: u64,
    /// The server's token count.
    tokens: Option<u64>,
    has_end_mark: bool,
    /// The stream ended within an event.
    is_cut: bool,
    /// The assembled answer and the bytes of its events, if there are conditions on it.
    assembled: Option<(Assembled, usize)>,
}

impl Events {
    /// A stream of server-sent events, or of lines of JSON.
    pub(super) fn new(asked: &Asked<'_>, is_lines: bool) -> Self {
        let parser = if is_lines { Parser::of_lines() } else { Parser::default() };
        let assembled = (asked.expects.wants_json() || asked.group.is_some()).then(Default::default);
        let read = Progress { assembled, ..Progress::default() };
        Self { parser, read, room: Room::new(asked.kept) }
    }

    /// Parses the next chunk of the stream.
    pub(super) fn piece(&mut self, asked: &Asked<'_>, found: &mut Found, piece: &[u8]) {
        let Self { parser, read, room } = self;
        let fed = parser.feed(piece, |event| read.event(asked, found, event));
        found.odd.add_if(parser.has_comments(), Peculiarity::Comments);
        let assembled = read.assembled.as_ref().map_or(0, |(_, length)| *length);
        if fed.is_err() || assembled > MAX_JSON || !room.resize(parser.kept() + assembled) {
            found.failure.get_or_insert(Failure::TooLarge);
        }
    }

    /// The stream ended: an event that was not terminated by an empty line counts.
    pub(super) fn finish(&mut self, asked: &Asked<'_>, found: &mut Found) {
        let Self { parser, read, .. } = self;
        if read.has_end_mark {
            return;
        }
        let is_lines = parser.is_lines();
        parser.finish(|event| {
            // An incomplete event means that the stream was cut.
            let is_whole = is_error(event.name) || is_end_mark(event.data) || is_json(event.data);
            if is_whole {
                found.odd.add_if(!is_lines, Peculiarity::NoLastLine);
                read.event(asked, found, event);
            }
            read.is_cut |= !is_whole;
        });
    }

    /// The number of events with tokens.
    pub(super) const fn pieces(&self) -> u64 {
        self.read.pieces
    }

    /// The server's token count so far.
    pub(super) const fn tokens(&self) -> Option<u64> {
        self.read.tokens
    }

    /// Whether the stream's end mark arrived.
    pub(super) const fn has_end_mark(&self) -> bool {
        self.read.has_end_mark
    }

    /// Why a stream that ended without its end mark is not complete. None if every choice has its finish reason.
    pub(super) fn missing(&self, asked: &Asked<'_>, found: &Found) -> Option<&'static str> {
        match () {
            () if self.read.is_cut => Some("the stream ended within an event"),
            () if found.finish.is_none() => Some("the stream ended with neither a `finish_reason` nor `[DONE]`"),
            () if !found.choices.are_finished(asked) => {
                Some("the stream ended without `[DONE]`, and not every choice has a `finish_reason`")
            }
            () => None,
        }
    }

    /// The assembled answer and the bytes of its events, if there are conditions on it.
    pub(super) fn assembled(&mut self) -> Option<(Value, usize)> {
        self.read.assembled.take().map(|(whole, length)| (whole.into_value(), length))
    }
}

impl Progress {
    fn event(&mut self, asked: &Asked<'_>, found: &mut Found, event: Event<'_>) {
        let Event { name, data } = event;
        if self.has_end_mark || found.failure.is_some() {
            return;
        }
        if is_error(name) {
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
        match found.object(asked, data) {
            Ok(object) => {
                self.pieces += u64::from(object.has_text);
                // Some servers count in every event. The last count is the total.
                self.tokens = object.tokens.or(self.tokens);
                if let Some((whole, length)) = &mut self.assembled {
                    whole.add(data);
                    *length += data.len();
                }
            }
            Err(NoAnswer::Failed(words)) => found.fail(Failure::ApiError, Some(words)),
            // Other event types, such as `ping`, are not part of the API.
            Err(NoAnswer::NotJson) if !name.is_empty() && name != b"message" => found.odd.add(Peculiarity::OtherEvents),
            Err(NoAnswer::NotJson) => found.fail(Failure::Protocol, Some(unreadable(data))),
        }
    }
}

/// Whether an event with this name reports a failure, regardless of its data.
fn is_error(name: &[u8]) -> bool {
    [ERROR, b"exception"].iter().any(|it| name.eq_ignore_ascii_case(it))
}

fn is_end_mark(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]"
}

fn is_json(data: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}
