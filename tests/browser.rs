//! The HTML report in a real browser: it renders, its script runs without an error, and it asks the network for nothing.

use std::process::Command;
use std::time::Duration;

use crate::support::process::run;
use crate::support::server::serve;
use crate::support::shakedown::Shakedown;
use crate::support::{program, skipped};

const SCENARIO: &str = "version: 1
name: page
description: A run that a browser looks at.
load:
  pages:
    http: {url: 'URL'}
    rate: 100/s
phases:
  - name: baseline
    duration: 2s
  - name: after
    duration: 2s
    expect:
      - success_rate: {min: 90%}
      - latency_ratio: {percentile: p95, to: baseline, max: 1000}
";

#[test]
fn the_page_renders_without_an_error_and_without_the_network() {
    let Some(chromium) = program("chromium") else {
        return skipped("the_page_renders_without_an_error_and_without_the_network", "chromium is not installed");
    };
    let shakedown = Shakedown::new();
    shakedown.file("page.yaml", SCENARIO.replace("URL", &serve()));
    let finished = shakedown.run(&["run", "page.yaml", "--out", "out"]);
    let reports = shakedown.reports("out");
    let page = format!("file://{}", reports.path("report.html").display());
    let profile = format!("--user-data-dir={}", shakedown.path("profile").display());
    let log = shakedown.path("network.json");
    let mut command = Command::new(chromium);
    command.env("HOME", shakedown.folder()).args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // Whatever the page would ask for, no name is resolved.
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--dump-dom",
    ]);
    command.arg(format!("--log-net-log={}", log.display())).args([&profile, &page]);
    let shown = run(&mut command, Duration::from_secs(90)).expect_code(0);

    let verdict = reports.result.verdict.word();
    let text = shown.stdout.to_lowercase();
    assert!(text.contains(verdict) && text.contains("<svg"), "the page lacks `{verdict}` or a chart\n{finished}");
    for it in &reports.scenario().expectations {
        assert!(shown.stdout.contains(&it.observed_text), "the page lacks {}", it.observed_text);
    }
    let errors: Vec<&str> = shown.stderr.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(errors.is_empty(), "the page complains: {errors:?}");
    let log = std::fs::read_to_string(log).expect("the browser's log of its requests");
    for scheme in ["\"url\":\"http:", "\"url\":\"https:", "\"url\":\"ws:", "\"url\":\"wss:"] {
        assert!(!log.contains(scheme), "the browser asked the network for something: {scheme}");
    }
}
