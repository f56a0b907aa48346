//! Probes a neighbour repeatedly during the run.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shakedown_schemas::scenario::StopHttp;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

/// The probe of a neighbour, until this is dropped.
pub(super) struct Probe {
    seen: Arc<Mutex<ProbeState>>,
    _asking: AbortOnDropHandle<()>,
}

/// The neighbour's latest answers.
#[derive(Debug, Clone)]
pub(super) struct ProbeState {
    /// Since when no answer was successful. `None` if the last one was.
    pub(super) bad_since: Instant,
    /// The number of failed answers since then.
    pub(super) bad: u64,
    /// The problem of the last failed answer.
    pub(super) problem: String,
}

impl Probe {
    /// Starts to probe now.
    pub(super) fn start(of: &StopHttp) -> Self {
        let seen = Arc::new(Mutex::new(ProbeState { bad_since: Instant::now(), bad: 0, problem: String::new() }));
        let asking = ask(of.url.clone(), of.every.get(), of.timeout.get(), seen.clone());
        Self { seen, _asking: AbortOnDropHandle::new(tokio::spawn(asking)) }
    }

    pub(super) fn seen(&self) -> ProbeState {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn ask(url: String, every: Duration, timeout: Duration, seen: Arc<Mutex<ProbeState>>) {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let client = builder.timeout(timeout).build();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = match &client {
            Ok(client) => client.get(&url).send().await.map_err(reqwest::Error::without_url),
            Err(error) => return note(&seen, Some(format!("it cannot be asked: {error}"))),
        };
        note(
            &seen,
            match answer {
                Ok(answer) if answer.status().as_u16() < 400 => None,
                Ok(answer) => Some(format!("it answered {}", answer.status().as_u16())),
                Err(error) if error.is_timeout() => Some(format!("no answer within {timeout:?}")),
                Err(error) => Some(chain(&error)),
            },
        );
    }
}

fn note(seen: &Mutex<ProbeState>, problem: Option<String>) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match problem {
        None => *seen = ProbeState { bad_since: Instant::now(), bad: 0, problem: String::new() },
        Some(problem) => {
            seen.bad += 1;
            seen.problem = problem;
        }
    }
}

/// The innermost cause, which describes the problem best.
fn chain(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};

    use shakedown_fakes::{Answer, HttpServer};

    use super::*;

    #[tokio::test]
    async fn a_neighbour_is_unhealthy_until_it_gives_a_good_answer() {
        _ = rustls::crypto::ring::default_provider().install_default();
        let status = Arc::new(AtomicU16::new(503));
        let answered = Arc::clone(&status);
        let server = HttpServer::start(move |_| Answer::new(answered.load(Ordering::SeqCst), ""));
        let of = StopHttp {
            url: format!("{}/healthz", server.url()),
            every: shakedown_schemas::units::Duration::from_millis(5),
            timeout: shakedown_schemas::units::Duration::from_secs(5),
            lasts: shakedown_schemas::units::Duration::from_secs(1),
        };
        let probe = Probe::start(&of);
        let until = async |bad: bool| {
            while (probe.seen().bad > 0) != bad {
                tokio::task::yield_now().await;
            }
            probe.seen()
        };
        assert_eq!(until(true).await.problem, "it answered 503");
        status.store(200, Ordering::SeqCst);
        until(false).await;
        drop(server);
        assert!(!until(true).await.problem.is_empty(), "the connection is refused");
    }
}
