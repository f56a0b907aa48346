//! The capabilities of a cluster. They are set once, when the connection is made: all other code checks a capability,
//! not the name of the cluster.

/// The facts about a cluster that do not depend on its objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Why the cluster is known to enforce NetworkPolicy, in words. None if a canary has to test it.
    pub enforces_policies: Option<&'static str>,
    /// True if the API server itself implements Chaos Mesh's objects, so Chaos Mesh need not be installed.
    pub serves_chaos: bool,
    /// True if all nodes are one machine, so a node's hardware says nothing about its pods.
    pub shares_nodes: bool,
    /// True if the cluster is a model: a fault acts only if its kind is modelled.
    pub is_model: bool,
}

impl Capabilities {
    /// The capabilities of a server that reports this version.
    pub(crate) fn of(version: &str) -> Self {
        if !is_sandbox(version) {
            return Self::default();
        }
        Self {
            enforces_policies: Some("the sandbox does so itself"),
            serves_chaos: true,
            shares_nodes: true,
            is_model: true,
        }
    }
}

/// Whether a version is one of the embedded sandbox.
pub(crate) fn is_sandbox(version: &str) -> bool {
    version.contains("shakedown-sandbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sandbox_is_taken_for_capable_without_a_look() {
        for version in ["v1.34.1", "v1.20.15-eks-1", "v1.33.5+k3s1", ""] {
            assert_eq!(Capabilities::of(version), Capabilities::default(), "{version}");
        }
        let sandbox = Capabilities::of("v1.34.0+shakedown-sandbox");
        assert!(sandbox.serves_chaos && sandbox.shares_nodes && sandbox.enforces_policies.is_some());
    }
}
