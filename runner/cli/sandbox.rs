//! `shakedown sandbox`, the hidden `shakedown pod`, and the connection of all commands to a cluster: a real one by
//! kubectl's rules, or the embedded one.

use std::io::Write;
use std::path::Path;

use shakedown_schemas::{Document, Explained, MAX_FILE, read_file};

use super::args::{self, Target};
use super::{Failure, exit, print, topologies};
use shakedown_cluster::{self as cluster, Cluster, ConnectOptions};
use shakedown_sandbox::program::Program;
use shakedown_sandbox::topology::BUILT_IN;
use shakedown_sandbox::{Sandbox, Topology};
use shakedown_secrets::Redactor;

/// Where the scenarios of a command run: one place for all of them, or in the sandbox one for each topology.
pub struct Environment {
    places: Vec<Place>,
    /// The place of each scenario. Empty if all are at the first.
    of: Vec<usize>,
}

/// A cluster, if one is needed.
#[derive(Default)]
struct Place {
    cluster: Option<Cluster>,
    sandbox: Option<Sandbox>,
}

impl Environment {
    /// Connects to the cluster, or starts the sandbox.
    ///
    /// # Errors
    /// Exit code 2 if the sandbox's topology is invalid, 3 if the sandbox cannot start or the cluster does not answer.
    pub async fn open(target: &Target, redactor: &Redactor) -> Result<Self, Failure> {
        Self::open_with(target, &[], redactor).await
    }

    /// The same for scenarios, which can name the topology of the sandbox: each topology then has a sandbox of its own. Does
    /// nothing if none of them needs a cluster.
    ///
    /// # Errors
    /// As [`Environment::open`]. A topology that is named is read and checked, also if no scenario needs it.
    pub async fn open_for(target: &Target, documents: &[Document], redactor: &Redactor) -> Result<Self, Failure> {
        if documents.iter().all(|document| document.scenario.needs_no_cluster()) {
            if let Some(given) = target.sandbox_topology.as_deref() {
                read(given)?;
                print::note(format_args!(
                    "--sandbox-topology {}: every load has a `url`, so no sandbox is started; write `service: NAME:PORT` in a \
                     load to reach it",
                    given.display()
                ));
            }
            return Ok(Self { places: vec![Place::default()], of: Vec::new() });
        }
        Self::open_with(target, documents, redactor).await
    }

    async fn open_with(target: &Target, documents: &[Document], redactor: &Redactor) -> Result<Self, Failure> {
        if !target.sandbox {
            let cluster = Some(connect(&named(target), redactor).await?);
            return Ok(Self { places: vec![Place { cluster, sandbox: None }], of: Vec::new() });
        }
        let (paths, of) = topologies::of_each(target.sandbox_topology.as_deref(), documents);
        // All are read before the first one starts: a mistake in one of them must not cost the wait for the others.
        let topologies = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
        let mut places = Vec::new();
        for (path, topology) in paths.iter().zip(topologies) {
            let sandbox = start(topology).await?;
            let options = ConnectOptions { kubeconfig_text: Some(sandbox.kubeconfig()), ..Default::default() };
            let cluster = connect(&options, redactor).await?.modelling(path.display().to_string());
            places.push(Place { cluster: Some(cluster), sandbox: Some(sandbox) });
        }
        Ok(Self { places, of })
    }

    /// The connection to the first place, if there is one. A command without scenarios has no other.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.clusters().next().flatten()
    }

    /// The connections to all places, in their order.
    pub fn clusters(&self) -> impl Iterator<Item = Option<&Cluster>> {
        self.places.iter().map(|place| place.cluster.as_ref())
    }

    /// The place of a scenario, by its index.
    pub fn place_of(&self, scenario: usize) -> usize {
        self.of.get(scenario).copied().unwrap_or_default()
    }

    /// Stops the sandboxes.
    pub async fn close(self) {
        for sandbox in self.places.into_iter().filter_map(|place| place.sandbox) {
            sandbox.stop().await;
        }
    }
}

async fn connect(options: &ConnectOptions, redactor: &Redactor) -> Result<Cluster, Failure> {
    cluster::secrets(options).iter().for_each(|secret| _ = redactor.learn(secret));
    cluster::connect(options).await.map_err(Failure::environment)
}

/// The cluster that is named on the command line.
pub fn named(target: &Target) -> ConnectOptions {
    ConnectOptions {
        kubeconfig: target.kubeconfig.clone(),
        context: target.context.clone(),
        ..ConnectOptions::default()
    }
}

/// The built-in topology of this name, or the one in this file.
fn read(path: &Path) -> Result<Topology, Failure> {
    let name = path.display().to_string();
    if let Some(topology) = Topology::built_in(&name) {
        return Ok(topology);
    }
    let bytes = read_file(path, MAX_FILE).map_err(|error| {
        let known = topologies::built_in_names();
        Failure::usage(Explained::new(
            format!("the topology `{name}` {error}"),
            format!("name a file, or one of {known}"),
        ))
    })?;
    Topology::read(&name, &bytes).map_err(|problems| {
        problems.iter().for_each(|problem| print::problem(problem, false, &Redactor::default()));
        let errors = if problems.len() == 1 { "1 error".to_owned() } else { format!("{} errors", problems.len()) };
        Failure::usage(Explained::new(
            format!("{errors} in the topology `{name}`; nothing was run"),
            "`shakedown schema topology` prints its JSON Schema, and \
             `shakedown sandbox --print-topology` an example",
        ))
    })
}

async fn start(topology: Topology) -> Result<Sandbox, Failure> {
    Sandbox::start(topology).await.map_err(|error| {
        let help = "it needs free ports and addresses on 127.0.0.0/8: stop other sandboxes, and try again";
        Failure::environment(Explained::new(format!("the sandbox did not start: {error:#}"), help))
    })
}

/// A built-in topology with the line for editors that fits a user's folder, not this repository.
fn for_users(text: &str) -> String {
    let (_, rest) = text.split_once('\n').unwrap_or_default();
    format!(
        "# yaml-language-server: $schema=topology.schema.json\n\
         # `shakedown schema topology > topology.schema.json` writes that file. With it, editors complete every key.\n{rest}"
    )
}

/// Runs the sandbox until a signal ends it.
///
/// # Errors
/// If it cannot start, or the kubeconfig cannot be written.
pub async fn sandbox(args: args::Sandbox) -> Result<u8, Failure> {
    if args.print_topology {
        let name = args.topology.as_ref().map_or(BUILT_IN[0].0.to_owned(), |path| path.display().to_string());
        let text = Topology::text(&name).ok_or_else(|| {
            let known = topologies::built_in_names();
            Failure::usage(Explained::new(
                format!("there is no built-in topology `{name}`"),
                format!("print one of {known}"),
            ))
        })?;
        print::text(&for_users(text));
        return Ok(exit::PASSED);
    }
    let mut stop = super::signals::listen(|code| (String::new(), code), None, |_| {});
    let sandbox = start(args.topology.as_deref().map_or_else(|| Ok(Topology::default()), read)?).await?;
    let kubeconfig = sandbox.kubeconfig();
    match &args.write_kubeconfig {
        Some(path) => {
            write_secret(path, &kubeconfig).map_err(|error| Failure::unwritten(path, &error))?;
            print::remark(format_args!(
                "the sandbox listens on {}; try it with\n  kubectl --kubeconfig {} get pods\nCtrl-C stops it",
                sandbox.server(),
                path.display()
            ));
        }
        None => {
            print::text(&kubeconfig);
            print::remark(format_args!(
                "the sandbox listens on {}; --write-kubeconfig FILE keeps its kubeconfig; Ctrl-C stops it",
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

/// Runs one program of the sandbox until a signal ends it.
///
/// # Errors
/// If its configuration is invalid, or it cannot listen.
pub async fn pod(args: args::Pod) -> Result<u8, Failure> {
    let mut stop = super::signals::listen(|code| (String::new(), code), None, |_| {});
    let token = tokio_util::sync::CancellationToken::new();
    let end = token.clone();
    tokio::spawn(async move {
        _ = stop.wait_for(Option::is_some).await;
        end.cancel();
    });
    let program = Program::parse(&[&args.program, "--config", &args.config]).map_err(Failure::usage)?;
    let print = |line: String| _ = writeln!(std::io::stdout(), "{line}");
    let ended = program.run(shakedown_sandbox::net::Net::host(), print, token).await;
    ended.map_err(|error| Failure::environment(error.to_string()))?;
    Ok(exit::PASSED)
}
