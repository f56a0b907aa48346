//! The schema in an editor: the YAML language server of VS Code, Vim and others, driven over stdio on good and bad files.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{need, none_of, root};

/// How long the server may take for an answer. Its first one compiles the schema.
const LIMIT: Duration = Duration::from_secs(60);

/// The language server, as an editor starts it. It ends with this value.
struct Server {
    child: Child,
    stdin: ChildStdin,
    messages: Receiver<Value>,
    waiting: VecDeque<Value>,
    serial: u64,
}

impl Server {
    /// Starts it and says what an editor says first.
    fn start() -> Self {
        let program = root().join("target/tools/editor/node_modules/yaml-language-server/bin/yaml-language-server");
        assert!(program.is_file(), "this test needs yaml-language-server: .ci/run installs it into target/tools");
        let mut child = Command::new(need("node"))
            .arg(program)
            .arg("--stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let stdin = child.stdin.take().expect("its stdin");
        let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        let (sender, messages) = channel();
        std::thread::spawn(move || messages_of(stdout).for_each(|message| _ = sender.send(message)));
        let mut server = Self { child, stdin, messages, waiting: VecDeque::new(), serial: 0 };
        let capabilities = json!({
            "textDocument": {
                "completion": {"completionItem": {"snippetSupport": true, "documentationFormat": ["markdown"]}},
                "hover": {"contentFormat": ["markdown"]},
            },
            "workspace": {"configuration": true, "didChangeConfiguration": {"dynamicRegistration": true}},
        });
        server.ask("initialize", json!({"processId": null, "rootUri": null, "capabilities": capabilities}));
        server.send(json!({"method": "initialized", "params": {}}));
        server
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        let text = message.to_string();
        write!(self.stdin, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("the server reads");
        self.stdin.flush().expect("the server reads");
    }

    /// The next message that fits. Questions of the server are answered on the way.
    fn wait(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&fits) {
            return self.waiting.remove(at).expect("it is there");
        }
        loop {
            let message = self.messages.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("no answer to {what}"));
            if message["method"].is_string() && !message["id"].is_null() {
                let yaml =
                    json!({"validate": true, "hover": true, "completion": true, "schemaStore": {"enable": false}});
                let asked = message["params"]["items"].as_array().cloned().unwrap_or_default();
                let settings = asked.iter().map(|it| if it["section"] == "yaml" { yaml.clone() } else { Value::Null });
                let result: Value =
                    if message["method"] == "workspace/configuration" { settings.collect() } else { Value::Null };
                self.send(json!({"id": message["id"], "result": result}));
            } else if fits(&message) {
                return message;
            } else {
                self.waiting.push_back(message);
            }
        }
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.serial += 1;
        let id = self.serial;
        self.send(json!({"id": id, "method": method, "params": params}));
        let answer = self.wait(method, |it| it["id"] == id && it["method"].is_null());
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// Opens a text as a file next to the shipped scenarios, and returns the messages of its problems.
    fn open(&mut self, name: &str, text: &str) -> Vec<String> {
        let uri = uri(name);
        let document = json!({"uri": uri, "languageId": "yaml", "version": 1, "text": text});
        self.send(json!({"method": "textDocument/didOpen", "params": {"textDocument": document}}));
        let published =
            self.wait(name, |it| it["method"] == "textDocument/publishDiagnostics" && it["params"]["uri"] == uri);
        let problems = published["params"]["diagnostics"].as_array().cloned().unwrap_or_default();
        problems.iter().map(|it| it["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The text of a hover over the first place of `part`.
    fn hover(&mut self, name: &str, text: &str, part: &str) -> String {
        let params = json!({"textDocument": {"uri": uri(name)}, "position": position(text, part)});
        let answer = self.ask("textDocument/hover", params);
        answer["contents"]["value"].as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Each message, with its header removed.
fn messages_of(mut stream: impl BufRead) -> impl Iterator<Item = Value> {
    std::iter::from_fn(move || {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some((key, value)) if key.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    })
}

fn path(name: &str) -> PathBuf {
    root().join("scenarios").join(name)
}

fn uri(name: &str) -> String {
    format!("file://{}", path(name).display())
}

fn position(text: &str, part: &str) -> Value {
    let at = text.find(part).unwrap_or_else(|| panic!("no `{part}` in\n{text}"));
    let line = text[..at].matches('\n').count();
    let start = text[..at].rfind('\n').map_or(0, |it| it + 1);
    json!({"line": line, "character": at - start})
}

/// A change of the quickstart, and the parts of the one message that follows.
const BAD: &[(&str, &str, &[&str])] = &[
    ("duration: 4s", "duration: 4", &["a duration with its unit"]),
    ("duration: 4s", "duration: four", &["expected: ", "a duration with its unit"]),
    ("duration: 4s", "duraton: 4s", &["duraton"]),
    ("partition:\n", "partitoin:\n", &["this is no kind of fault", "`partition`", "`netem`"]),
    ("success_rate: {min: 99%}", "succes_rate: {min: 99%}", &["this is no kind of expectation", "`success_rate`"]),
    ("success_rate: {min: 99%}", "success_rate: {min: 99}", &[]),
    ("stream: true", "stream: maybe", &[]),
    ("from: [{service: nats}]", "from: [{servce: nats}]", &["servce"]),
    ("model: Qwen/Qwen3-0.6B", "modle: x", &[]),
];

#[test]
#[ignore = "needs yaml-language-server"]
fn good_files_have_no_problems_and_bad_ones_have_words() {
    let mut server = Server::start();
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(root().join("scenarios")).expect("the scenarios") {
        let file = entry.expect("a file").path();
        if file.extension().is_some_and(|it| it == "yaml") {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let problems = server.open(&name, &std::fs::read_to_string(&file).expect("a scenario"));
            wrong.extend(problems.iter().map(|it| format!("{name}: {it}")));
        }
    }
    let quickstart = std::fs::read_to_string(path("quickstart.yaml")).expect("the quickstart");
    for (number, (before, after, parts)) in BAD.iter().enumerate() {
        assert!(quickstart.contains(before), "{before}");
        let problems = server.open(&format!("bad-{number}.yaml"), &quickstart.replacen(before, after, 1));
        let all = problems.join("\n");
        if problems.is_empty() || !parts.iter().all(|part| all.contains(part)) {
            wrong.push(format!("{after}: {problems:?}"));
        }
        if all.contains(['^', '\\']) {
            wrong.push(format!("{after}: a raw pattern in {problems:?}"));
        }
    }
    none_of(&wrong);
}

#[test]
#[ignore = "needs yaml-language-server"]
fn hovers_and_completions_are_complete() {
    let mut server = Server::start();
    let text = std::fs::read_to_string(path("quickstart.yaml")).expect("the quickstart");
    server.open("quickstart.yaml", &text);
    let mut wrong = Vec::new();
    for (key, parts) in [
        ("duration: 4s", &["duration of the phase", "a duration with its unit"][..]),
        ("timeout: 10s", &["timeout of a request", "Default"]),
        ("partition:\n", &["Cut the links"]),
        ("success_rate", &["share"]),
        ("rate: ", &["the rate at which requests start"]),
    ] {
        let hover = server.hover("quickstart.yaml", &text, key);
        if !parts.iter().all(|part| hover.contains(part)) {
            wrong.push(format!("the hover of {key}: {hover}"));
        }
    }
    let open = |rest: &str| {
        format!("# yaml-language-server: $schema=../schemas/scenario.schema.json\nversion: 1\nname: x\n{rest}")
    };
    let fault = open("phases:\n  - name: a\n    duration: 30s\n    faults:\n      f:\n        ");
    let phase = open("phases:\n  - ");
    let load = open("load:\n  main:\n    ");
    let loads = open("load:\n  ");
    let expect = open("phases:\n  - name: a\n    duration: 30s\n    expect:\n      - ");
    for (name, text, labels) in [
        ("fault.shakedown.yaml", fault, &["partition", "netem", "pod_kill", "manifest"][..]),
        ("phase.shakedown.yaml", phase, &["phase", "phase with a fault"]),
        ("loads.shakedown.yaml", loads, &["load"]),
        ("expect.shakedown.yaml", expect, &["success_rate", "latency", "recovery_time"]),
        ("load.shakedown.yaml", load, &["load", "http", "openai", "rate"]),
    ] {
        server.open(name, &text);
        let last = text.rsplit('\n').next().expect("a line").to_owned();
        // The end of the text.
        let params = json!({"textDocument": {"uri": uri(name)}, "position": {"line": text.matches('\n').count(), "character": last.len()}});
        let answer = server.ask("textDocument/completion", params);
        let items = answer["items"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<(String, String)> = items
            .iter()
            .map(|it| {
                (
                    it["label"].as_str().unwrap_or_default().to_owned(),
                    it["insertText"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        for label in labels.iter().filter(|label| !found.iter().any(|(it, _)| it == *label)) {
            wrong.push(format!(
                "{name}: no completion {label} among {:?}",
                found.iter().map(|it| &it.0).collect::<Vec<_>>()
            ));
        }
        let all = found.len();
        // A load has its words as keys and as snippets.
        found.sort();
        match name {
            "load.shakedown.yaml" => found.dedup(),
            _ => found.dedup_by(|one, other| one.0 == other.0),
        }
        if found.len() != all {
            wrong.push(format!("{name}: the same completion twice"));
        }
    }
    none_of(&wrong);
}
