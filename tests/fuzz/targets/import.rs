//! A file of another tool: the scenario that is made of it can be read, or its problems are said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_schemas::{Overrides, import, parse};

fuzz_target!(|bytes: &[u8]| match import("fuzzed.yaml", bytes, Some("web:80")) {
    Ok(made) => {
        let read = parse("made.yaml", made.scenario.as_bytes(), &Overrides::default());
        assert!(read.is_ok() == made.problems.is_empty(), "{}", made.scenario);
    }
    Err(problem) => assert!(problem.is_error() && problem.render(false).contains(problem.code.id())),
});
