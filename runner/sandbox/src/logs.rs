//! The output of programs: the last lines of each pod with their timestamps, for `kubectl logs`.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// The most lines that are kept per pod.
const KEPT: usize = 1000;

/// The lines of all pods, by uid.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    lines: Mutex<HashMap<String, VecDeque<(Timestamp, String)>>>,
}

/// The requested lines and their format: the parameters of the API.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogOptions {
    /// Only lines from this moment on.
    pub since: Option<Timestamp>,
    /// Only this many of the last lines.
    pub tail: Option<usize>,
    /// At most this many bytes, from the beginning.
    pub bytes: Option<usize>,
    /// Each line with its timestamp in front.
    pub timestamps: bool,
}

impl Logs {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, VecDeque<(Timestamp, String)>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pod prints a line.
    pub fn print(&self, uid: &str, at: Timestamp, line: String) {
        let mut all = self.lines();
        let lines = all.entry(uid.to_owned()).or_default();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back((at, line));
    }

    /// The output of a pod, each line with its line end.
    pub fn read(&self, uid: &str, wanted: LogOptions) -> String {
        let all = self.lines();
        let Some(lines) = all.get(uid) else { return String::new() };
        let lines: Vec<_> = lines.iter().filter(|(at, _)| wanted.since.is_none_or(|since| *at >= since)).collect();
        let skipped = lines.len().saturating_sub(wanted.tail.unwrap_or(usize::MAX));
        let mut text = String::new();
        for (at, line) in &lines[skipped..] {
            if wanted.timestamps {
                // Nine digits, as in the kubelet's logs.
                text.push_str(&format!("{at:.9} "));
            }
            text.push_str(line);
            text.push('\n');
        }
        if let Some(bytes) = wanted.bytes.filter(|bytes| *bytes < text.len()) {
            let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
            text.truncate(end);
        }
        text
    }

    /// A pod is gone.
    pub fn forget(&self, uid: &str) {
        self.lines().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: LogOptions = LogOptions { since: None, tail: None, bytes: None, timestamps: false };

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).unwrap()
    }

    #[test]
    fn the_last_lines_are_kept() {
        let logs = Logs::default();
        for number in 0..KEPT + 2 {
            logs.print("u", second(0), number.to_string());
        }
        assert_eq!(logs.read("u", LogOptions { tail: Some(2), ..ALL }), "1000\n1001\n");
        assert!(logs.read("u", ALL).starts_with("2\n"));
        logs.forget("u");
        assert_eq!(logs.read("u", ALL), "");
    }

    #[test]
    fn lines_are_chosen_by_time_number_and_size() {
        let logs = Logs::default();
        for (at, line) in [(1, "one"), (2, "two"), (3, "thrée")] {
            logs.print("u", second(at), line.to_owned());
        }
        assert_eq!(logs.read("u", LogOptions { since: Some(second(2)), ..ALL }), "two\nthrée\n");
        assert_eq!(logs.read("u", LogOptions { since: Some(second(2)), tail: Some(1), ..ALL }), "thrée\n");
        assert_eq!(logs.read("u", LogOptions { bytes: Some(12), ..ALL }), "one\ntwo\nthr", "no half of a character");
        let stamped = logs.read("u", LogOptions { timestamps: true, tail: Some(1), ..ALL });
        assert_eq!(stamped, "2026-02-02T02:40:03.000000000Z thrée\n");
    }
}
