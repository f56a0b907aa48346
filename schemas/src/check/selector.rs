//! Checks of selectors: they select some pods but not all, and `count` and `percent` fit.

use super::{Findings, dns_label};
use crate::diagnostic::{Code, Diagnostic};
use crate::scenario::{LabelSelector, Operator, PodSelector};

/// Checks that a selector does not match every pod.
pub(super) fn selector(path: &str, selector: &PodSelector, findings: &mut Findings<'_>) {
    let empty_labels = selector.labels.as_ref().is_some_and(LabelSelector::is_empty);
    let nothing =
        selector.name.is_none() && selector.prefix.is_none() && selector.labels.is_none() && selector.owner.is_none();
    let help = "name pods by `name`, `prefix`, `labels` or `owner`, such as `labels: {app: worker}`";
    if nothing {
        findings.push(
            path,
            Diagnostic::error(Code::SelectsAll, "this selector matches every pod of the namespace").help(help),
        );
    }
    for (key, value) in [("name", &selector.name), ("prefix", &selector.prefix), ("owner", &selector.owner)] {
        if value.as_deref().is_some_and(|value| value.trim().is_empty()) {
            let message = match key {
                "prefix" => "every pod's name begins with the empty prefix".to_owned(),
                _ => format!("this `{key}` is empty"),
            };
            findings.push(&format!("{path}.{key}"), Diagnostic::error(Code::SelectsAll, message).help(help));
        }
    }
    if empty_labels {
        findings.push(
            &format!("{path}.labels"),
            Diagnostic::error(Code::SelectsAll, "every pod matches empty `labels`")
                .help("write `labels: {app: worker}`"),
        );
    }
    if let Some(owner) = selector.owner.as_deref().filter(|owner| !owner.trim().is_empty()) {
        let good = owner.split_once('/').is_some_and(|(kind, name)| {
            !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphabetic()) && !name.is_empty() && !name.contains('/')
        });
        if !good {
            findings.push(
                &format!("{path}.owner"),
                Diagnostic::error(Code::Name, format!("`{owner}` is not an owner"))
                    .help("write its kind and its name, such as `deployment/worker`"),
            );
        }
    }
    if let Some(namespace) = &selector.namespace {
        dns_label(namespace, "namespace", &format!("{path}.namespace"), findings);
    }
    if let Some(labels) = &selector.labels {
        expressions(&format!("{path}.labels.matchExpressions"), labels, findings);
    }
}

fn expressions(path: &str, labels: &LabelSelector, findings: &mut Findings<'_>) {
    for (index, expression) in labels.match_expressions.iter().enumerate() {
        let path = format!("{path}[{index}]");
        match expression.operator {
            Operator::In | Operator::NotIn if expression.values.is_empty() => findings.push(
                &path,
                Diagnostic::error(Code::Expression, "`In` and `NotIn` need `values`")
                    .help("write `values: [a, b]`, or the operator `Exists`"),
            ),
            Operator::Exists | Operator::DoesNotExist if !expression.values.is_empty() => findings.push(
                &format!("{path}.values"),
                Diagnostic::error(Code::Expression, "`Exists` and `DoesNotExist` take no values")
                    .help("remove `values`, or write the operator `In`"),
            ),
            _ => {}
        }
        if expression.key.is_empty() {
            let problem = Diagnostic::error(Code::Expression, "the label's name is empty");
            findings.push(&format!("{path}.key"), problem.help("write the name of a label, such as `key: app`"));
        }
    }
}

/// Checks `count` and `percent` of targets.
pub(super) fn narrowing(path: &str, selector: &PodSelector, findings: &mut Findings<'_>) {
    if selector.count.is_some() && selector.percent.is_some() {
        findings.push_at_key(
            &format!("{path}.percent"),
            Diagnostic::error(Code::Narrowing, "this selector has both `count` and `percent`").help("keep one of them"),
        );
    }
    if selector.count == Some(0) {
        findings.push(
            &format!("{path}.count"),
            Diagnostic::error(Code::Narrowing, "this fault would select no pods").help("write `count: 1`"),
        );
    }
    if selector.percent.is_some_and(|percent| percent.fraction() <= 0.0) {
        findings.push(
            &format!("{path}.percent"),
            Diagnostic::error(Code::Narrowing, "this fault would select no pods").help("write `percent: 50%`"),
        );
    }
    if selector.name.is_some() && selector.count.is_some_and(|count| count > 1) {
        findings.push(
            &format!("{path}.count"),
            Diagnostic::error(Code::Narrowing, "a `name` selects exactly one pod").help(
                "select by `prefix` or \
                `labels` instead",
            ),
        );
    }
}
