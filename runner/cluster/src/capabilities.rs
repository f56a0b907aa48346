//! The capabilities of a cluster. They are set once, when the connection is made: all other code checks a capability,
//! not the name of the cluster.

/// The facts about a cluster that do not depend on its objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// How it is known that the cluster enforces NetworkPolicy, in words. None: it has to be found out.
    pub enforces_policies: Option<&'static str>,
    /// The API server acts on the objects of Chaos Mesh itself, so that no program has to be installed for them.
    pub serves_chaos: bool,
    /// All nodes are one machine with several names, so that a node's hardware says nothing about its pods.
    pub shares_nodes: bool,
    /// The cluster is a model: a fault acts only if its kind has a model.
    pub is_model: bool,
}

impl Capabilities {
    /// Those of a server that reports this version.
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
