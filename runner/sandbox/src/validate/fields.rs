//! Rules on single fields: names, labels, selectors and enumerations.

use serde_json::Value;

use crate::error::Cause;
use crate::object;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
    and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
    alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for \
    validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const LABEL_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with \
    an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
    and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

pub(super) fn bad_subdomain(text: &str) -> Option<String> {
    if text.len() > 253 {
        return Some("must be no more than 253 characters".into());
    }
    text.split('.').any(|part| !is_dns_label(part)).then(|| SUBDOMAIN.into())
}

pub(super) fn bad_label_1123(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    (!is_dns_label(text)).then(|| LABEL_1123.into())
}

pub(super) fn bad_label_1035(text: &str) -> Option<String> {
    if text.len() > 63 {
        return Some("must be no more than 63 characters".into());
    }
    (!is_dns_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase())).then(|| LABEL_1035.into())
}

fn is_dns_label(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || c == '-')
}

fn is_qualified(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(edge) && text.ends_with(edge) && text.chars().all(|c| edge(c) || matches!(c, '-' | '_' | '.'))
}

pub(super) fn check_labels(labels: Option<&serde_json::Map<String, Value>>, field: &str, causes: &mut Vec<Cause>) {
    for (key, value) in labels.into_iter().flatten() {
        check_label_key(key, field, causes);
        check_label_value(value.as_str().unwrap_or_default(), field, causes);
    }
}

fn check_label_key(key: &str, field: &str, causes: &mut Vec<Cause>) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(p, n)| (Some(p), n));
    if let Some(why) = prefix.and_then(bad_subdomain) {
        causes.push(Cause::invalid(field, key, &format!("prefix part {why}")));
    }
    if name.is_empty() {
        causes.push(Cause::invalid(field, key, "name part must be non-empty"));
    } else if name.len() > 63 {
        causes.push(Cause::invalid(field, key, "name part must be no more than 63 characters"));
    } else if !is_qualified(name) {
        causes.push(Cause::invalid(field, key, LABEL_KEY));
    }
}

fn check_label_value(value: &str, field: &str, causes: &mut Vec<Cause>) {
    if value.len() > 63 {
        causes.push(Cause::invalid(field, value, "must be no more than 63 characters"));
    } else if !value.is_empty() && !is_qualified(value) {
        causes.push(Cause::invalid(field, value, LABEL_VALUE));
    }
}

pub(super) fn one_of(value: &Value, pointer: &str, allowed: &[&str], field: &str, causes: &mut Vec<Cause>) {
    let Some(text) = value.pointer(pointer).and_then(Value::as_str) else { return };
    if !allowed.contains(&text) {
        let list = allowed.iter().map(|a| format!("{a:?}")).collect::<Vec<_>>().join(", ");
        let message = format!("Unsupported value: {text:?}: supported values: {list}");
        causes.push(Cause { reason: "FieldValueNotSupported", field: field.into(), message });
    }
}

/// Checks a `LabelSelector`.
pub(super) fn check_selector(selector: &Value, path: &str, causes: &mut Vec<Cause>) {
    check_labels(selector["matchLabels"].as_object(), &format!("{path}.matchLabels"), causes);
    for (at, expression) in object::list(selector, "/matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{at}]");
        check_label_key(object::text(expression, "/key"), &format!("{path}.key"), causes);
        let values = object::list(expression, "/values");
        match object::text(expression, "/operator") {
            "In" | "NotIn" if values.is_empty() => causes.push(Cause::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "In" | "NotIn" => {
                for (at, value) in values.iter().enumerate() {
                    check_label_value(value.as_str().unwrap_or_default(), &format!("{path}.values[{at}]"), causes);
                }
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => causes.push(Cause::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Exists" | "DoesNotExist" => {}
            other => causes.push(Cause::invalid(format!("{path}.operator"), other, "not a valid selector operator")),
        }
    }
}
