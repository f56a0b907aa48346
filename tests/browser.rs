//! The HTML report in a real browser: it renders, its script runs without an error, and it asks the network for nothing.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

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

/// What a browser makes of a page.
#[derive(Debug)]
struct Seen {
    dom: String,
    /// What the console shows: errors, and whatever the page writes there.
    console: Vec<String>,
    /// What the page asked the network for. What the browser asks for by itself is not in it.
    requests: Vec<String>,
}

fn look(chromium: &Path, shakedown: &Shakedown, page: &Path) -> Seen {
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
        // Whatever a page or the browser asks for, no name is resolved.
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--enable-logging=stderr",
        "--dump-dom",
    ]);
    command.arg(format!("--log-net-log={}", log.display())).args([profile, format!("file://{}", page.display())]);
    let shown = run(&mut command, Duration::from_secs(90)).expect_code(0);
    let log: Value = serde_json::from_str(&std::fs::read_to_string(log).expect("a log of requests")).expect("JSON");
    let asked = log["events"].as_array().expect("events").iter().map(|event| &event["params"]);
    // The browser's own requests come from nowhere.
    let asked = asked.filter(|params| params["initiator"].as_str().is_some_and(|from| from != "not an origin"));
    let remote = asked.filter_map(|params| params["url"].as_str()).filter(|url| !url.starts_with("file:"));
    Seen {
        dom: shown.stdout,
        console: shown.stderr.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_owned).collect(),
        requests: remote.filter(|url| !url.starts_with("data:")).map(str::to_owned).collect(),
    }
}

#[test]
fn the_page_renders_without_an_error_and_without_the_network() {
    let Some(chromium) = program("chromium") else {
        return skipped("the_page_renders_without_an_error_and_without_the_network", "chromium is not installed");
    };
    let shakedown = Shakedown::new();
    // First a page that does both, so that looking away is noticed.
    shakedown.file("bad.html", "<img src='http://example.invalid/x.png'><script>nothing.here()</script>");
    let bad = look(&chromium, &shakedown, &shakedown.path("bad.html"));
    assert!(bad.console.len() == 1 && bad.requests == ["http://example.invalid/x.png"], "{bad:?}");

    shakedown.file("page.yaml", SCENARIO.replace("URL", &serve(200)));
    let finished = shakedown.run(&["run", "page.yaml", "--out", "out"]);
    let reports = shakedown.reports("out");
    let page = look(&chromium, &shakedown, &reports.path("report.html"));
    let verdict = reports.result.verdict.word();
    let text = page.dom.to_lowercase();
    assert!(text.contains(verdict) && text.contains("<svg"), "the page lacks `{verdict}` or a chart\n{finished}");
    for it in &reports.scenario().expectations {
        assert!(page.dom.contains(&it.observed_text), "the page lacks {}", it.observed_text);
    }
    assert_eq!((page.console, page.requests), (Vec::new(), Vec::new()));
}
