//! Objects as the API's own types: objects of the wrong shape are refused, unknown fields are reported and dropped.
//!
//! In scope: one pass through the types of `k8s-openapi`. Out of scope: rules across fields (`validate`).

use k8s_openapi::api::{apps, authorization, batch, coordination, core, discovery, networking, policy};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::ApiError;
use super::resource::Resource;
use super::{custom, object};

/// Checks that the object has its kind's shape, drops fields that the kind does not have, and returns their paths.
pub(crate) fn normalise(resource: &Resource, value: &mut Value) -> Result<Vec<String>, ApiError> {
    object::prune_nulls(value);
    if let Some(definition) = custom::of(resource) {
        return Ok(definition.prune(value));
    }
    let round_trip = match resource.kind {
        "ConfigMap" => through::<core::v1::ConfigMap>,
        "Deployment" => through::<apps::v1::Deployment>,
        "Endpoints" => through::<core::v1::Endpoints>,
        "EndpointSlice" => through::<discovery::v1::EndpointSlice>,
        "Event" => through::<core::v1::Event>,
        "Job" => through::<batch::v1::Job>,
        "Lease" => through::<coordination::v1::Lease>,
        "Namespace" => through::<core::v1::Namespace>,
        "NetworkPolicy" => through::<networking::v1::NetworkPolicy>,
        "Node" => through::<core::v1::Node>,
        "Pod" => through::<core::v1::Pod>,
        "PodDisruptionBudget" => through::<policy::v1::PodDisruptionBudget>,
        "ReplicaSet" => through::<apps::v1::ReplicaSet>,
        "Secret" => through::<core::v1::Secret>,
        "Service" => through::<core::v1::Service>,
        "ServiceAccount" => through::<core::v1::ServiceAccount>,
        "StatefulSet" => through::<apps::v1::StatefulSet>,
        "SelfSubjectAccessReview" => through::<authorization::v1::SelfSubjectAccessReview>,
        // A kind without a type here is kept as it came.
        _ => return Ok(Vec::new()),
    };
    let typed = round_trip(value).map_err(|e| {
        ApiError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: {e}",
            resource.kind, resource.version, resource.kind
        ))
    })?;
    let mut unknown = Vec::new();
    find_unknown(value, &typed, String::new(), &mut unknown);
    *value = typed;
    Ok(unknown)
}

fn through<T: DeserializeOwned + Serialize>(value: &Value) -> Result<Value, serde_json::Error> {
    // Unknown fields are those that are missing after a round trip through the type.
    serde_json::to_value(T::deserialize(value)?)
}

fn find_unknown(given: &Value, known: &Value, path: String, unknown: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(inner) => find_unknown(value, inner, path, unknown),
                    None => unknown.push(path),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (at, (given, known)) in given.iter().zip(known).enumerate() {
                find_unknown(given, known, format!("{path}[{at}]"), unknown);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::NETWORK_POLICIES;
    use serde_json::json;

    #[test]
    fn unknown_fields_are_named_and_dropped() {
        let mut policy = json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "a", "creationTimestamp": null},
            "spec": {"podSelector": {}, "egress": [{"too": [], "ports": [{"port": 53, "protocol": "UDP"}]}], "egres": []},
        });
        let unknown = normalise(&NETWORK_POLICIES, &mut policy).unwrap();
        assert_eq!(unknown, ["spec.egress[0].too", "spec.egres"]);
        assert_eq!(policy["spec"]["egress"], json!([{"ports": [{"port": 53, "protocol": "UDP"}]}]));
        assert_eq!(policy["spec"]["podSelector"], json!({}));
    }

    #[test]
    fn values_of_the_wrong_type_are_bad_requests() {
        let mut policy = json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": "a"}, "spec": {"podSelector": "all"}});
        let error = normalise(&NETWORK_POLICIES, &mut policy).unwrap_err();
        assert_eq!(error.code, 400);
        assert!(error.message.contains("cannot be handled as a NetworkPolicy"), "{error}");
    }
}
