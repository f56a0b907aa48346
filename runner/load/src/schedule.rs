//! When requests are due: pure arithmetic, no clock.
//!
//! The schedule is absolute. It is a curve that says how many requests are due before a moment; request number `i` is due
//! where the curve passes `i`, whatever happened to the ones before. A sum of sleeps would drift, and would slow down
//! with the service that it measures. A phase's pace continues the curve where the phase begins, so that no border
//! loses a request or sends one twice.
//!
//! By default the requests of a block, which is a second or a whole part of one, are due at independent random moments within
//! the block, drawn from the seed: a Poisson process of which each block has exactly its number. The rate is exact from
//! block to block. Evenly spaced requests keep step with whatever else is periodic: 20/s next to a probe of 10/s, through
//! three backends in turn, never met the slow one. Moving each request within its own interval would not change that: the
//! order of the two streams stays the same.
//!
//! With arrivals by chance the curve is passed at the sums of exponential steps instead of at the whole numbers, which
//! makes a Poisson process of the curve's rate (the time change of Çınlar, "Introduction to Stochastic Processes", 1975,
//! section 4.7).

use std::time::Duration;

use shakedown_schemas::scenario::{Arrival, Leg, Pace};

use shakedown_observe::chance::Chance;
use shakedown_observe::{Mark, Part};

/// The most requests that jitter takes together: enough that nothing keeps step with them, and few enough that they are no
/// burst.
const MOST_OF_A_BLOCK: u64 = 20;

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

    /// How many requests jitter takes together: a second's at this rate, or a whole part of them where they are many.
    pub(super) fn block(&self) -> u64 {
        let per_second = self.highest().round().max(1.0) as u64;
        let part = (MOST_OF_A_BLOCK / 4..=MOST_OF_A_BLOCK).rev().find(|part| per_second.is_multiple_of(*part));
        if per_second <= MOST_OF_A_BLOCK { per_second } else { part.unwrap_or(MOST_OF_A_BLOCK) }
    }

    fn first(&self) -> f64 {
        self.legs.first().map_or(self.last, |leg| leg.from)
    }
}

/// A stretch of the curve, up to where the next one begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stretch {
    at_ns: u64,
    /// The curve's value at its beginning.
    before: f64,
    /// The rate at its beginning, per second, and by how much it rises each second.
    from: f64,
    slope: f64,
}

impl Stretch {
    /// The curve after so many seconds.
    fn count(&self, seconds: f64) -> f64 {
        self.before + self.from * seconds + self.slope / 2.0 * seconds * seconds
    }

    /// After how many nanoseconds the curve passes a number that is at least `before`; infinite where it never does.
    fn nanoseconds(&self, number: f64) -> f64 {
        let rest = (number - self.before).max(0.0);
        if rest == 0.0 {
            return if self.from > 0.0 || self.slope > 0.0 { 0.0 } else { f64::INFINITY };
        }
        if self.slope == 0.0 {
            return rest * 1e9 / self.from;
        }
        // The root of the quadratic in the form that loses no digits where the slope is small, or none. Rounding may put
        // the very end of a ramp down to nothing a hair beyond it.
        let root = (self.from * self.from + 2.0 * self.slope * rest).max(0.0).sqrt();
        2.0 * rest * 1e9 / (self.from + root)
    }
}

/// The curve of a load, as far as it is known which phases there are.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Curve {
    stretches: Vec<Stretch>,
}

impl Curve {
    /// The curve of these phases, as they begin. Before the first mark the first phase's first rate holds. A phase whose
    /// faults are being injected keeps to its first rate, and takes its shape from when they are in place.
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
            if shaped != Some(mark.phase) && !matches!(mark.part, Part::Waiting | Part::Injecting) {
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

    /// Another stretch from here on; whatever the curve had there or later is forgotten.
    fn add(&mut self, at_ns: u64, from: f64, slope: f64) {
        while self.stretches.last().is_some_and(|last| last.at_ns >= at_ns) {
            self.stretches.pop();
        }
        // A constant rate goes on as it is, so that its requests stay evenly spaced over a border.
        if self.stretches.last().is_some_and(|last| last.from == from && last.slope == 0.0 && slope == 0.0) {
            return;
        }
        let before = self.count(at_ns);
        self.stretches.push(Stretch { at_ns, before, from, slope });
    }

    /// How many requests are due before a moment: where the curve is then.
    fn count(&self, at_ns: u64) -> f64 {
        let index = self.stretches.partition_point(|stretch| stretch.at_ns <= at_ns);
        let Some(stretch) = index.checked_sub(1).map(|index| self.stretches[index]) else { return 0.0 };
        stretch.count((at_ns - stretch.at_ns) as f64 / 1e9)
    }

    /// The rate at a moment in a stretch, per second.
    fn rate(&self, at_ns: u64, stretch: usize) -> f64 {
        let stretch = self.stretches.get(stretch);
        stretch.map_or(0.0, |it| it.from + it.slope * at_ns.saturating_sub(it.at_ns) as f64 / 1e9)
    }

    /// When the curve passes a number, in nanoseconds since the load's start; none when it never does. `hint` is the
    /// stretch of the number before.
    fn passes(&self, number: f64, hint: &mut usize) -> Option<u64> {
        loop {
            let stretch = self.stretches.get(*hint)?;
            let nanoseconds = stretch.nanoseconds(number);
            let at_ns = nanoseconds.is_finite().then(|| stretch.at_ns.saturating_add(nanoseconds as u64));
            // By the moment and not by the number: one that is due in the last nanosecond is due there whether or not it is
            // known yet what follows, so that threads that learn it at different times agree.
            match self.stretches.get(*hint + 1) {
                Some(next) if at_ns.is_none_or(|at_ns| at_ns >= next.at_ns) => *hint += 1,
                _ => return at_ns,
            }
        }
    }
}

/// How the places of requests on the curve are drawn.
#[derive(Debug, Clone)]
enum Draw {
    /// At the whole numbers.
    Steady,
    /// Anywhere within a block of this many requests: their places in rising order, as shares of the block, and how many blocks
    /// were drawn.
    Jittered { chance: Chance, requests: u64, places: Vec<f64>, drawn: u64 },
    /// At the sums of exponential steps.
    Poisson(Chance),
}

/// Part `part` of `parts` of a load's schedule: the requests `part`, `part + parts`, `part + 2 * parts`, ...
///
/// All parts together are exactly the whole, so that each engine thread, and each machine, can keep its own.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    curve: Curve,
    hint: usize,
    parts: u64,
    /// The number of the next request of this part, counted over all parts.
    next: u64,
    /// Where on the curve it is.
    number: f64,
    /// Draws the moments, unless they are evenly spaced.
    draw: Draw,
    /// When it is due; none when it never is, as far as is known.
    due_ns: Option<u64>,
}

impl Schedule {
    /// A part of the schedule of the load of this name. With jitter, each block of so many requests is exact.
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

    /// Follows a curve that has another end than the one before.
    pub(super) fn follow(&mut self, curve: Curve) {
        self.curve = curve;
        self.hint = 0;
        self.due_ns = self.curve.passes(self.number, &mut self.hint);
    }

    /// When the next request is due, in nanoseconds since the start; none when it never is, as far as is known.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// When the next request is to be sent: together with those that are due within `gather_ns` after it.
    pub(super) fn release_ns(&self, gather_ns: u64) -> Option<u64> {
        let due_ns = self.due_ns?;
        let apart_ns = self.parts as f64 * 1e9 / self.curve.rate(due_ns, self.hint);
        // Rounding must not lose the one that is due at the very end.
        let others = (gather_ns as f64 / apart_ns + 1e-9).floor();
        Some(if others >= 1.0 { due_ns + (others * apart_ns) as u64 } else { due_ns })
    }

    /// The next request if it is due before `end_ns`; the one after it becomes the next.
    pub(super) fn take_before(&mut self, end_ns: u64) -> Option<u64> {
        let due_ns = self.due_ns.filter(|due| *due < end_ns)?;
        self.next += self.parts;
        self.step(self.parts);
        self.due_ns = self.curve.passes(self.number, &mut self.hint);
        Some(due_ns)
    }

    /// Goes on by so many requests of the whole.
    fn step(&mut self, requests: u64) {
        // One by one, so that every part draws the same for each request.
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
