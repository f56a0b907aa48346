//! Shapes of latency that services show, for simulations of how often intervals and verdicts are right.

use std::fmt;

use shakedown_observe::chance::Chance;

/// The latency of a simulated service without faults.
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
    /// A single server: requests wait for those before them, and take 35 ms on average (exponential), so that at 20/s it
    /// is busy for 70 % of the time.
    Queue,
    /// In two seconds of five the service stops for 0.1 to 0.3 s, and everything that is due waits: 8 % of the time.
    Pauses,
    /// In this share of seconds, in percent, the service stops for 0.5 to 1.5 s, and all due requests wait.
    Stalls(u8),
}

impl Shape {
    /// All shapes of the simulation.
    pub const ALL: [Self; 10] = [
        Self::Independent,
        Self::Queue,
        Self::Drifting(0.05),
        Self::Drifting(0.15),
        Self::Drifting(0.30),
        Self::Bimodal,
        Self::HeavyTailed,
        Self::Pauses,
        Self::Stalls(10),
        Self::Stalls(5),
    ];
}

impl fmt::Display for Shape {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Independent => out.write_str("independent"),
            Self::Drifting(deviation) => write!(out, "drift {:.0} %", deviation * 100.0),
            Self::Bimodal => out.write_str("bimodal"),
            Self::HeavyTailed => out.write_str("heavy-tailed"),
            Self::Queue => out.write_str("queue"),
            Self::Pauses => out.write_str("pauses"),
            Self::Stalls(percent) => write!(out, "stalls {percent} %"),
        }
    }
}

/// A simulated service: asks for its latencies come in order of time.
#[derive(Debug)]
pub struct Service {
    shape: Shape,
    chance: Chance,
    level: f64,
    /// The time until which it is stopped or busy with earlier requests.
    busy_until: f64,
    second: u64,
}

impl Service {
    /// A service of this shape; the same seed gives the same service.
    pub fn new(shape: Shape, seed: u64) -> Self {
        let mut chance = Chance::new(seed, &["service"]);
        let level = chance.normal();
        Self { shape, chance, level, busy_until: 0.0, second: 0 }
    }

    /// The latency of a request that is due then, in milliseconds.
    pub fn answer_ms(&mut self, at: f64) -> f64 {
        while self.second <= at as u64 {
            self.begin_second();
            self.second += 1;
        }
        let plain = 100.0 * (0.5 * self.chance.normal()).exp();
        let waits = (self.busy_until - at).max(0.0);
        match self.shape {
            Shape::Independent => plain,
            Shape::Drifting(deviation) => plain * (deviation * self.level).exp(),
            Shape::Bimodal if self.chance.uniform() < 0.1 => plain * 10.0,
            Shape::Bimodal => plain,
            Shape::HeavyTailed => 50.0 * self.chance.uniform().powf(-1.0 / 1.5),
            Shape::Pauses | Shape::Stalls(_) => plain + waits * 1000.0,
            Shape::Queue => {
                let takes = waits - 0.035 * self.chance.uniform().ln();
                self.busy_until = at + takes;
                takes * 1000.0
            }
        }
    }

    fn begin_second(&mut self) {
        self.level = 0.8 * self.level + 0.6 * self.chance.normal();
        let (share, shortest, more) = match self.shape {
            Shape::Pauses => (0.4, 0.1, 0.2),
            Shape::Stalls(percent) => (f64::from(percent) / 100.0, 0.5, 1.0),
            _ => return,
        };
        if self.chance.uniform() < share {
            let end = self.second as f64 + shortest + more * self.chance.uniform();
            self.busy_until = self.busy_until.max(end);
        }
    }
}
