//! The API's error answers: the `Status` object of Kubernetes.
//!
//! In scope: one constructor per reason, with the message texts that clients of a real cluster know.
//! Out of scope: deciding that something is refused.

use serde_json::{Value, json};

use super::resource::Resource;

/// A refused request.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    /// The HTTP status.
    pub code: u16,
    /// The reason code: `NotFound`.
    pub reason: &'static str,
    /// The message.
    pub message: String,
    /// `name`, `kind`, `group`, `causes` of the `Status`.
    pub details: Value,
}

/// One invalid field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cause {
    /// The reason code: `FieldValueInvalid`.
    pub reason: &'static str,
    /// The path: `spec.containers[0].name`.
    pub field: String,
    /// The message, without the path.
    pub message: String,
}

impl Cause {
    /// A value that the field may not have.
    pub fn invalid(field: impl Into<String>, value: &str, why: &str) -> Self {
        Self { reason: "FieldValueInvalid", field: field.into(), message: format!("Invalid value: {value:?}: {why}") }
    }

    /// A field that is missing.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() { "Required value".to_string() } else { format!("Required value: {why}") };
        Self { reason: "FieldValueRequired", field: field.into(), message }
    }

    /// A field that may not be set, or not be changed.
    pub fn forbidden(field: impl Into<String>, why: &str) -> Self {
        Self { reason: "FieldValueForbidden", field: field.into(), message: format!("Forbidden: {why}") }
    }
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: String) -> Self {
        Self { code, reason, message, details: Value::Null }
    }

    fn about(mut self, resource: &Resource, name: &str) -> Self {
        self.details = details(resource.group, resource.plural, name);
        self
    }

    /// 401: no token, or not the server's.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized".to_owned())
    }

    /// 403: the request is meant for another server.
    pub fn other_host() -> Self {
        let message = "the sandbox answers requests for 127.0.0.1 and localhost only";
        Self::new(403, "Forbidden", message.to_owned())
    }

    /// 404: no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", resource.qualified())).about(resource, name)
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{} {name:?} already exists", resource.qualified()))
            .about(resource, name)
    }

    /// 409: another client changed the object first, or it is another object than the client expected.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", resource.qualified());
        Self::new(409, "Conflict", message).about(resource, name)
    }

    /// 409: the update is based on an old version.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 410: the asked version is no longer known.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message.into())
    }

    /// 415: a body in a format that is not understood.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422: invalid fields.
    pub fn invalid(resource: &Resource, name: &str, causes: &[Cause]) -> Self {
        let lines: Vec<String> = causes.iter().map(|c| format!("{}: {}", c.field, c.message)).collect();
        let list = if lines.len() == 1 { lines.concat() } else { format!("[{}]", lines.join(", ")) };
        let mut error = Self::new(422, "Invalid", format!("{} {name:?} is invalid: {list}", resource.qualified_kind()));
        error.details = details(resource.group, resource.kind, name);
        error.details["causes"] = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect::<Vec<_>>()
            .into();
        error
    }

    /// 422: options of a list or watch that do not go together.
    pub fn invalid_options(cause: &Cause) -> Self {
        let mut error = Self::new(
            422,
            "Invalid",
            format!("ListOptions.meta.k8s.io \"\" is invalid: {}: {}", cause.field, cause.message),
        );
        error.details = json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}]});
        error
    }

    /// 400: a request that makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message.into())
    }

    /// 403: understood and refused.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", resource.qualified()))
            .about(resource, name)
    }

    /// 403: an admission webhook denies it.
    pub fn denied(webhook: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("admission webhook {webhook:?} denied the request: {why}"))
    }

    /// 429: a PodDisruptionBudget forbids the eviction.
    pub fn disrupted(budget: &str, healthy: i64, desired: i64) -> Self {
        let message = "Cannot evict pod as it would violate the pod's disruption budget.";
        let mut error = Self::new(429, "TooManyRequests", message.into());
        let cause = format!("The disruption budget {budget} needs {desired} healthy pods and has {healthy} currently");
        error.details = json!({"causes": [{"reason": "DisruptionBudget", "message": cause}], "retryAfterSeconds": 0});
        error
    }

    /// 405: the path has no such verb.
    pub fn method_not_allowed() -> Self {
        Self::new(405, "MethodNotAllowed", "the server does not allow this method on the requested resource".into())
    }

    /// 406: no format that the client accepts.
    pub fn not_acceptable() -> Self {
        Self::new(406, "NotAcceptable", "only the following media types are accepted: application/json".into())
    }

    /// 413: a body that is too long.
    pub fn too_large() -> Self {
        Self::new(413, "RequestEntityTooLarge", "the request is larger than 3 MiB".into())
    }

    /// 422: a patch that does not fit the object.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message.into())
    }

    /// 500: the server cannot do it.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message.into())
    }

    /// 504: a version that does not exist yet.
    pub fn too_new(asked: u64, current: u64) -> Self {
        let mut error = Self::new(504, "Timeout", format!("Too large resource version: {asked}, current: {current}"));
        error.details = json!({"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1});
        error
    }

    /// The object in the answer.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
        });
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status["code"] = self.code.into();
        status
    }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut details = json!({"name": name});
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details["kind"] = kind.into();
    details
}
