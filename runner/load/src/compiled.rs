//! A compiled load: its requests, its pace in each phase, and its observation timeout.

use std::sync::Arc;
use std::time::Duration;

use shakedown_schemas::scenario::Scenario;

use super::addresses::Addresses;
use super::oracle::Oracle;
use super::pacing::Pacing;
use super::planned::{LoadError, PlannedLoad};
use super::record::Bounds;
use super::target::Target;
use super::tunnel::Tunnel;

/// A load that was checked and prepared. It is plain data: nothing is open.
#[derive(Debug, Clone)]
pub struct CompiledLoad {
    pub(super) target: Target,
}

impl CompiledLoad {
    /// Checks a load and prepares its requests. Its first pace applies in all phases.
    ///
    /// # Errors
    /// When the load cannot be sent: HTTP does not allow a URL, method, path or header, a file has the wrong content, or
    /// the system has no trusted roots for `https`.
    pub fn new(planned: &PlannedLoad) -> Result<Self, LoadError> {
        Ok(Self { target: Target::new(planned)? })
    }

    /// The load's name.
    pub fn name(&self) -> &str {
        &self.target.name
    }

    /// The value of an answer that names its group, in words. Empty without one.
    pub fn group_by(&self) -> &str {
        &self.target.group_by
    }

    /// Sets the pace of each phase of the scenario, the observation timeout that its expectations need, and the bounds of
    /// their `goodput`.
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
        let same_as = scenario.load.get(&self.target.name).and_then(|load| load.sent()?.same_as());
        let phase = same_as.and_then(|name| scenario.phases.iter().position(|phase| phase.name == name));
        self.target.oracle = phase.map(Oracle::new);
        let times = scenario.observed_timeouts(&self.target.name);
        self.observing_for(times)
    }

    /// Sets the observation timeout of each request to `times` its timeout (1 to 10). A longer one distinguishes late
    /// answers from requests that never end.
    #[must_use]
    pub const fn observing_for(mut self, times: f64) -> Self {
        self.target.observed_timeouts = times.clamp(1.0, 10.0);
        self
    }

    /// The observation timeout: how long each request is observed, from its due moment.
    pub fn observation_timeout(&self) -> Duration {
        self.target.timeout.mul_f64(self.target.observed_timeouts)
    }

    /// Records the `Date` headers of answers: a fault shifts the clocks of their servers.
    #[must_use]
    pub const fn reading_dates(mut self) -> Self {
        self.target.reads_dates = true;
        self
    }

    /// Makes all connections through a tunnel.
    #[must_use]
    pub fn through(mut self, tunnel: Arc<dyn Tunnel>) -> Self {
        self.target.tunnel = Some(tunnel);
        self
    }

    /// Replaces the planned addresses with a list that may change during the run.
    #[must_use]
    pub fn following(mut self, addresses: Addresses) -> Self {
        (self.target.addresses, self.target.is_followed) = (addresses, true);
        self
    }
}
