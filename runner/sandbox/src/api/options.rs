//! Query strings and bodies that say how something is to be done.

use std::time::Duration;

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::error::{ApiError, Cause};
use crate::logs::LogOptions;
use crate::object;
use crate::registry::{DeleteOptions, Propagation, Unknown, WriteOptions};
use crate::resource::Resource;
use crate::selector::{Fields, Labels};

/// The query string, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(uri: &Uri) -> Self {
        Self(form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The value, unless it is missing or empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
    }

    /// Whether it is `true` or `1`.
    pub fn is_on(&self, key: &str) -> bool {
        matches!(self.get(key), Some("true" | "1"))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, ApiError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| ApiError::bad_request(format!("invalid value for {key}: {text:?} is no number")))
        };
        self.get(key).map(parse).transpose()
    }

    /// Which lines of a log.
    pub fn logs(&self, now: Timestamp) -> Result<LogOptions, ApiError> {
        let invalid = |key: &str, text: &str| ApiError::bad_request(format!("invalid value for {key}: {text:?}"));
        let at = match self.get("sinceTime") {
            Some(text) => Some(text.parse::<Timestamp>().map_err(|_| invalid("sinceTime", text))?),
            None => None,
        };
        let ago = self.number::<u32>("sinceSeconds")?;
        let ago = ago.and_then(|seconds| now.checked_sub(SignedDuration::from_secs(seconds.into())).ok());
        Ok(LogOptions {
            since: at.or(ago),
            tail: self.number("tailLines")?,
            bytes: self.number("limitBytes")?,
            timestamps: self.is_on("timestamps"),
        })
    }

    fn is_dry_run(&self) -> Result<bool, ApiError> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => {
                Err(ApiError::bad_request(format!("dryRun: Unsupported value: {other:?}: supported values: \"All\"")))
            }
        }
    }

    /// How to write.
    pub fn write_options(&self) -> Result<WriteOptions, ApiError> {
        let unknown = match self.get("fieldValidation") {
            None | Some("Warn") => Unknown::Warn,
            Some("Strict") => Unknown::Refuse,
            Some("Ignore") => Unknown::Ignore,
            Some(other) => return Err(ApiError::bad_request(format!("fieldValidation: Unsupported value: {other:?}"))),
        };
        Ok(WriteOptions { dry_run: self.is_dry_run()?, unknown })
    }

    /// How to delete, from the query and the body, which may be missing (`Null`).
    pub fn delete_options(&self, body: &Value) -> Result<DeleteOptions, ApiError> {
        let grace = match object::number(body, "/gracePeriodSeconds") {
            Some(seconds) => Some(seconds),
            None => self.number("gracePeriodSeconds")?,
        };
        let policy = body["propagationPolicy"].as_str().or_else(|| self.get("propagationPolicy"));
        let orphan = body["orphanDependents"].as_bool().or_else(|| self.get("orphanDependents").map(|v| v == "true"));
        let propagation = match (policy, orphan) {
            (Some("Background"), _) => Some(Propagation::Background),
            (Some("Foreground"), _) => Some(Propagation::Foreground),
            (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
            (None, Some(false)) => Some(Propagation::Background),
            (None, None) => None,
            (Some(other), _) => {
                return Err(ApiError::unprocessable(format!(
                    "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: {other:?}: supported \
                     values: \"Background\", \"Foreground\", \"Orphan\""
                )));
            }
        };
        let text = |pointer| Some(object::text(body, pointer).to_string()).filter(|t| !t.is_empty());
        let dry_run = self.is_dry_run()? || object::list(body, "/dryRun").iter().any(|v| v == "All");
        Ok(DeleteOptions {
            grace,
            propagation,
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            dry_run,
        })
    }
}

/// How to list or watch.
pub(super) struct ListOptions {
    pub labels: Labels,
    pub fields: Fields,
    pub limit: Option<usize>,
    pub continue_at: Option<String>,
    /// `None` for "the latest": unset or `0`.
    pub version: Option<u64>,
    pub watch: bool,
    pub timeout: Option<Duration>,
    pub bookmarks: bool,
}

impl ListOptions {
    pub fn parse(resource: &Resource, query: &Query) -> Result<Self, ApiError> {
        if query.get("sendInitialEvents").is_some() {
            let why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            return Err(ApiError::invalid_options(&Cause::forbidden("sendInitialEvents", why)));
        }
        let watch = query.is_on("watch");
        if query.get("resourceVersionMatch").is_some() {
            let field = "resourceVersionMatch";
            if watch {
                let cause = Cause::forbidden(field, "resourceVersionMatch is forbidden for watch");
                return Err(ApiError::invalid_options(&cause));
            }
            if query.get("resourceVersion").is_none() {
                let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
                return Err(ApiError::invalid_options(&Cause::forbidden(field, why)));
            }
        }
        let version = match query.get("resourceVersion") {
            None => None,
            Some(text) => {
                let number: u64 = text.parse().map_err(|_| {
                    ApiError::bad_request(format!(
                        "Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
                    ))
                })?;
                (number > 0).then_some(number)
            }
        };
        Ok(Self {
            labels: Labels::parse(query.get("labelSelector").unwrap_or_default())?,
            fields: Fields::parse(resource, query.get("fieldSelector").unwrap_or_default())?,
            limit: query.number("limit")?.filter(|limit| *limit > 0),
            continue_at: query.get("continue").map(str::to_string),
            version,
            watch,
            timeout: query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            bookmarks: query.is_on("allowWatchBookmarks"),
        })
    }

    /// Whether the object is asked for.
    pub fn selects(&self, value: &Value) -> bool {
        self.labels.matches(object::labels(value)) && self.fields.matches(value)
    }
}
