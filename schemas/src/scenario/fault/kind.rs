//! The description of a kind of fault: everything that is known without a cluster, and the fields that kinds share.
//!
//! A kind is one file next to this one and one line in the list of [`super::Fault`]. A missing fact does not compile.
//! Facts that the compiler cannot check (permissions, documents, the sandbox) fail a test.

use super::terms::{Direction, FaultEngine, Prove};
use crate::check::Findings;
use crate::rule::Rule;
use crate::scenario::{Peer, PodSelector, Secret};
use crate::units::Duration;

/// A kind of fault.
#[derive(Debug)]
pub struct FaultInfo {
    /// Its key in a scenario, such as `pod_kill`.
    pub name: &'static str,
    /// What it does, in one sentence, as a doc comment: with a leading space.
    pub(super) summary: &'static str,
    /// The name of its type in the JSON Schema.
    pub definition: &'static str,
    /// The keys that it shares with other kinds, such as `pods` and `for`.
    pub shared_keys: &'static [&'static str],
    /// The facts from the kind's own file.
    pub facts: FaultFacts,
}

/// The facts that a kind's own file states.
#[derive(Debug)]
pub struct FaultFacts {
    /// The engines that can carry it out, the preferred one first.
    pub means: &'static [Means],
    /// How far the sandbox models it.
    pub sandbox: Sandbox,
    /// Rules on combinations of its keys. `check` enforces the same rules and has the messages.
    pub rules: &'static [Rule],
    /// Its own keys that name peers, objects or the engine. Reports do not list them as settings.
    pub not_settings: &'static [&'static str],
    /// The targets and the peers, as text for a report.
    pub link: fn(targets: &str, peers: &str) -> String,
    /// What confirms it in addition to the status of Chaos Mesh, as the rest of a sentence. Empty for nothing.
    pub confirmed_by: &'static str,
    /// What can show that it acts where only its engine reports so, in addition to a change in the run's own requests, in
    /// words. Empty for nothing.
    pub observed_by: &'static str,
    /// Why the run's own requests may not change, apart from a service that tolerates the fault. Empty for no reason.
    pub unfelt_because: &'static str,
    /// What it ends of its targets.
    pub ends: Ends,
    /// True if it cuts links, which a service may not need.
    pub cuts_links: bool,
    /// True if the use of CPU time and memory shows whether it acts.
    pub reads_usage: bool,
    /// True if it shifts the clocks of its targets, which the `Date` headers of their answers show.
    pub shifts_clocks: bool,
    /// The value of its key in a complete fault, as one line of YAML.
    pub example: &'static str,
}

/// What a kind of fault ends of its targets. No other fault can act on it then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// Nothing, as far as it is known.
    Nothing,
    /// Containers. The pods stay.
    Containers,
    /// The pods. Others replace them.
    Pods,
}

/// An engine that carries out a kind of fault.
#[derive(Debug)]
pub enum Means {
    /// NetworkPolicy objects, which the network plugin enforces.
    NetworkPolicy,
    /// The Kubernetes API alone.
    Kubernetes {
        /// The kinds of the objects that it creates. The search for leftovers covers them.
        creates: &'static [Resource],
        /// Permissions of the account in addition to those of every run and those on the objects that it creates.
        needs: AccessNeeds,
        /// Permissions that depend on the fault, in words. Empty for none.
        note: &'static str,
    },
    /// A resource of Chaos Mesh.
    ChaosMesh(ChaosMesh),
}

/// Permissions on objects that the fault does not create.
#[derive(Debug)]
pub enum AccessNeeds {
    /// Each of them.
    All(&'static [Access]),
    /// One of them. [`FaultKind::uses`] says which.
    OneOf(&'static [Access]),
}

/// A kind of objects of the Kubernetes API, in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version, such as `v1`.
    pub version: &'static str,
    /// The kind's name, such as `ResourceQuota`.
    pub kind: &'static str,
    /// The resource's name in the API, such as `resourcequotas`.
    pub plural: &'static str,
}

/// What a kind of fault needs of Chaos Mesh.
#[derive(Debug)]
pub struct ChaosMesh {
    /// The plural name of its resource, such as `networkchaos`.
    pub resource: &'static str,
    /// True if it acts on links, and so on the pods of peers as well.
    pub is_link: bool,
    /// True if the Chaos Mesh daemon on the node acts. False if the controller acts alone.
    pub needs_daemon: bool,
    /// True if it needs the DNS server of Chaos Mesh.
    pub needs_dns_server: bool,
    /// True if it restarts the containers of its targets.
    pub restarts: bool,
}

/// One permission of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Access {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The resource, such as `pods`, or `pods/log`.
    pub resource: &'static str,
    /// The verb, such as `create`.
    pub verb: &'static str,
}

/// How far the sandbox models a kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Completely.
    Modelled,
    /// Within these limits, in words.
    Partly(&'static str),
    /// Not at all, for this reason. The sandbox refuses the plan.
    No(&'static str),
}

impl FaultInfo {
    /// What it does, in one sentence.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }

    /// True if it happens once, so that there is nothing to undo.
    pub fn is_once(&self) -> bool {
        !self.shared_keys.contains(&"for")
    }

    /// True if Chaos Mesh can carry it out, and only the report of Chaos Mesh shows that it acts.
    pub fn is_claimed(&self) -> bool {
        self.facts.confirmed_by.is_empty() && self.chaos_mesh().is_some_and(|chaos| !chaos.is_link)
    }

    /// True if it restarts the containers of its targets, or their pods.
    pub fn restarts_targets(&self) -> bool {
        self.is_once() || self.chaos_mesh().is_some_and(|chaos| chaos.restarts)
    }

    /// True if it has the key `prove`.
    pub fn has_prove(&self) -> bool {
        self.shared_keys.contains(&"prove")
    }

    /// What it needs of Chaos Mesh. None if Chaos Mesh cannot carry it out.
    pub fn chaos_mesh(&self) -> Option<&'static ChaosMesh> {
        self.facts.means.iter().find_map(|means| match means {
            Means::ChaosMesh(chaos) => Some(chaos),
            Means::NetworkPolicy | Means::Kubernetes { .. } => None,
        })
    }

    /// True if a key is a setting: neither shared with other kinds, nor a peer, an engine or an object.
    pub fn is_setting(&self, key: &str) -> bool {
        !self.shared_keys.contains(&key) && !self.facts.not_settings.contains(&key)
    }
}

impl Means {
    /// The engine, without what a kind needs of it.
    pub const fn engine(&self) -> FaultEngine {
        match self {
            Self::NetworkPolicy => FaultEngine::NetworkPolicy,
            Self::Kubernetes { .. } => FaultEngine::Kubernetes,
            Self::ChaosMesh(_) => FaultEngine::ChaosMesh,
        }
    }
}

impl Resource {
    /// The permissions to create an object, to read it, and to delete it.
    pub fn own(&self) -> impl Iterator<Item = Access> {
        ["get", "create", "delete"].into_iter().map(|verb| self.access(verb))
    }

    /// The permission to find the objects of earlier runs.
    pub const fn list(&self) -> Access {
        self.access("list")
    }

    const fn access(&self, verb: &'static str) -> Access {
        Access::new(self.group, self.plural, verb)
    }
}

impl Access {
    /// A permission by its API group, resource and verb.
    pub const fn new(group: &'static str, resource: &'static str, verb: &'static str) -> Self {
        Self { group, resource, verb }
    }
}

impl ChaosMesh {
    /// The needs of a fault inside pods: the resource with this plural name, and the daemon.
    pub(super) const fn inside(resource: &'static str) -> Self {
        Self { resource, is_link: false, needs_daemon: true, needs_dns_server: false, restarts: false }
    }
}

/// The text for most faults: "between" targets and peers.
pub(super) fn between(targets: &str, peers: &str) -> String {
    format!("between {targets} and {peers}")
}

/// The interface of a kind's type.
pub(crate) trait FaultKind {
    /// The facts that are the same for all faults of the kind.
    const FACTS: FaultFacts;

    /// Checks values and combinations of the kind's own keys that a type cannot express. `path` is the path of the
    /// fault.
    fn check(&self, path: &str, findings: &mut Findings<'_>);

    /// The peers of the links that it acts on. A kind that acts on links must name them.
    fn peers(&self) -> &[Peer] {
        &[]
    }

    /// The direction of the links that it acts on, if it acts on links and its keys say so.
    fn direction(&self) -> Option<Direction>;

    /// True if the fault uses this permission of [`AccessNeeds::OneOf`].
    fn uses(&self, _: &Access) -> bool {
        true
    }

    /// Its secrets, which must not appear in a report.
    fn secrets(&self) -> Vec<Secret>;
}

/// Keys that some kinds have and others lack.
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

/// Defines the type of a fault: the shared fields that it has, in their order in the file, and its own fields at the
/// position of `own`. A shared field can have an additional comment.
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
            /// The pods that the object acts on, for the report and for `blast_radius`. This key does not change the
            /// object.
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
            /// If a target is replaced during the fault, act on its replacement as well. Default: only report the
            /// replacement.
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
     follow once, $($rest:tt)*) => {
        fault!(@ $meta $name $own [$($fields)*
            /// Choose the targets again when the fault strikes: as many as planned at most, of the pods that run then. So it can
            /// act on pods that replaced others. Default: only the targets of the plan.
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
            /// What must show that the fault acts, in addition to its engine's report. Default `auto`.
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
            /// The delay from the phase's start to the injection of the fault. Default: none.
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
            /// The duration of the fault. Default: until the phase's end.
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

/// The list of all kinds. Defines the type of a fault and everything that follows from the list.
macro_rules! fault_kinds {
    ($($(#[doc = $summary:literal])+ $name:literal => $variant:ident($type:ident),)*) => {
        /// One action on the cluster: a map with one key, the kind of fault.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub enum Fault {
            $($(#[doc = $summary])+ #[serde(rename = $name)] $variant($type),)*
        }

        $(impl $type {
            /// The key of the kind in a scenario.
            pub const KIND: &'static str = $name;
        })*

        impl Fault {
            /// All kinds, in the order of the documentation.
            pub const KINDS: &'static [FaultInfo] = &[$(FaultInfo {
                name: $name,
                summary: concat!($($summary),+),
                definition: stringify!($type),
                shared_keys: $type::SHARED_KEYS,
                facts: <$type as FaultKind>::FACTS,
            },)*];

            /// The key of its kind in a scenario.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $type::KIND,)* }
            }

            /// Its index in the list of kinds.
            const fn index(&self) -> usize {
                enum Index { $($variant,)* }
                match self { $(Self::$variant(_) => Index::$variant as usize,)* }
            }

            fn shared(&self) -> &dyn Shared {
                match self { $(Self::$variant(it) => it,)* }
            }

            /// Checks the keys that only this kind has.
            pub(crate) fn check(&self, path: &str, findings: &mut Findings<'_>) {
                match self { $(Self::$variant(it) => FaultKind::check(it, path, findings),)* }
            }

            /// Its secrets, which must not appear in a report.
            pub fn secrets(&self) -> Vec<Secret> {
                match self { $(Self::$variant(it) => FaultKind::secrets(it),)* }
            }

            /// The peers of the links that it acts on.
            pub fn peers(&self) -> &[Peer] {
                match self { $(Self::$variant(it) => FaultKind::peers(it),)* }
            }

            /// The direction of the links that it acts on, if its keys say so.
            pub fn direction(&self) -> Option<Direction> {
                match self { $(Self::$variant(it) => FaultKind::direction(it),)* }
            }

            /// True if it uses this permission of those that its keys choose between.
            fn uses(&self, access: &Access) -> bool {
                match self { $(Self::$variant(it) => FaultKind::uses(it, access),)* }
            }
        }
    };
}
