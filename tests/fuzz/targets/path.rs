//! A JSON path on the first line, and the answer that it is asked of behind it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shakedown_load::fuzzing::path(bytes));
