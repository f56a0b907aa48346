//! `shakedown sandbox`, the hidden `shakedown pod`, and the connection of all commands to a cluster: a real one by
//! kubectl's rules, or the embedded one.

use std::io::Write;
use std::path::Path;

use shakedown_reports::Redactor;
use shakedown_schemas::{MAX_FILE, read_file};

use super::args::{self, PodProgram, Target};
use super::{Failure, exit, print};
use shakedown_cluster::{self as cluster, Cluster, ConnectOptions};
use shakedown_probe as probe;
use shakedown_sandbox::{Sandbox, Topology, inference};

/// The cluster of a command, if it needs one.
pub struct Environment {
    cluster: Option<Cluster>,
    sandbox: Option<Sandbox>,
}

impl Environment {
    /// Connects to the cluster, or starts the sandbox. Does nothing if the command needs no cluster.
    ///
    /// # Errors
    /// Exit code 2 if the sandbox's topology is invalid, 3 if the sandbox cannot start or the cluster does not answer.
    pub async fn open(target: &Target, needed: bool, redactor: &Redactor) -> Result<Self, Failure> {
        if !needed {
            return Ok(Self { cluster: None, sandbox: None });
        }
        let mut options = named(target);
        let sandbox = if target.sandbox {
            let sandbox = start(target.sandbox_topology.as_deref()).await?;
            options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..Default::default() };
            Some(sandbox)
        } else {
            None
        };
        cluster::secrets(&options).iter().for_each(|secret| _ = redactor.learn(secret));
        let cluster = cluster::connect(&options).await.map_err(Failure::environment)?;
        Ok(Self { cluster: Some(cluster), sandbox })
    }

    /// The connection, if there is one.
    pub const fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Stops the sandbox.
    pub async fn close(self) {
        if let Some(sandbox) = self.sandbox {
            sandbox.stop().await;
        }
    }
}

/// The cluster that is named on the command line.
pub fn named(target: &Target) -> ConnectOptions {
    ConnectOptions {
        kubeconfig: target.kubeconfig.clone(),
        context: target.context.clone(),
        ..ConnectOptions::default()
    }
}

async fn start(topology: Option<&Path>) -> Result<Sandbox, Failure> {
    let topology = match topology {
        None => Topology::default(),
        Some(path) => {
            let name = path.display();
            let bytes =
                read_file(path, MAX_FILE).map_err(|error| Failure::usage(format!("the topology `{name}` {error}")))?;
            Topology::parse(&String::from_utf8_lossy(&bytes))
                .map_err(|error| Failure::usage(format!("topology `{name}`: {error}")))?
        }
    };
    Sandbox::start(topology)
        .await
        .map_err(|error| Failure::environment(format!("the sandbox did not start: {error:#}")))
}

/// Runs the sandbox until a signal ends it.
///
/// # Errors
/// If it cannot start, or the kubeconfig cannot be written.
pub async fn sandbox(args: args::Sandbox) -> Result<u8, Failure> {
    if args.print_topology {
        print::text(Topology::DEFAULT);
        return Ok(exit::PASSED);
    }
    let mut stop = super::signals::listen("", None, |_| {});
    let sandbox = start(args.topology.as_deref()).await?;
    let kubeconfig = sandbox.kubeconfig();
    match &args.write_kubeconfig {
        Some(path) => {
            write_secret(path, &kubeconfig)
                .map_err(|error| Failure::environment(format!("could not write {}: {error}", path.display())))?;
            print::remark(format_args!(
                "the sandbox serves on {}; try it with\n  kubectl --kubeconfig {} get pods\nCtrl-C stops it",
                sandbox.server(),
                path.display()
            ));
        }
        None => {
            print::text(&kubeconfig);
            print::remark(format_args!(
                "the sandbox serves on {}; --write-kubeconfig FILE keeps its kubeconfig; Ctrl-C stops it",
                sandbox.server()
            ));
        }
    }
    _ = stop.wait_for(Option::is_some).await;
    sandbox.stop().await;
    Ok(exit::PASSED)
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options.open(path)?.write_all(text.as_bytes())
}

/// Runs one program of the inference deployment until a signal ends it.
///
/// # Errors
/// If its configuration is invalid, or it cannot listen.
pub async fn pod(args: args::Pod) -> Result<u8, Failure> {
    let mut stop = super::signals::listen("", None, |_| {});
    let token = tokio_util::sync::CancellationToken::new();
    let end = token.clone();
    tokio::spawn(async move {
        _ = stop.wait_for(Option::is_some).await;
        end.cancel();
    });
    let net = shakedown_sandbox::net::Net::host();
    let print = |line: String| _ = writeln!(std::io::stdout(), "{line}");
    let log = inference::Log::new(print);
    let wrong = |error: serde_json::Error| Failure::usage(format!("--config is not valid: {error}"));
    let ended = match &args.program {
        PodProgram::Frontend { config } => {
            inference::frontend(net, serde_json::from_str(config).map_err(wrong)?, log, token).await
        }
        PodProgram::Worker { config } => {
            inference::worker(net, serde_json::from_str(config).map_err(wrong)?, log, token).await
        }
        PodProgram::Bus { config } => {
            inference::bus(net, serde_json::from_str(config).map_err(wrong)?, log, token).await
        }
        PodProgram::Probe { config } => {
            probe::run(probe::Host, serde_json::from_str(config).map_err(wrong)?, print, token).await
        }
    };
    ended.map_err(Failure::environment)?;
    Ok(exit::PASSED)
}
