//! Which numbers a page may show of a result, in all the forms in which reports write numbers, and what its tables must
//! hold. Made from `result.json` alone, not from how the page is made.

use std::collections::BTreeSet;

use serde_json::Value;
use shakedown_schemas::result::Unit;
use shakedown_schemas::words;

/// The runs of digits in a text, with the points and commas within them.
pub fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == ','));
    parts.map(|part| part.trim_matches(['.', ','])).filter(|part| !part.is_empty())
}

/// Every form of every number that a page of this result may show.
pub fn of(result: &Value) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    leaves(result, &mut known);
    for scenario in list(&result["scenarios"]) {
        derived(scenario, &mut known);
    }
    known
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn add(known: &mut BTreeSet<String>, text: &str) {
    known.extend(tokens(text).map(str::to_owned));
}

fn leaves(value: &Value, known: &mut BTreeSet<String>) {
    match value {
        Value::Number(number) => {
            let value = number.as_f64().expect("a number");
            add(known, &number.to_string());
            for form in [words::seconds, words::millis, words::moment, words::fraction, words::times, words::count] {
                add(known, &form(value));
            }
            add(known, &words::rate(value));
        }
        Value::String(text) => {
            add(known, text);
            if let Ok(at) = text.parse::<jiff::Timestamp>() {
                add(known, &at.strftime("%Y-%m-%d %H:%M:%S").to_string());
            }
        }
        Value::Array(items) => {
            add(known, &items.len().to_string());
            items.iter().for_each(|item| leaves(item, known));
        }
        // Histograms in the exchange format are no numbers that a page could show.
        Value::Object(map) => {
            map.iter().filter(|(key, _)| !matches!(key.as_str(), "latency_hdr" | "hdr")).for_each(|(key, item)| {
                add(known, key);
                leaves(item, known);
            })
        }
        Value::Bool(_) | Value::Null => {}
    }
}

/// What is worked out of two numbers: factors between phases, shares, rates of windows, and times between moments.
fn derived(scenario: &Value, known: &mut BTreeSet<String>) {
    let mut times: Vec<f64> = Vec::new();
    for recovery in list(&scenario["recoveries"]) {
        let moments = ["onset_s", "failover_s", "removed_s", "first_success_s", "recovered_s"];
        times.extend(moments.iter().filter_map(|key| recovery[key].as_f64()));
    }
    times.extend(list(&scenario["faults"]).iter().filter_map(|fault| fault["injected_s"].as_f64()));
    for from in &times {
        times.iter().filter(|to| *to >= from).for_each(|to| add(known, &words::seconds(to - from)));
    }
    let loads: Vec<&Value> = list(&scenario["phases"]).iter().flat_map(|phase| list(&phase["loads"])).collect();
    for load in &loads {
        add(known, &words::fraction(share(load)));
        for other in &loads {
            for measure in measures().iter().filter_map(|(_, path)| Some((load.pointer(path)?, other.pointer(path)?))) {
                let (one, two) = (measure.0.as_f64().unwrap_or_default(), measure.1.as_f64().unwrap_or_default());
                add(known, &words::times(one / two));
            }
        }
    }
    // An event before the load has a negative moment on the timeline.
    let at = |event: &Value| event["at"].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let events = list(&scenario["events"]);
    if let Some(zero) = events.iter().find(|event| event["event"] == "load_started").and_then(at) {
        let before = events.iter().filter(|event| event["elapsed_s"].is_null()).filter_map(at);
        before.for_each(|at| add(known, &words::moment(at.duration_since(zero).as_secs_f64())));
    }
    for point in list(&scenario["series"]).iter().flat_map(|series| list(&series["points"])) {
        let number = |key: &str| point[key].as_f64().unwrap_or_default();
        add(known, &words::fraction(number("succeeded") / number("requests")));
        add(known, &words::moment(number("t_s") + number("length_s")));
    }
}

fn share(load: &Value) -> f64 {
    load["succeeded"].as_f64().unwrap_or_default() / load["requests"].as_f64().unwrap_or_default()
}

/// The rows of the comparison that show a number of the result as it is, and where that is.
fn measures() -> [(&'static str, &'static str); 9] {
    [
        ("Throughput", "/throughput"),
        ("Latency p50", "/latency/p50_ms"),
        ("Latency p90", "/latency/p90_ms"),
        ("Latency p95", "/latency/p95_ms"),
        ("Latency p99", "/latency/p99_ms"),
        ("Latency max", "/latency/max_ms"),
        ("Latency mean", "/latency/mean_ms"),
        ("First token p50", "/time_to_first_token/p50_ms"),
        ("First token p95", "/time_to_first_token/p95_ms"),
    ]
}

/// The phases' names.
pub fn phases(result: &Value) -> Vec<String> {
    list(&result["scenarios"][0]["phases"]).iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

/// Of the first load: the rows of the table that compares its phases, without the factors.
pub fn comparison(result: &Value) -> Vec<(String, Vec<String>)> {
    let loads: Vec<&Value> = list(&result["scenarios"][0]["phases"]).iter().map(|phase| &phase["loads"][0]).collect();
    let row = |title: &str, cell: &dyn Fn(&Value) -> String| {
        (title.to_owned(), loads.iter().map(|load| cell(load)).collect::<Vec<_>>())
    };
    let mut rows = vec![
        row("Requests judged", &|load| words::count(load["requests"].as_f64().unwrap())),
        row("Success rate", &|load| words::fraction(share(load))),
    ];
    for (title, path) in measures() {
        if loads.iter().all(|load| load.pointer(path).is_some()) {
            let show = if path == "/throughput" { words::rate } else { words::millis };
            rows.push(row(title, &|load| show(load.pointer(path).and_then(Value::as_f64).unwrap())));
        }
    }
    rows
}

/// The table of expectations: title with the limit, phase, observed, interval, n, and why.
pub fn expectations(result: &Value) -> Vec<[String; 6]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = list(&result["scenarios"]).iter().flat_map(|scenario| list(&scenario["expectations"]));
    let row = |it: &Value| {
        let unit: Unit = serde_json::from_value(it["unit"].clone()).expect("a unit");
        let interval: Option<[f64; 2]> = serde_json::from_value(it["interval"].clone()).expect("an interval");
        [
            text(&it["title"]).replace('`', ""),
            text(&it["phase"]),
            text(&it["observed_text"]),
            interval.map_or("–".to_owned(), |interval| words::interval(unit, interval)),
            words::count(it["samples"].as_f64().unwrap()),
            // The page formats text in backticks differently.
            text(&it["reason"]).replace('`', ""),
        ]
    };
    all.map(row).collect()
}
