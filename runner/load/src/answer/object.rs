//! An answer or an event of the OpenAI API: <https://platform.openai.com/docs/api-reference>, as far as it is used here.
//! Only two things make an answer a failure: it is not JSON, or it reports a failure itself. All other deviations from the
//! API are read leniently and recorded as peculiarities.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess};
use serde_json::Value;

use super::json;
use super::lenient::{Key, Lenient, List, lenient_object, read};
use crate::said::ChoicePart;
use shakedown_observe::{Peculiarities, Peculiarity};

/// The maximum length of a server's error message, in bytes.
pub(super) const MAX_WORDS: usize = 512;

/// The longest object without choices that may report a failure, in bytes.
const MAX_ERROR: usize = 64 << 10;

/// The content of one object.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    pub(super) choices: usize,
    /// The object contains text of the answer, of its reasoning or its refusal, or a tool call. The empty message that
    /// opens a stream does not count.
    pub(super) has_text: bool,
    /// The server's token count.
    pub(super) tokens: Option<u64>,
    /// The finish reasons of the choices, verbatim.
    pub(super) finish: Vec<String>,
    pub(super) odd: Peculiarities,
}

/// Bytes that are not JSON, or that report a failure.
#[derive(Debug, PartialEq)]
pub(super) enum NoAnswer {
    NotJson,
    /// The server's error message.
    Failed(String),
}

/// Parses an object, and calls `look` for each choice, with its index and the text of each of its parts.
pub(super) fn object(json: &[u8], mut look: impl FnMut(u64, ChoicePart, &str)) -> Result<Read, NoAnswer> {
    let (object, is_mended): (Object, bool) = json::parse(json).map_err(|_| NoAnswer::NotJson)?;
    let mut read = Read { choices: object.choices.all.len(), ..Read::default() };
    read.odd.add_if(is_mended, Peculiarity::NoCharacters);
    if object.object.is("error") && is_nothing(&object.error) {
        // Older vLLM servers report errors like this.
        return Err(NoAnswer::Failed(words(json)));
    }
    if let Some(why) = failure(&object.error, &mut read.odd) {
        return Err(NoAnswer::Failed(why));
    }
    if object.choices.all.is_empty()
        && json.len() <= MAX_ERROR
        && let Some(why) = json::parse(json).ok().and_then(|(object, _)| unnamed_failure(&object))
    {
        return Err(NoAnswer::Failed(why));
    }
    let Count { count, is_odd } = object.usage.completion_tokens;
    read.tokens = count;
    read.odd.add_if(is_odd, Peculiarity::OddUsage);
    read.odd.add_if(object.is_odd | object.choices.is_odd | object.usage.is_odd, Peculiarity::OddType);
    for (choice, place) in object.choices.all.iter().zip(0..) {
        let index = choice.index.count.unwrap_or(place);
        look(index, ChoicePart::Text, "");
        if let Some(why) = failure(&choice.error, &mut read.odd) {
            return Err(NoAnswer::Failed(why));
        }
        read.odd.add_if(choice.delta.is_some() && choice.message.is_some(), Peculiarity::DeltaAndMessage);
        let none = Message::default();
        let message = choice.delta.as_ref().or(choice.message.as_ref()).unwrap_or(&none);
        let Message { content, reasoning, reasoning_content, refusal, tool_calls, function_call, error, .. } = message;
        if let Some(why) = failure(error, &mut read.odd) {
            return Err(NoAnswer::Failed(why));
        }
        for text in [&choice.text, content].into_iter().filter(|text| !text.is_empty()) {
            read.has_text = true;
            look(index, ChoicePart::Text, &text.text);
        }
        let others = [reasoning, reasoning_content, refusal];
        let thought = if reasoning.is_empty() { reasoning_content } else { reasoning };
        look(index, ChoicePart::Reasoning, &thought.text);
        look(index, ChoicePart::Refusal, &refusal.text);
        for (call, place) in tool_calls.all.iter().zip(0..) {
            let at = call.index.count.unwrap_or(place);
            let is_odd = call.is_odd | call.function.is_odd | call.custom.is_odd;
            read.odd.add_if(is_odd, Peculiarity::OddType);
            for called in [&call.function, &call.custom] {
                called.look(|is_name, text| {
                    look(index, if is_name { ChoicePart::ToolName(at) } else { ChoicePart::ToolArguments(at) }, text);
                });
            }
        }
        function_call.look(|is_name, text| {
            look(index, if is_name { ChoicePart::FunctionName } else { ChoicePart::FunctionArguments }, text)
        });
        read.has_text |= others.iter().any(|text| !text.is_empty()) | !tool_calls.all.is_empty();
        read.has_text |= !function_call.is_empty();
        read.odd.add_if(!reasoning.is_empty() && !reasoning_content.is_empty(), Peculiarity::TwoReasonings);
        read.odd.add_if(content.is_parts, Peculiarity::ContentParts);
        let is_odd = tool_calls.is_odd
            | function_call.is_odd
            | others.iter().any(|text| text.is_odd)
            | choice.text.is_odd
            | content.is_odd
            | message.is_odd;
        let (finish, is_odd_finish) = finish_name(&choice.finish_reason);
        read.odd.add_if(is_odd | is_odd_finish | choice.is_odd, Peculiarity::OddType);
        if !finish.is_empty() {
            look(index, ChoicePart::Finish, finish);
            read.finish.push(finish.to_owned());
        }
    }
    Ok(read)
}

/// The name of a finish reason, and whether it has another type than text. Some servers send an object that is named by its
/// `type` or `reason`.
fn finish_name(reason: &Value) -> (&str, bool) {
    let named = |key: &str| reason.get(key).and_then(Value::as_str);
    match reason {
        Value::Null => ("", false),
        Value::String(name) => (name, false),
        _ => (named("type").or_else(|| named("reason")).unwrap_or_default(), true),
    }
}

/// A server's error message: the message of an error object, or the whole body.
pub(super) fn words(bytes: &[u8]) -> String {
    match json::parse(bytes) {
        Ok((value, _)) => words_of(&value),
        Err(_) => bounded(String::from_utf8_lossy(bytes).trim()),
    }
}

/// Describes an answer or event that does not follow the API, with its text.
pub(super) fn unreadable(bytes: &[u8]) -> String {
    match words(bytes) {
        words if words.is_empty() => "the answer is empty".to_owned(),
        words => format!("the answer does not follow the API: {words}"),
    }
}

/// The failure that the value of an `error` reports, if any.
fn failure(error: &Value, odd: &mut Peculiarities) -> Option<String> {
    if !is_nothing(error) {
        return Some(words_of(error));
    }
    odd.add_if(!error.is_null(), Peculiarity::EmptyError);
    None
}

/// The keys of an object that is only an error message.
const WITH_MESSAGE: [&str; 8] =
    ["message", "code", "param", "path", "timestamp", "request_id", "requestId", "trace_id"];

/// The failure that an object without choices reports in another form than by `error`, as web frameworks and proxies do: by a
/// type or a status `error`, a code of 400 to 599, an error code of its own, a `detail`, `errors`, or a message with nothing but a
/// code or what identifies the request. All other objects are events of other kinds.
fn unnamed_failure(object: &Value) -> Option<String> {
    let known = object.as_object().filter(|it| !it.contains_key("choices"))?;
    let is_error =
        |key: &str| known.get(key).and_then(Value::as_str).is_some_and(|it| it.eq_ignore_ascii_case("error"));
    let is_code = |key: &str| {
        let code = known.get(key).and_then(|it| it.as_u64().or_else(|| it.as_str()?.parse().ok()));
        code.is_some_and(|code| (400..600).contains(&code))
    };
    let is_given = |key: &str| known.get(key).is_some_and(|it| !is_nothing(it));
    let fails = ["type", "status"].into_iter().any(is_error)
        || ["code", "status", "status_code", "statusCode"].into_iter().any(is_code)
        || ["detail", "errors", "error_code", "errorCode", "error_message", "error_msg"].into_iter().any(is_given)
        || known.get("message").is_some_and(|it| it.is_string() && !is_nothing(it))
            && known.keys().all(|key| WITH_MESSAGE.contains(&key.as_str()))
            && !known.get("code").and_then(Value::as_u64).is_some_and(|code| code == 0 || (200..300).contains(&code));
    fails.then(|| words_of(object))
}

/// True for an `error` without an error.
fn is_nothing(error: &Value) -> bool {
    match error {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.iter().all(is_nothing),
        Value::Object(all) => all.values().all(is_nothing),
    }
}

fn words_of(value: &Value) -> String {
    let of_key = |key: &str| value.get(key).filter(|it| !is_nothing(it));
    match value {
        Value::String(text) => bounded(text),
        _ => match ["message", "error", "detail", "msg", "errors", "error_message", "error_msg"]
            .into_iter()
            .find_map(of_key)
        {
            Some(inner) => words_of(inner),
            None => bounded(&value.to_string()),
        },
    }
}

fn bounded(text: &str) -> String {
    let end = (0..=MAX_WORDS.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    // Reports redact a secret that is cut at this ellipsis.
    format!("{}{}", &text[..end], if end < text.len() { "…" } else { "" })
}

lenient_object! {
    /// The whole object.
    Object {
        choices: List<Choice>,
        error: Value,
        object: Text,
        usage: Usage,
    }
}

lenient_object! {
    /// The token counts. Servers that count send null in every event but the last.
    Usage {
        completion_tokens: Count,
    }
}

lenient_object! {
    /// One of several answers.
    Choice {
        index: Count,
        delta: Option<Message>,
        message: Option<Message>,
        text: Text,
        finish_reason: Value,
        error: Value,
    }
}

lenient_object! {
    /// A message, or the delta of an event.
    Message {
        content: Text,
        reasoning: Text,
        reasoning_content: Text,
        refusal: Text,
        tool_calls: List<ToolCall>,
        function_call: Called,
        error: Value,
    }
}

lenient_object! {
    /// A call of a tool, or its delta.
    ToolCall {
        index: Count,
        function: Called,
        custom: Called,
    }
}

lenient_object! {
    /// A function or a tool of another kind, and what it is called with.
    Called {
        name: Text,
        arguments: Value,
        input: Value,
    }
}

impl Called {
    fn is_empty(&self) -> bool {
        self.name.is_empty() && self.arguments.is_null() && self.input.is_null()
    }

    /// Calls `look` for the name and for the arguments.
    fn look(&self, mut look: impl FnMut(bool, &str)) {
        look(true, &self.name.text);
        for value in [&self.arguments, &self.input] {
            match value {
                Value::Null => {}
                Value::String(text) => look(false, text),
                // Some servers send the arguments as JSON instead of a text.
                _ => look(false, &value.to_string()),
            }
        }
    }
}

/// A string, or the joined texts of its parts.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    is_parts: bool,
    is_odd: bool,
}

impl Text {
    fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

impl Lenient for Text {
    fn odd() -> Self {
        Self { is_odd: true, ..Self::default() }
    }

    fn text(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }

    fn list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut whole = Self { is_parts: true, ..Self::default() };
        while let Some(part) = list.next_element::<Self>()? {
            whole.text.push_str(&part.text);
        }
        Ok(whole)
    }

    /// A part: `{"type": "text", "text": "..."}`.
    fn object<'de, A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut part = Self { is_parts: true, ..Self::default() };
        while let Some(key) = object.next_key_seed(Key(&["text"]))? {
            match key {
                Some(_) => part.text = object.next_value::<Self>()?.text,
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(part)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

/// A count, if the value can be one.
#[derive(Debug, Default)]
pub(super) struct Count {
    count: Option<u64>,
    is_odd: bool,
}

impl Lenient for Count {
    fn odd() -> Self {
        Self { count: None, is_odd: true }
    }

    fn text(text: &str) -> Self {
        Self { count: text.trim().parse().ok(), is_odd: true }
    }

    fn number(number: f64, is_written_whole: bool) -> Self {
        let is_count = number >= 0.0 && number.fract() == 0.0 && number <= 1e15;
        Self { count: is_count.then_some(number as u64), is_odd: !is_count || !is_written_whole }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        read(from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen(value: &Value) -> (Result<Read, NoAnswer>, String) {
        let mut text = String::new();
        let read = object(value.to_string().as_bytes(), |_, part, piece| {
            if part == ChoicePart::Text {
                text.push_str(piece);
            }
        });
        (read, text)
    }

    /// Every case was reported from a real server. Each is accepted with this text, and recorded as its peculiarity.
    #[test]
    fn accepts_deviations_of_real_servers() {
        use Peculiarity as P;
        let delta = |delta: Value| json!({"choices": [{"delta": delta}]});
        for (value, text, has_text, odd) in [
            (delta(json!({"role": "assistant"})), "", false, None),
            (delta(json!({"role": "assistant", "content": ""})), "", false, None),
            (delta(json!({"content": null, "reasoning": "hm"})), "", true, None),
            (
                delta(json!({"content": null, "reasoning": "hm", "reasoning_content": "hm"})),
                "",
                true,
                Some(P::TwoReasonings),
            ),
            (delta(json!({"refusal": "no"})), "", true, None),
            (delta(json!({"function_call": {"name": "f"}})), "", true, None),
            (delta(json!({"tool_calls": [{"index": 0}]})), "", true, None),
            (delta(json!({"tool_calls": []})), "", false, None),
            (
                delta(json!({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})),
                "ab",
                true,
                Some(P::ContentParts),
            ),
            (
                delta(json!({"content": ["a", {"type": "image_url", "image_url": {}}]})),
                "a",
                true,
                Some(P::ContentParts),
            ),
            (delta(json!({"content": 7})), "", false, Some(P::OddType)),
            (
                json!({"choices": [{"delta": {"content": "a"}, "message": {"content": "a"}}]}),
                "a",
                true,
                Some(P::DeltaAndMessage),
            ),
            (json!({"choices": [{"message": {"content": "a"}}]}), "a", true, None),
            (json!({"choices": [{"delta": null, "message": {"content": "a"}}]}), "a", true, None),
            (json!({"choices": [{"text": "a", "finish_reason": null}], "error": null}), "a", true, None),
            (json!({"choices": null, "usage": null}), "", false, None),
            (json!({"choices": {}, "usage": []}), "", false, Some(P::OddType)),
            (json!("ping"), "", false, Some(P::OddType)),
            (json!(null), "", false, None),
        ] {
            let (read, seen) = seen(&value);
            let read = read.unwrap_or_else(|why| panic!("{value}: {why:?}"));
            let wanted: Vec<_> = odd.into_iter().collect();
            assert_eq!((seen.as_str(), read.has_text), (text, has_text), "{value}");
            assert_eq!(read.odd.iter().collect::<Vec<_>>(), wanted, "{value}");
        }
    }

    #[test]
    fn an_empty_error_is_not_a_failure() {
        for error in [json!(false), json!(""), json!({}), json!([]), json!(0), json!({"message": null, "code": 0})] {
            let (read, _) = seen(&json!({"error": error, "choices": []}));
            assert_eq!(read.unwrap().odd.iter().collect::<Vec<_>>(), [Peculiarity::EmptyError], "{error}");
        }
    }

    #[test]
    fn keeps_the_servers_error_message() {
        for (value, words) in [
            (json!({"error": {"message": "worker lost", "code": 500}}), "worker lost"),
            (json!({"error": "overloaded"}), "overloaded"),
            (json!({"error": {"code": 500}}), r#"{"code":500}"#),
            (json!({"error": true}), "true"),
            (json!({"error": {"error": {"message": "deep"}}}), "deep"),
            (json!({"object": "error", "message": "too long", "code": 400}), "too long"),
            (
                json!({"choices": [{"delta": {}, "error": {"message": "upstream"}, "finish_reason": "error"}]}),
                "upstream",
            ),
            (json!({"error": "x".repeat(2000)}), &format!("{}…", "x".repeat(MAX_WORDS))),
            (json!({"error": "é".repeat(2000)}), &format!("{}…", "é".repeat(MAX_WORDS / 2))),
        ] {
            assert_eq!(seen(&value).0, Err(NoAnswer::Failed(words.to_owned())), "{value}");
        }
        assert_eq!(object(b"{oops", |_, _, _| ()), Err(NoAnswer::NotJson));
        assert_eq!(words(b" plain words\n"), "plain words");
        assert_eq!(words(br#"{"code":500,"message":"context shift failed"}"#), "context shift failed");
    }

    #[test]
    fn reads_token_counts_of_valid_values() {
        let of = |tokens: Value| {
            let (read, _) = seen(&json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": tokens}}));
            let read = read.unwrap();
            (read.tokens, read.odd.iter().next().is_some())
        };
        assert_eq!(of(json!(2)), (Some(2), false));
        assert_eq!(of(json!(0)), (Some(0), false));
        assert_eq!(of(json!(2.0)), (Some(2), true));
        assert_eq!(of(json!("2")), (Some(2), true));
        for odd in [json!(-35), json!(2.5), json!("two"), json!([2]), json!(true), json!(1e300)] {
            assert_eq!(of(odd.clone()), (None, true), "{odd}");
        }
        assert_eq!(of(Value::Null), (None, false));
    }

    #[test]
    fn reads_only_non_empty_finish_reasons() {
        let (read, _) = seen(&json!({"choices": [
            {"delta": {}, "finish_reason": "stop"}, {"delta": {}, "finish_reason": null}, {"delta": {}, "finish_reason": ""},
            {"text": "", "finish_reason": "abort"},
        ]}));
        assert_eq!(read.unwrap().finish, ["stop", "abort"]);
        let mut texts = Vec::new();
        let choices =
            json!({"choices": [{"index": 2, "text": "c"}, {"text": "b"}, {"index": "0", "text": "a"}, {"index": -1}]});
        object(choices.to_string().as_bytes(), |index, part, text| {
            if part == ChoicePart::Text {
                texts.push(format!("{index}{text}"));
            }
        })
        .unwrap();
        assert_eq!(texts, ["2", "2c", "1", "1b", "0", "0a", "3"], "an index that is none is the place");
    }
}
