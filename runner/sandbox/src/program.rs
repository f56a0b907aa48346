//! The programs that containers of the sandbox can run, and how a container's command line names them.
//!
//! In scope: converting a command line to settings, and back. Out of scope: the programs (`inference`, `shop`), and when they run
//! (`node`).
//!
//! The command line is that of the hidden command `shakedown pod`, so that the same pod runs here and, from an image
//! with this program, on a real cluster: `shakedown pod worker --config '{"heartbeat":"500ms"}'`.

use std::io;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use super::inference::{self, BusConfig, DiscoveryConfig, FrontendConfig, Log, WorkerConfig};
use super::net::Net;
use super::shop::{self, PostgresConfig, RedisConfig, ServiceConfig};
use shakedown_probe::{self as probe, ProbeConfig};

/// A program with its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// The message bus of an LLM deployment.
    Bus(BusConfig),
    /// The registry of workers of an LLM deployment: what etcd is for NVIDIA Dynamo.
    Discovery(DiscoveryConfig),
    /// The OpenAI API of an LLM deployment.
    Frontend(FrontendConfig),
    /// Answers requests of an LLM deployment.
    Worker(WorkerConfig),
    /// An HTTP service that calls others.
    Service(ServiceConfig),
    /// A cache with the protocol of Redis.
    Redis(RedisConfig),
    /// A database with the protocol of PostgreSQL.
    Postgres(PostgresConfig),
    /// Tries to connect, and prints the reachable endpoints. The runner starts it; a topology has no use for it.
    #[schemars(skip)]
    Probe(ProbeConfig),
}

impl Program {
    /// Its name in command lines: `bus`, `frontend`, `worker`, …
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Bus(_) => "bus",
            Self::Discovery(_) => "discovery",
            Self::Frontend(_) => "frontend",
            Self::Worker(_) => "worker",
            Self::Service(_) => "service",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgres",
            Self::Probe(_) => "probe",
        }
    }

    /// The port on which it answers once it is up. None for a program that serves nothing.
    pub(crate) const fn port(&self) -> Option<u16> {
        match self {
            Self::Bus(config) => Some(config.port),
            Self::Discovery(config) => Some(config.port),
            Self::Frontend(config) => Some(config.port),
            Self::Worker(config) => Some(config.health_port),
            Self::Service(config) => Some(config.port),
            Self::Redis(config) => Some(config.port),
            Self::Postgres(config) => Some(config.port),
            Self::Probe(_) => None,
        }
    }

    /// The program of a command line: `bus`, or `bus --config '{"port":4222}'`. Omitted settings have their defaults.
    ///
    /// # Errors
    /// A sentence about the problem: an unknown program, flag or setting, or a bad value.
    pub fn parse<S: AsRef<str>>(words: &[S]) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let (name, flags) = words.split_first().ok_or_else(|| format!("the program is missing; choose {CHOICES}"))?;
        let config = match flags {
            [] => "{}",
            ["--config", config] => config,
            [flag] => flag
                .strip_prefix("--config=")
                .ok_or_else(|| format!("there is no flag `{flag}`, only --config with a value"))?,
            _ => return Err(format!("there is no flag `{}`, only --config", flags.join(" "))),
        };
        match *name {
            "bus" => settings(config).map(Self::Bus),
            "discovery" => settings(config).map(Self::Discovery),
            "frontend" => settings(config).map(Self::Frontend),
            "worker" => settings(config).map(Self::Worker),
            "service" => settings(config).map(Self::Service),
            "redis" => settings(config).map(Self::Redis),
            "postgres" => settings(config).map(Self::Postgres),
            "probe" => settings(config).map(Self::Probe),
            other => Err(format!("there is no program `{other}`; choose {CHOICES}")),
        }
    }

    /// Checks the rules that the types of the settings cannot express.
    ///
    /// # Errors
    /// A setting that the program cannot work with.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::Bus(config) => config.check(),
            Self::Frontend(config) => config.check(),
            Self::Worker(config) => config.check(),
            Self::Service(config) => config.check(),
            Self::Postgres(config) => config.check(),
            Self::Discovery(_) | Self::Redis(_) | Self::Probe(_) => Ok(()),
        }
    }

    /// The command line that `parse` reads back, with the settings that are not the default.
    pub fn to_args(&self) -> Vec<String> {
        let config = match self {
            Self::Bus(config) => changes(config),
            Self::Discovery(config) => changes(config),
            Self::Frontend(config) => changes(config),
            Self::Worker(config) => changes(config),
            Self::Service(config) => changes(config),
            Self::Redis(config) => changes(config),
            Self::Postgres(config) => changes(config),
            Self::Probe(config) => changes(config),
        };
        let mut words = vec![self.name().to_string()];
        if !config.is_empty() {
            words.extend(["--config".to_string(), Value::Object(config).to_string()]);
        }
        words
    }

    /// Runs the program until `stop` is cancelled. Its output goes to `print`, line by line.
    ///
    /// # Errors
    /// A setting that is not valid, or a port that cannot be listened on.
    pub async fn run(
        self,
        net: Net,
        print: impl Fn(String) + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> io::Result<()> {
        match self {
            Self::Bus(config) => inference::bus(net, config, Log::new(print), stop).await,
            Self::Discovery(config) => inference::discovery(net, config, Log::new(print), stop).await,
            Self::Frontend(config) => inference::frontend(net, config, Log::new(print), stop).await,
            Self::Worker(config) => inference::worker(net, config, Log::new(print), stop).await,
            Self::Service(config) => shop::service(net, config, Log::new(print), stop).await,
            Self::Redis(config) => shop::redis(net, config, Log::new(print), stop).await,
            Self::Postgres(config) => shop::postgres(net, config, Log::new(print), stop).await,
            Self::Probe(config) => probe::run(net, config, print, stop).await,
        }
    }
}

/// The programs, for messages.
const CHOICES: &str = "bus, discovery, frontend, worker, service, redis, postgres or probe";

fn settings<T: DeserializeOwned>(config: &str) -> Result<T, String> {
    serde_json::from_str(config).map_err(|error| format!("--config is not valid: {error}"))
}

/// The settings that are not the default.
fn changes<T: Serialize + Default>(config: &T) -> Map<String, Value> {
    let default = as_map(&T::default());
    as_map(config).into_iter().filter(|(key, value)| default.get(key) != Some(value)).collect()
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
            heartbeat: shakedown_schemas::units::Duration::from_millis(250),
            ..WorkerConfig::default()
        };
        let program = Program::Worker(config);
        let args = program.to_args();
        assert_eq!(args, ["worker", "--config", r#"{"id":"worker-7","jitter":0.25,"heartbeat":"250ms"}"#]);
        assert_eq!(Program::parse(&args).unwrap(), program);
        assert_eq!(Program::parse(&["bus"]).unwrap(), Program::Bus(BusConfig::default()));
        let frontend = Program::Frontend(FrontendConfig { port: 81, ..FrontendConfig::default() });
        assert_eq!(Program::parse(&["frontend", r#"--config={"port":81}"#]).unwrap(), frontend);
    }

    #[test]
    fn mistakes_are_named() {
        for (words, part) in [
            (vec![], "the program is missing"),
            (vec!["nginx"], "no program `nginx`"),
            (vec!["bus", "--port=1"], "no flag `--port=1`"),
            (vec!["bus", "--config"], "no flag `--config`"),
            (vec!["bus", "--config", r#"{"prot":1}"#], "prot"),
            (vec!["bus", "--config", "many"], "--config is not valid"),
            (vec!["worker", "--config", r#"{"heartbeat":5}"#], "--config is not valid"),
        ] {
            let error = Program::parse(&words).unwrap_err();
            assert!(error.contains(part), "{words:?}: {error}");
        }
    }
}
