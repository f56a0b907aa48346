//! Secrets through the binary: what is given by `--secret`, sent in headers and URLs, or is in the kubeconfig is looked
//! for in everything that a run writes, prints and sends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::support::none_of;
use crate::support::server::echo;
use crate::support::shakedown::Shakedown;

const TOKEN: &str = "pl4nted-t0ken/with+signs==";
const KEY: &str = "pl4nted-api-key";
const COOKIE: &str = "pl4nted-session";
const PASSWORD: &str = "pl4nted-passw0rd";
const HOOK: &str = "pl4nted-hook";
const QUERY: &str = "pl4nted-in-a-query";
const SCRAPE: &str = "pl4nted-for-prometheus";
const COLLECTOR: &str = "pl4nted-for-the-collector";
/// What all of them have in common, in whatever form.
const MARK: &str = "pl4nted";

const SCENARIO: &str = r#"version: 1
name: secrets
description: The token {{ token }} is in the description.
vars: {token: none, note: plain}
load:
  direct:
    http:
      url: 'URL'
      path: /?api_key=QUERY
      headers:
        Authorization: "Bearer {{ token }}"
        X-Api-Key: KEY
        Cookie: session=COOKIE
        X-Note: "{{ note }}"
    rate: 20/s
    timeout: 2s
  completions:
    openai: {service: "vllm-agg-0-frontend:8000", model: Qwen/Qwen3-0.6B, prompt: "Say {{ token }}.", max_tokens: 3, headers: {Authorization: "Bearer {{ token }}"}}
    rate: 10/s
    timeout: 5s
phases:
  - name: before
    duration: 2s
  - name: cut
    duration: 4s
    faults:
      nats-cut:
        partition: {pods: {prefix: vllm-agg-0-vllmdecodeworker, count: 1}, from: [{service: nats}], prove: applied}
    expect:
      - success_rate: {min: 99%}
      - prometheus: {url: 'URL', query: up, min: 1, headers: {Cookie: session=SCRAPE}}
"#;

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// The forms in which a secret travels.
fn forms(secret: &str) -> Vec<String> {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(secret);
    let url = secret.replace('/', "%2F").replace('+', "%2B").replace('=', "%3D");
    vec![secret.to_owned(), encoded.trim_end_matches('=').to_owned(), url]
}

#[test]
fn no_output_of_a_run_holds_a_secret() {
    let (url, heard) = echo();
    let shakedown = Shakedown::new()
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_STEP_SUMMARY", "step.md")
        .env("TOKEN_OF_CI", TOKEN)
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key={COLLECTOR}"));
    shakedown.file("step.md", "");
    let with_password = url.replace("http://", &format!("http://me:{PASSWORD}@"));
    let text = SCENARIO.replace("KEY", KEY).replace("COOKIE", COOKIE).replace("QUERY", QUERY).replace("SCRAPE", SCRAPE);
    shakedown.file("secrets.yaml", text.replace("URL", &url));
    shakedown.file("password.yaml", text.replace("URL", &with_password));
    let sandbox = shakedown.start(&["sandbox", "--topology", "quick", "--write-kubeconfig", "plain"]);
    sandbox.stderr_line("the sandbox listens on", Duration::from_secs(30));
    let kubeconfig = std::fs::read_to_string(shakedown.path("plain")).expect("a kubeconfig");
    let bearer = kubeconfig.lines().find_map(|line| line.trim().strip_prefix("token: ")).expect("a token").to_owned();
    shakedown.file("kubeconfig", kubeconfig);

    let secret = format!("token={TOKEN}");
    let common = ["--kubeconfig", "kubeconfig", "--secret", &secret, "secrets.yaml"];
    let hook = format!("{url}/hook?key={HOOK}");
    let exports = ["--out", "out/run", "--otlp", &url, "--notify", &hook, "--prometheus-textfile", "out/metrics.prom"];
    let run = shakedown
        .start(&[&["-v", "run", "--inject-anyway"], &common[..], &exports[..]].concat())
        .finish(Duration::from_secs(120));
    // The service refuses the load, so nothing about its baseline is healthy; what counts here is that all was done.
    assert!([1, 4].contains(&run.code()) && run.stderr.contains("fault nats-cut: undone"), "{run}");
    let plan = shakedown.run(&[&["plan"], &common[..]].concat()).expect_code(0);
    let data = shakedown.run(&[&["plan", "-o", "json"], &common[..]].concat()).expect_code(0);
    assert!(serde_json::from_str::<serde_json::Value>(&data.stdout).is_ok(), "{data}");
    let list = shakedown.run(&["list", "--json", "--secret", &secret, "secrets.yaml"]).expect_code(0);
    let bad =
        shakedown.run(&["validate", "--secret", &secret, "--var", "note=x", "--var", "nothing=y", "secrets.yaml"]);
    assert_eq!(bad.code(), 2, "{bad}");
    let refused = shakedown.run(&["validate", "password.yaml"]).expect_code(2);
    assert!(refused.stderr.contains("a password in a URL"), "{refused}");
    let again = shakedown.run(&["report", "out/run/result.json", "--out", "out/again"]).expect_code(0);
    let history = shakedown.run(&["report", "--history", "out", "--out", "out/history"]).expect_code(0);
    sandbox.signal(Signal::INT);
    let stood = sandbox.finish(Duration::from_secs(20));

    // The service got them, so they were there to be leaked.
    let sent = heard.lock().unwrap().clone();
    for part in [
        format!("Bearer {TOKEN}"),
        KEY.to_owned(),
        format!("session={COOKIE}"),
        QUERY.to_owned(),
        SCRAPE.to_owned(),
        COLLECTOR.to_owned(),
    ] {
        assert!(sent.contains(&part), "the load never sent {part}");
    }
    let mut outputs: Vec<(String, String)> = Vec::new();
    for (name, finished) in [
        ("run", &run),
        ("plan", &plan),
        ("plan -o json", &data),
        ("list", &list),
        ("validate", &bad),
        ("refused", &refused),
        ("report", &again),
        ("history", &history),
        ("sandbox", &stood),
    ] {
        outputs.push((format!("stdout of {name}"), finished.stdout.clone()));
        outputs.push((format!("stderr of {name}"), finished.stderr.clone()));
    }
    for path in files(&shakedown.path("out")).into_iter().chain([shakedown.path("step.md")]) {
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("a file")).into_owned();
        assert!(!text.is_empty(), "{} is empty", path.display());
        outputs.push((path.display().to_string(), text));
    }
    // The bodies that collectors and webhooks got. The requests of the load, and queries of Prometheus, carry their own secrets.
    let posted = sent.split("POST /").skip(1).filter(|it| !it.starts_with("api/v1/query"));
    let exported = posted.map(|it| it.split("GET /").next().unwrap_or_default().to_owned());
    outputs.extend(
        exported
            .enumerate()
            .map(|(index, it)| (format!("export {index}"), it.replacen(HOOK, "", 1).replacen(COLLECTOR, "", 1))),
    );
    let exports = outputs.iter().filter(|(name, _)| name.starts_with("export")).count();
    assert_eq!(exports, 3, "traces, metrics and the webhook");

    let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
    for file in [
        "result.json",
        "report.html",
        "junit.xml",
        "summary.md",
        "events.ndjson",
        "journal.ndjson",
        "metrics.prom",
        "history.html",
    ] {
        assert!(names.iter().any(|name| name.ends_with(file)), "{file} is not in {names:?}");
    }
    let secrets = [TOKEN, KEY, COOKIE, PASSWORD, &bearer, HOOK, QUERY, COLLECTOR, MARK];
    let mut leaks = Vec::new();
    for (name, text) in &outputs {
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            if let Some(at) = text.find(&form) {
                let around: String = text[..at].chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
                leaks.push(format!("{name} holds {form} behind `{around}`"));
            }
        }
    }
    none_of(&leaks);
    let whole: String = outputs.iter().map(|(_, text)| text.as_str()).collect();
    assert!(whole.contains("redacted") && whole.contains("is in the description"), "they would have been in there");
}
