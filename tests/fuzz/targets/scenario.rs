//! A scenario file: it is read, or every problem of it can be drawn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_schemas::{Overrides, parse};

fuzz_target!(|bytes: &[u8]| match parse("fuzzed.yaml", bytes, &Overrides::default()) {
    Ok(document) => {
        // What a report holds of it can be read again.
        let written = serde_json::to_string(&document.scenario).expect("a scenario is JSON");
        let read = serde_json::from_str::<shakedown_schemas::Scenario>(&written).expect("a scenario reads back");
        assert_eq!(read, document.scenario);
    }
    Err(problems) => {
        assert!(problems.iter().any(shakedown_schemas::Diagnostic::is_error));
        for problem in problems {
            assert!(problem.render(false).contains(problem.code.id()));
        }
    }
});
