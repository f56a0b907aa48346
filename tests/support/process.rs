//! Child processes with a time limit: their output is read as it comes, and none outlives its test.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a child that was left alone gets to tidy up.
const GRACE: Duration = Duration::from_secs(40);

/// A process that has ended.
#[derive(Debug)]
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Finished {
    /// The exit code as a shell shows it: 128 and the signal for a process that a signal ended.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Fails the test, with everything that the process said, if its exit code is another one.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code(), code, "the exit code is another one\n{self}");
        self
    }

    /// Fails the test if stderr lacks one of these.
    #[track_caller]
    pub fn expect_stderr(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "stderr lacks `{part}`\n{self}");
        }
        self
    }

    /// Fails the test if stdout lacks one of these.
    #[track_caller]
    pub fn expect_stdout(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "stdout lacks `{part}`\n{self}");
        }
        self
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stdout, stderr, took, .. } = self;
        write!(f, "exit code {} after {took:.1?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.code())
    }
}

/// A text that grows while a process runs.
#[derive(Clone, Default)]
struct Growing(Arc<(Mutex<(String, bool)>, Condvar)>);

impl Growing {
    fn lock(&self) -> MutexGuard<'_, (String, bool)> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let this = self.clone();
        spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                this.lock().0.push_str(&String::from_utf8_lossy(&line));
                this.0.1.notify_all();
                line.clear();
            }
            this.lock().1 = true;
            this.0.1.notify_all();
        })
    }

    /// The whole line that holds `part`, as soon as there is one.
    fn line(&self, part: &str, limit: Duration) -> Option<String> {
        let begun = Instant::now();
        let mut text = self.lock();
        loop {
            let whole = text.0.rfind('\n').map_or("", |end| &text.0[..end]);
            if let Some(line) = whole.lines().find(|line| line.contains(part)) {
                return Some(line.to_owned());
            }
            let left = limit.saturating_sub(begun.elapsed());
            if text.1 || left.is_zero() {
                return None;
            }
            text = self.0.1.wait_timeout(text, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A process that runs. Dropped, it is interrupted and given time to tidy up, so that a failed test leaves nothing.
pub struct Running {
    pid: Pid,
    begun: Instant,
    ended: Receiver<ExitStatus>,
    done: bool,
    stdout: Growing,
    stderr: Growing,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a process with nothing on its stdin.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        let (stdout, stderr) = (Growing::default(), Growing::default());
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|stream| stdout.follow(stream)));
        readers.extend(child.stderr.take().map(|stream| stderr.follow(stream)));
        let pid = Pid::from_child(&child);
        let (sender, ended) = channel();
        spawn(move || {
            if let Ok(status) = child.wait() {
                _ = sender.send(status);
            }
        });
        Self { pid, begun: Instant::now(), ended, done: false, stdout, stderr, readers }
    }

    /// Waits for a line on stderr that holds `part`, and returns the line.
    #[track_caller]
    pub fn stderr_line(&self, part: &str, limit: Duration) -> String {
        self.stderr.line(part, limit).unwrap_or_else(|| {
            panic!("no line with `{part}` on stderr within {limit:?}\n--- stderr\n{}", self.stderr.lock().0)
        })
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Sends a signal to this process and to no other.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap_or_else(|error| panic!("could not signal {:?}: {error}", self.pid));
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish(mut self, limit: Duration) -> Finished {
        let Ok(status) = self.ended.recv_timeout(limit) else {
            panic!(
                "the process still runs after {limit:?}\n--- stdout\n{}\n--- stderr\n{}",
                self.stdout.lock().0,
                self.stderr.lock().0
            )
        };
        self.done = true;
        let took = self.begun.elapsed();
        for reader in self.readers.drain(..) {
            _ = reader.join();
        }
        Finished { status, stdout: self.stdout.lock().0.clone(), stderr: self.stderr.lock().0.clone(), took }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.done || self.ended.try_recv().is_ok() {
            return;
        }
        _ = kill_process(self.pid, Signal::INT);
        if self.ended.recv_timeout(GRACE).is_err() {
            _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// Runs a helper to its end.
#[track_caller]
pub fn run(command: &mut Command, limit: Duration) -> Finished {
    Running::start(command).finish(limit)
}
