//! What the benchmarks need around the engine: servers, children whose processor time is known, and a little arithmetic.

pub mod bare;
pub mod child;
pub mod reference;
pub mod server;
pub mod table;
pub mod waking;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use serde_json::Value;

/// What this program was asked to do.
#[derive(Debug)]
pub struct Options {
    /// How often each program runs.
    pub rounds: usize,
    /// For how long, in seconds.
    pub seconds: u64,
    /// The groups of rows; all where none is named.
    only: Vec<String>,
    /// Where peers are looked for first.
    peers: Option<PathBuf>,
    /// How long to send while nothing else runs, in seconds.
    pub soak: Option<u64>,
    /// At which rate that is.
    pub rate: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 3, seconds: 5, only: Vec::new(), peers: None, soak: None, rate: 1_000 }
    }
}

impl Options {
    /// Reads the command line. What cargo itself passes is left alone.
    pub fn read(words: Vec<String>) -> Self {
        let mut options = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            let number = |text: String| text.parse().unwrap_or_else(|_| panic!("`{text}` is not a number"));
            match word.as_str() {
                "--rounds" => options.rounds = number(value()) as usize,
                "--seconds" => options.seconds = number(value()),
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--peers" => options.peers = Some(value().into()),
                "--soak" => options.soak = Some(number(value())),
                "--rate" => options.rate = number(value()),
                _ => {}
            }
        }
        options
    }

    /// Whether a group of rows is wanted.
    pub fn is_wanted(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == group)
    }
}

/// What one run of one program took and did.
#[derive(Debug)]
pub struct Measured {
    /// User and system time of the child.
    pub cpu_seconds: f64,
    /// How long it ran.
    pub seconds: f64,
    /// How often the child slept and was woken up.
    pub wakes: u64,
    /// The highest resident size.
    pub peak_mib: f64,
    /// Requests that the server counted.
    pub served: u64,
    /// Variance over mean of the requests per 10 ms at the server: 0 is even, 1 is random, more is bursts.
    pub dispersion: f64,
    /// What a child says about itself as JSON.
    pub output: Value,
}

impl Measured {
    /// A number that the child says about itself.
    pub fn figure(&self, key: &str) -> Option<f64> {
        self.output.get(key)?.as_f64()
    }

    /// The same; not a number where it does not say.
    pub fn number(&self, key: &str) -> f64 {
        self.figure(key).unwrap_or(f64::NAN)
    }
}

/// Where requests go, and who counts them there.
pub trait Place {
    /// Forgets the requests so far.
    fn forget(&self);
    /// How many requests came, and how evenly.
    fn arrivals(&self) -> (u64, f64);
}

/// Nothing is counted.
pub struct Nowhere;

impl Place for Nowhere {
    fn forget(&self) {}

    fn arrivals(&self) -> (u64, f64) {
        (0, f64::NAN)
    }
}

/// A command that runs this program itself.
pub fn own(words: &[&str]) -> Vec<String> {
    let program = std::env::current_exe().expect("this program has a path").display().to_string();
    std::iter::once(program).chain(words.iter().map(ToString::to_string)).collect()
}

/// Where a program is, if it is installed.
pub fn tool(options: &Options, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders = options.peers.iter().cloned().chain(std::env::split_paths(&path));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Lets this process open as many files as the system allows: each connection needs one.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).ok();
}

/// Uses a share of a core for some seconds: `SECONDS SHARE`.
pub fn burn(words: &[String]) {
    let [seconds, share] = words else { panic!("seconds and a share") };
    let until = Instant::now() + Duration::from_secs(seconds.parse().expect("seconds"));
    let share: f64 = share.parse().expect("a share");
    let step = Duration::from_millis(10);
    while Instant::now() < until {
        let busy = Instant::now() + step.mul_f64(share);
        while Instant::now() < busy {
            std::hint::spin_loop();
        }
        std::thread::sleep(step.mul_f64(1.0 - share));
    }
}

/// Processor time of children that have ended, in seconds (fields 16 and 17 of `/proc/self/stat`, see proc(5)).
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[13..15].iter().map(|field| field.parse::<f64>().unwrap_or(0.0)).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

/// How often children that have ended gave up the processor by themselves.
fn children_wakes() -> u64 {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts");
    usage.voluntary_context_switches().cast_unsigned()
}

/// Runs a program to its end and says what it took. One that does not end within two minutes is ended.
pub fn measure(command: &[String], place: &dyn Place) -> Measured {
    place.forget();
    let (before, slept_before) = (children_cpu(), children_wakes());
    let begun = Instant::now();
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdout = child.stdout.take().expect("its output is piped");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).ok();
        text
    });
    let mut peak_mib = 0.0;
    while child.try_wait().expect("the child can be waited for").is_none() {
        peak_mib = status_mib(child.id(), "VmHWM:").unwrap_or(peak_mib);
        if begun.elapsed() > Duration::from_secs(120) {
            child.kill().ok();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let text = reader.join().unwrap_or_default();
    let (served, dispersion) = place.arrivals();
    Measured {
        cpu_seconds: children_cpu() - before,
        wakes: children_wakes() - slept_before,
        seconds,
        peak_mib,
        served,
        dispersion,
        output: serde_json::from_str(text.trim()).unwrap_or(Value::Null),
    }
}

fn status_mib(pid: u32, field: &str) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// How much memory a process has now.
pub fn resident_mib(pid: u32) -> Option<f64> {
    status_mib(pid, "VmRSS:")
}

/// The middle value.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// nginx with one worker and a small answer. It logs the millisecond of each request: that is how arrivals are counted.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Nginx {
    /// Starts it on a free port of loopback.
    pub fn start(options: &Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder for nginx");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let path = folder.path().display();
        let configuration = format!(
            "daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log; user root;\n\
             events {{ worker_connections 16384; }}\n\
             http {{ log_format arrivals '$msec'; access_log {path}/arrivals arrivals buffer=256k flush=200ms;\n\
             keepalive_requests 1000000000; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;\n\
             fastcgi_temp_path {path}/fastcgi; uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
             server {{ listen 127.0.0.1:{port} backlog=16384; location / {{ return 200 'hello, world'; }} }} }}\n"
        );
        std::fs::write(folder.path().join("nginx.conf"), configuration).expect("the configuration is written");
        let child = Command::new(tool(options, "nginx").expect("nginx is installed"))
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx starts");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, folder, port }
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("arrivals")
    }

    /// The milliseconds in which it answered, as its log has them.
    fn answered(&self) -> impl Iterator<Item = u64> {
        let log = std::fs::read_to_string(self.log()).expect("the log is there");
        log.lines().filter_map(|line| line.replace('.', "").parse().ok()).collect::<Vec<_>>().into_iter()
    }

    /// What this share of requests took at most, in ms, by its own log: they were due at even steps from the first on, and it
    /// answers in order.
    pub fn took(&self, rate: u64, quantile: f64) -> f64 {
        let mut answered: Vec<u64> = self.answered().collect();
        answered.sort_unstable();
        let first = answered.first().copied().unwrap_or_default();
        let took = |(number, at): (usize, &u64)| (at - first) as f64 - number as f64 * 1e3 / rate as f64;
        let mut took: Vec<f64> = answered.iter().enumerate().map(took).collect();
        took.sort_by(f64::total_cmp);
        took.get((took.len() as f64 * quantile) as usize).copied().unwrap_or(f64::NAN)
    }

    /// Stops its worker for a time, after a time.
    pub fn stop_for(&self, from_now: Duration, duration: Duration) {
        // By then it has one, which is not so at once.
        std::thread::sleep(from_now);
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let worker = std::fs::read_to_string(children)
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .and_then(Pid::from_raw)
            .expect("nginx has a worker");
        kill_process(worker, Signal::STOP).expect("the worker stops");
        std::thread::sleep(duration);
        kill_process(worker, Signal::CONT).expect("the worker goes on");
    }
}

impl Place for Nginx {
    fn forget(&self) {
        std::fs::write(self.log(), "").expect("the log is emptied");
    }

    fn arrivals(&self) -> (u64, f64) {
        // The log is written every 200 ms.
        std::thread::sleep(Duration::from_millis(500));
        let mut bins = std::collections::BTreeMap::<u64, u64>::new();
        for at in self.answered() {
            *bins.entry(at / 10).or_default() += 1;
        }
        let served = bins.values().sum();
        // The first and the last quarter of a second belong to starting and stopping.
        let (Some(first), Some(last)) = (bins.keys().next(), bins.keys().next_back()) else { return (0, f64::NAN) };
        let counts: Vec<f64> =
            (first + 25..last.saturating_sub(25)).map(|bin| bins.get(&bin).copied().unwrap_or(0) as f64).collect();
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / counts.len() as f64;
        (served, variance / mean)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).ok();
        }
        self.child.wait().ok();
    }
}
