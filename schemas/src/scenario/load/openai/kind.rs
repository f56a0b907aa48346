//! The facts and checks of the kind `openai`.

use crate::check::Findings;
use crate::check::load::{Place, Rows, answer, request};
use crate::diagnostic::{Code, Diagnostic};
use crate::rule::Rule;
use crate::scenario::load::kind::{LoadFacts, LoadKind};
use crate::scenario::load::scheme::Scheme;
use crate::scenario::{OpenAi, OpenAiEndpoint, Order, Prompts, Reach, Secret};
use crate::tables;

/// Parameters of the API with a dedicated key, and that key.
const DEDICATED: [(&str, &str); 6] = [
    ("model", "model"),
    ("prompt", "prompt"),
    ("messages", "prompt"),
    ("max_tokens", "max_tokens"),
    ("stream", "stream"),
    ("stream_options", "usage"),
];

/// The parameters of them that a `null` removes from the request.
const REMOVABLE: [&str; 2] = ["max_tokens", "stream_options"];

impl LoadKind for OpenAi {
    const FACTS: LoadFacts = LoadFacts {
        sent: &[&["prompt"], &["headers", "*"]],
        schemes: Scheme::HTTP,
        uses: &["version", "connections", "streams", "tls", "feeder", "group_by"],
        rules: &[Rule::One(&["service", "url"]), Rule::One(&["prompt", "prompts"])],
        hint: "{service: \"frontend:8000\", ...}",
        example: "{service: \"frontend:8000\", model: Qwen/Qwen3-0.6B, prompt: Say hello., stream: true}",
    };

    fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    fn reach(&self) -> Option<Reach> {
        self.reach
    }

    fn endpoint(&self) -> Option<&'static str> {
        Some(self.endpoint.path())
    }

    fn same_as(&self) -> Option<&str> {
        self.check.as_ref()?.same_as.as_deref()
    }

    fn check(&self, path: &str, rows: &mut Rows, findings: &mut Findings<'_>) {
        check(path, self, rows, findings);
    }

    fn secrets(&self) -> Vec<Secret> {
        Secret::headers(&self.headers)
    }
}

fn check(path: &str, openai: &OpenAi, rows: &mut Rows, findings: &mut Findings<'_>) {
    request::headers(path, &openai.headers, rows, findings);
    request::plain_answers(path, &openai.headers, findings);
    answer::check(path, openai.check.as_ref(), true, findings);
    if openai.model.is_empty() {
        findings.push(
            &format!("{path}.model"),
            Diagnostic::error(Code::NothingThere, "the model's name is empty")
                .help("write the model's name on the server"),
        );
    }
    if openai.max_tokens == 0 {
        findings.push(
            &format!("{path}.max_tokens"),
            Diagnostic::error(Code::LoadLimit, "an answer needs at least one token").help("write `max_tokens: 16`"),
        );
    }
    match (&openai.prompt, &openai.prompts) {
        (None, None) => findings.push(
            path,
            Diagnostic::error(Code::ExactlyOne, "this load has no prompt")
                .help("write `prompt: Say hello.`, or `prompts: {file: prompts.jsonl}`"),
        ),
        (Some(_), Some(_)) => findings.push_at_key(
            &format!("{path}.prompts"),
            Diagnostic::error(Code::ExactlyOne, "this load has both `prompt` and `prompts`").help("keep one of them"),
        ),
        (Some(prompt), None) => rows.check(&format!("{path}.prompt"), prompt, Place::Body, findings),
        (None, Some(it)) => rows.prompts_cycle = prompts(&format!("{path}.prompts"), it, openai.endpoint, findings),
    }
    same_as(path, openai, findings);
    if let Some(stall_after) = openai.stall_after {
        let path = format!("{path}.stall_after");
        if stall_after.is_zero() {
            findings.push(
                &path,
                Diagnostic::error(Code::ZeroDuration, "`stall_after` is zero").help("write `stall_after: 5s`"),
            );
        } else if !openai.stream {
            findings.push_at_key(
                &path,
                Diagnostic::error(Code::AnswerCheck, "only a stream can stall between tokens")
                    .help("add `stream: true`, or remove it"),
            );
        }
    }
    if !openai.stream && findings.map.has(&format!("{path}.usage")) {
        findings.push_at_key(
            &format!("{path}.usage"),
            Diagnostic::error(
                Code::AnswerCheck,
                "`usage` is for streams: other answers always contain their token count",
            )
            .help("add `stream: true`, or remove it"),
        );
    }
    for (name, value) in &openai.parameters {
        if value.is_null() && REMOVABLE.contains(&name.as_str()) {
            continue;
        }
        if let Some((_, key)) = DEDICATED.iter().find(|(parameter, _)| parameter == name) {
            findings.push_at_key(
                &format!("{path}.parameters.{name}"),
                Diagnostic::error(Code::ExactlyOne, format!("the parameter `{name}` has a dedicated key"))
                    .help(format!("write `{key}` next to `parameters`")),
            );
        }
    }
}

/// Answers can be compared only if prompts repeat and the model's answers are deterministic.
fn same_as(path: &str, openai: &OpenAi, findings: &mut Findings<'_>) {
    if openai.check.as_ref().is_none_or(|check| check.same_as.is_none()) {
        return;
    }
    let path = format!("{path}.check.same_as");
    if openai.prompt.as_ref().is_some_and(|prompt| prompt.data().next().is_some()) {
        findings.push(
            &path,
            Diagnostic::error(
                Code::AnswerCheck,
                "each request has a different prompt, so there are no answers to compare",
            )
            .help("remove `{{ ... }}` from the prompt, or use `prompts: {file: prompts.txt}`"),
        );
    }
    let is_zero = openai.parameters.get("temperature").and_then(serde_json::Value::as_f64) == Some(0.0);
    if !is_zero && !openai.parameters.contains_key("seed") {
        findings.push(
            &path,
            Diagnostic::warning(
                Code::AnswerCheck,
                "a model that samples its tokens gives different answers to the same prompt",
            )
            .help("add `parameters: {temperature: 0}`"),
        );
    }
}

/// Checks a set of prompts. Returns its length if its prompts come in order.
fn prompts(path: &str, it: &Prompts, endpoint: OpenAiEndpoint, findings: &mut Findings<'_>) -> Option<u64> {
    let at = format!("{path}.file");
    let bytes = findings.read(&at, &it.file)?;
    let all = match tables::prompts(&it.file, &bytes) {
        Ok(all) => all,
        Err(error) => {
            let message = format!("`{}` is not a set of prompts: {error}", it.file);
            findings.push(
                &at,
                Diagnostic::error(Code::File, message)
                    .help("a text file has one prompt per line; JSON Lines have `{\"prompt\": \"...\"}` on each line"),
            );
            return None;
        }
    };
    let range = it.words.unwrap_or_default();
    let chosen: Vec<_> = all.iter().filter(|prompt| range.holds(prompt.words)).collect();
    if chosen.is_empty() {
        let lengths = all.iter().map(|prompt| prompt.words);
        let (shortest, longest) = (lengths.clone().min().unwrap_or(0), lengths.max().unwrap_or(0));
        findings.push(
            &format!("{path}.words"),
            Diagnostic::error(Code::NothingThere, format!("no prompt of `{}` has this number of words", it.file))
                .help(format!("its prompts have {shortest} to {longest} words")),
        );
    }
    if endpoint == OpenAiEndpoint::Completions && chosen.iter().any(|prompt| prompt.content.is_array()) {
        findings.push(
            &at,
            Diagnostic::error(Code::File, format!("`{}` contains chats, but this endpoint takes texts", it.file))
                .help("write `endpoint: chat`"),
        );
    }
    (it.order == Some(Order::Sequential)).then_some(chosen.len() as u64)
}
