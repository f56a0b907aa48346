//! How long a worker takes, and what it says: both repeatable.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::inference::WorkerConfig;

/// The parts of answers.
const WORDS: [&str; 16] = [
    "the", "ship", "holds", "her", "course", "while", "wind", "and", "sea", "try", "every", "rope", "until", "calm",
    "comes", "again",
];

/// The times of one answer.
pub(super) struct Pace {
    first: Duration,
    next: Duration,
    jitter: f64,
    random: StdRng,
}

impl Pace {
    pub(super) fn new(config: &WorkerConfig, request: &str) -> Self {
        let seed = hash(&(config.seed, &config.id, request));
        Self {
            first: config.time_to_first_token.get(),
            next: config.inter_token.get(),
            jitter: config.jitter,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// The time before the token with this index, from the one before it or from the start.
    pub(super) fn before(&mut self, index: u32) -> Duration {
        let usual = if index == 0 { self.first } else { self.next };
        let share: f64 = self.random.random_range(-1.0..=1.0);
        usual.mul_f64(1.0 + self.jitter * share)
    }
}

/// The token with this index of the answer to `prompt`.
pub(super) fn text(prompt: &str, index: u32) -> String {
    let word = WORDS[(hash(&(prompt, index)) % WORDS.len() as u64) as usize];
    if index == 0 { word.to_owned() } else { format!(" {word}") }
}

fn hash(value: &impl Hash) -> u64 {
    // Not keyed, unlike a map's: the same in every run of one build.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shakedown_schemas::units::Duration as Written;

    #[test]
    fn times_stay_within_the_jitter_and_repeat() {
        let config = WorkerConfig {
            time_to_first_token: Written::from_millis(100),
            inter_token: Written::from_millis(10),
            jitter: 0.2,
            ..WorkerConfig::default()
        };
        let times = |request: &str| {
            let mut pace = Pace::new(&config, request);
            (0..100).map(|index| pace.before(index).as_secs_f64() * 1e3).collect::<Vec<_>>()
        };
        let first = times("a");
        assert!((80.0..=120.0).contains(&first[0]), "{first:?}");
        assert!(first[1..].iter().all(|ms| (8.0..=12.0).contains(ms)), "{first:?}");
        assert!(first[1..].iter().any(|ms| *ms < 9.0) && first[1..].iter().any(|ms| *ms > 11.0), "{first:?}");
        assert_eq!(first, times("a"));
        assert_ne!(first, times("b"));
    }

    #[test]
    fn the_same_prompt_gets_the_same_answer() {
        let answer = |prompt: &str| (0..10).map(|index| text(prompt, index)).collect::<String>();
        assert_eq!(answer("hello"), answer("hello"));
        assert_ne!(answer("hello"), answer("goodbye"));
        assert_eq!(answer("hello").split(' ').count(), 10);
    }
}
