//! Two files whose scenarios have the same name, through everything that reads results.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use shakedown_fakes::{Answer, HttpServer};
use shakedown_schemas::result::Verdict;

use crate::cli::url_scenario;
use crate::support::shakedown::Shakedown;

#[test]
fn two_scenarios_of_one_name_are_two_for_every_reader_of_results() {
    let shakedown = Shakedown::undisturbed();
    let status = Arc::new(AtomicU16::new(200));
    let changing = status.clone();
    let servers =
        [HttpServer::start(|_| 200.into()), HttpServer::start(move |_| changing.load(Ordering::SeqCst).into())];
    let collector = HttpServer::start(|_| Answer::from(200));
    for (folder, server) in ["a", "b"].iter().zip(&servers) {
        let text = url_scenario(&server.url()).replace("name: plain", "name: checkout").replace(": 2s", ": 1s");
        shakedown.file(&format!("{folder}/s.yaml"), text);
    }
    let run = |out: &str, code: i32, more: &[&str]| {
        shakedown.run(&[&["run", "a", "b", "--out", out], more].concat()).expect_code(code);
    };
    run("runs/1", 0, &[]);
    status.store(500, Ordering::SeqCst);
    run("runs/2", 1, &["--prometheus-textfile", "m.prom", "--otlp", &collector.url()]);
    let verdicts: Vec<Verdict> = shakedown.reports("runs/2").result.scenarios.iter().map(|it| it.verdict).collect();
    assert_eq!(verdicts, [Verdict::Pass, Verdict::Fail]);
    run("shards/1", 0, &["--shard", "1/2"]);
    run("shards/2", 1, &["--shard", "2/2"]);

    // Each command with its exit code and what it must print.
    for (command, code, printed) in [
        (
            "compare runs/1 runs/2 --markdown --fail-on-regression",
            1,
            &[
                "| worse | checkout (b/s.yaml) | verdict | pass | fail |",
                "2 scenarios, 2 expectations: 2 worse, 2 same",
            ][..],
        ),
        ("compare runs/2 runs/2 --fail-on-regression", 0, &["2 scenarios, 2 expectations: 4 same"]),
        (
            "compare --history runs --markdown --fail-on-regression",
            1,
            &["| worse | checkout (b/s.yaml) | verdict |", "2 worse, 2 same"],
        ),
        ("report --history runs --out pages", 0, &[]),
        ("report --merge shards/1 shards/2 --out merged", 1, &["fail  1 of 2 scenarios failed, 1 passed"]),
        (
            "calibrate a b --runs 2 --markdown --out calibrated",
            1,
            &[
                "| checkout (a/s.yaml) | only: success rate at least 90% [pages] | 0 of 2 |",
                "| checkout (b/s.yaml) |",
                "| 2 of 2 |",
            ],
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        shakedown.run(&words).expect_code(code).expect_stdout(printed);
    }

    let page = std::fs::read_to_string(shakedown.path("pages/history.html")).expect("a page");
    let metrics = std::fs::read_to_string(shakedown.path("m.prom")).expect("metrics");
    let points = collector.requests().into_iter().find(|it| it.line.contains("/v1/metrics")).expect("metrics").body;
    let points = String::from_utf8_lossy(&points).into_owned();
    for (file, verdict) in [("a/s.yaml", "pass"), ("b/s.yaml", "fail")] {
        let series = format!("shakedown_verdict{{scenario=\"checkout\",file=\"{file}\",verdict=\"{verdict}\"}} 1\n");
        assert!(metrics.contains(&series), "{series} is not in\n{metrics}");
        assert!(page.contains(&format!("<bdi>checkout ({})</bdi>", file.replace('/', "&#x2f;"))), "{file}");
        assert!(
            points.contains(&format!(r#"{{"key":"shakedown.file","value":{{"stringValue":"{file}"}}}}"#)),
            "{file}"
        );
    }
    for out in ["runs/2", "merged"] {
        let reports = shakedown.reports(out);
        assert_eq!(reports.result.scenarios.len(), 2);
        assert_eq!(reports.junit.test_suites.len(), 2, "{out}");
    }
}
