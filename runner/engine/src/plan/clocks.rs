//! Finds the loads that show the clocks of a fault's targets: those whose answers all come from the targets. Read only.

use shakedown_schemas::result::PodRef;
use shakedown_schemas::scenario::Clock;

use super::spec::{Action, FaultSpec, LoadSpec, Route};
use shakedown_cluster::{Cluster, Kind, ObjectKey};
use shakedown_faults::chaos::Recipe;

/// Records the loads in each fault that shifts the wall clock.
pub(super) async fn find(faults: &mut [FaultSpec], loads: &[LoadSpec], cluster: &Cluster) {
    for fault in faults {
        let Action::ChaosMesh(spec) = &fault.action else { continue };
        let Recipe::Time(time) = &spec.recipe else { continue };
        if !time.clocks.is_empty() && !time.clocks.contains(&Clock::Realtime) {
            continue;
        }
        for load in loads {
            if comes_from(load, &fault.plan.targets, cluster).await {
                fault.clocks.push(load.name.clone());
            }
        }
    }
}

/// Whether every answer of a load comes from one of these pods. False if that cannot be read.
async fn comes_from(load: &LoadSpec, targets: &[PodRef], cluster: &Cluster) -> bool {
    let service = match &load.route {
        Route::Url => {
            let host = load.base.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
            return host.is_some_and(|host| targets.iter().any(|pod| pod.ip.as_ref() == Some(&host)));
        }
        Route::Direct { service, .. } | Route::Endpoints { service, .. } | Route::PortForward { service } => {
            service.clone()
        }
    };
    let key = ObjectKey { kind: Kind::Endpoints, namespace: service.namespace, name: service.name, uid: None };
    let Ok(Some(endpoints)) = cluster.get(&key).await else { return false };
    let subsets = endpoints["subsets"].as_array().into_iter().flatten();
    let ready: Vec<&serde_json::Value> = subsets.filter_map(|it| it["addresses"].as_array()).flatten().collect();
    let is_target = |uid: &serde_json::Value| targets.iter().any(|pod| *uid == *pod.uid);
    !ready.is_empty() && ready.iter().all(|address| is_target(&address["targetRef"]["uid"]))
}
