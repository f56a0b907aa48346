//! Reads the usage of stressed containers: right before the fault, while it is claimed, and right before its undo.

use std::time::Duration;

use tokio::time::timeout;

use super::Inner;
use super::meter::{Meter, STEP};
use crate::Finding;
use shakedown_cluster::UsageSource;
use shakedown_schemas::result::PodRef;

/// The timeout of a reading. The reading before the fault delays the injection.
const LIMIT: Duration = Duration::from_secs(1);

impl Inner {
    /// Reads the samples before the fault, from the first source that has any.
    pub(super) async fn read_before(&self) {
        let Some(pods) = self.state().meter.as_ref().map(Meter::pods) else { return };
        let found = timeout(LIMIT, self.cluster.find_usage(&pods)).await;
        let found = found.unwrap_or_else(|_| Err(format!("there was no answer within {} s", LIMIT.as_secs())));
        if let Some(meter) = &mut self.state().meter {
            meter.before(found);
        }
    }

    /// The source and the pods, if their usage can be read.
    fn readable(&self) -> Option<(UsageSource, Vec<PodRef>)> {
        self.state().meter.as_ref().and_then(|meter| Some((meter.source()?, meter.pods())))
    }

    /// Takes a sample. False if it could not be read: the caller tries again, or the fault stays claimed.
    async fn sample(&self, source: UsageSource, pods: &[PodRef]) -> bool {
        let Ok(Ok(usage)) = timeout(LIMIT, self.cluster.usage(source, pods)).await else { return false };
        if let Some(meter) = &mut self.state().meter {
            meter.take(&usage);
        }
        true
    }

    /// Reads samples until they show that the fault acts. Never returns if they cannot be read.
    pub(super) async fn watch_usage(&self) -> Vec<Finding> {
        let Some((source, pods)) = self.readable() else { return std::future::pending().await };
        loop {
            self.sample(source, &pods).await;
            let proven = self.state().meter.as_ref().filter(|meter| meter.is_proven()).map(Meter::findings);
            if let Some(findings) = proven {
                return findings;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// The findings right before the undo. Empty without a result.
    pub(super) async fn usage_at_the_end(&self) -> Vec<Finding> {
        let Some((source, pods)) = self.readable() else { return Vec::new() };
        // Older samples do not show that it lasted.
        if !self.sample(source, &pods).await {
            return Vec::new();
        }
        self.state().meter.as_ref().map(Meter::findings).unwrap_or_default()
    }
}
