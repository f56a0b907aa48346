//! The size of planned objects, compared with the size that an API server stores.

use shakedown_cluster::size::{HELP, too_large};
use shakedown_schemas::Explained;
use shakedown_schemas::result::ObjectRecord;

use super::error::PlanError;
use super::spec::FaultSpec;

/// Refuses a plan with an object that the API server would refuse in the middle of the run.
///
/// # Errors
/// With the first such object.
pub(super) fn check(faults: &[FaultSpec]) -> Result<(), PlanError> {
    faults.iter().map(|fault| &fault.plan).try_for_each(|fault| {
        let refusal = fault
            .objects
            .iter()
            .find_map(|object: &ObjectRecord| too_large(&format!("{} {}", object.kind, object.name), &object.manifest));
        refusal.map_or(Ok(()), |why| Err(PlanError::fault(&fault.name, Explained::new(why, HELP))))
    })
}
