//! What a script means, and what is not understood. Whole scripts are in `tests-cases/import`.

use crate::{Overrides, import, parse};

/// The scenario of a script with this text before and in its function, and its notes.
fn made(before: &str, body: &str) -> (String, Vec<String>) {
    let text = format!("import http from 'k6/http';\n{before}\nexport default function () {{\n{body}\n}}\n");
    let imported = import("load.js", text.as_bytes(), None).unwrap_or_else(|why| panic!("{}\n{text}", why.message));
    assert_eq!(imported.tool, "k6");
    let notes = imported.notes.iter().map(|note| format!("{}: {}", note.line, note.message)).collect();
    (imported.scenario, notes)
}

const TEN_USERS: &str = "export const options = {vus: 10, duration: '1m'};";
const GET: &str = "http.get('http://a:80/x');";

#[test]
fn every_form_of_a_literal_url_is_the_same_request() {
    let (known, _) = made(TEN_USERS, GET);
    for (before, body) in [
        ("", "http.get(\"http://a:80/x\")"),
        ("", "const res = http.get(`http://a:80/x`);"),
        ("const BASE = 'http://a:80';", "http.get(BASE + '/x');"),
        ("const BASE = 'http://a:80';", "http.get(`${BASE}/x`);"),
        ("const BASE = 'http://a:80'", "const url = `${BASE}/x`\nhttp.get(url)"),
        ("const BASE = __ENV.BASE || 'http://a:80';", "http.get(BASE + '/x');"),
        ("", "/* http.get('http://b') */ http.request('GET', 'http://a:80/x'); // http.get('http://c')"),
    ] {
        let (scenario, _) = made(&format!("{TEN_USERS}{before}"), body);
        assert_eq!(scenario, known, "{before} {body}");
    }
}

#[test]
fn what_is_no_literal_is_named_with_its_line_and_never_guessed() {
    for (body, part) in [
        ("http.get(url());", "4: the URL of `http.get(url())` is not known"),
        ("http.get(`http://a:80/${id}`);", "4: the URL of"),
        ("http.get('/relative');", "4: the URL of"),
        ("http.get('http://a:80/y', {headers: {Authorization: token()}});", "4: `token()` is no literal"),
        ("http.get('http://a:80/y', {redirects: 0});", "4: `params.redirects` is not carried over"),
        ("http.post('http://a:80/y', {a: '1'});", "4: a form as a body"),
        ("http.post('http://b:80/y');", "4: a load sends to one server"),
        ("for (const id of [1, 2]) {\n http.get('http://a:80/y');\n}", "4: `for (const id of [1, 2])"),
        ("if (ready) http.get('http://a:80/y');", "4: `if (ready)"),
        ("http.batch([['GET', 'http://a:80/y']]);", "4: `http.batch("),
        ("sleep(Math.random());", "4: the pause `sleep(Math.random())` is no number"),
        ("sleep(1); http.get('http://a:80/y');", "4: a load makes no pause between"),
        ("check(http.get('http://a:80/y'), {fast: (r) => r.timings.duration < 9});", "4: the check `fast:"),
        ("check(other, {ok: (r) => r.status === 200});", "4: the check of `other`"),
        ("check(http.get('http://a:80/y'), conditions);", "4: the conditions `conditions`"),
        ("while (true) {", "4: `while (true)"),
        ("const text = 'never closed", "4: "),
    ] {
        let (scenario, notes) = made(TEN_USERS, &format!("{GET} {body}"));
        assert!(notes.iter().any(|note| note.contains(part)), "{body}\n{part} is not in {notes:#?}\n{scenario}");
        assert!(parse("load.yaml", scenario.as_bytes(), &Overrides::default()).is_ok(), "{scenario}");
    }
}

#[test]
fn options_that_are_not_understood_are_named() {
    for (options, part) in [
        ("{vus: users(), duration: '1m'}", "2: `users()` is no literal"),
        ("{vus: 1, duration: 60 * 1000}", "2: `60 * 1000` is no literal"),
        ("{vus: 1, duration: 'long'}", "2: `long` is no duration"),
        ("{vus: 1, iterations: 10}", "2: a number of iterations"),
        ("{...shared, vus: 1, duration: '1m'}", "2: `...shared` is no literal"),
        ("{vus, duration: '1m'}", "2: `vus` is no literal"),
        ("{vus: 1, duration: '1m', ext: {loadimpact: 1}}", "2: `options.ext` is not carried over"),
        ("{stages: [{duration: '1m'}], vus: 1}", "2: this stage is not carried over"),
        ("{vus: 1, duration: '1m', thresholds: {my_trend: ['p(95)<1']}}", "2: the threshold `my_trend: p(95)<1`"),
        ("{vus: 1, duration: '1m', thresholds: {http_req_duration: ['max<9']}}", "2: the threshold `http_req_duration"),
        ("{vus: 1, duration: '1m', thresholds: {'http_req_duration{a:b}': ['p(95)<9']}}", "2: the threshold"),
    ] {
        let options = format!("export const options = {options};");
        // Where no stage is left, there is no phase.
        let text = format!("import http from 'k6/http';\n{options}\nexport default function () {{\n{GET}\n}}\n");
        match import("load.js", text.as_bytes(), None) {
            Ok(imported) => {
                let notes: Vec<String> =
                    imported.notes.iter().map(|note| format!("{}: {}", note.line, note.message)).collect();
                assert!(notes.iter().any(|note| note.contains(part)), "{options}: {part} is not in {notes:#?}");
            }
            Err(problem) => assert!(problem.message.contains(part.split_once(": ").unwrap().1), "{}", problem.message),
        }
    }
}

#[test]
fn schedules_side_by_side_become_phases_with_the_pace_of_each() {
    let options = "export const options = {scenarios: {
        a: {executor: 'constant-arrival-rate', rate: 30, duration: '40s'},
        b: {executor: 'ramping-vus', startVUs: 0, startTime: '20s', stages: [{duration: '40s', target: 40}]},
    }};";
    let (scenario, _) = made(options, GET);
    let phases = scenario.split_once("\nphases:\n").unwrap().1;
    for part in [
        "  - name: stage-1\n    duration: 20s\n    load:\n      b: {concurrency: 0}\n",
        "  - name: stage-2\n    duration: 20s\n    expect:\n",
        "  - name: stage-3\n    duration: 20s\n    load:\n      a: {rate: 0/s}\n      b: {concurrency: {from: 20, to: 40}}\n",
    ] {
        assert!(phases.contains(part), "{part} is not in\n{scenario}");
    }
    assert!(
        scenario.contains("    concurrency: {from: 0, to: 20}\n") && scenario.contains("    rate: 30/s\n"),
        "{scenario}"
    );
}

#[test]
fn a_threshold_is_the_expectation_that_says_the_same() {
    let with = |threshold: &str| {
        made(&format!("export const options = {{vus: 1, duration: '1m', thresholds: {{{threshold}}}}};"), GET).0
    };
    for (threshold, expectation) in [
        ("http_req_duration: ['p(95)<500']", "latency: {percentile: p95, max: 500ms}"),
        ("http_req_duration: ['med<=20.5']", "latency: {percentile: p50, max: 20.5ms}"),
        ("http_req_failed: ['rate<0.001']", "success_rate: {min: 99.9%}"),
        ("checks: ['rate>=0.95']", "success_rate: {min: 95%}"),
        ("http_reqs: ['count>100']", "requests: {min: 100}"),
    ] {
        let scenario = with(threshold);
        assert!(scenario.contains(&format!("      - {expectation}\n")), "{threshold}: {scenario}");
        assert!(!scenario.contains("proposals"), "{scenario}");
    }
    assert!(made(TEN_USERS, GET).0.contains("The limits below are proposals"));
}

#[test]
fn a_script_without_a_request_is_refused_with_the_reason() {
    let text = "import http from 'k6/http';\nexport default function () {\n  http.get(url);\n}\n";
    let problem = import("load.js", text.as_bytes(), None).unwrap_err();
    assert!(problem.message.contains("no request of this script") && problem.message.contains("line 3"), "{problem:?}");
}
