//! The sandbox's model of Chaos Mesh: the refusals of its webhooks, the pods of its selectors, the transitions of its
//! status, and the effects of its rules on a pod's packets.
//!
//! In scope: Chaos Mesh as functions of objects. Out of scope: when they are called (`controllers::chaos`,
//! `controllers::links`), the shape of the objects (`custom`), and the affected links and programs (`net`).

pub(crate) mod ailing;
pub(crate) mod daemon;
pub(crate) mod lacks;
pub(crate) mod network;
pub(crate) mod record;
pub(crate) mod select;
pub(crate) mod units;
pub(crate) mod webhook;

use super::resource::{DNS_CHAOS, HTTP_CHAOS, IO_CHAOS, NETWORK_CHAOS, POD_CHAOS, Resource, STRESS_CHAOS, TIME_CHAOS};

/// The kinds that users create. The controller creates PodNetworkChaos.
pub(crate) static KINDS: [&Resource; 7] =
    [&NETWORK_CHAOS, &POD_CHAOS, &STRESS_CHAOS, &HTTP_CHAOS, &DNS_CHAOS, &IO_CHAOS, &TIME_CHAOS];

/// The result of a chaos after schema, defaults and webhooks, once `tc` has accepted its rules, for tests of the code
/// that writes chaos.
///
/// # Errors
/// The message of the component that refuses it.
#[cfg(any(test, feature = "testing"))]
pub fn asked(chaos: &serde_json::Value) -> Result<serde_json::Value, String> {
    use super::{admission, object, resource, typed, validate};
    let kind =
        resource::find_kind(object::text(chaos, "/apiVersion"), object::text(chaos, "/kind")).ok_or("no kind")?;
    let mut kept = chaos.clone();
    typed::normalise(kind, &mut kept).map_err(|error| error.to_string())?;
    admission::complete(kind, &mut kept);
    validate::check(kind, &kept).map_err(|error| error.to_string())?;
    if kind.kind != "NetworkChaos" {
        return Ok(kept);
    }
    let external = object::list(&kept, "/spec/externalTargets").iter().filter_map(serde_json::Value::as_str);
    let external = external.map(|target| match target.rsplit_once(':') {
        Some((host, port)) => (host.to_owned(), port.parse().ok()),
        None => (target.to_owned(), None),
    });
    let ends = network::Ends {
        sources: vec![[10, 0, 0, 10].into()],
        targets: vec![[10, 0, 1, 20].into()],
        external: external.collect(),
    };
    for end in [".", ".Target"] {
        let mut network = serde_json::json!({"metadata": {"namespace": "a", "name": "p"}, "spec": {}});
        network::merge(&mut network["spec"], "a/n", network::rules(&kept, end, &ends)?);
        daemon::Rules::read(&network)?;
    }
    Ok(kept)
}

/// The finalizer of a chaos that may have something to recover.
pub(crate) const FINALIZER: &str = "chaos-mesh/records";
/// With the value `true`, the chaos is recovered until the annotation is removed.
pub(crate) const PAUSE: &str = "experiment.chaos-mesh.org/pause";
/// With the value `forced` on a deleted chaos, its finalizers are removed without recovery.
pub(crate) const CLEAN: &str = "chaos-mesh.chaos-mesh.org/cleanFinalizer";
