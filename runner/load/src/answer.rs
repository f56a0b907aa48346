//! Whether an answer is a success. Parses its head and its body chunk by chunk, independent of connections and time.
//! Buffers at most a bounded part of a body.

mod asked;
mod assembled;
mod choices;
mod echo;
mod events;
mod found;
mod json;
mod kept;
mod lenient;
mod object;
mod opening;
mod unpacked;

use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::capture::{Captured, NotCaptured};
use super::group;
use super::headers::Headers;
use super::path::TooMuch;
use super::said::Said;
use super::target::AnswerFormat;
pub(super) use asked::Asked;
use events::Events;
use found::Found;
use kept::Kept;
use object::NoAnswer;
use opening::{Opened, Opening};
use shakedown_observe::{Failure, Finish, Peculiarities, Peculiarity};
#[cfg(test)]
pub(super) use unpacked::packed;
use unpacked::{NotUnpacked, Unpacked, is_packed};
pub(super) use unpacked::{beginning, is_gzip};

/// One answer, as far as it was read.
#[derive(Debug)]
pub(super) struct Answer {
    found: Found,
    body: Body,
    /// The body is packed, and its contents matter.
    packed: Option<Box<Unpacked>>,
}

/// The outcome of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) failure: Option<Failure>,
    /// The server's error message, at most [`object::MAX_WORDS`] bytes of it, or the defect of the answer.
    pub(super) words: Option<String>,
    /// The server's token count of an answer that is not a stream.
    pub(super) tokens: Option<u64>,
    /// The finish reason.
    pub(super) finish: Option<Finish>,
    /// What each choice says, if answers are compared.
    pub(super) said: Option<Vec<Said>>,
    /// A choice of the stream repeated text after a gap.
    pub(super) is_repeated: bool,
    /// The deviations from the API.
    pub(super) odd: Peculiarities,
    /// The captured values, each with its index.
    pub(super) captured: Vec<(usize, Captured)>,
    /// The group that the body names.
    pub(super) group: Option<String>,
}

#[derive(Debug)]
enum Body {
    /// Only searched.
    Text,
    /// Searched, and buffered to be parsed as JSON.
    Kept(Kept),
    /// A stream of the API, or an object in its place, as its first bytes tell.
    Opening(Opening),
    /// An object of the API.
    Json(Kept),
    Events(Box<Events>),
}

impl Answer {
    /// An answer with this head.
    pub(super) fn new(asked: &Asked<'_>, status: u16, headers: &(impl Headers + ?Sized)) -> Self {
        let mut failure = if !asked.expects.takes_status(status) {
            Some(Failure::Status(status))
        } else if !asked.expects.takes_headers(headers) {
            Some(Failure::Check)
        } else {
            None
        };
        let (mut captured, mut words) = (Vec::new(), None);
        if failure.is_none() {
            match asked.captures.of_head(headers) {
                Ok(found) => captured = found,
                Err(not) => (failure, words) = missing(not),
            }
        }
        let body = match asked.format {
            AnswerFormat::Http if asked.needs_body() || asked.group.is_some() => Body::Kept(Kept::new(asked.kept)),
            AnswerFormat::Http => Body::Text,
            AnswerFormat::Json => Body::Json(Kept::new(asked.kept)),
            AnswerFormat::Stream => {
                Body::Opening(Opening::new(headers.values(&CONTENT_TYPE).next().unwrap_or_default()))
            }
        };
        let reads_body = asked.expects.reads_body() || asked.captures.reads_body() || asked.group.is_some();
        let is_packed = (asked.format != AnswerFormat::Http || reads_body) && is_packed(headers);
        let packed = is_packed.then(|| Box::new(Unpacked::new()));
        Self { found: Found { failure, words, captured, ..Found::default() }, body, packed }
    }

    /// Processes the next chunk of the body. `after_gap` is true if it arrived after a long silence.
    pub(super) fn piece(&mut self, asked: &Asked<'_>, piece: &[u8], after_gap: bool) {
        if self.found.failure.is_some() {
            return;
        }
        if after_gap {
            self.found.choices.gap();
        }
        let Some(mut packed) = self.packed.take() else { return self.plain(asked, piece) };
        let result = packed.piece(piece, |piece| self.plain(asked, piece));
        self.packed = Some(packed);
        self.unpacked(result);
    }

    /// Records why a body was not unpacked.
    fn unpacked(&mut self, result: Result<(), NotUnpacked>) {
        match result {
            Err(_) if self.found.failure.is_some() => {}
            Err(NotUnpacked::TooLarge) => self.found.failure = Some(Failure::TooLarge),
            Err(NotUnpacked::Broken(words)) => self.found.fail(Failure::Protocol, Some(words)),
            Ok(()) => {}
        }
    }

    /// Processes the next chunk of the body as it was before it was packed.
    fn plain(&mut self, asked: &Asked<'_>, piece: &[u8]) {
        if self.found.failure.is_some() {
            return;
        }
        if let Body::Text | Body::Kept(_) = &self.body {
            asked.expects.look(&mut self.found.search, piece);
        }
        match &mut self.body {
            Body::Text => {}
            Body::Kept(body) | Body::Json(body) => {
                if !body.add(piece) {
                    match asked.format {
                        // Nothing is lost but the name of its group.
                        AnswerFormat::Http if !asked.needs_body() => self.body = Body::Text,
                        _ => self.found.failure = Some(Failure::TooLarge),
                    }
                }
            }
            Body::Events(events) => events.piece(asked, &mut self.found, piece),
            Body::Opening(opening) => {
                if let Some(kind) = opening.piece(piece) {
                    self.opened(asked, kind);
                }
            }
        }
    }

    /// The first bytes of a body have shown its format.
    fn opened(&mut self, asked: &Asked<'_>, kind: Opened) {
        let Body::Opening(opening) = &mut self.body else { return };
        let Opening { begin, is_announced, .. } = std::mem::take(opening);
        self.body = match kind {
            // A server that cannot stream answers with one object, which explains the failure.
            Opened::Object => Body::Json(Kept::new(asked.kept)),
            Opened::Events | Opened::Lines => {
                self.found.odd.add_if(!is_announced, Peculiarity::StreamType);
                Body::Events(Box::new(Events::new(asked, kind == Opened::Lines)))
            }
        };
        self.plain(asked, &begin);
    }

    /// True for a stream of events that was not rejected.
    pub(super) fn is_stream(&self) -> bool {
        let is_stream = match &self.body {
            Body::Events(_) => true,
            Body::Opening(opening) => !opening.is_json,
            Body::Text | Body::Kept(_) | Body::Json(_) => false,
        };
        is_stream && !matches!(self.found.failure, Some(Failure::Status(_)))
    }

    /// The number of events of a stream with tokens.
    pub(super) fn pieces(&self) -> u64 {
        if let Body::Events(events) = &self.body { events.pieces() } else { 0 }
    }

    /// The server's token count of the stream so far.
    pub(super) fn tokens(&self) -> Option<u64> {
        if let Body::Events(events) = &self.body { events.tokens() } else { None }
    }

    /// True once the outcome is final. Further bytes do not change it.
    pub(super) fn is_decided(&self) -> bool {
        self.found.failure.is_some() || matches!(&self.body, Body::Events(events) if events.has_end_mark())
    }

    /// Whether every choice of the stream has its finish reason.
    pub(super) fn is_finished(&self, asked: &Asked<'_>) -> bool {
        self.found.choices.are_finished(asked)
    }

    /// The failure, as far as known.
    pub(super) const fn failure(&self) -> Option<Failure> {
        self.found.failure
    }

    /// The outcome of an answer that is complete, or whose outcome is final. Explains which condition of `check` failed
    /// only if `wants` is true for the failure.
    pub(super) fn outcome(mut self, asked: &Asked<'_>, wants: impl Fn(Failure) -> bool) -> Outcome {
        // A server may flush the end mark of a stream before the end of its compression.
        if let Some(mut packed) = self.packed.take().filter(|_| !self.is_decided()) {
            let result = packed.end(|piece| self.plain(asked, piece));
            self.unpacked(result);
        }
        if let Body::Opening(opening) = &self.body {
            let kind = opening.at_end();
            self.opened(asked, kind);
        }
        let Self { mut found, mut body, .. } = self;
        let mut tokens = None;
        if found.failure.is_none()
            && let Err((failure, words)) = judged(asked, &mut found, &mut body, &mut tokens, &wants)
        {
            found.fail(failure, words);
        }
        let is_repeated = found.choices.are_repeated();
        let said = asked.keeps_text.then(|| found.choices.said());
        let Found { failure, words, finish, odd, captured, group, .. } = found;
        Outcome { failure, words, tokens, finish, said, is_repeated, odd, captured, group }
    }
}

/// A failure and its explanation.
type Failed = (Failure, Option<String>);

/// Whether an explanation of a failure is needed.
type Wants<'w> = &'w dyn Fn(Failure) -> bool;

fn judged(
    asked: &Asked<'_>,
    found: &mut Found,
    body: &mut Body,
    tokens: &mut Option<u64>,
    wants: Wants<'_>,
) -> Result<(), Failed> {
    match body {
        Body::Text | Body::Opening(_) => {}
        Body::Kept(body) => {
            let value = value(asked, found, body.bytes())?;
            if let Some(value) = value.as_ref().filter(|_| asked.expects.wants_json()) {
                value_failure(asked, value, body.bytes().len(), wants)?;
            }
            let captured = asked.captures.of_body(body.bytes(), value.as_ref(), &mut found.captured);
            if let Err((Some(failure), words)) = captured.map_err(missing) {
                return Err((failure, words));
            }
        }
        Body::Events(events) => {
            events.finish(asked, found);
            if let Some(failure) = found.failure {
                return Err((failure, found.words.take()));
            }
            if !events.has_end_mark() {
                if let Some(words) = events.missing(asked, found) {
                    return Err((Failure::BrokenStream, Some(words.to_owned())));
                }
                found.odd.add(Peculiarity::NoDone);
            }
            found.odd.add_if(events.tokens().is_some_and(|count| count < events.pieces()), Peculiarity::FewTokens);
            if events.pieces() == 0 && found.finish.is_none() {
                return Err(nothing("stream"));
            }
            if let Some((value, length)) = events.assembled() {
                found.group = asked.group.and_then(|path| group::named_in(path, &value, length));
                value_failure(asked, &value, length, wants)?;
            }
        }
        Body::Json(body) => {
            let read = found.object(asked, body.bytes());
            if let Some(failure) = found.failure {
                return Err((failure, found.words.take()));
            }
            match read {
                Err(NoAnswer::Failed(words)) => return Err((Failure::ApiError, Some(words))),
                Err(NoAnswer::NotJson) => return Err((Failure::Protocol, Some(object::unreadable(body.bytes())))),
                Ok(_) if asked.format == AnswerFormat::Stream => {
                    return Err((Failure::BrokenStream, Some("the answer is not a stream".to_owned())));
                }
                Ok(object) if object.choices == 0 => {
                    return Err((Failure::Protocol, Some(object::unreadable(body.bytes()))));
                }
                Ok(object) if !object.has_text && found.finish.is_none() => return Err(nothing("answer")),
                Ok(object) => {
                    *tokens = object.tokens.filter(|count| *count > 0 || !object.has_text);
                    found.odd.add_if(tokens.is_none() && object.tokens.is_some(), Peculiarity::FewTokens);
                }
            }
            if let Some(value) = value(asked, found, body.bytes())? {
                value_failure(asked, &value, body.bytes().len(), wants)?;
            }
        }
    }
    if asked.format != AnswerFormat::Http && !found.choices.are_finished(asked) {
        if !asked.expects.takes_finish(None) {
            return Err((Failure::Check, Some("the answer has no `finish_reason`".to_owned())));
        }
        found.odd.add(Peculiarity::NoFinish);
        found.finish.get_or_insert(Finish::None);
    }
    let search = found.choices.search().unwrap_or(&found.search);
    if asked.expects.found(search) {
        return Ok(());
    }
    let words = wants(Failure::Check).then(|| asked.expects.explain_text(search));
    Err((Failure::Check, words.flatten()))
}

/// The failure of a `whole` without any sign that the model answered.
fn nothing(whole: &str) -> Failed {
    (Failure::Protocol, Some(format!("the {whole} contained neither text nor a `finish_reason`")))
}

/// The body as JSON, if it is needed. Finds the group that it names.
fn value(asked: &Asked<'_>, found: &mut Found, body: &[u8]) -> Result<Option<Value>, Failed> {
    if !asked.needs_json() && asked.group.is_none() {
        return Ok(None);
    }
    match json::parse(body) {
        Ok((value, _)) => {
            found.group = asked.group.and_then(|path| group::named_in(path, &value, body.len()));
            Ok(Some(value))
        }
        Err(error) if asked.needs_json() => {
            Err((Failure::Check, Some(format!("the body is not the JSON that is expected: {error}"))))
        }
        Err(_) => Ok(None),
    }
}

/// The failure of an answer that lacks a value for later steps.
fn missing(not: NotCaptured) -> (Option<Failure>, Option<String>) {
    match not {
        NotCaptured::Missing(words) => (Some(Failure::Check), Some(words)),
        NotCaptured::TooMuch => (Some(Failure::TooLarge), None),
    }
}

fn value_failure(asked: &Asked<'_>, value: &Value, length: usize, wants: Wants<'_>) -> Result<(), Failed> {
    let failure = match asked.expects.takes_json(value, length) {
        Ok(true) => return Ok(()),
        Ok(false) => Failure::Check,
        Err(TooMuch) => Failure::TooLarge,
    };
    Err((failure, wants(failure).then(|| asked.expects.explain_json(value, length)).flatten()))
}

#[cfg(test)]
mod tests;
