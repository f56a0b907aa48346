//! Which object or list of objects a path means.

use crate::resource::{self, Resource};

/// A path under `/api` or `/apis`, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Route {
    pub resource: &'static Resource,
    /// Empty for cluster-wide kinds and for all namespaces.
    pub namespace: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Route {
    /// Reads `/api/v1/pods`, `/apis/apps/v1/namespaces/a/deployments/b/status` and the like. `None` where nothing is
    /// served.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            // `namespaces/a/status` is a part of the namespace, not a kind in it.
            ["namespaces", _, "status" | "finalize"] | ["namespaces", _] => ("", rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            _ => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, None),
            [plural, name] => (*plural, Some(*name), None),
            [plural, name, subresource] => (*plural, Some(*name), Some(*subresource)),
            _ => return None,
        };
        let resource = resource::find(group, version, plural)?;
        let named_without_namespace = resource.namespaced && namespace.is_empty() && name.is_some();
        let wrong_scope = !resource.namespaced && !namespace.is_empty();
        let unknown_part = subresource.is_some_and(|s| !resource.has(s));
        if named_without_namespace || wrong_scope || unknown_part {
            return None;
        }
        Some(Self {
            resource,
            namespace: namespace.to_string(),
            name: name.map(str::to_string),
            subresource: subresource.map(str::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str) -> Option<(&'static str, String, Option<String>, Option<String>)> {
        Route::parse(path).map(|r| (r.resource.kind, r.namespace, r.name, r.subresource))
    }

    #[test]
    fn paths_follow_the_table() {
        let some = |text: &str| Some(text.to_string());
        for (path, expected) in [
            ("/api/v1/pods", Some(("Pod", String::new(), None, None))),
            ("/api/v1/namespaces", Some(("Namespace", String::new(), None, None))),
            ("/api/v1/namespaces/a", Some(("Namespace", String::new(), some("a"), None))),
            ("/api/v1/namespaces/a/status", Some(("Namespace", String::new(), some("a"), some("status")))),
            ("/api/v1/namespaces/a/pods", Some(("Pod", "a".into(), None, None))),
            ("/api/v1/namespaces/a/pods/b/log", Some(("Pod", "a".into(), some("b"), some("log")))),
            ("/apis/batch/v1/namespaces/a/jobs/b", Some(("Job", "a".into(), some("b"), None))),
            ("/api/v1/pods/b", None),
            ("/api/v1/namespaces/a/nodes", None),
            ("/api/v1/namespaces/a/pods/b/scale", None),
            ("/apis/batch/v1beta1/jobs", None),
            ("/api/v1", None),
            ("/metrics", None),
        ] {
            assert_eq!(shown(path), expected, "{path}");
        }
    }
}
