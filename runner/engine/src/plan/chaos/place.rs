//! The places of pods, for the check of an installation of Chaos Mesh.

use shakedown_schemas::result::PodRef;

use shakedown_cluster::{Cluster, ClusterError, Installation, Kind, ObjectKey};
use shakedown_faults::chaos::fitness::Place;
use shakedown_faults::chaos::spec::{Resource, pod_id};

/// Finds the places of pods.
pub(super) async fn find_place(
    pods: impl Iterator<Item = &PodRef>,
    resources: &[Resource],
    cluster: &Cluster,
    installed: &Installation,
) -> Result<Place, ClusterError> {
    let mut place = Place { kubernetes: cluster.version(), ..Place::default() };
    if installed.controllers.is_empty() {
        return Ok(place);
    }
    let all = cluster.nodes().await?;
    for pod in pods {
        if !place.namespaces.contains_key(&pod.namespace) {
            let name = pod.namespace.clone();
            let key = ObjectKey { kind: Kind::Namespace, namespace: String::new(), name, uid: None };
            let object = match cluster.get(&key).await {
                Err(ClusterError::Forbidden { .. }) => None,
                object => object?,
            };
            let annotated = object.map(|it| it["metadata"]["annotations"]["chaos-mesh.org/inject"] == "enabled");
            place.namespaces.insert(pod.namespace.clone(), annotated);
        }
        // Nothing acts at an end that is known only by its address.
        let acted = resources.iter().any(|it| it.shapes.is_empty() || it.shapes.contains(&pod_id(pod)));
        if let Some(node) = pod.node.as_ref().filter(|_| acted) {
            let runtime = all.iter().find(|it| it.name == *node).and_then(|it| it.runtime.clone());
            place.nodes.insert(node.clone(), runtime);
        }
    }
    Ok(place)
}
