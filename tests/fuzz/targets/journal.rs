//! A journal: what it says is left is known, and the same when its last line is torn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_cluster::journal::outstanding;

fuzz_target!(|text: &str| {
    if let Ok(left) = outstanding(text) {
        for (_, item) in left {
            assert!(!item.to_string().is_empty() && !item.command().is_empty());
        }
    }
});
