//! The two directions of a policy.

use std::fmt;

/// One of the two directions of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Connections that the targets open.
    Egress,
    /// Connections that the targets accept.
    Ingress,
}

impl Way {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Egress, Self::Ingress];

    /// As `policyTypes` writes it.
    pub const fn policy_type(self) -> &'static str {
        match self {
            Self::Egress => "Egress",
            Self::Ingress => "Ingress",
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        })
    }
}
