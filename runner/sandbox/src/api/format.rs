//! The forms in which objects are sent: whole, only their metadata, or as rows of a table.

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::{Value, json};

use super::partial::metadata;
use super::table;
use crate::clock::Clock;
use crate::error::ApiError;
use crate::object;
use crate::resource::Resource;

/// The format that the client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Metadata,
    Table { rows_hold_objects: bool },
}

impl Form {
    /// The first form in the `Accept` header that is served.
    pub fn of(headers: &HeaderMap, include_object: Option<&str>) -> Result<Self, ApiError> {
        let accept = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or("application/json");
        for offer in accept.split(',') {
            let mut parts = offer.split(';').map(str::trim);
            if !matches!(parts.next(), Some("application/json" | "application/*" | "*/*" | "")) {
                continue;
            }
            let mut form = None;
            let mut version = "v1";
            for part in parts {
                match part.split_once('=') {
                    Some(("as", value)) => form = Some(value),
                    Some(("v", value)) => version = value,
                    _ => {}
                }
            }
            match form {
                None => return Ok(Self::Whole),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if version == "v1" => {
                    return Ok(Self::Metadata);
                }
                Some("Table") if version == "v1" => {
                    return Ok(Self::Table { rows_hold_objects: include_object == Some("Object") });
                }
                Some(_) => {}
            }
        }
        Err(ApiError::not_acceptable())
    }

    /// One object.
    pub fn object(self, resource: &Resource, value: &Value, clock: &Clock) -> Value {
        match self {
            Self::Whole => value.clone(),
            Self::Metadata => metadata(value),
            Self::Table { rows_hold_objects } => {
                let meta = json!({"resourceVersion": value["metadata"]["resourceVersion"]});
                table::render(resource, &[value], meta, rows_hold_objects, clock)
            }
        }
    }

    /// A list with the given metadata.
    pub fn list<'a>(
        self,
        resource: &Resource,
        values: impl Iterator<Item = &'a Value>,
        meta: Value,
        clock: &Clock,
    ) -> Value {
        match self {
            Self::Whole => {
                // As on the real server, items of a list do not repeat their kind... except that clients cope with both,
                // and an object that says what it is can be read alone.
                let items: Vec<Value> = values.cloned().collect();
                let kind = format!("{}List", resource.kind);
                json!({"kind": kind, "apiVersion": resource.api_version(), "metadata": meta, "items": items})
            }
            Self::Metadata => {
                let items: Vec<Value> = values.map(metadata).collect();
                // The real server has no empty list here.
                let items = if items.is_empty() { Value::Null } else { items.into() };
                json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items})
            }
            Self::Table { rows_hold_objects } => {
                let values: Vec<&Value> = values.collect();
                table::render(resource, &values, meta, rows_hold_objects, clock)
            }
        }
    }
}

/// The answer to a successful deletion.
pub(super) fn success(resource: &Resource, value: &Value) -> Value {
    let mut details = json!({"name": object::name(value)});
    if !resource.group.is_empty() {
        details["group"] = resource.group.into();
    }
    details["kind"] = resource.plural.into();
    details["uid"] = object::uid(value).into();
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
