//! A fault by Chaos Mesh before it has names and objects: its action and the ends of its links.

use shakedown_schemas::result::PodRef;

use shakedown_faults::chaos::Recipe;
use shakedown_faults::effect::RequiredProof;

/// The action, with the ends of its links.
pub(super) struct Draft {
    pub recipe: Recipe,
    /// What it changes and what it leaves unchanged, in words.
    pub text: String,
    /// The other ends, in words.
    pub peers: Vec<String>,
    /// The pods at the other end.
    pub far: Vec<PodRef>,
    /// Whether it also acts on replacements of targets.
    pub follow: bool,
    /// The required proof that it acts.
    pub effect: RequiredProof,
}
