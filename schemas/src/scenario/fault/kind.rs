//! What makes a kind of fault: everything about it that is known without a cluster, and the fields that kinds share.
//!
//! A kind is one file next to this one and one line in the list of [`super::Fault`]. A fact that is missing does not
//! compile; a fact that nothing can check here (permissions, documents, the sandbox) fails a test.

use super::terms::Prove;
use crate::check::Findings;
use crate::rule::Rule;
use crate::scenario::{PodSelector, Secret};
use crate::units::Duration;

/// A kind of fault.
#[derive(Debug)]
pub struct FaultInfo {
    /// Its key in a scenario, such as `pod_kill`.
    pub name: &'static str,
    /// What it does, in a sentence, as the list has it: with the space before it.
    pub(super) summary: &'static str,
    /// The name of its type in the JSON Schema.
    pub definition: &'static str,
    /// The keys that it shares with other kinds, such as `pods` and `for`.
    pub shared_keys: &'static [&'static str],
    /// What its own file says about it.
    pub facts: FaultFacts,
}

/// What a kind's own file says about it.
#[derive(Debug)]
pub struct FaultFacts {
    /// What can carry it out, the preferred mechanism first.
    pub means: &'static [Means],
    /// Whether the sandbox models it.
    pub sandbox: Sandbox,
    /// What its keys must say together. The program checks the same, with a message.
    pub rules: &'static [Rule],
    /// Keys of its own that name peers, objects or the engine. A report does not list them among its settings.
    pub not_settings: &'static [&'static str],
    /// The targets and the peers in a report's words.
    pub link: fn(targets: &str, peers: &str) -> String,
    /// What confirms it in addition to the status of Chaos Mesh; empty for nothing.
    pub confirmed_by: &'static str,
    /// Why the run's own requests may not show it, apart from a service that tolerates it; empty for nothing.
    pub unfelt_because: &'static str,
    /// A complete fault of this kind, as YAML in one line: what follows its key.
    pub example: &'static str,
}

/// A mechanism that carries out a kind of fault.
#[derive(Debug)]
pub enum Means {
    /// Policies of Kubernetes, which the network plugin enforces.
    NetworkPolicy,
    /// The API of Kubernetes alone.
    Kubernetes {
        /// What the account needs in addition to the permissions of every run; one of them where it is a choice.
        needs: &'static [Access],
        /// What the account needs and a list cannot say; empty for nothing.
        note: &'static str,
    },
    /// A resource of Chaos Mesh.
    ChaosMesh(ChaosMesh),
}

/// What a kind of fault takes of Chaos Mesh.
#[derive(Debug)]
pub struct ChaosMesh {
    /// The plural name of its resource, such as `networkchaos`.
    pub resource: &'static str,
    /// Whether it acts on links, and so on the pods of peers as well.
    pub is_link: bool,
    /// Whether Chaos Mesh's daemon on the node does it; the controller alone otherwise.
    pub needs_daemon: bool,
    /// Whether Chaos Mesh's DNS server takes part.
    pub needs_dns_server: bool,
}

/// Something that an account may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, such as `pods`, or `pods/log`.
    pub resource: &'static str,
    /// The verb, such as `create`.
    pub verb: &'static str,
}

/// Whether the sandbox models a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// It does.
    Modelled,
    /// It does so within limits, which these words name.
    Partly(&'static str),
    /// It does not, for this reason. A plan against the sandbox is refused.
    No(&'static str),
}

impl FaultInfo {
    /// What it does, in a sentence.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }

    /// Whether it happens once: nothing is left to undo.
    pub fn is_once(&self) -> bool {
        !self.shared_keys.contains(&"for")
    }

    /// Whether only Chaos Mesh itself says that it acts, where Chaos Mesh does it.
    pub fn is_claimed(&self) -> bool {
        self.facts.confirmed_by.is_empty() && self.chaos_mesh().is_some_and(|chaos| !chaos.is_link)
    }

    /// Whether a scenario can ask by `prove` what must show that it acts.
    pub fn has_prove(&self) -> bool {
        self.shared_keys.contains(&"prove")
    }

    /// What it takes of Chaos Mesh, where Chaos Mesh can do it.
    pub fn chaos_mesh(&self) -> Option<&'static ChaosMesh> {
        self.facts.means.iter().find_map(|means| match means {
            Means::ChaosMesh(chaos) => Some(chaos),
            Means::NetworkPolicy | Means::Kubernetes { .. } => None,
        })
    }

    /// Whether a key of a scenario is a setting: neither shared by all kinds, nor the other end, the engine or an object.
    pub fn is_setting(&self, key: &str) -> bool {
        !self.shared_keys.contains(&key) && !self.facts.not_settings.contains(&key)
    }
}

impl Means {
    /// Its name in plans and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NetworkPolicy => "network-policy",
            Self::Kubernetes { .. } => "kubernetes",
            Self::ChaosMesh(_) => "chaos-mesh",
        }
    }
}

impl Access {
    /// A permission by its API group, resource and verb.
    pub const fn new(group: &'static str, resource: &'static str, verb: &'static str) -> Self {
        Self { group, resource, verb }
    }
}

impl ChaosMesh {
    /// What a fault inside pods takes: a resource of this plural name, and the daemon.
    pub(super) const fn inside(resource: &'static str) -> Self {
        Self { resource, is_link: false, needs_daemon: true, needs_dns_server: false }
    }
}

/// The words for a fault without another meaning of its peers.
pub(super) fn between(targets: &str, peers: &str) -> String {
    format!("between {targets} and {peers}")
}

/// What the file of a kind has to provide.
pub(crate) trait FaultKind {
    /// Everything about the kind that is the same for each of its faults.
    const FACTS: FaultFacts;

    /// Checks what no type can: values and combinations of the kind's own keys, at the path of the fault.
    fn check(&self, path: &str, findings: &mut Findings<'_>);

    /// What in it must not reach a report.
    fn secrets(&self) -> Vec<Secret>;
}

/// What faults of all kinds have or lack.
pub(super) trait Shared {
    fn pods(&self) -> Option<&PodSelector> {
        None
    }

    fn after(&self) -> Option<Duration>;

    fn lasts(&self) -> Option<Duration> {
        None
    }

    fn follow(&self) -> bool {
        false
    }

    fn prove(&self) -> Prove {
        Prove::Auto
    }
}

/// The type of a fault: its own fields, and behind them the shared parts that it has, in their order in the file. `own`
/// says where its own fields stand among them. A part can have more to say about itself than all kinds have.
macro_rules! fault {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* } $($parts:tt)*) => {
        fault!(@ [$(#[$meta])*] $name [$($own)*] [] [] [] $($parts)*);
    };
    (@ $meta:tt $name:ident $own:tt [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]
     pods, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// The target pods.
            pub pods: $crate::scenario::PodSelector,
        ] [$($get)*
            fn pods(&self) -> Option<&$crate::scenario::PodSelector> {
                Some(&self.pods)
            }
        ] [$($keys)* "pods",] $($rest)*);
    };
    (@ $meta:tt $name:ident $own:tt [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]
     optional pods, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// The pods that it acts on, for the report and for `blast_radius`. The object is not changed by it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub pods: Option<$crate::scenario::PodSelector>,
        ] [$($get)*
            fn pods(&self) -> Option<&$crate::scenario::PodSelector> {
                self.pods.as_ref()
            }
        ] [$($keys)* "pods",] $($rest)*);
    };
    (@ $meta:tt $name:ident [$($own:tt)*] [$($fields:tt)*] $get:tt $keys:tt own, $($rest:tt)*) => {
        fault!(@ $meta $name [] [$($fields)* $($own)*] $get $keys $($rest)*);
    };
    (@ $meta:tt $name:ident $own:tt [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]
     follow $({ $(#[$more:meta])* })?, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// Act on the replacement as well when a target is replaced while the fault acts. Default: only report it.
            $($(#[$more])*)?
            #[serde(default)]
            pub follow: bool,
        ] [$($get)*
            fn follow(&self) -> bool {
                self.follow
            }
        ] [$($keys)* "follow",] $($rest)*);
    };
    (@ $meta:tt $name:ident $own:tt [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]
     prove $({ $(#[$more:meta])* })?, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// What shows that the fault acts, in addition to its engine's report. Default `auto`.
            $($(#[$more])*)?
            #[serde(default)]
            pub prove: $crate::scenario::fault::terms::Prove,
        ] [$($get)*
            fn prove(&self) -> $crate::scenario::fault::terms::Prove {
                self.prove
            }
        ] [$($keys)* "prove",] $($rest)*);
    };
    (@ $meta:tt $name:ident $own:tt [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]
     after, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// How long after the phase's start the fault is injected. Default: at once.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub after: Option<$crate::units::Duration>,
        ] [$($get)*
            fn after(&self) -> Option<$crate::units::Duration> {
                self.after
            }
        ] [$($keys)* "after",] $($rest)*);
    };
    (@ $meta:tt $name:ident $own:tt [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]
     lasts, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// How long the fault lasts. Default: until the phase's end.
            #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
            pub lasts: Option<$crate::units::Duration>,
        ] [$($get)*
            fn lasts(&self) -> Option<$crate::units::Duration> {
                self.lasts
            }
        ] [$($keys)* "for",] $($rest)*);
    };
    (@ [$($meta:tt)*] $name:ident [] [$($fields:tt)*] [$($get:tt)*] [$($keys:tt)*]) => {
        $($meta)*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($fields)* }

        impl $name {
            pub(super) const SHARED_KEYS: &'static [&'static str] = &[$($keys)*];
        }

        impl $crate::scenario::fault::kind::Shared for $name { $($get)* }
    };
}

/// The list of all kinds: the type of a fault, and what follows from the list alone.
macro_rules! fault_kinds {
    ($($(#[doc = $summary:literal])+ $name:literal => $variant:ident($type:ident),)*) => {
        /// One thing done to the cluster: a map with one key, the kind of fault.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Fault {
            $($(#[doc = $summary])+ #[serde(rename = $name)] $variant($type),)*
        }

        impl Fault {
            /// Every kind, in the order of the documents.
            pub const KINDS: &'static [FaultInfo] = &[$(FaultInfo {
                name: $name,
                summary: concat!($($summary),+),
                definition: stringify!($type),
                shared_keys: $type::SHARED_KEYS,
                facts: <$type as FaultKind>::FACTS,
            },)*];

            /// The kind, as it is written in a scenario.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// Its place in the list of kinds.
            const fn index(&self) -> usize {
                enum Place { $($variant,)* }
                match self { $(Self::$variant(_) => Place::$variant as usize,)* }
            }

            fn shared(&self) -> &dyn Shared {
                match self { $(Self::$variant(it) => it,)* }
            }

            /// Checks the keys that only this kind has.
            pub(crate) fn check(&self, path: &str, findings: &mut Findings<'_>) {
                match self { $(Self::$variant(it) => FaultKind::check(it, path, findings),)* }
            }

            /// What in it must not reach a report.
            pub fn secrets(&self) -> Vec<Secret> {
                match self { $(Self::$variant(it) => FaultKind::secrets(it),)* }
            }
        }
    };
}
