//! What a fault by Chaos Mesh does, and between whom, before it has names and objects.

use shakedown_schemas::result::PodRef;

use shakedown_faults::chaos::Recipe;
use shakedown_faults::effect::RequiredProof;

/// What the fault does, and between whom.
pub(super) struct Draft {
    pub recipe: Recipe,
    /// What it does and what it leaves, in words.
    pub text: String,
    /// The other ends, in words.
    pub peers: Vec<String>,
    /// The pods at the other end.
    pub far: Vec<PodRef>,
    /// Whether replacements of targets are acted on as well.
    pub follow: bool,
    /// What has to show that it acts.
    pub required_proof: RequiredProof,
}
