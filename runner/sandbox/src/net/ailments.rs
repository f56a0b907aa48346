//! The ailments of a pod in addition to its links: less CPU time, DNS failures, HTTP failures, slow or failing file
//! operations, a shifted clock.
//!
//! In scope: the board on which the sandbox writes it, and how programs read it. Out of scope: why (the
//! sandbox's chaos controller knows), and the behaviour of an affected program.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::mesh::units::glob;

/// One ailment of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Ailment {
    /// Other programs use the processor: its work takes longer by this factor (1 or more).
    Busy(f64),
    /// Names that match one of the patterns (all, if there are none) do not resolve, or resolve to an unused address.
    Names {
        /// Patterns of fully qualified names, with `*` and `?`.
        patterns: Vec<String>,
        /// Whether they resolve to an unused address.
        random: bool,
    },
    /// Requests to a port fail.
    Http(HttpRule),
    /// Operations on files fail.
    Files(FileRule),
    /// Its clock is shifted.
    Clock {
        /// The offset of the clock in milliseconds; negative when it is behind.
        ahead_ms: i64,
    },
}

/// The affected requests, and the failure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpRule {
    /// The port.
    pub port: u16,
    /// Only this method.
    pub method: Option<String>,
    /// Only paths that match, with `*` and `?`.
    pub path: Option<String>,
    /// Only requests with these headers.
    pub headers: Vec<(String, String)>,
    /// Only answers with this status; then the rule acts on the answer.
    pub code: Option<u16>,
    /// Whether it acts on the answer, after the program has done its work.
    pub on_answer: bool,
    /// The added delay.
    pub delay: Duration,
    /// Whether the connection is closed without an answer.
    pub abort: bool,
    /// The status that replaces the answer's.
    pub replace_code: Option<u16>,
}

/// The affected file operations, and the failure.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRule {
    /// Where the volume is mounted.
    pub volume: String,
    /// Only files whose path matches, with `*` and `?`.
    pub path: Option<String>,
    /// Only these operations, as FUSE names them; all, if there are none.
    pub methods: Vec<String>,
    /// The share of operations, from 0 to 1.
    pub share: f64,
    /// The added delay of each operation.
    pub delay: Duration,
    /// The error number with which it fails.
    pub error: Option<i32>,
}

impl FileRule {
    pub(super) fn hits(&self, path: &str, method: &str) -> bool {
        let inside = Path::new(path).starts_with(&self.volume);
        let meant = self.path.as_ref().is_none_or(|pattern| glob(pattern, path));
        let operation = self.methods.is_empty() || self.methods.iter().any(|wanted| wanted == method);
        inside && meant && operation && rand::random::<f64>() < self.share
    }
}

/// The ailments of each pod, by address. Cheap to clone; all clones are the same board.
#[derive(Debug, Clone, Default)]
pub struct Ailments {
    board: Arc<RwLock<BTreeMap<(IpAddr, String), Ailment>>>,
}

impl Ailments {
    /// Adds an ailment to a pod. `key` identifies it among all ailments.
    pub fn inflict(&self, pod: IpAddr, key: &str, ailment: Ailment) {
        self.board.write().unwrap_or_else(PoisonError::into_inner).insert((pod, key.to_owned()), ailment);
    }

    /// Ends the ailment `key` on all pods.
    pub fn heal(&self, key: &str) {
        self.board.write().unwrap_or_else(PoisonError::into_inner).retain(|(_, known), _| known != key);
    }

    /// The ailments of a pod.
    pub fn of(&self, pod: IpAddr) -> Vec<Ailment> {
        let board = self.board.read().unwrap_or_else(PoisonError::into_inner);
        board
            .range((pod, String::new())..)
            .take_while(|((of, _), _)| *of == pod)
            .map(|(_, what)| what.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pod_has_its_own_ailments_until_they_are_healed() {
        let ailments = Ailments::default();
        let pod = |last: u8| IpAddr::from([127, 64, 0, last]);
        for last in 1..=3 {
            ailments.inflict(pod(last), "a", Ailment::Busy(f64::from(last)));
        }
        ailments.inflict(pod(2), "b", Ailment::Busy(9.0));
        ailments.inflict(pod(2), "a", Ailment::Busy(5.0));
        assert_eq!(ailments.of(pod(2)), [Ailment::Busy(5.0), Ailment::Busy(9.0)]);
        ailments.heal("a");
        assert_eq!((ailments.of(pod(1)), ailments.of(pod(2))), (vec![], vec![Ailment::Busy(9.0)]));
    }
}
