//! SIGINT, SIGTERM and SIGHUP: the first makes the run stop and undo its faults, the second ends the process
//! immediately.

use std::io::Write;
use std::time::Duration;

use tokio::sync::watch;

use super::exit;

/// The name of the time limit of a run, where a signal's name is expected.
pub const TIME_UP: &str = "--max-time";

/// Starts to listen. The receiver gets the name of the first signal, or [`TIME_UP`] after the limit. `acknowledge` is called
/// with it immediately. `at_once` is asked at the second signal, with its exit code: what is printed, and the code in its place.
pub fn listen(
    at_once: impl FnOnce(u8) -> (String, u8) + Send + 'static,
    limit: Option<Duration>,
    mut acknowledge: impl FnMut(&'static str) + Send + 'static,
) -> watch::Receiver<Option<&'static str>> {
    let (sender, receiver) = watch::channel(None);
    let mut signals = Signals::new();
    tokio::spawn(async move {
        let first = tokio::select! {
            signal = signals.next() => signal,
            () = over(limit) => TIME_UP,
        };
        // The undo starts before the message is printed.
        _ = sender.send(Some(first));
        acknowledge(first);
        if first == TIME_UP {
            // The first signal never ends the process immediately.
            acknowledge(signals.next().await);
        }
        let second = signals.next().await;
        let (words, code) = at_once(code(second));
        _ = writeln!(std::io::stderr(), "{second} again: stopped immediately{words}");
        std::process::exit(i32::from(code));
    });
    receiver
}

/// Waits for the end of the time limit. Never returns without one.
async fn over(limit: Option<Duration>) {
    match limit {
        Some(limit) => tokio::time::sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// The exit code of a run that a signal ended: 128 plus the signal's number, as in shells.
pub fn code(signal: &str) -> u8 {
    match signal {
        "SIGHUP" => exit::HUNG_UP,
        "SIGTERM" => exit::TERMINATED,
        TIME_UP => exit::ENVIRONMENT,
        _ => exit::INTERRUPTED,
    }
}

/// The signals, registered once, so that a signal during the handling of another is not lost. None if the system
/// refuses.
#[cfg(unix)]
struct Signals {
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: Option<tokio::signal::unix::Signal>,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            interrupt: signal(SignalKind::interrupt()).ok(),
            terminate: signal(SignalKind::terminate()).ok(),
            // Under `nohup`, a run continues when its terminal is closed.
            hangup: if ignores_hangup(&status) { None } else { signal(SignalKind::hangup()).ok() },
        }
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = received(&mut self.interrupt) => "SIGINT",
            () = received(&mut self.terminate) => "SIGTERM",
            () = received(&mut self.hangup) => "SIGHUP",
        }
    }
}

/// Waits for the next signal of a kind. Without a listener, it waits for ever.
#[cfg(unix)]
async fn received(signal: &mut Option<tokio::signal::unix::Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    std::future::pending().await
}

/// True if a process with this `/proc/self/status` was started with SIGHUP ignored, as by `nohup`. False on systems
/// other than Linux, which have no such file.
#[cfg(unix)]
fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is signal 1, the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "SIGINT",
            Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_exit_code_of_shells() {
        assert_eq!(["SIGHUP", "SIGINT", "SIGTERM"].map(code), [129, 130, 143]);
    }

    #[cfg(unix)]
    #[test]
    fn a_run_under_nohup_ignores_the_hangup() {
        assert!(ignores_hangup("Name:\tx\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000000000\n"));
        assert!(ignores_hangup("SigIgn:\t0000000000001005\n"));
        assert!(!ignores_hangup("SigIgn:\t0000000000001002\n"));
        assert!(!ignores_hangup("SigBlk:\t0000000000000001\n") && !ignores_hangup(""));
    }
}
