//! Wall clocks that are wrong, for one process: its calls for the time go to a small library, which is loaded before the others.
//! The program has no switch for this. The library is compiled by the C compiler that links Rust programs as well.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

/// How a clock is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It is right.
    Right,
    /// It is behind by this much.
    Behind(Duration),
    /// It is ahead by this much.
    Ahead(Duration),
    /// It counts one second in two.
    Slow,
    /// It is set back by an hour, this long after the process began.
    SetBack(Duration),
}

impl Clock {
    /// Clocks that have been seen: a machine without time service, another one, a wrong year, a virtual machine that is starved,
    /// and a correction in the middle of a run.
    pub const WRONG: [Self; 6] = [
        Self::Behind(Duration::from_secs(8 * 60)),
        Self::Behind(Duration::from_secs(2 * 60)),
        Self::Ahead(Duration::from_secs(10 * 60)),
        Self::Ahead(Duration::from_secs(400 * 86400)),
        Self::Slow,
        Self::SetBack(Duration::from_secs(2)),
    ];

    /// What a process needs in its environment.
    pub fn environment(self) -> Vec<(&'static str, String)> {
        let (ahead, rate, back) = match self {
            Self::Right => return Vec::new(),
            Self::Behind(by) => (-by.as_secs_f64(), 1.0, 0.0),
            Self::Ahead(by) => (by.as_secs_f64(), 1.0, 0.0),
            Self::Slow => (0.0, 0.5, 0.0),
            Self::SetBack(after) => (0.0, 1.0, after.as_secs_f64()),
        };
        vec![("LD_PRELOAD", library().display().to_string()), ("CAMPAIGN_CLOCK", format!("{ahead} {rate} {back}"))]
    }

    /// In words, for the table.
    pub fn name(self) -> String {
        match self {
            Self::Right => "right".to_owned(),
            Self::Behind(by) => format!("{} min behind", by.as_secs() / 60),
            Self::Ahead(by) if by.as_secs() >= 86400 => format!("{} days ahead", by.as_secs() / 86400),
            Self::Ahead(by) => format!("{} min ahead", by.as_secs() / 60),
            Self::Slow => "at half speed".to_owned(),
            Self::SetBack(_) => "set back by 1 h".to_owned(),
        }
    }
}

/// The library, compiled once in each test run.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (made, path) = (folder.join(format!("clock-{}.so", std::process::id())), folder.join("clock.so"));
        let source = crate::support::root().join("tests/campaign/clock.c");
        let mut compiler = Command::new("cc");
        let output = compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&made).arg(source).output();
        let output = output.expect("the C compiler, which links Rust programs as well");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // Another test run may load it at this moment.
        std::fs::rename(made, &path).expect("a file in a folder of the build");
        path
    })
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_sees_the_wrong_time() {
        for (clock, ahead) in [(Clock::WRONG[0], -480.0), (Clock::WRONG[2], 600.0), (Clock::Right, 0.0)] {
            let output = Command::new("date").arg("+%s").envs(clock.environment()).output().expect("date");
            let shown: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds");
            let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs_f64();
            assert!((shown - now - ahead).abs() < 20.0, "{clock:?}: {shown} at {now}");
        }
    }
}
