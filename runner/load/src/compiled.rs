//! A load that is ready to be sent: compiled once, with its target, its pace in each phase, and how long its requests are
//! listened to.

use std::net::SocketAddr;
use std::time::Duration;

use shakedown_schemas::scenario::Scenario;

use super::addresses::Addresses;
use super::oracle::Oracle;
use super::pacing::Pacing;
use super::planned::{LoadError, PlannedLoad};
use super::record::Bounds;
use super::target::Target;

/// A load that was checked and prepared. It is plain data: nothing is open.
#[derive(Debug, Clone)]
pub struct CompiledLoad {
    pub(super) target: Target,
}

impl CompiledLoad {
    /// Checks a load and prepares its requests. Its first pace holds in all phases.
    ///
    /// # Errors
    /// When the load cannot be sent: a URL, method, path or header that HTTP does not allow, a file that does not hold what
    /// it should, or `https` on a system without trusted roots.
    pub fn new(planned: &PlannedLoad) -> Result<Self, LoadError> {
        Ok(Self { target: Target::new(planned)? })
    }

    /// The load's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// Gives the load the pace that each phase of the scenario gives it, listens to its requests for as long as the
    /// scenario's expectations ask, and counts those that meet the bounds that they set.
    #[must_use]
    pub fn in_phases(mut self, scenario: &Scenario) -> Self {
        if let Some(pacing) = Pacing::in_phases(&self.target.name, scenario) {
            self.target.pacing = pacing;
        }
        let micros = |bound: Option<Duration>| bound.map(|it| u32::try_from(it.as_micros()).unwrap_or(u32::MAX));
        let bounds = scenario.goodput_bounds(&self.target.name).into_iter().map(|it| Bounds {
            latency_us: micros(it.latency.map(|it| it.get())),
            first_token_us: micros(it.time_to_first_token.map(|it| it.get())),
            mean_gap_us: micros(it.inter_token_latency_mean.map(|it| it.get())),
        });
        self.target.goodput = bounds.collect();
        let openai = scenario.load.get(&self.target.name).and_then(|load| load.openai.as_ref());
        let same_as = openai.and_then(|openai| openai.check.as_ref()?.same_as.as_ref());
        let phase = same_as.and_then(|name| scenario.phases.iter().position(|phase| phase.name == *name));
        self.target.oracle = phase.map(Oracle::new);
        let times = scenario.linger(&self.target.name);
        self.lingering(times)
    }

    /// Listens to each request for so many times its timeout (1 to 10), to tell those that come late from those that never
    /// end.
    #[must_use]
    pub const fn lingering(mut self, times: f64) -> Self {
        self.target.linger = times.clamp(1.0, 10.0);
        self
    }

    /// How long each request is listened to, from its due moment.
    pub fn listens(&self) -> Duration {
        self.target.timeout.mul_f64(self.target.linger)
    }

    /// Connects to this address in place of the planned ones.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.target.addresses = Addresses::new(&[address]);
        self
    }

    /// Connects to these addresses in place of the planned ones, as they are at any moment of the run.
    #[must_use]
    pub fn following(mut self, addresses: Addresses) -> Self {
        (self.target.addresses, self.target.is_followed) = (addresses, true);
        self
    }
}
