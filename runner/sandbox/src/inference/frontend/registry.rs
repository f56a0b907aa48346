//! The known workers and their rotation. Pure: the caller passes the time.

use std::time::Duration;

use indexmap::IndexMap;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::inference::protocol::{Heartbeat, Record};

/// The most workers.
const MAX_WORKERS: usize = 1024;

/// When a worker that was set aside returns.
#[derive(Debug, Clone, Copy)]
pub(super) enum Comeback {
    /// After this time, with one request as a trial until it answers.
    Trial(Duration),
    /// At the next of these moments, whatever became of it.
    Every {
        /// The first moment.
        from: Instant,
        /// The time between two.
        interval: Duration,
    },
}

/// The workers that can get requests.
pub(super) struct Registry {
    heartbeat_timeout: Duration,
    comeback: Comeback,
    /// By name, or by name and life if a registry lists them: there, a life that is over stays until its lease is.
    workers: IndexMap<String, Worker>,
    turn: usize,
}

struct Worker {
    record: Record,
    heard: Instant,
    /// When it last sent part of any answer.
    spoke: Option<Instant>,
    sidelined_until: Option<Instant>,
    gone: CancellationToken,
}

impl Worker {
    fn new(record: Record, heard: Instant) -> Self {
        Self { record, heard, spoke: None, sidelined_until: None, gone: CancellationToken::new() }
    }
}

/// The worker that gets a request.
#[derive(Debug, Clone)]
pub(super) struct Assigned {
    /// Its key.
    pub(super) worker: String,
    pub(super) record: Record,
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
    /// Since its last heartbeat, or since it was listed.
    pub(super) silent_ms: u64,
}

impl Registry {
    pub(super) fn new(heartbeat_timeout: Duration, comeback: Comeback) -> Self {
        Self { heartbeat_timeout, comeback, workers: IndexMap::new(), turn: 0 }
    }

    /// Records a heartbeat. Returns true if the worker is new.
    pub(super) fn heard(&mut self, heartbeat: Heartbeat, now: Instant) -> bool {
        let record = heartbeat.record;
        let known = self.workers.get_mut(&record.worker).filter(|known| known.record.life == record.life);
        if heartbeat.leaving {
            // Its requests continue: a stopping worker finishes them.
            if known.is_some() {
                self.workers.shift_remove(&record.worker);
            }
            return false;
        }
        if let Some(known) = known {
            known.heard = now;
            return false;
        }
        if self.workers.len() >= MAX_WORKERS && !self.workers.contains_key(&record.worker) {
            return false;
        }
        if let Some(earlier) = self.workers.insert(record.worker.clone(), Worker::new(record, now)) {
            earlier.gone.cancel();
        }
        true
    }

    /// Takes over the list of a registry, and returns the names of the workers that are gone and of those that are new.
    /// Requests of a worker that is gone continue: it may have left to finish them.
    pub(super) fn list(&mut self, records: Vec<Record>, now: Instant) -> (Vec<String>, Vec<String>) {
        let key = |record: &Record| format!("{}-{:x}", record.worker, record.life);
        let listed: IndexMap<String, Record> = records.into_iter().map(|record| (key(&record), record)).collect();
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        self.workers.retain(|key, worker| {
            let stays = listed.contains_key(key);
            if !stays {
                gone.push(worker.record.worker.clone());
            }
            stays
        });
        for (key, record) in listed {
            if !self.workers.contains_key(&key) && self.workers.len() < MAX_WORKERS {
                new.push(record.worker.clone());
                self.workers.insert(key, Worker::new(record, now));
            }
        }
        (gone, new)
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

    /// The next worker in turn that serves `model` and is not sidelined. With [`Comeback::Trial`], a worker whose time is over
    /// gets one request, and is sidelined again until it answers. A lasting fault thus costs one request at a time.
    pub(super) fn pick(&mut self, model: &str, now: Instant) -> Option<Assigned> {
        let count = self.workers.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some((name, worker)) = self.workers.get_index_mut(index) else { continue };
            if worker.record.model != model || worker.sidelined_until.is_some_and(|until| now < until) {
                continue;
            }
            if worker.sidelined_until.is_some() {
                worker.sidelined_until = match self.comeback {
                    Comeback::Trial(pause) => Some(now + pause),
                    Comeback::Every { .. } => None,
                };
            }
            self.turn = index + 1;
            let (worker, record, gone) = (name.clone(), worker.record.clone(), worker.gone.clone());
            return Some(Assigned { worker, record, gone });
        }
        None
    }

    /// Records that a worker sent part of an answer.
    pub(super) fn spoke(&mut self, worker: &str, now: Instant) {
        let is_trial = matches!(self.comeback, Comeback::Trial(_));
        if let Some(worker) = self.workers.get_mut(worker) {
            worker.spoke = Some(now);
            if is_trial {
                worker.sidelined_until = None;
            }
        }
    }

    /// Records that a worker let a request wait for `waited`. If it sent nothing at all in the second half of that time, it
    /// is unreachable and not only slow. It is then sidelined, and this returns true.
    pub(super) fn timed_out(&mut self, worker: &str, waited: Duration, now: Instant) -> bool {
        let slow = self
            .workers
            .get(worker)
            .is_none_or(|worker| worker.spoke.is_some_and(|spoke| now.saturating_duration_since(spoke) < waited / 2));
        !slow && self.failed(worker, now)
    }

    /// Records that a worker could not be reached: it is sidelined. Returns true if it was not before.
    pub(super) fn failed(&mut self, worker: &str, now: Instant) -> bool {
        let until = match self.comeback {
            Comeback::Trial(pause) => now + pause,
            Comeback::Every { from, interval } => {
                let passed = now.saturating_duration_since(from).as_nanos() / interval.as_nanos().max(1);
                from + interval * u32::try_from(passed + 1).unwrap_or(u32::MAX)
            }
        };
        let Some(worker) = self.workers.get_mut(worker) else { return false };
        let was = worker.sidelined_until.replace(until);
        was.is_none_or(|until| until <= now)
    }

    /// All workers, in the order in which they came.
    pub(super) fn shown(&self, now: Instant) -> Vec<Shown> {
        let show = |worker: &Worker| Shown {
            id: worker.record.worker.clone(),
            model: worker.record.model.clone(),
            state: if worker.sidelined_until.is_some_and(|until| now < until) { "sidelined" } else { "live" },
            silent_ms: now.saturating_duration_since(worker.heard).as_millis() as u64,
        };
        self.workers.values().map(show).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODEL: &str = "m";

    fn heartbeat(worker: &str, life: u64) -> Heartbeat {
        Heartbeat { record: record(worker, life), leaving: false, at_ms: 0 }
    }

    fn record(worker: &str, life: u64) -> Record {
        let (worker, subject) = (worker.to_owned(), format!("r.{worker}"));
        Record { worker, life, model: MODEL.into(), subject, address: None }
    }

    fn seconds(value: f64) -> Duration {
        Duration::from_secs_f64(value)
    }

    /// A registry with workers a, b and c, heard at the returned moment.
    fn three() -> (Registry, Instant) {
        let now = Instant::now();
        let mut registry = Registry::new(seconds(2.0), Comeback::Trial(seconds(4.0)));
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
        // The goodbye of an earlier instance arrives late.
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

    #[test]
    fn the_list_of_a_registry_has_every_life_and_those_set_aside_return_together() {
        let start = Instant::now();
        let mut registry = Registry::new(seconds(2.0), Comeback::Every { from: start, interval: seconds(5.0) });
        let all = || vec![record("a", 1), record("b", 1), record("c", 1)];
        assert_eq!(registry.list(all(), start).1, ["a", "b", "c"]);
        let given = registry.pick(MODEL, start).unwrap();
        assert!(registry.failed(&given.worker, start + seconds(0.5)));
        assert!(!registry.failed(&given.worker, start + seconds(1.0)), "it is set aside already");
        let names = |registry: &mut Registry, count: usize, at: f64| -> String {
            let name = |_| registry.pick(MODEL, start + seconds(at)).unwrap().record.worker;
            (0..count).map(name).collect()
        };
        assert!(!names(&mut registry, 6, 4.9).contains('a'));
        assert_eq!(names(&mut registry, 9, 5.0).matches('a').count(), 3, "it gets its share, not a trial");
        // A worker that started again has two entries until the lease of its earlier life is over.
        let (gone, new) = registry.list([all(), vec![record("a", 2)]].concat(), start + seconds(6.0));
        assert_eq!((gone.len(), new), (0, vec!["a".to_owned()]));
        assert_eq!(registry.shown(start + seconds(6.0)).len(), 4);
        let (gone, new) = registry.list(all(), start + seconds(7.0));
        assert_eq!((gone, new.len()), (vec!["a".to_owned()], 0));
        assert!(!given.gone.is_cancelled());
    }
}
