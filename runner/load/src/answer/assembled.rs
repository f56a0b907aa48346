//! Assembles the events of a stream into the answer that the API would have given without streaming. `check.json` searches
//! it.

use serde_json::{Map, Value, json};

use super::json::parse;

/// The events so far, as one object.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    whole: Map<String, Value>,
}

impl Assembled {
    /// Adds an event.
    pub(super) fn add(&mut self, event: &[u8]) {
        let Ok((Value::Object(mut event), _)) = parse(event) else { return };
        if let Some(Value::Array(choices)) = event.remove("choices") {
            choices.into_iter().zip(0..).for_each(|(choice, place)| self.choice(choice, place));
        }
        for (key, value) in event {
            // A null means that there is no value yet, as in `usage`.
            if !value.is_null() || !self.whole.contains_key(&key) {
                self.whole.insert(key, value);
            }
        }
    }

    /// The answer, with its choices in the order of their indices.
    pub(super) fn into_value(mut self) -> Value {
        if let Some(Value::Array(choices)) = self.whole.get_mut("choices") {
            choices.sort_by_key(|choice| choice["index"].as_u64());
        }
        Value::Object(self.whole)
    }

    fn choice(&mut self, choice: Value, place: u64) {
        let Value::Object(mut choice) = choice else { return };
        let all = self.whole.entry("choices").or_insert_with(|| json!([]));
        let Value::Array(all) = all else { return };
        let index = choice.get("index").cloned().unwrap_or_else(|| json!(place));
        let at = match all.iter().position(|known| known["index"] == index) {
            Some(at) => at,
            None => {
                all.push(json!({ "index": index }));
                all.len() - 1
            }
        };
        let delta = choice.shift_remove("delta").filter(|delta| !delta.is_null());
        if let Some(delta) = delta {
            choice.insert("message".to_owned(), delta);
        }
        choice.shift_remove("index");
        merge(&mut all[at], Value::Object(choice));
    }
}

/// Adds an event's content: strings are appended, lists are merged by their elements' `index`, and other values are
/// replaced.
fn merge(whole: &mut Value, more: Value) {
    match (whole, more) {
        (_, Value::Null) => {}
        (Value::Object(whole), Value::Object(more)) => {
            for (key, value) in more {
                match whole.get_mut(&key) {
                    // Names and types are not appended: they may be repeated.
                    Some(known) if !is_said_once(&key) => merge(known, value),
                    Some(known) if !value.is_null() => *known = value,
                    Some(_) => {}
                    None => drop(whole.insert(key, value)),
                }
            }
        }
        (Value::String(whole), Value::String(more)) => whole.push_str(&more),
        (Value::Array(whole), Value::Array(more)) => {
            for value in more {
                let known = value.get("index").and_then(|at| whole.iter_mut().find(|it| it.get("index") == Some(at)));
                match known {
                    Some(known) => merge(known, value),
                    None => whole.push(value),
                }
            }
        }
        (whole, more) => *whole = more,
    }
}

fn is_said_once(key: &str) -> bool {
    ["role", "finish_reason", "stop_reason", "id", "type", "name", "index"].contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assembles_the_events_of_a_stream() {
        let mut all = Assembled::default();
        let delta = |delta: Value, finish: Value| json!({"id": "x", "usage": null, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        for event in [
            delta(json!({"role": "assistant", "content": ""}), Value::Null),
            delta(json!({"content": "a"}), Value::Null),
            delta(json!({"role": "assistant", "content": "b"}), Value::Null),
            delta(
                json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{\"a\""}}]}),
                Value::Null,
            ),
            delta(json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"arguments": ": 1}"}}]}), Value::Null),
            delta(json!({}), json!("stop")),
            json!({"choices": [], "usage": {"completion_tokens": 2}}),
        ] {
            all.add(event.to_string().as_bytes());
        }
        all.add(b"no JSON");
        let call = json!({"index": 0, "id": "c1", "function": {"name": "f", "arguments": "{\"a\": 1}"}});
        let message = json!({"role": "assistant", "content": "ab", "tool_calls": [call]});
        let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
        assert_eq!(all.into_value(), json!({"id": "x", "choices": [choice], "usage": {"completion_tokens": 2}}));
    }

    #[test]
    fn keeps_choices_and_texts_apart() {
        let mut all = Assembled::default();
        for (index, text) in [(1, "x"), (0, "a"), (1, "y")] {
            all.add(json!({"choices": [{"index": index, "text": text}]}).to_string().as_bytes());
        }
        all.add(json!({"choices": [{"text": "b"}]}).to_string().as_bytes());
        assert_eq!(all.into_value(), json!({"choices": [{"index": 0, "text": "ab"}, {"index": 1, "text": "xy"}]}));
    }
}
