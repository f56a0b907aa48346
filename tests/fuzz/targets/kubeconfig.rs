//! A kubeconfig: the secrets that it holds are found. Nothing is connected to, and no plugin is started.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shakedown_cluster::{ConnectOptions, secrets};

fuzz_target!(|text: &str| {
    // Files that it names would be read.
    if !text.contains('/') {
        secrets(&ConnectOptions { kubeconfig_text: Some(text.to_owned()), ..ConnectOptions::default() });
    }
});
