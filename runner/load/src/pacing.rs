//! How requests start: the schedule of an open loop, or the workers of a closed loop. Pure, apart from random numbers from
//! a seed. The lane asks at each tick for due requests and reports those that ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use shakedown_schemas::scenario::{self, Arrival, Load, Model, Pace, Scenario, ThinkTime, WorkerRamp};

use super::schedule::{Curve, Schedule, Shape};
use shakedown_observe::chance::Chance;
use shakedown_observe::{Failure, Mark, PhasePart};

/// The pause of a closed-loop worker that could not connect. Without it, a service that is down would receive attempts
/// without pause, and its refusals would outnumber all other answers.
const PAUSE_NS: u64 = 10_000_000;

/// How a load's requests start in each phase, shared by its lanes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pacing {
    /// A schedule, with the pace of each phase.
    Open { arrival: Arrival, shapes: Vec<Shape> },
    /// Workers, with their number in each phase.
    Closed { think_time: Option<ThinkTime>, workers: Vec<Crowd> },
}

/// The number of workers in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Crowd {
    from: usize,
    to: usize,
    /// The duration of the change, in nanoseconds.
    over_ns: u64,
}

impl Crowd {
    /// The number of workers in a phase of this duration.
    fn new(workers: scenario::Workers, duration: Duration) -> Self {
        match workers {
            scenario::Workers::Constant(workers) => Self::constant(workers as usize),
            scenario::Workers::Ramp(WorkerRamp { from, to, over }) => Self {
                from: from as usize,
                to: to as usize,
                over_ns: over.map_or(duration, |over| over.get()).as_nanos() as u64,
            },
        }
    }

    pub(super) const fn constant(workers: usize) -> Self {
        Self { from: workers, to: workers, over_ns: 0 }
    }

    /// The number of changes by one until `since_ns` after the start.
    fn changes(&self, since_ns: u64) -> usize {
        let all = self.from.abs_diff(self.to);
        match since_ns >= self.over_ns {
            true => all,
            false => (all as u128 * u128::from(since_ns) / u128::from(self.over_ns)) as usize,
        }
    }

    /// The number of workers `since_ns` after the start.
    fn at(&self, since_ns: u64) -> usize {
        let changes = self.changes(since_ns);
        if self.from < self.to { self.from + changes } else { self.from - changes }
    }

    /// When the number changes next, in nanoseconds after the start.
    fn next_change(&self, since_ns: u64) -> Option<u64> {
        let (all, next) = (self.from.abs_diff(self.to) as u128, self.changes(since_ns) as u128 + 1);
        (next <= all).then(|| (next * u128::from(self.over_ns)).div_ceil(all) as u64)
    }
}

impl Pacing {
    /// The pace of a load that is the same in all phases. None unless the load has exactly one of `rate` and `concurrency`.
    pub(super) fn new(load: &Load) -> Option<Self> {
        Some(Self::of(load, [(load.model()?, Duration::ZERO)]))
    }

    /// The pace of a load in each phase of a scenario.
    pub(super) fn in_phases(name: &str, scenario: &Scenario) -> Option<Self> {
        let load = scenario.load.get(name)?;
        let phases = scenario.phases.iter().enumerate();
        Some(Self::of(load, phases.filter_map(|(index, it)| Some((scenario.model(name, index)?, it.duration.get())))))
    }

    fn of(load: &Load, phases: impl IntoIterator<Item = (Model, Duration)>) -> Self {
        let phases = phases.into_iter();
        if let Some(Model::Closed(_)) = load.model() {
            let workers = phases.filter_map(|(model, duration)| match model {
                Model::Closed(workers) => Some((workers, duration)),
                Model::Open(_) => None,
            });
            let workers = workers.map(|(workers, duration)| Crowd::new(workers, duration));
            return Self::Closed { think_time: load.think_time, workers: workers.collect() };
        }
        let paces = phases.filter_map(|(model, duration): (Model, Duration)| match model {
            Model::Open(pace) => Some((pace, duration)),
            Model::Closed(_) => None,
        });
        let shapes = paces.map(|(pace, duration): (Pace, _)| Shape::new(&pace, duration)).collect();
        Self::Open { arrival: load.arrival.unwrap_or_default(), shapes }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// The highest rate of an open loop, per second.
    pub(super) fn highest_rate(&self) -> f64 {
        match self {
            Self::Open { shapes, .. } => shapes.iter().map(Shape::highest).fold(0.0, f64::max),
            Self::Closed { .. } => 0.0,
        }
    }

    /// The most workers of a closed loop.
    pub(super) fn most_workers(&self) -> usize {
        match self {
            Self::Open { .. } => 0,
            Self::Closed { workers, .. } => workers.iter().map(|it| it.from.max(it.to)).max().unwrap_or(0),
        }
    }
}

/// Share `part` of `parts` of a number of indivisible items.
pub(super) const fn share(whole: usize, part: usize, parts: usize) -> usize {
    whole / parts + (part < whole % parts) as usize
}

/// Starts the requests of one share of a load.
#[derive(Debug)]
pub(super) enum Starter {
    Open { schedule: Schedule, shapes: Vec<Shape> },
    Closed(Workers),
}

/// The workers of one share of a closed loop.
#[derive(Debug)]
pub(super) struct Workers {
    /// The target number of workers of all shares, by phase.
    by_phase: Vec<Crowd>,
    /// This share, and the number of shares.
    part: (usize, usize),
    /// The current phase's number, when its change began, and when it changes next.
    crowd: Crowd,
    begun_ns: u64,
    changes_ns: Option<u64>,
    /// The target number now, and the actual number.
    wanted: usize,
    alive: usize,
    /// When the waiting workers continue.
    waiting: BinaryHeap<Reverse<u64>>,
    think_time: Option<ThinkTime>,
    chance: Chance,
}

impl Starter {
    /// Share `part` of `parts` of the load `load`.
    pub(super) fn new(pacing: &Pacing, seed: u64, load: &str, (part, parts): (usize, usize)) -> Self {
        match pacing {
            Pacing::Open { arrival, shapes } => Self::Open {
                schedule: Schedule::new(
                    (
                        *arrival,
                        shapes.iter().filter(|shape| shape.highest() > 0.0).map(Shape::block).min().unwrap_or(1),
                    ),
                    seed,
                    load,
                    (part as u64, parts as u64),
                ),
                shapes: shapes.clone(),
            },
            Pacing::Closed { think_time, workers } => Self::Closed(Workers {
                by_phase: workers.clone(),
                part: (part, parts),
                crowd: Crowd::constant(0),
                begun_ns: 0,
                changes_ns: None,
                wanted: 0,
                alive: 0,
                waiting: BinaryHeap::new(),
                think_time: *think_time,
                chance: Chance::new(seed, &["think time", load, &part.to_string()]),
            }),
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// True when requests have a due moment that the engine can miss. Without a think time, a worker's request is due when
    /// it is sent.
    pub(super) const fn can_be_late(&self) -> bool {
        match self {
            Self::Open { .. } => true,
            Self::Closed(workers) => workers.think_time.is_some(),
        }
    }

    /// Follows these marks, as far as they are before `now_ns`.
    pub(super) fn follow(&mut self, marks: &[Mark], now_ns: u64) {
        match self {
            Self::Open { schedule, shapes } => schedule.follow(Curve::new(shapes, marks)),
            Self::Closed(workers) => workers.follow(marks, now_ns),
        }
    }

    /// The next request that is due before `end_ns`.
    pub(super) fn due_before(&mut self, end_ns: u64) -> Option<u64> {
        match self {
            Self::Open { schedule, .. } => schedule.take_before(end_ns),
            Self::Closed(workers) => workers.due_before(end_ns),
        }
    }

    /// When the next request is due, as far as known.
    pub(super) fn next_ns(&self) -> Option<u64> {
        match self {
            Self::Open { schedule, .. } => schedule.due_ns(),
            Self::Closed(workers) => {
                let next = workers.waiting.peek().map(|Reverse(at)| *at);
                [next, workers.changes_ns].into_iter().flatten().min()
            }
        }
    }

    /// When to send the next request together with those that are due within `coalesce_ns` after it.
    pub(super) fn release_ns(&self, coalesce_ns: u64) -> Option<u64> {
        match self {
            Self::Open { schedule, .. } => schedule.release_ns(coalesce_ns),
            Self::Closed(_) => self.next_ns(),
        }
    }

    /// A request ended. Returns the due moment of its worker's next request, if it is due now.
    pub(super) fn ended(&mut self, now_ns: u64, failure: Option<Failure>) -> Option<u64> {
        match self {
            Self::Open { .. } => None,
            Self::Closed(workers) => workers.ended(now_ns, failure),
        }
    }
}

impl Workers {
    fn follow(&mut self, marks: &[Mark], now_ns: u64) {
        let current = marks.iter().rev().find(|mark| mark.at_ns <= now_ns);
        let (phase, since_ns) = current.map_or((0, 0), |mark| (mark.phase, mark.at_ns));
        self.crowd = self.by_phase.get(phase).or(self.by_phase.last()).copied().unwrap_or(Crowd::constant(0));
        // A change begins when the phase's faults are in place.
        let changes = |mark: &&Mark| {
            let is_in_place = !matches!(mark.part, PhasePart::Waiting | PhasePart::Injecting);
            mark.phase == phase && mark.at_ns <= now_ns && is_in_place
        };
        let begun_ns = marks.iter().find(changes).map(|mark| mark.at_ns);
        self.begun_ns = begun_ns.unwrap_or(now_ns);
        let passed_ns = now_ns - self.begun_ns;
        self.want(self.crowd.at(if begun_ns.is_some() { passed_ns } else { 0 }), since_ns);
        self.changes_ns = begun_ns.and_then(|begun_ns| Some(begun_ns + self.crowd.next_change(passed_ns)?));
    }

    /// All shares together have this number of workers from `at_ns` on.
    fn want(&mut self, workers: usize, at_ns: u64) {
        self.wanted = share(workers, self.part.0, self.part.1);
        while self.alive < self.wanted {
            self.alive += 1;
            self.waiting.push(Reverse(at_ns));
        }
    }

    /// Changes the number of workers as far as that is due before `end_ns`.
    fn advance(&mut self, end_ns: u64) {
        while let Some(at_ns) = self.changes_ns.filter(|at_ns| *at_ns < end_ns) {
            let since_ns = at_ns - self.begun_ns;
            self.want(self.crowd.at(since_ns), at_ns);
            self.changes_ns = self.crowd.next_change(since_ns).map(|next_ns| self.begun_ns + next_ns);
        }
    }

    fn due_before(&mut self, end_ns: u64) -> Option<u64> {
        self.advance(end_ns);
        while self.waiting.peek().is_some_and(|Reverse(at)| *at < end_ns) {
            let at = self.waiting.pop().map(|Reverse(at)| at);
            if self.is_needed() {
                return at;
            }
        }
        None
    }

    /// Whether a free worker continues. Otherwise it is removed.
    fn is_needed(&mut self) -> bool {
        let is_needed = self.alive <= self.wanted;
        self.alive -= usize::from(!is_needed);
        is_needed
    }

    fn ended(&mut self, now_ns: u64, failure: Option<Failure>) -> Option<u64> {
        if !self.is_needed() {
            return None;
        }
        let thinks_ns = match self.think_time {
            None => 0,
            Some(ThinkTime::Constant(time)) => time.get().as_nanos() as u64,
            Some(ThinkTime::Exponential(mean)) => (mean.get().as_nanos() as f64 * self.chance.exponential()) as u64,
        };
        let no_connection = matches!(
            failure,
            Some(
                Failure::Dns
                    | Failure::Refused
                    | Failure::Connect
                    | Failure::Tls
                    | Failure::TlsAlert
                    | Failure::NotSentForward
            )
        );
        match thinks_ns.max(if no_connection { PAUSE_NS } else { 0 }) {
            0 => Some(now_ns),
            wait_ns => {
                self.waiting.push(Reverse(now_ns + wait_ns));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use shakedown_observe::PhasePart;

    fn scenario() -> Scenario {
        let http = json!({"url": "http://h"});
        serde_json::from_value(json!({
            "version": 1,
            "name": "test",
            "load": {
                "open": {"http": http, "rate": "20/s", "arrival": "poisson"},
                "closed": {"http": http, "concurrency": 5, "think_time": "10ms"},
            },
            "phases": [
                {"name": "a", "duration": "10s"},
                {"name": "b", "duration": "10s", "load": {
                    "open": {"rate": {"from": "20/s", "to": "80/s"}}, "closed": {"concurrency": 2},
                }},
                {"name": "c", "duration": "10s", "load": {"open": {"rate": "0/s"}, "closed": {"concurrency": 7}}},
            ],
        }))
        .unwrap()
    }

    #[test]
    fn each_phase_has_its_own_pace() {
        let open = Pacing::in_phases("open", &scenario()).unwrap();
        assert_eq!((open.is_open(), open.highest_rate(), open.most_workers()), (true, 80.0, 0));
        let closed = Pacing::in_phases("closed", &scenario()).unwrap();
        assert!(matches!(&closed, Pacing::Closed { workers, .. } if *workers == [5, 2, 7].map(Crowd::constant)));
        assert_eq!((closed.highest_rate(), closed.most_workers()), (0.0, 7));
        assert_eq!(Pacing::in_phases("other", &scenario()), None);
        assert!((0..3).map(|part| share(8, part, 3)).eq([3, 3, 2]));
    }

    #[test]
    fn workers_follow_the_phases_and_think_between_requests() {
        let pacing = Pacing::in_phases("closed", &scenario()).unwrap();
        let mut starter = Starter::new(&pacing, 1, "closed", (0, 1));
        let mark = |at_ns, phase| Mark { at_ns, phase, part: PhasePart::Judged };
        let marks = [mark(0, 0), mark(1_000, 1), mark(2_000, 2)];
        starter.follow(&marks[..1], 0);
        let due: Vec<u64> = std::iter::from_fn(|| starter.due_before(1)).collect();
        assert_eq!((due, starter.can_be_late()), (vec![0; 5], true));
        assert_eq!((starter.ended(500, None), starter.next_ns()), (None, Some(10_000_500)));
        // Two of five workers must end: one ends with its think time, the others with their answers.
        starter.follow(&marks[..2], 1_000);
        assert_eq!((starter.ended(1_100, None), starter.ended(1_200, None)), (None, None));
        assert_eq!(starter.due_before(20_000_000), None);
        assert_eq!((starter.ended(1_300, None), starter.next_ns()), (None, Some(10_001_300)));
        starter.follow(&marks, 2_000);
        assert_eq!(starter.next_ns(), Some(2_000));
        let due: Vec<u64> = std::iter::from_fn(|| starter.due_before(3_000)).collect();
        assert_eq!(due, [2_000; 5]);
    }

    #[test]
    fn a_ramp_adds_and_removes_workers_evenly_once_the_faults_are_in_place() {
        let mark = |at_ns, phase, part| Mark { at_ns, phase, part };
        let up = Crowd { from: 2, to: 6, over_ns: 1_000 };
        let down = Crowd { from: 6, to: 3, over_ns: 900 };
        assert!([0, 249, 250, 500, 999, 1_000, 5_000].map(|at| up.at(at)).iter().eq(&[2, 2, 3, 4, 5, 6, 6]));
        assert!([0, 299, 300, 600, 900].map(|at| down.at(at)).iter().eq(&[6, 6, 5, 4, 3]));
        assert_eq!((up.next_change(0), up.next_change(250), up.next_change(1_000)), (Some(250), Some(500), None));
        let odd = Crowd { from: 0, to: 3, over_ns: 1_000 };
        let mut at = 0;
        for workers in 1..=3 {
            at = odd.next_change(at).unwrap();
            assert_eq!((odd.at(at - 1), odd.at(at)), (workers - 1, workers), "{at}");
        }
        let pacing = Pacing::Closed { think_time: None, workers: vec![up, down] };
        assert_eq!(pacing.most_workers(), 6);
        let mut starter = Starter::new(&pacing, 1, "closed", (0, 1));
        let due = |starter: &mut Starter, end| std::iter::from_fn(|| starter.due_before(end)).collect::<Vec<_>>();
        let marks =
            [mark(0, 0, PhasePart::Injecting), mark(1_000, 0, PhasePart::Judged), mark(5_000, 1, PhasePart::Judged)];
        starter.follow(&marks[..1], 0);
        assert_eq!((due(&mut starter, 1_000), starter.next_ns()), (vec![0, 0], None), "the first number until then");
        starter.follow(&marks[..2], 1_000);
        assert_eq!((due(&mut starter, 1_250), starter.next_ns()), (vec![], Some(1_250)));
        assert_eq!(due(&mut starter, 1_600), [1_250, 1_500]);
        // The same phase again changes nothing.
        starter.follow(&marks[..2], 1_700);
        assert_eq!(due(&mut starter, 3_000), [1_750, 2_000]);
        assert_eq!(starter.ended(3_100, None), Some(3_100), "all six continue");
        starter.follow(&marks, 5_000);
        assert_eq!(starter.ended(5_100, None), Some(5_100));
        assert_eq!(due(&mut starter, 5_700), Vec::<u64>::new());
        assert_eq!((starter.ended(5_700, None), starter.ended(5_700, None)), (None, None), "two of six end");
        assert_eq!(starter.ended(5_700, None), Some(5_700));
    }

    #[test]
    fn a_refused_worker_pauses_and_others_continue_at_once() {
        let pacing = Pacing::Closed { think_time: None, workers: vec![Crowd::constant(1)] };
        let mut starter = Starter::new(&pacing, 1, "closed", (0, 1));
        starter.follow(&[], 0);
        assert_eq!((starter.due_before(1), starter.can_be_late()), (Some(0), false));
        assert_eq!(starter.ended(700, None), Some(700));
        assert_eq!(starter.ended(800, Some(Failure::Reset)), Some(800));
        assert_eq!((starter.ended(900, Some(Failure::Refused)), starter.next_ns()), (None, Some(900 + PAUSE_NS)));
    }

    #[test]
    fn random_think_times_have_their_mean() {
        let think_time = Some(ThinkTime::Exponential(shakedown_schemas::units::Duration::from_millis(20)));
        let mut starter =
            Starter::new(&Pacing::Closed { think_time, workers: vec![Crowd::constant(1)] }, 1, "closed", (0, 1));
        starter.follow(&[], 0);
        let mut now_ns = starter.due_before(1).unwrap();
        for _ in 0..10_000 {
            assert_eq!(starter.ended(now_ns, None), None);
            now_ns = starter.due_before(u64::MAX).unwrap();
        }
        assert!((now_ns as f64 / 10_000.0 / 20e6 - 1.0).abs() < 0.05, "{now_ns}");
    }
}
