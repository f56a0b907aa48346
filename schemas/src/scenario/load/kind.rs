//! What makes a kind of load: everything about what it sends that is known without a connection.

use super::reach::Reach;
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
    /// What its own file says about it.
    pub facts: LoadFacts,
}

/// What a kind's own file says about it.
#[derive(Debug)]
pub struct LoadFacts {
    /// Where data of each request can stand, from its own key on: `*` is any key, `[]` any element of a list.
    pub sent: &'static [&'static [&'static str]],
    /// What its keys must say together. The program checks the same, with a message.
    pub rules: &'static [Rule],
    /// The least that has to be written, for a help.
    pub hint: &'static str,
    /// What follows its key in a complete load, as YAML in one line.
    pub example: &'static str,
}

impl LoadKindInfo {
    /// What it sends, in a sentence.
    pub fn summary(&self) -> &'static str {
        self.summary.trim()
    }

    /// Whether data of each request can stand at a path behind the kind's key, with `[]` for elements of lists.
    pub(crate) fn is_sent(&self, path: &[&str]) -> bool {
        let same = |pattern: &&[&str]| {
            pattern.len() == path.len() && pattern.iter().zip(path).all(|(one, key)| *one == "*" || one == key)
        };
        self.facts.sent.iter().any(same)
    }
}

/// What the file of a kind has to provide.
pub(crate) trait LoadKind {
    /// Everything about the kind that is the same for each of its loads.
    const FACTS: LoadFacts;

    /// The service that is called, as `name:port`.
    fn service(&self) -> Option<&str>;

    /// The base URL that is called.
    fn url(&self) -> Option<&str>;

    /// How a `service` is reached, where the scenario says so.
    fn reach(&self) -> Option<Reach>;

    /// Checks what no type can, at the path of the kind's key.
    fn check(&self, path: &str, rows: &mut Rows, findings: &mut Findings<'_>);

    /// What in it must not reach a report.
    fn secrets(&self) -> Vec<Secret>;
}

/// The list of all kinds, and the type of a load: a key for each kind, and the keys that all kinds share.
macro_rules! load_kinds {
    (
        $(#[$meta:meta])* pub struct Load { $($shared:tt)* }
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
        }

        /// What a load sends.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Sent<'l> {
            $($(#[doc = $summary])+ $variant(&'l $type),)*
        }

        impl Load {
            /// Every kind, in the order of the documents.
            pub const KINDS: &'static [LoadKindInfo] = &[$(LoadKindInfo {
                name: $name,
                summary: concat!($($summary),+),
                definition: stringify!($type),
                facts: <$type as LoadKind>::FACTS,
            },)*];

            /// The keys of all kinds, exactly one of which a load has.
            pub(crate) const ONE_KIND: Rule = Rule::One(&[$($name),*]);

            /// What it sends, by every kind that it names: a valid load has one.
            pub fn all_sent(&self) -> Vec<Sent<'_>> {
                let all = [$(self.$key.as_ref().map(Sent::$variant),)*];
                all.into_iter().flatten().collect()
            }
        }

        impl<'l> Sent<'l> {
            /// The kind, as it is written in a scenario.
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
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

            /// Checks what is sent, and where to.
            pub(crate) fn check(self, path: &str, rows: &mut Rows, findings: &mut Findings<'_>) {
                crate::check::load::target::target(path, self.service(), self.url(), self.reach(), findings);
                match self { $(Self::$variant(it) => LoadKind::check(it, path, rows, findings),)* }
            }

            /// What in it must not reach a report.
            fn secrets(self) -> Vec<Secret> {
                let own = match self { $(Self::$variant(it) => LoadKind::secrets(it),)* };
                own.into_iter().chain(self.url().map(|url| Secret::Url(url.to_owned()))).collect()
            }
        }
    };
}
