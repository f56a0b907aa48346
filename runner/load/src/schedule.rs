//! When requests are due: pure arithmetic, no clock.
//!
//! The schedule is absolute. It is a curve of the number of requests that are due before a moment. Request `i` is due where
//! the curve passes `i`, regardless of the outcomes of earlier requests. A sum of sleeps would drift, and would slow down
//! with the service that it measures. A phase's pace continues the curve where the phase begins, so that no boundary loses
//! or repeats a request.
//!
//! By default the requests of a block are due at independent random moments within it, drawn from the seed. A block is one
//! second or a whole fraction of it. This is a Poisson process conditioned on the exact number of requests in each block,
//! so the rate is exact from block to block. Evenly spaced requests synchronise with other periodic processes: 20/s next to
//! a probe of 10/s, through three backends in turn, never reached the slow backend. Moving each request within its own
//! interval would not help, because the order of the two streams stays the same.
//!
//! With Poisson arrivals, requests are due where the curve passes the sums of exponential steps instead of the whole
//! numbers. This is a Poisson process with the curve's rate (the time change of Çınlar, "Introduction to Stochastic
//! Processes", 1975, section 4.7).

use std::time::Duration;

use shakedown_schemas::scenario::{Arrival, Leg, Pace};

use shakedown_observe::chance::Chance;
use shakedown_observe::{Mark, PhasePart};

/// The most requests of a block: enough to prevent synchronisation, and few enough not to form a burst.
const MOST_OF_A_BLOCK: u64 = Arrival::MOST_OF_A_BLOCK;

/// The pace of one phase.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shape {
    legs: Vec<Leg>,
    /// The rate after the last leg, per second.
    last: f64,
}

impl Shape {
    /// The shape of a pace in a phase of this duration.
    pub(super) fn new(pace: &Pace, duration: Duration) -> Self {
        let (legs, last) = pace.legs(duration.into());
        Self { legs, last }
    }

    /// The highest rate, per second.
    pub(super) fn highest(&self) -> f64 {
        self.legs.iter().flat_map(|leg| [leg.from, leg.to]).fold(self.last, f64::max)
    }

    /// The number of requests in a block: those of one second at this rate, or a whole fraction of them at a high rate.
    pub(super) fn block(&self) -> u64 {
        let per_second = self.highest().round().max(1.0) as u64;
        let part = (MOST_OF_A_BLOCK / 4..=MOST_OF_A_BLOCK).rev().find(|part| per_second.is_multiple_of(*part));
        if per_second <= MOST_OF_A_BLOCK { per_second } else { part.unwrap_or(MOST_OF_A_BLOCK) }
    }

    fn first(&self) -> f64 {
        self.legs.first().map_or(self.last, |leg| leg.from)
    }
}

/// A segment of the curve, up to the beginning of the next one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct CurveSegment {
    at_ns: u64,
    /// The curve's value at the beginning of the segment.
    before: f64,
    /// The rate at the beginning, per second, and its rise per second.
    from: f64,
    slope: f64,
}

impl CurveSegment {
    /// The curve's value after `seconds`.
    fn count(&self, seconds: f64) -> f64 {
        self.before + self.from * seconds + self.slope / 2.0 * seconds * seconds
    }

    /// After how many nanoseconds the curve passes a number of at least `before`. Infinite if it never does.
    fn nanoseconds(&self, number: f64) -> f64 {
        let rest = (number - self.before).max(0.0);
        if rest == 0.0 {
            return if self.from > 0.0 || self.slope > 0.0 { 0.0 } else { f64::INFINITY };
        }
        if self.slope == 0.0 {
            return rest * 1e9 / self.from;
        }
        // The root of the quadratic in the form that loses no digits if the slope is small or 0. Rounding may put the end
        // of a ramp down to 0 slightly beyond it.
        let root = (self.from * self.from + 2.0 * self.slope * rest).max(0.0).sqrt();
        2.0 * rest * 1e9 / (self.from + root)
    }
}

/// The curve of a load, as far as its phases are known.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Curve {
    segments: Vec<CurveSegment>,
}

impl Curve {
    /// The curve of the phases that have begun. The first phase's first rate applies before the first mark. A phase whose
    /// faults are being injected keeps its first rate, and follows its shape once they are in place.
    pub(super) fn new(shapes: &[Shape], marks: &[Mark]) -> Self {
        let mut curve = Self::default();
        let shape = |phase: usize| shapes.get(phase).or(shapes.last());
        let first = marks.first().map_or(0, |mark| mark.phase);
        curve.add(0, shape(first).map_or(0.0, Shape::first), 0.0);
        let mut shaped = None;
        let mut begun = None;
        for mark in marks {
            let Some(shape) = shape(mark.phase) else { continue };
            if begun != Some(mark.phase) {
                begun = Some(mark.phase);
                curve.add(mark.at_ns, shape.first(), 0.0);
            }
            if shaped != Some(mark.phase) && !matches!(mark.part, PhasePart::Waiting | PhasePart::Injecting) {
                shaped = Some(mark.phase);
                let mut at_ns = mark.at_ns;
                for leg in &shape.legs {
                    let seconds = leg.lasts.as_secs_f64();
                    if seconds > 0.0 {
                        curve.add(at_ns, leg.from, (leg.to - leg.from) / seconds);
                    }
                    at_ns += leg.lasts.as_nanos() as u64;
                }
                curve.add(at_ns, shape.last, 0.0);
            }
        }
        curve
    }

    /// Begins a segment here. Later segments are dropped.
    fn add(&mut self, at_ns: u64, from: f64, slope: f64) {
        while self.segments.last().is_some_and(|last| last.at_ns >= at_ns) {
            self.segments.pop();
        }
        // A constant rate continues unchanged, so that its requests stay evenly spaced across a boundary.
        if self.segments.last().is_some_and(|last| last.from == from && last.slope == 0.0 && slope == 0.0) {
            return;
        }
        let before = self.count(at_ns);
        self.segments.push(CurveSegment { at_ns, before, from, slope });
    }

    /// The curve's value at a moment: the number of requests that are due before it.
    fn count(&self, at_ns: u64) -> f64 {
        let index = self.segments.partition_point(|stretch| stretch.at_ns <= at_ns);
        let Some(stretch) = index.checked_sub(1).map(|index| self.segments[index]) else { return 0.0 };
        stretch.count((at_ns - stretch.at_ns) as f64 / 1e9)
    }

    /// The rate at a moment in a segment, per second.
    fn rate(&self, at_ns: u64, stretch: usize) -> f64 {
        let stretch = self.segments.get(stretch);
        stretch.map_or(0.0, |it| it.from + it.slope * at_ns.saturating_sub(it.at_ns) as f64 / 1e9)
    }

    /// When the curve passes a number, in nanoseconds since the load's start. None if it never does. `hint` is the segment
    /// of the previous number.
    fn passes(&self, number: f64, hint: &mut usize) -> Option<u64> {
        loop {
            let stretch = self.segments.get(*hint)?;
            let nanoseconds = stretch.nanoseconds(number);
            let at_ns = nanoseconds.is_finite().then(|| stretch.at_ns.saturating_add(nanoseconds as u64));
            // By the moment and not by the number: a request in the last nanosecond of a segment is due there, whether or
            // not the next segment is known. Threads that learn of it at different times therefore agree.
            match self.segments.get(*hint + 1) {
                Some(next) if at_ns.is_none_or(|at_ns| at_ns >= next.at_ns) => *hint += 1,
                _ => return at_ns,
            }
        }
    }
}

/// How the positions of requests on the curve are drawn.
#[derive(Debug, Clone)]
enum Draw {
    /// The whole numbers.
    Steady,
    /// Random positions within a block of `requests`: sorted, as fractions of the block, and the number of drawn blocks.
    Jittered { chance: Chance, requests: u64, places: Vec<f64>, drawn: u64 },
    /// The sums of exponential steps.
    Poisson(Chance),
}

/// Share `part` of `parts` of a load's schedule: the requests `part`, `part + parts`, `part + 2 * parts`, ...
///
/// All shares together are exactly the whole schedule, so that each engine thread, and each machine, can compute its own.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    curve: Curve,
    hint: usize,
    parts: u64,
    /// The number of this share's next request, counted over all shares.
    next: u64,
    /// The position of that request on the curve.
    number: f64,
    /// Draws the positions.
    draw: Draw,
    /// When that request is due. None if it never is, as far as known.
    due_ns: Option<u64>,
}

impl Schedule {
    /// A share of the schedule of the load `load`. With jitter, each block has exactly its number of requests.
    pub(super) fn new((arrival, block): (Arrival, u64), seed: u64, load: &str, (part, parts): (u64, u64)) -> Self {
        let chance = || Chance::new(seed, &["arrivals", load]);
        let draw = match arrival {
            Arrival::Steady => Draw::Steady,
            Arrival::Jittered => {
                Draw::Jittered { chance: chance(), requests: block.max(1), places: Vec::new(), drawn: 0 }
            }
            Arrival::Poisson => Draw::Poisson(chance()),
        };
        let mut schedule =
            Self { curve: Curve::default(), hint: 0, parts, next: part, number: 0.0, draw, due_ns: None };
        schedule.step(part + 1);
        schedule
    }

    /// Follows a curve that differs from the previous one only at its end.
    pub(super) fn follow(&mut self, curve: Curve) {
        self.curve = curve;
        self.hint = 0;
        self.due_ns = self.curve.passes(self.number, &mut self.hint);
    }

    /// When the next request is due, in nanoseconds since the start. None if it never is, as far as known.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// When to send the next request together with those that are due within `coalesce_ns` after it.
    pub(super) fn release_ns(&self, coalesce_ns: u64) -> Option<u64> {
        let due_ns = self.due_ns?;
        let apart_ns = self.parts as f64 * 1e9 / self.curve.rate(due_ns, self.hint);
        // Rounding must not exclude the request that is due at the very end.
        let others = (coalesce_ns as f64 / apart_ns + 1e-9).floor();
        Some(if others >= 1.0 { due_ns + (others * apart_ns) as u64 } else { due_ns })
    }

    /// Takes the next request if it is due before `end_ns`.
    pub(super) fn take_before(&mut self, end_ns: u64) -> Option<u64> {
        let due_ns = self.due_ns.filter(|due| *due < end_ns)?;
        self.next += self.parts;
        self.step(self.parts);
        self.due_ns = self.curve.passes(self.number, &mut self.hint);
        Some(due_ns)
    }

    /// Advances by this many requests of the whole schedule.
    fn step(&mut self, requests: u64) {
        // One by one, so that every share draws the same value for each request.
        match &mut self.draw {
            Draw::Steady => self.number = self.next as f64,
            Draw::Jittered { chance, requests, places, drawn } => {
                let (block, place) = (self.next / *requests, (self.next % *requests) as usize);
                while *drawn <= block {
                    places.clear();
                    places.extend((0..*requests).map(|_| chance.uniform()));
                    places.sort_unstable_by(f64::total_cmp);
                    *drawn += 1;
                }
                self.number = (block as f64 + places[place]) * *requests as f64;
            }
            Draw::Poisson(chance) => (0..requests).for_each(|_| self.number += chance.exponential()),
        }
    }
}

#[cfg(test)]
mod tests;
