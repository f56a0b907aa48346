//! Whether Chaos Mesh can act on the networks of pods.

use std::net::IpAddr;

use serde_json::Value;
use shakedown_schemas::result::PodRef;

use crate::plan::error::PlanError;
use crate::plan::request::ChaosRequest;
use shakedown_faults::chaos::spec::Inside;

/// What Chaos Mesh does to networks, it does by a pod's own address, in version 4.
pub(super) fn check_network(fault: &str, what: &str, pod: &PodRef, object: &Value) -> Result<(), PlanError> {
    let refuse = |text: &str| Err(PlanError::fault(fault, format!("{what} pod {} {text}", pod.name)));
    if object["spec"]["hostNetwork"] == true {
        return refuse("uses its node's network, which Chaos Mesh does not touch\nhelp: choose other pods");
    }
    match pod.ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(IpAddr::V4(_)) => Ok(()),
        Some(IpAddr::V6(_)) => {
            refuse("has an IPv6 address, and Chaos Mesh supports only IPv4\nhelp: choose other pods")
        }
        None => refuse("has no address yet\nhelp: wait until it runs"),
    }
}

/// The same for all targets of a fault.
pub(super) fn check_targets(request: &ChaosRequest<'_>, targets: &[(Inside, Value)]) -> Result<(), PlanError> {
    targets.iter().try_for_each(|(target, there)| check_network(request.name, "target", &target.pod, there))
}
