//! A journal: what it says is left is known.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_cluster::journal::read;

fuzz_target!(|text: &str| {
    if let Ok(journal) = read(text) {
        for left in journal.outstanding {
            assert!(!left.item.to_string().is_empty() && !left.item.command().is_empty());
        }
        for (_, pod, _) in journal.unclear_ends {
            assert!(!pod.to_string().is_empty());
        }
    }
});
