//! The description of a kind of load: everything that is known without a connection.

use super::reach::Reach;
use super::scheme::Scheme;
use crate::check::Findings;
use crate::check::load::Rows;
use crate::rule::Rule;
use crate::scenario::Secret;

/// A kind of load.
#[derive(Debug)]
pub struct LoadKindInfo {
    /// Its key in a load, such as `http`.
    pub name: &'static str,
    pub(super) summary: &'static str,
    /// The name of its type in the JSON Schema.
    pub definition: &'static str,
    /// The facts from the kind's own file.
    pub facts: LoadFacts,
}

/// The facts that a kind's own file states.
#[derive(Debug)]
pub struct LoadFacts {
    /// The paths that may contain request data, below the kind's key. `*` is any key, `[]` any element of a list.
    pub sent: &'static [&'static [&'static str]],
    /// The schemes of its URLs: without TLS, and with it.
    pub schemes: [Scheme; 2],
    /// The keys of [`Load::BY_KIND`](super::Load::BY_KIND) that this kind uses. `check` refuses the others: a key that a new
    /// kind forgets is an error, and never ignored.
    pub uses: &'static [&'static str],
    /// Rules on combinations of its keys. `check` enforces the same rules and has the messages.
    pub rules: &'static [Rule],
    /// The shortest valid value, for help texts.
    pub hint: &'static str,
    /// The value of its key in a complete load, as one line of YAML.
    pub example: &'static str,
}

impl LoadKindInfo {
    /// What it sends, in one sentence.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }

    /// True if a path below the kind's key may contain request data. `[]` is an element of a list.
    pub(crate) fn is_sent(&self, path: &[&str]) -> bool {
        let same = |pattern: &&[&str]| {
            pattern.len() == path.len() && pattern.iter().zip(path).all(|(one, key)| *one == "*" || one == key)
        };
        self.facts.sent.iter().any(same)
    }
}

/// The interface of a kind's type.
pub(crate) trait LoadKind {
    /// The facts that are the same for all loads of the kind.
    const FACTS: LoadFacts;

    /// The target service, as `name:port`.
    fn service(&self) -> Option<&str>;

    /// The target URL.
    fn url(&self) -> Option<&str>;

    /// How a `service` is reached, if the scenario specifies it.
    fn reach(&self) -> Option<Reach>;

    /// The path of the endpoint, for a kind that sends to an API.
    fn endpoint(&self) -> Option<&'static str>;

    /// The phase with whose answers its own are compared.
    fn same_as(&self) -> Option<&str>;

    /// Checks what a type cannot express. `path` is the path of the kind's key.
    fn check(&self, path: &str, rows: &mut Rows, findings: &mut Findings<'_>);

    /// Its secrets, which must not appear in a report.
    fn secrets(&self) -> Vec<Secret>;
}

/// The list of all kinds. Defines the type of a load: a key per kind, the keys that all kinds share, and those that a
/// kind must list in its facts.
macro_rules! load_kinds {
    (
        $(#[$meta:meta])* pub struct Load { $($shared:tt)* }
        by_kind { $($(#[$by_kind_meta:meta])* pub $by_kind:ident: $by_kind_type:ty,)* }
        $($(#[doc = $summary:literal])+ $name:literal => $key:ident: $variant:ident($type:ident),)*
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Load {
            $(
                $(#[doc = $summary])+
                #[serde(rename = $name, default, skip_serializing_if = "Option::is_none")]
                pub $key: Option<$type>,
            )*
            $($shared)*
            $($(#[$by_kind_meta])* pub $by_kind: $by_kind_type,)*
        }

        /// What a load sends.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Sent<'l> {
            $($(#[doc = $summary])+ $variant(&'l $type),)*
        }

        impl Load {
            /// All kinds, in the order of the documentation.
            pub const KINDS: &'static [LoadKindInfo] = &[$(LoadKindInfo {
                name: $name,
                summary: concat!($($summary),+),
                definition: stringify!($type),
                facts: <$type as LoadKind>::FACTS,
            },)*];

            /// The keys that only some kinds use.
            pub const BY_KIND: &'static [&'static str] = &[$(stringify!($by_kind)),*];

            /// A load has exactly one of the kinds' keys.
            pub(crate) const ONE_KIND: Rule = Rule::One(&[$($name),*]);

            /// What it sends, for every kind that it has. A valid load has one.
            pub fn all_sent(&self) -> Vec<Sent<'_>> {
                let all = [$(self.$key.as_ref().map(Sent::$variant),)*];
                all.into_iter().flatten().collect()
            }
        }

        impl<'l> Sent<'l> {
            /// The key of its kind in a scenario.
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }

            /// The description of its kind.
            pub const fn info(self) -> &'static LoadKindInfo {
                enum Index { $($variant,)* }
                match self { $(Self::$variant(_) => &Load::KINDS[Index::$variant as usize],)* }
            }

            fn service(self) -> Option<&'l str> {
                match self { $(Self::$variant(it) => LoadKind::service(it),)* }
            }

            fn url(self) -> Option<&'l str> {
                match self { $(Self::$variant(it) => LoadKind::url(it),)* }
            }

            fn reach(self) -> Option<Reach> {
                match self { $(Self::$variant(it) => LoadKind::reach(it),)* }
            }

            /// The path of the endpoint, for a kind that sends to an API.
            pub fn endpoint(self) -> Option<&'static str> {
                match self { $(Self::$variant(it) => LoadKind::endpoint(it),)* }
            }

            /// The phase with whose answers its own are compared.
            pub fn same_as(self) -> Option<&'l str> {
                match self { $(Self::$variant(it) => LoadKind::same_as(it),)* }
            }

            /// Checks what is sent, and the target.
            pub(crate) fn check(self, path: &str, rows: &mut Rows, findings: &mut Findings<'_>) {
                let schemes = self.info().facts.schemes;
                crate::check::load::target::target(path, self.service(), self.url(), schemes, self.reach(), findings);
                match self { $(Self::$variant(it) => LoadKind::check(it, path, rows, findings),)* }
            }

            /// Its secrets, which must not appear in a report.
            fn secrets(self) -> Vec<Secret> {
                let own = match self { $(Self::$variant(it) => LoadKind::secrets(it),)* };
                own.into_iter().chain(self.url().map(|url| Secret::Url(url.to_owned()))).collect()
            }
        }
    };
}
