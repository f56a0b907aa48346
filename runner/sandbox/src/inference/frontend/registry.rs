//! The known workers and their rotation. Pure: the caller passes the time.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inference::protocol::Heartbeat;

/// The most workers.
const MAX_WORKERS: usize = 1024;

/// The workers with recent heartbeats.
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

    /// Records a heartbeat. Returns true if the worker is new.
    pub(super) fn heard(&mut self, heartbeat: Heartbeat, now: Instant) -> bool {
        let known = self.workers.get_mut(&heartbeat.worker).filter(|known| known.heartbeat.life == heartbeat.life);
        if heartbeat.leaving {
            // Its requests continue: a stopping worker finishes them.
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

    /// The next worker in turn that serves `model` and is not sidelined. When a worker's sidelined time is over, it gets one
    /// request as a trial, and is sidelined again until it answers. A lasting fault thus costs one request at a time.
    pub(super) fn pick(&mut self, model: &str, now: Instant) -> Option<Assigned> {
        let count = self.workers.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((name, worker)) = self.workers.get_index_mut(index) else { continue };
            if worker.heartbeat.model != model || worker.sidelined_until.is_some_and(|until| now < until) {
                continue;
            }
            if worker.sidelined_until.is_some() {
                worker.sidelined_until = Some(now + self.sidelined);
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

    /// Records that a worker sent part of an answer.
    pub(super) fn spoke(&mut self, worker: &str, now: Instant) {
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.spoke = Some(now);
            worker.sidelined_until = None;
        }
    }

    /// Records that a worker let a request wait for `waited`. If it sent nothing at all in the second half of that time, it
    /// is unreachable and not only slow. It is then sidelined, and this returns true.
    pub(super) fn timed_out(&mut self, worker: &str, waited: Duration, now: Instant) -> bool {
        let Some(worker) = self.workers.get_mut(worker) else { return false };
        let slow = worker.spoke.is_some_and(|spoke| now.saturating_duration_since(spoke) < waited / 2);
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

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "m";

    fn heartbeat(worker: &str, life: u64) -> Heartbeat {
        let (worker, subject) = (worker.to_owned(), format!("r.{worker}"));
        Heartbeat { worker, life, model: MODEL.into(), subject, leaving: false, at_ms: 0 }
    }

    fn seconds(value: f64) -> Duration {
        Duration::from_secs_f64(value)
    }

    /// A registry with workers a, b and c, heard at the returned moment.
    fn three() -> (Registry, Instant) {
        let now = Instant::now();
        let mut registry = Registry::new(seconds(2.0), seconds(4.0));
        for worker in ["a", "b", "c"] {
            assert!(registry.heard(heartbeat(worker, 1), now));
        }
        (registry, now)
    }

    fn picks(registry: &mut Registry, count: usize, now: Instant) -> String {
        (0..count).map(|_| registry.pick(MODEL, now).map_or("-".into(), |assigned| assigned.worker)).collect()
    }

    #[test]
    fn workers_take_turns() {
        let (mut registry, now) = three();
        assert_eq!(picks(&mut registry, 7, now), "abcabca");
        assert!(registry.pick("another", now).is_none());
    }

    #[test]
    fn a_silent_worker_is_dropped_with_its_requests_and_comes_back_with_its_next_heartbeat() {
        let (mut registry, start) = three();
        let given = registry.pick(MODEL, start).unwrap();
        let later = start + seconds(1.5);
        for worker in ["b", "c"] {
            assert!(!registry.heard(heartbeat(worker, 1), later));
        }
        assert!(registry.expire(start + seconds(1.9)).is_empty());
        assert_eq!(registry.expire(start + seconds(2.0)), ["a"]);
        assert!(given.gone.is_cancelled());
        let mut left: Vec<char> = picks(&mut registry, 4, later).chars().collect();
        left.sort_unstable();
        assert_eq!(left, ['b', 'b', 'c', 'c']);
        assert!(registry.heard(heartbeat("a", 1), later));
        assert!(!registry.pick(MODEL, later).unwrap().gone.is_cancelled());
        assert_eq!(registry.shown(later).len(), 3);
    }

    #[test]
    fn a_worker_that_started_again_has_lost_its_requests_and_one_that_leaves_ends_them() {
        let (mut registry, now) = three();
        let given = [registry.pick(MODEL, now).unwrap(), registry.pick(MODEL, now).unwrap()];
        assert!(registry.heard(heartbeat("a", 2), now));
        assert!(given[0].gone.is_cancelled());
        registry.heard(Heartbeat { leaving: true, ..heartbeat("b", 1) }, now);
        assert!(!given[1].gone.is_cancelled());
        assert!(!picks(&mut registry, 6, now).contains('b'));
        // The farewell of an earlier life comes late.
        registry.heard(Heartbeat { leaving: true, ..heartbeat("a", 1) }, now);
        assert!(picks(&mut registry, 6, now).contains('a'));
    }

    #[test]
    fn a_worker_out_of_reach_is_set_aside_and_then_tried_with_one_request_at_a_time() {
        let (mut registry, start) = three();
        registry.spoke("a", start + seconds(0.1));
        assert!(registry.timed_out("a", seconds(3.0), start + seconds(3.0)));
        assert_eq!(registry.shown(start + seconds(3.0))[0].state, "sidelined");
        assert!(!picks(&mut registry, 6, start + seconds(6.9)).contains('a'));
        assert_eq!(picks(&mut registry, 9, start + seconds(7.0)).matches('a').count(), 1);
        registry.spoke("a", start + seconds(7.1));
        assert_eq!(picks(&mut registry, 9, start + seconds(7.1)).matches('a').count(), 3);
    }

    #[test]
    fn a_worker_that_is_only_slow_stays() {
        let (mut registry, start) = three();
        registry.spoke("a", start + seconds(2.5));
        assert!(!registry.timed_out("a", seconds(3.0), start + seconds(3.0)));
        assert!(picks(&mut registry, 3, start + seconds(3.0)).contains('a'));
    }
}
