//! Template expressions, where one text is made and where requests are: they come to an end within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_schemas::{Overrides, parse};

fuzz_target!(|text: &str| {
    let scenario = serde_json::json!({
        "version": 1,
        "name": "x",
        "description": text,
        "vars": {"a": "x".repeat(1000), "n": 3, "list": [1, "two", {"three": null}]},
        "load": {"main": {"http": {"url": "http://127.0.0.1:1", "method": "POST", "body": text}, "rate": "20/s"}},
        "phases": [{"name": "p", "duration": "30s"}],
    });
    if let Ok(document) = parse("fuzzed.yaml", scenario.to_string().as_bytes(), &Overrides::default()) {
        assert!(document.scenario.description.is_none_or(|made| made.len() <= 1 << 20));
    }
});
