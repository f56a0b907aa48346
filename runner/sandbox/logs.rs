//! What programs print: the last lines of each pod, for `kubectl logs`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many lines of a pod are kept.
const KEPT: usize = 1000;

/// The lines of all pods, by uid.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    lines: Mutex<HashMap<String, VecDeque<String>>>,
}

impl Logs {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, VecDeque<String>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod prints a line.
    pub fn print(&self, uid: &str, line: String) {
        let mut all = self.lines();
        let lines = all.entry(uid.to_owned()).or_default();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last lines that a pod printed, each with its end.
    pub fn tail(&self, uid: &str, count: usize) -> String {
        let all = self.lines();
        let Some(lines) = all.get(uid) else { return String::new() };
        lines.iter().skip(lines.len().saturating_sub(count)).flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// A pod is gone.
    pub fn forget(&self, uid: &str) {
        self.lines().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept() {
        let logs = Logs::default();
        for number in 0..KEPT + 2 {
            logs.print("u", number.to_string());
        }
        assert_eq!(logs.tail("u", 2), "1000\n1001\n");
        assert!(logs.tail("u", usize::MAX).starts_with("2\n"));
        logs.forget("u");
        assert_eq!(logs.tail("u", 5), "");
    }
}
