//! What the benchmarks need around the engine: a server, children whose processor time is known, and a little
//! arithmetic.

pub mod child;
pub mod tokens;

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// What one run of one program took and did.
#[derive(Debug)]
pub struct Measured {
    /// User and system time of the child.
    pub cpu_seconds: f64,
    /// How long it ran.
    pub seconds: f64,
    /// The highest resident size.
    pub peak_mib: f64,
    /// Requests that the server counted.
    pub served: u64,
    /// Variance over mean of the requests per 10 ms at the server: 0 is even, 1 is random, more is bursts.
    pub dispersion: f64,
    /// What our own child says about itself.
    pub output: Value,
}

impl Measured {
    /// A number that our own child says about itself.
    pub fn told(&self, key: &str) -> Option<f64> {
        self.output.get(key)?.as_f64()
    }
}

/// Where a program is, if it is installed.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Processor time of children that have ended, in seconds (fields 16 and 17 of `/proc/self/stat`, see proc(5)).
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[13..15].iter().map(|field| field.parse::<f64>().unwrap_or(0.0)).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

/// Runs a program to its end and says what it took.
pub fn measure(command: &[String], nginx: Option<&Nginx>) -> Measured {
    nginx.inspect(|nginx| nginx.forget());
    let before = children_cpu();
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
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut peak_mib = 0.0;
    while child.try_wait().expect("the child can be waited for").is_none() {
        if let Some(mib) = peak(&status) {
            peak_mib = mib;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let text = reader.join().unwrap_or_default();
    let (served, dispersion) = nginx.map_or((0, f64::NAN), Nginx::arrivals);
    Measured {
        cpu_seconds: children_cpu() - before,
        seconds,
        peak_mib,
        served,
        dispersion,
        output: serde_json::from_str(text.trim()).unwrap_or(Value::Null),
    }
}

fn peak(status: &PathBuf) -> Option<f64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// The middle value.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The middle value and the range, as the tables show it.
pub fn range(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.2} ({low:.2}–{high:.2})", median(values.into_iter()))
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
    pub fn start() -> Self {
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
        let child = Command::new("nginx")
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

    /// Forgets the requests so far.
    fn forget(&self) {
        std::fs::write(self.log(), "").expect("the log is emptied");
    }

    /// How many requests came, and how evenly.
    fn arrivals(&self) -> (u64, f64) {
        // The log is written every 200 ms.
        std::thread::sleep(Duration::from_millis(500));
        let log = std::fs::read_to_string(self.log()).expect("the log is there");
        let mut bins = std::collections::BTreeMap::<u64, u64>::new();
        for line in log.lines() {
            if let Ok(at) = line.replace('.', "").parse::<u64>() {
                *bins.entry(at / 10).or_default() += 1;
            }
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

    /// Stops its worker for so long, so long from now.
    pub fn stop_for(&self, from_now: Duration, duration: Duration) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let worker = std::fs::read_to_string(children)
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .and_then(Pid::from_raw)
            .expect("nginx has a worker");
        std::thread::sleep(from_now);
        kill_process(worker, Signal::STOP).expect("the worker stops");
        std::thread::sleep(duration);
        kill_process(worker, Signal::CONT).expect("the worker goes on");
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
