//! The programs that containers of the sandbox can run, and how a container's command names them.
//!
//! What belongs here: from a command line to settings, and back. What does not: what the programs do (`inference`),
//! and when they run (`node`).
//!
//! A setting `heartbeat_timeout` is the flag `--heartbeat-timeout=2s`. The flags come from the settings' own types, so
//! a setting that is added there is a flag here.

use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::inference::{self, BusConfig, FrontendConfig, WorkerConfig};
use super::net::Net;
use crate::faults::probe::{self, ProbeConfig};

/// A program of the inference deployment with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// The message bus.
    Bus(BusConfig),
    /// The OpenAI API.
    Frontend(FrontendConfig),
    /// Answers requests.
    Worker(WorkerConfig),
    /// Tries to connect, and prints what it can reach.
    Probe(ProbeConfig),
}

impl Program {
    /// The word that names it in command lines: `bus`, `frontend`, `worker`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bus(_) => "bus",
            Self::Frontend(_) => "frontend",
            Self::Worker(_) => "worker",
            Self::Probe(_) => "probe",
        }
    }

    /// The program that a command line names: `bus --port=4222`. Flags that are left out have their defaults.
    ///
    /// # Errors
    /// A sentence that says what is wrong: no such program, no such flag, or a value that cannot be read.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, String> {
        let mut words = words.iter().map(AsRef::as_ref);
        let name = words.next().ok_or("no program is named; there are bus, frontend, probe and worker")?;
        let rest: Vec<&str> = words.collect();
        match name {
            "bus" => settings(&rest).map(Self::Bus),
            "frontend" => settings(&rest).map(Self::Frontend),
            "worker" => settings(&rest).map(Self::Worker),
            "probe" => settings(&rest).map(Self::Probe),
            other => Err(format!("there is no program `{other}`; there are bus, frontend, probe and worker")),
        }
    }

    /// The command line that `parse` reads back, with the settings that are not the default.
    pub fn to_args(&self) -> Vec<String> {
        let flags = match self {
            Self::Bus(config) => flags(config),
            Self::Frontend(config) => flags(config),
            Self::Worker(config) => flags(config),
            Self::Probe(config) => flags(config),
        };
        std::iter::once(self.name().to_string()).chain(flags).collect()
    }

    /// Runs the program until `stop` is cancelled. What it prints goes to `print`, line by line.
    ///
    /// # Errors
    /// A setting that is not valid, or a port that cannot be listened on.
    pub async fn run(self, net: Net, print: impl Fn(String) + Send, stop: CancellationToken) -> io::Result<()> {
        match self {
            Self::Bus(config) => inference::bus(net, config, stop).await,
            Self::Frontend(config) => inference::frontend(net, config, stop).await,
            Self::Worker(config) => inference::worker(net, config, stop).await,
            Self::Probe(config) => probe::run(net, config, print, stop).await,
        }
    }
}

fn settings<T: DeserializeOwned + Serialize + Default>(words: &[&str]) -> Result<T, String> {
    let known = as_map(&T::default());
    let mut given = Map::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").ok_or_else(|| format!("`{word}` is not a flag"))?;
        let (flag, text) = match flag.split_once('=') {
            Some((flag, text)) => (flag, text),
            None => (flag, *words.next().ok_or_else(|| format!("`--{flag}` needs a value"))?),
        };
        let key = flag.replace('-', "_");
        let default = known.get(&key).ok_or_else(|| {
            let flags: Vec<String> = known.keys().map(|k| format!("--{}", k.replace('_', "-"))).collect();
            format!("there is no flag `--{flag}`; there are {}", flags.join(", "))
        })?;
        // Only numbers and booleans have another form in settings than on the command line.
        let value = match default {
            Value::Number(_) | Value::Bool(_) => {
                serde_json::from_str(text).map_err(|_| format!("`--{flag}={text}`: this is not like {default}"))?
            }
            _ => Value::from(text),
        };
        given.insert(key, value);
    }
    serde_json::from_value(Value::Object(given)).map_err(|error| error.to_string())
}

fn flags<T: Serialize + Default>(config: &T) -> Vec<String> {
    let default = as_map(&T::default());
    let changed = as_map(config).into_iter().filter(|(key, value)| default.get(key) != Some(value));
    changed
        .map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_string);
            format!("--{}={text}", key.replace('_', "-"))
        })
        .collect()
}

fn as_map<T: Serialize>(config: &T) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("settings are structs of plain values"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_the_way_through_a_command_line() {
        let config = WorkerConfig {
            id: "worker-7".into(),
            jitter: 0.25,
            ready_needs_bus: true,
            heartbeat: shakedown_schemas::units::Duration::from_millis(250),
            ..WorkerConfig::default()
        };
        let program = Program::Worker(config);
        let args = program.to_args();
        assert_eq!(args, ["worker", "--id=worker-7", "--ready-needs-bus=true", "--jitter=0.25", "--heartbeat=250ms"]);
        assert_eq!(Program::parse(&args).unwrap(), program);
        assert_eq!(Program::parse(&["bus"]).unwrap(), Program::Bus(BusConfig::default()));
    }

    #[test]
    fn flags_can_be_two_words() {
        let parsed = Program::parse(&["frontend", "--port", "81", "--advertise", "10.0.0.1"]).unwrap();
        let expected = FrontendConfig { port: 81, advertise: Some("10.0.0.1".into()), ..FrontendConfig::default() };
        assert_eq!(parsed, Program::Frontend(expected));
    }

    #[test]
    fn mistakes_are_named() {
        for (words, part) in [
            (vec![], "no program is named"),
            (vec!["nginx"], "no program `nginx`"),
            (vec!["bus", "--prot=1"], "no flag `--prot`; there are --port"),
            (vec!["bus", "--port"], "needs a value"),
            (vec!["bus", "--port=many"], "not like 4222"),
            (vec!["bus", "4222"], "not a flag"),
            (vec!["worker", "--heartbeat=5"], "5"),
        ] {
            let error = Program::parse(&words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }
}
