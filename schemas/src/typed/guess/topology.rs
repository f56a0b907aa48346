//! Words of Kubernetes and Compose in a topology of the sandbox. Its types are in the sandbox, and are named here alone.

use super::Means::Key;
use super::{Guess, guess};

const SERVICE: &[&str] = &["ServiceConfig"];

/// The table.
pub(super) const TABLE: &[Guess] = &[guess(SERVICE, &["latency"], Key("work"))];
