//! Answers of HTTP/1.1: the same is read of them however they come in pieces.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| shakedown_load::fuzzing::framing(bytes));
