//! The OpenAI API's JSON: the supported parts of requests, and the answers. No HTTP.
//!
//! Unknown fields are ignored, as in servers of the real API: clients send many that do not matter here.

use serde::Deserialize;
use serde_json::{Value, json};

/// The default number of tokens of a request.
const DEFAULT_TOKENS: u32 = 16;

/// `POST /v1/completions`.
#[derive(Debug, Deserialize)]
pub(super) struct CompletionRequest {
    pub(super) model: String,
    pub(super) prompt: Value,
    pub(super) max_tokens: Option<u32>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

/// `POST /v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub(super) struct ChatRequest {
    pub(super) model: String,
    pub(super) messages: Vec<ChatMessage>,
    pub(super) max_tokens: Option<u32>,
    pub(super) max_completion_tokens: Option<u32>,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ChatMessage {
    pub(super) role: String,
    /// A text, or a list of parts, some of which are texts.
    #[serde(default)]
    pub(super) content: Value,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub(super) include_usage: bool,
}

/// The kind of call: the two differ only in their shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    Completion,
    Chat,
}

/// A request of either call.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) kind: CallKind,
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) max_tokens: u32,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

impl Asked {
    /// Reads a request's body.
    ///
    /// # Errors
    /// The error message for the client.
    pub(super) fn read(kind: CallKind, body: &[u8]) -> Result<Self, String> {
        let asked = match kind {
            CallKind::Completion => {
                let request: CompletionRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                Self {
                    kind,
                    model: request.model,
                    prompt: prompt(&request.prompt).ok_or("`prompt` must be a text or a list of texts")?,
                    max_tokens: request.max_tokens.unwrap_or(DEFAULT_TOKENS),
                    stream: request.stream.unwrap_or(false),
                    include_usage: request.stream_options.is_some_and(|options| options.include_usage),
                }
            }
            CallKind::Chat => {
                let request: ChatRequest = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                if request.messages.is_empty() {
                    return Err("`messages` is empty".into());
                }
                let texts = request.messages.iter().map(|message| format!("{}: {}", message.role, message.text()));
                Self {
                    kind,
                    model: request.model,
                    prompt: texts.collect::<Vec<_>>().join("\n"),
                    max_tokens: request.max_completion_tokens.or(request.max_tokens).unwrap_or(DEFAULT_TOKENS),
                    stream: request.stream.unwrap_or(false),
                    include_usage: request.stream_options.is_some_and(|options| options.include_usage),
                }
            }
        };
        if asked.max_tokens == 0 {
            return Err("`max_tokens` must be at least 1".into());
        }
        Ok(asked)
    }

    /// How many tokens the prompt counts: its words.
    pub(super) fn prompt_tokens(&self) -> u32 {
        u32::try_from(self.prompt.split_whitespace().count()).unwrap_or(u32::MAX)
    }

    fn usage(&self, tokens: u32) -> Value {
        let prompt = self.prompt_tokens();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": tokens,
            "total_tokens": prompt.saturating_add(tokens),
        })
    }
}

/// One text, or several that are answered as one.
fn prompt(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(texts) => Some(texts.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join("\n")),
        _ => None,
    }
}

impl ChatMessage {
    fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join(" "),
            _ => String::new(),
        }
    }
}

/// Makes the answers to one request.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) asked: Asked,
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: i64,
}

impl Writer {
    /// The whole answer.
    pub(super) fn whole(&self, text: &str, tokens: u32) -> Value {
        let (object, choice) = match self.asked.kind {
            CallKind::Completion => {
                ("text_completion", json!({"index": 0, "text": text, "logprobs": null, "finish_reason": "length"}))
            }
            CallKind::Chat => (
                "chat.completion",
                json!({
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "logprobs": null,
                    "finish_reason": "length",
                }),
            ),
        };
        let mut answer = self.envelope(object, vec![choice]);
        answer["usage"] = self.asked.usage(tokens);
        answer
    }

    /// A part of a streamed answer with the token of this index.
    pub(super) fn token(&self, text: &str, index: u32) -> Value {
        let choice = match self.asked.kind {
            CallKind::Completion => json!({"index": 0, "text": text, "logprobs": null, "finish_reason": null}),
            CallKind::Chat if index == 0 => {
                json!({"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": null})
            }
            CallKind::Chat => json!({"index": 0, "delta": {"content": text}, "finish_reason": null}),
        };
        self.envelope(self.chunk(), vec![choice])
    }

    /// The last part of a streamed answer, or its last two.
    pub(super) fn end(&self, tokens: u32) -> Vec<Value> {
        let choice = match self.asked.kind {
            CallKind::Completion => json!({"index": 0, "text": "", "logprobs": null, "finish_reason": "length"}),
            CallKind::Chat => json!({"index": 0, "delta": {}, "finish_reason": "length"}),
        };
        let mut parts = vec![self.envelope(self.chunk(), vec![choice])];
        if self.asked.include_usage {
            let mut usage = self.envelope(self.chunk(), vec![]);
            usage["usage"] = self.asked.usage(tokens);
            parts.push(usage);
        }
        parts
    }

    fn chunk(&self) -> &'static str {
        match self.asked.kind {
            CallKind::Completion => "text_completion",
            CallKind::Chat => "chat.completion.chunk",
        }
    }

    fn envelope(&self, object: &str, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.asked.model,
            "choices": choices,
        })
    }
}

/// An error in the API's format.
pub(super) fn error(message: &str, kind: &str, code: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}
