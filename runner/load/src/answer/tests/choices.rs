//! Answers with several choices (`n` above 1), whose deltas arrive in any order.

use super::*;
use crate::oracle::Oracle;

/// An event with text of one choice.
fn of(index: u64, text: &str) -> String {
    event(&json!({"choices": [{"index": index, "delta": {"content": text}, "finish_reason": null}]}))
}

/// The end of two choices, and of the stream.
fn ends() -> String {
    let end = |index: u64| json!({"choices": [{"index": index, "delta": {}, "finish_reason": "stop"}]});
    [event(&end(1)), event(&end(0)), DONE.to_owned()].concat()
}

fn streamed(target: &Target, events: &[String]) -> Outcome {
    whole(target, 200, SSE, &(events.concat() + &ends()))
}

#[test]
fn a_check_is_about_the_first_choice() {
    let hello = stream(&json!({"contains": "hello"}));
    assert_eq!(streamed(&hello, &[of(0, "hel"), of(1, "x"), of(0, "lo")]).failure, None);
    assert_eq!(streamed(&hello, &[of(0, "hel"), of(1, "lo")]).failure, Some(Failure::Check), "of two choices");
    assert_eq!(streamed(&hello, &[of(1, "hello"), of(0, "bye")]).failure, Some(Failure::Check), "of the second");
    let without_zero = [of(2, "bye"), of(1, "hello"), DONE.to_owned()].concat();
    assert_eq!(outcome(&hello, 200, SSE, &without_zero), None, "there is none with the index 0");
    let whole_text = stream(&json!({"matches": "^hello$"}));
    assert_eq!(streamed(&whole_text, &[of(1, "a"), of(0, "hel"), of(1, "b"), of(0, "lo")]).failure, None);
    let json = stream(&json!({"json": [{"path": "$.choices[0].message.content", "equals": "hello"}]}));
    assert_eq!(streamed(&json, &[of(1, "x"), of(0, "hello")]).failure, None, "the order of arrival does not matter");
    let plain = openai(false);
    let choice =
        |index: u64, text: &str| json!({"index": index, "message": {"content": text}, "finish_reason": "stop"});
    for (choices, failure) in [
        (json!([choice(1, "bye"), choice(0, "hello")]), None),
        (json!([choice(0, "bye"), choice(1, "hello")]), Some(Failure::Check)),
        (json!([choice(0, "hel"), choice(1, "lo")]), Some(Failure::Check)),
        (json!([{"text": "hello"}, {"text": "bye"}]), None),
        (json!([{"text": "bye"}, {"text": "hello"}]), Some(Failure::Check)),
    ] {
        assert_eq!(outcome(&plain, 200, JSON, &json!({"choices": choices}).to_string()), failure, "{choices}");
    }
}

#[test]
fn each_choice_is_compared_by_itself() {
    let mut target = stream(&json!({}));
    target.oracle = Some(Oracle::new(0));
    let text = |events: &[String]| streamed(&target, events).said.unwrap();
    let first = text(&[of(0, "one "), of(1, "three"), of(0, "two")]);
    assert_eq!(text(&[of(1, "thr"), of(0, "one two"), of(1, "ee")]), first, "the order of arrival does not matter");
    assert_ne!(text(&[of(0, "one twothree")]), first);
    assert_ne!(text(&[of(0, "one "), of(1, "twothree")]), first, "a text of the other choice");
    assert_ne!(text(&[of(0, "one two"), of(1, "")]), first);
}

/// Answers that differ in anything but their text were the same.
#[test]
fn every_part_of_an_answer_is_compared() {
    let mut target = stream(&json!({}));
    target.oracle = Some(Oracle::new(0));
    let mut plain = self::target(json!({"openai": {"url": "http://x", "model": "m", "prompt": "p"}}));
    plain.oracle = Some(Oracle::new(0));
    let finished = |key: &str, message: &serde_json::Value, reason: &str| json!({"choices": [{key: message, "finish_reason": reason}]});
    let of = |message: serde_json::Value, reason: &str| {
        let events = event(&finished("delta", &message, reason)) + DONE;
        let streamed = whole(&target, 200, SSE, &events).said.unwrap();
        let at_once = whole(&plain, 200, JSON, &finished("message", &message, reason).to_string()).said.unwrap();
        assert_eq!(streamed, at_once, "{message}");
        streamed
    };
    let tool = |name: &str, arguments: serde_json::Value| json!({"tool_calls": [{"index": 0, "id": "random", "function": {"name": name, "arguments": arguments}}]});
    let different = [
        of(json!({}), "stop"),
        of(json!({}), "length"),
        of(json!({"reasoning_content": "a"}), "stop"),
        of(json!({"reasoning": "b"}), "stop"),
        of(json!({"refusal": "a"}), "stop"),
        of(json!({"content": "a"}), "stop"),
        of(tool("f", json!("{}")), "tool_calls"),
        of(tool("g", json!("{}")), "tool_calls"),
        of(tool("f", json!("{\"a\": 1}")), "tool_calls"),
        of(tool("f", json!({"a": 1})), "tool_calls"),
        of(json!({"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "x"}}]}), "tool_calls"),
        of(json!({"function_call": {"name": "f", "arguments": "a"}}), "function_call"),
        of(json!({"function_call": {"name": "f", "arguments": "b"}}), "function_call"),
    ];
    for (at, one) in different.iter().enumerate() {
        assert_eq!(different.iter().position(|other| other == one), Some(at), "{one:?}");
    }
    // Another server's deltas: the name in each of them, the arguments in other pieces.
    let delta = |message: serde_json::Value| event(&json!({"choices": [{"delta": message}]}));
    let pieces =
        [delta(tool("f", json!("{\"a\""))), delta(tool("f", json!(": 1}"))), end("tool_calls"), DONE.to_owned()];
    assert_eq!(whole(&target, 200, SSE, &pieces.concat()).said.unwrap(), different[8]);
}

#[test]
fn each_choice_repeats_only_its_own_text() {
    let any = stream(&json!({}));
    let repeats = |before: &[String], after: &[String]| {
        let asked = Asked::of(&any, 0);
        let mut answer = Answer::new(&asked, 200, &HeaderMap::new());
        answer.piece(&asked, before.concat().as_bytes(), false);
        // Each choice goes on in a piece of its own. The first ends the gap.
        after.iter().enumerate().for_each(|(at, piece)| answer.piece(&asked, piece.as_bytes(), at == 0));
        answer.piece(&asked, ends().as_bytes(), false);
        answer.outcome(&asked, |_| true).is_repeated
    };
    let text = "It was the best of times";
    let both = [of(0, text), of(1, "It was the age of wisdom")];
    assert!(!repeats(&both, &[of(0, ", it was the worst"), of(1, ", it was the age")]));
    assert!(
        repeats(&both, &[of(0, ", it was the worst"), of(1, "It was the age of wisdom")]),
        "the second begins anew"
    );
    assert!(!repeats(&both[..1], &[of(1, text)]), "with temperature 0 all choices are the same");
    assert!(!repeats(&both, &[of(1, text), of(0, ", it was the worst")]), "the text of the other choice");
}
