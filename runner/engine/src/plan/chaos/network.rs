//! Checks whether Chaos Mesh can act on the networks of pods.

use std::net::IpAddr;

use serde_json::Value;
use shakedown_schemas::Explained;
use shakedown_schemas::result::PodRef;

use crate::plan::error::PlanError;
use crate::plan::request::ChaosRequest;
use shakedown_faults::chaos::spec::Inside;

/// Chaos Mesh acts on a network by the pod's own IPv4 address.
pub(super) fn check_network(fault: &str, what: &str, pod: &PodRef, object: &Value) -> Result<(), PlanError> {
    let refuse = |does: &str, help: &str| {
        Err(PlanError::fault(fault, Explained::new(format!("{what} pod {} {does}", pod.name), help)))
    };
    if object["spec"]["hostNetwork"] == true {
        return refuse("uses its node's network, which Chaos Mesh does not touch", "choose other pods");
    }
    match pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(_)) => Ok(()),
        Some(IpAddr::V6(_)) => refuse("has an IPv6 address, and Chaos Mesh supports only IPv4", "choose other pods"),
        None => refuse("has no address yet", "wait until it runs"),
    }
}

/// The same for all targets of a fault.
pub(super) fn check_targets(request: &ChaosRequest<'_>, targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    targets.iter().try_for_each(|(target, there)| check_network(request.name, "target", &target.pod, there))
}
