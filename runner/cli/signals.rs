//! SIGINT and SIGTERM: the first asks the run to end and undo, the second ends the process at once.

use std::io::Write;

use tokio::sync::watch;

use super::exit;

/// Listens from now on. The receiver holds the first signal's name once there is one. `last_words` are said at the
/// second.
pub fn listen(last_words: &str) -> watch::Receiver<Option<&'static str>> {
    let (sender, receiver) = watch::channel(None);
    let last_words = last_words.to_owned();
    let mut signals = Signals::new();
    tokio::spawn(async move {
        let first = signals.next().await;
        _ = sender.send(Some(first));
        let second = signals.next().await;
        _ = writeln!(std::io::stderr(), "{second} again: ended at once{last_words}");
        std::process::exit(i32::from(code(second)));
    });
    receiver
}

/// The exit code of a run that a signal ended.
pub fn code(signal: &str) -> u8 {
    if signal == "SIGTERM" { exit::TERMINATED } else { exit::INTERRUPTED }
}

/// Both signals, registered once: one that comes while another is being handled is not lost.
#[cfg(unix)]
struct Signals(Option<(tokio::signal::unix::Signal, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        Self(signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()))
    }

    async fn next(&mut self) -> &'static str {
        let Some((interrupt, terminate)) = &mut self.0 else { return std::future::pending().await };
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    }
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
