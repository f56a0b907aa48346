//! Users with several steps through the binary, against a real server: log in, then order with the token of the login.

use std::collections::BTreeMap;

use shakedown_fakes::{Answer, HttpServer, Request};
use shakedown_schemas::result::{PartStats, Verdict};

use crate::support::shakedown::Shakedown;

/// What no output may contain.
const MARK: &str = "pl4nted0123456789";

/// A shop that gives each user a token, and takes orders with it. Two workers take turns.
fn shop() -> String {
    HttpServer::forever(|request: &Request| {
        let user = request.header("x-user").unwrap_or_default();
        let token = format!("{MARK}-{user}");
        let worker = [("x-worker-id", if request.number.is_multiple_of(2) { "worker-a" } else { "worker-b" })];
        match request.target() {
            "/login" => Answer::with_headers(200, &worker, format!(r#"{{"access_token": "{token}"}}"#)),
            "/orders" if request.header("authorization") == Some(&format!("Bearer {token}")) => {
                Answer::with_headers(201, &worker, "ordered")
            }
            // A careless service repeats what it was sent.
            _ => Answer::with_headers(401, &worker, request.whole()),
        }
    })
}

fn scenario(url: &str, authorization: &str, pace: &str) -> String {
    format!(
        r#"version: 1
name: sessions
load:
  users:
    http:
      url: "{url}"
      headers: {{X-User: "{{{{ n }}}}"}}
      steps:
        - {{name: login, method: POST, path: /login, capture: {{token: {{json: $.access_token}}}}}}
        - name: order
          method: POST
          path: /orders
          headers: {{{authorization}}}
          check: {{status: [201]}}
    {pace}
    group_by: {{header: x-worker-id}}
phases:
  - {{name: only, duration: 4s, expect: [{{success_rate: 99%}}, {{requests: {{min: 40}}}}]}}
"#
    )
}

fn rows(parts: &[PartStats]) -> BTreeMap<&str, (u64, u64)> {
    parts.iter().map(|it| (it.name.as_str(), (it.stats.requests, it.stats.succeeded))).collect()
}

#[test]
fn each_user_orders_with_the_token_of_its_login() {
    let url = shop();
    let token = r#"Authorization: "Bearer {{ capture.token }}""#;
    for pace in ["rate: 40/s", "concurrency: {from: 1, to: 4, over: 2s}\n    think_time: 20ms"] {
        let shakedown = Shakedown::new();
        shakedown.file("sessions.yaml", scenario(&url, token, pace));
        let finished = shakedown.run(&["run", "sessions.yaml", "--out", "out"]);
        assert_eq!(finished.code(), 0, "{finished}");
        let reports = shakedown.reports("out");
        let load = &reports.scenario().phases[0].loads[0];
        let iterations = load.stats.requests;
        // At the edges of the judged part, a step can belong to another part than its iteration.
        let steps = rows(&load.steps);
        for step in ["login", "order"] {
            let (sent, succeeded) = steps[step];
            assert!(sent.abs_diff(iterations) <= 4 && sent == succeeded, "{step}: {steps:?} of {iterations}");
        }
        let workers = rows(&load.groups);
        assert!(workers.keys().eq(["worker-a", "worker-b"].iter()), "{workers:?}");
        assert_eq!(workers.values().map(|it| it.0).sum::<u64>(), steps.values().map(|it| it.0).sum::<u64>());
        for (file, words) in [
            ("report.html", "by step"),
            ("report.html", "by header x-worker-id"),
            ("report.html", "is one iteration of its steps (login, order)"),
            ("summary.md", "by header x-worker-id"),
            ("junit.xml", "step order: "),
            ("junit.xml", "header x-worker-id worker-b: "),
        ] {
            assert!(reports.text(file).contains(words), "{file} does not say `{words}`");
        }
    }
}

#[test]
fn without_the_token_every_order_is_refused_and_no_report_shows_a_credential() {
    let shakedown = Shakedown::new();
    let header = r#"X-Captured: "{{ capture.token }}""#;
    shakedown.file("sessions.yaml", scenario(&shop(), header, "rate: 40/s"));
    let finished = shakedown.run(&["run", "sessions.yaml", "--out", "out"]);
    assert_eq!(finished.code(), 1, "{finished}");
    let reports = shakedown.reports("out");
    let scenario = reports.scenario();
    assert_eq!(scenario.verdict, Verdict::Fail);
    let load = &scenario.phases[0].loads[0];
    assert_eq!(load.stats.errors["http_401"], load.stats.requests);
    let sample = &load.samples[0];
    assert_eq!((sample.failure.as_str(), sample.request.as_str(), sample.status), ("http_401", "order", Some(401)));
    assert!(
        sample.body.contains("X-Captured: [redacted]") || sample.body.contains("x-captured: [redacted]"),
        "{sample:?}"
    );
    for file in ["result.json", "report.html", "summary.md", "junit.xml", "events.ndjson"] {
        assert!(!reports.text(file).contains(MARK), "{file} shows a captured token");
    }
    assert!(!finished.to_string().contains(MARK));
}
