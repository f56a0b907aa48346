//! Shapes of latency that services show, for simulations of how often intervals and verdicts are right.

use std::fmt;

use crate::chance::Chance;

/// How a simulated service's latency behaves while nothing is done to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Log-normal around 100 ms with sigma 0.5, each request by itself.
    Independent,
    /// The same, times a level that drifts from second to second: AR(1) with coefficient 0.8 and this standard
    /// deviation of its logarithm.
    Drifting(f64),
    /// One request of ten takes ten times as long.
    Bimodal,
    /// Pareto from 50 ms with exponent 1.5: the mean exists, the variance does not.
    HeavyTailed,
    /// In one second of twenty the service stops for 0.5 to 1.5 s, and everything that is due waits.
    Stalls,
}

impl Shape {
    /// All that the simulation goes through.
    pub const ALL: [Self; 7] = [
        Self::Independent,
        Self::Drifting(0.05),
        Self::Drifting(0.15),
        Self::Drifting(0.30),
        Self::Bimodal,
        Self::HeavyTailed,
        Self::Stalls,
    ];
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Independent => out.write_str("independent"),
            Self::Drifting(deviation) => write!(out, "drift {:.0} %", deviation * 100.0),
            Self::Bimodal => out.write_str("bimodal"),
            Self::HeavyTailed => out.write_str("heavy-tailed"),
            Self::Stalls => out.write_str("stalls"),
        }
    }
}

/// A simulated service: asks for its latencies come in order of time.
#[derive(Debug)]
pub struct Service {
    shape: Shape,
    chance: Chance,
    level: f64,
    stalled_until: f64,
    second: u64,
}

impl Service {
    /// A service of this shape; the same seed gives the same service.
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut chance = Chance::new(seed, &["service"]);
        let level = chance.normal();
        Self { shape, chance, level, stalled_until: 0.0, second: 0 }
    }

    /// The latency of a request that is due then, in milliseconds.
    pub fn answer_ms(&mut self, at: f64) -> f64 {
        while self.second <= at as u64 {
            self.level = 0.8 * self.level + 0.6 * self.chance.normal();
            if self.chance.uniform() < 0.05 {
                let end = self.second as f64 + 0.5 + self.chance.uniform();
                self.stalled_until = self.stalled_until.max(end);
            }
            self.second += 1;
        }
        let plain = 100.0 * (0.5 * self.chance.normal()).exp();
        match self.shape {
            Shape::Independent => plain,
            Shape::Drifting(deviation) => plain * (deviation * self.level).exp(),
            Shape::Bimodal if self.chance.uniform() < 0.1 => plain * 10.0,
            Shape::Bimodal => plain,
            Shape::HeavyTailed => 50.0 * self.chance.uniform().powf(-1.0 / 1.5),
            Shape::Stalls => plain + (self.stalled_until - at).max(0.0) * 1000.0,
        }
    }
}
