//! A result: every report can be made of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_schemas::RunResult;

fuzz_target!(|bytes: &[u8]| {
    let Ok(result) = serde_json::from_slice::<RunResult>(bytes) else { return };
    let redactor = shakedown_secrets::Redactor::default();
    redactor.learn("secret");
    let result = redactor.result(&result);
    // A report may say that it cannot be made; it does not panic.
    _ = shakedown_reports::html(&result);
    _ = shakedown_reports::junit(&result);
    _ = shakedown_reports::markdown(&result);
    _ = shakedown_reports::github_annotations(&result);
    _ = shakedown_reports::history(&[result], 30);
});
