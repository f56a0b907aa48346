//! The independent probe of `../shared/dynamo`: a Python client that shares no code with the program.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::Deserialize;

use crate::support::process::Running;

/// Single failures further apart than this are no wave: a worker that is tried again every 5 s fails one request at a time.
const WAVE: f64 = 2.0;

/// What the probe asks.
#[derive(Debug, Clone, Copy)]
pub struct Questions {
    /// How long it asks, in seconds.
    pub seconds: u32,
    /// Tokens of an answer.
    pub tokens: u32,
    /// How long it waits for an answer, in seconds.
    pub patience: u32,
}

/// The probe at work.
pub struct Probe {
    running: Running,
    lines: PathBuf,
    limit: Duration,
}

impl Probe {
    /// Requests per second: a part of the program's own load, since both share what fails.
    const RATE: u32 = 5;

    /// Starts it against this address.
    pub fn start(script: &Path, address: &str, asked: Questions, lines: PathBuf) -> Self {
        let Questions { seconds, tokens, patience } = asked;
        let args = [address, &seconds.to_string(), &Self::RATE.to_string()];
        let options = ["--max", &tokens.to_string(), "--timeout", &patience.to_string()];
        let running = Running::start(Command::new("python3").arg(script).args(args).arg(&lines).args(options));
        Self { running, lines, limit: Duration::from_secs((seconds + patience + 30).into()) }
    }

    /// Waits for its end. Times count from this moment, in seconds of the wall clock.
    #[track_caller]
    pub fn finish(self, start: f64) -> Seen {
        self.running.finish(self.limit).expect_code(0);
        let text = std::fs::read_to_string(self.lines).expect("the probe's lines");
        // The last line is another one: what /health said.
        let lines = text.lines().filter(|line| line.contains("\"due\""));
        let mut answers: Vec<Answer> = lines.map(|line| serde_json::from_str(line).expect("an answer")).collect();
        for answer in &mut answers {
            answer.due -= start;
        }
        Seen { answers }
    }
}

/// One request.
#[derive(Debug, Clone, Deserialize)]
pub struct Answer {
    /// When it was due, in seconds since the scenario's start.
    pub due: f64,
    outcome: String,
    /// How long it took, in seconds.
    total: f64,
}

impl Answer {
    fn is_answered(&self) -> bool {
        self.outcome == "ok"
    }
}

/// What the probe saw.
pub struct Seen {
    answers: Vec<Answer>,
}

impl Seen {
    /// The requests that were due in this stretch.
    pub fn due(&self, from: f64, to: f64) -> Seen {
        let due = |answer: &&Answer| (from..to).contains(&answer.due);
        Seen { answers: self.answers.iter().filter(due).cloned().collect() }
    }

    pub fn requests(&self) -> usize {
        self.answers.len()
    }

    /// How long they took, the shortest first, in seconds.
    pub fn durations(&self) -> Vec<f64> {
        let mut durations: Vec<f64> = self.answers.iter().map(|it| it.total).collect();
        durations.sort_by(f64::total_cmp);
        durations
    }

    /// The requests that failed.
    pub fn failures(&self) -> Seen {
        Seen { answers: self.answers.iter().filter(|it| !it.is_answered()).cloned().collect() }
    }

    /// When those that failed or took longer than `slow` were due.
    pub fn bad(&self, slow: f64) -> Vec<f64> {
        self.answers.iter().filter(|it| !it.is_answered() || it.total > slow).map(|it| it.due).collect()
    }

    /// Between which moments a service that is tried in this stretch is well again: the last failure of a wave, and the last
    /// of all. The stretch's start, if there was none.
    pub fn well(&self, from: f64, to: f64, slow: f64) -> (f64, f64) {
        let bad = self.due(from, to).bad(slow);
        let last = bad.last().copied().unwrap_or(from);
        let wave = bad.windows(2).rfind(|pair| pair[1] - pair[0] < WAVE).map_or(from, |pair| pair[1]);
        (wave, last)
    }
}

/// The value below which this share of sorted values lies. 0 if there are none.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(((sorted.len() as f64 * share) as usize).min(last)).copied().unwrap_or_default()
}
