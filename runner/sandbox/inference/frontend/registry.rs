//! Which workers there are, and which is next. Pure: the time comes from the caller.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::sandbox::inference::protocol::Heartbeat;

/// How many workers there may be.
const MAX_WORKERS: usize = 1024;

/// The workers that were heard lately.
pub(super) struct Registry {
    heartbeat_timeout: Duration,
    sidelined: Duration,
    workers: IndexMap<String, Worker>,
    turn: usize,
}

struct Worker {
    heartbeat: Heartbeat,
    heard: Instant,
    /// When it last sent part of any answer.
    spoke: Option<Instant>,
    sidelined_until: Option<Instant>,
    gone: CancellationToken,
}

/// The worker that gets a request.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    pub(super) worker: String,
    pub(super) subject: String,
    /// Cancelled when the worker is dropped.
    pub(super) gone: CancellationToken,
}

/// A worker as `/health` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) model: String,
    /// `live` or `sidelined`.
    pub(super) state: &'static str,
    /// Since its last heartbeat.
    pub(super) silent_ms: u64,
}

impl Registry {
    pub(super) fn new(heartbeat_timeout: Duration, sidelined: Duration) -> Self {
        Self { heartbeat_timeout, sidelined, workers: IndexMap::new(), turn: 0 }
    }

    /// Takes a heartbeat; true if the worker was not there before.
    pub(super) fn heard(&mut self, heartbeat: Heartbeat, now: Instant) -> bool {
        let known = self.workers.get_mut(&heartbeat.worker).filter(|known| known.heartbeat.life == heartbeat.life);
        if heartbeat.leaving {
            // Its requests go on: it said that it ends them.
            if known.is_some() {
                self.workers.shift_remove(&heartbeat.worker);
            }
            return false;
        }
        if let Some(known) = known {
            known.heard = now;
            return false;
        }
        if self.workers.len() >= MAX_WORKERS && !self.workers.contains_key(&heartbeat.worker) {
            return false;
        }
        let name = heartbeat.worker.clone();
        let gone = CancellationToken::new();
        let worker = Worker { heartbeat, heard: now, spoke: None, sidelined_until: None, gone };
        if let Some(earlier) = self.workers.insert(name, worker) {
            earlier.gone.cancel();
        }
        true
    }

    /// Drops the workers that were silent for too long, and names them.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<String> {
        let mut dropped = Vec::new();
        let timeout = self.heartbeat_timeout;
        self.workers.retain(|name, worker| {
            let alive = now.saturating_duration_since(worker.heard) < timeout;
            if !alive {
                worker.gone.cancel();
                dropped.push(name.clone());
            }
            alive
        });
        dropped
    }

    /// The next worker in turn that serves `model` and is not sidelined.
    pub(super) fn pick(&mut self, model: &str, now: Instant) -> Option<Assigned> {
        let count = self.workers.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((name, worker)) = self.workers.get_index(index) else { continue };
            if worker.heartbeat.model != model || worker.sidelined_until.is_some_and(|until| now < until) {
                continue;
            }
            self.turn = index + 1;
            return Some(Assigned {
                worker: name.clone(),
                subject: worker.heartbeat.subject.clone(),
                gone: worker.gone.clone(),
            });
        }
        None
    }

    /// A worker sent part of an answer.
    pub(super) fn spoke(&mut self, worker: &str, now: Instant) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.spoke = Some(now);
            worker.sidelined_until = None;
        }
    }

    /// A worker has let a request wait for `waited`. If it sent nothing to anybody in that time, it is out of reach, not
    /// only slow, and gets no requests for a while; then true.
    pub(super) fn timed_out(&mut self, worker: &str, waited: Duration, now: Instant) -> bool {
        let Some(worker) = self.workers.get_mut(worker) else { return false };
        let slow = worker.spoke.is_some_and(|spoke| now.saturating_duration_since(spoke) < waited);
        if !slow {
            worker.sidelined_until = Some(now + self.sidelined);
        }
        !slow
    }

    /// All workers, in the order in which they came.
    pub(super) fn shown(&self, now: Instant) -> Vec<Shown> {
        let show = |(name, worker): (&String, &Worker)| Shown {
            id: name.clone(),
            model: worker.heartbeat.model.clone(),
            state: if worker.sidelined_until.is_some_and(|until| now < until) { "sidelined" } else { "live" },
            silent_ms: now.saturating_duration_since(worker.heard).as_millis() as u64,
        };
        self.workers.iter().map(show).collect()
    }
}
