//! The life of one pod on the node, from its address to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use shakedown_schemas::units;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::container::Container;
use super::ground::{ADDRESS, Ground};
use super::status;
use crate::controllers::events;
use crate::object;
use crate::resource::PODS;
use crate::store::Key;
use crate::topology::START_ANNOTATION;

/// The default time from the scheduling of a pod to the start of its program.
const START: Duration = Duration::from_millis(500);
/// The least time from SIGTERM to SIGKILL, also of a pod that was removed from the API: that of a real kubelet.
const LEAST_GRACE: Duration = Duration::from_secs(2);
/// The pause before the next try to get an address.
const RETRY: Duration = Duration::from_millis(500);

/// Runs until the pod's containers have ended for good. Then it removes the pod if that is being deleted.
pub(super) async fn live(
    ground: Ground,
    pod: Arc<Value>,
    images: watch::Receiver<Vec<String>>,
    stop: CancellationToken,
) {
    let (key, uid) = (Key::of(&PODS, &pod), object::uid(&pod).to_string());
    let lived = async {
        let ip = loop {
            if let Some(ip) = ground.registry.addresses.pod() {
                break ip;
            }
            let message = "Failed to create pod sandbox: no address is left in the sandbox's range";
            events::emit(&ground.registry, &pod, "kubelet", true, "FailedCreatePodSandBox", message);
            sleep(RETRY).await;
        };
        let now = ground.registry.store.clock.stamp();
        ground.registry.modify(&key, &uid, |pod| status::begin(pod, &ip.to_string(), ADDRESS, &now));
        let stored = ground.registry.store.get(key.resource, &key.namespace, &key.name);
        if stored.is_none_or(|stored| object::text(&stored, "/status/podIP") != ip.to_string()) {
            // The pod was deleted in the meantime: release the address here.
            ground.registry.addresses.release(ip);
            return;
        }
        if !ground.registry.starting.load(Ordering::Relaxed) {
            sleep(start_time(&pod)).await;
        }
        let net = ground.links.pod(ip.into(), key.namespace.clone(), ground.dns.clone());
        let mut containers = JoinSet::new();
        for index in 0..object::list(&pod, "/spec/containers").len() {
            let (ground, pod, images) = (ground.clone(), pod.clone(), images.clone());
            let container = Container { ground, pod, index, images, ip, net: net.clone() };
            containers.spawn(container.run(stop.clone()));
        }
        while containers.join_next().await.is_some() {}
    };
    tokio::pin!(lived);
    tokio::select! {
        () = &mut lived => {}
        () = stop.cancelled() => {
            let stored = ground.registry.store.get(key.resource, &key.namespace, &key.name);
            let stored = stored.filter(|stored| object::uid(stored) == uid);
            let grace = stored.and_then(|pod| object::number(&pod, "/metadata/deletionGracePeriodSeconds"));
            let grace = grace.and_then(|seconds| u64::try_from(seconds).ok()).map_or(LEAST_GRACE, Duration::from_secs);
            // A program that is still running after its grace period is killed: dropped with this future.
            let _ = timeout(grace.max(LEAST_GRACE), &mut lived).await;
        }
    }
    let is_to_go = ground
        .registry
        .store
        .get(key.resource, &key.namespace, &key.name)
        .is_some_and(|pod| object::uid(&pod) == uid && object::is_terminating(&pod));
    if is_to_go {
        ground.registry.finish_deletion(&key, &uid);
    }
}

fn start_time(pod: &Value) -> Duration {
    let text = pod["metadata"]["annotations"][START_ANNOTATION].as_str();
    text.and_then(|text| text.parse::<units::Duration>().ok()).map_or(START, units::Duration::get)
}
