//! The arguments, exactly as typed. What they mean (which files, which cluster) is found out by the commands. That every
//! flag has an environment variable is the business of `variables`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use shakedown_schemas::units::Duration;

/// Run chaos scenarios against a service on Kubernetes and gate on their verdicts.
///
/// Every flag can also be given by an environment variable: `--fuse-margin` by SHAKEDOWN_FUSE_MARGIN. Exit codes:
/// 0 passed, 1 an expectation failed, 2 usage or an invalid scenario, 3 the environment, 4 inconclusive, 5 nothing selected, 6 something was left behind in the
/// cluster, 129, 130 and 143 interrupted by SIGHUP, SIGINT and SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "shakedown", version, propagate_version = true)]
pub struct Args {
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
    /// Show only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show more: every event, every retry.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios and write their verdicts and reports.
    Run(Run),
    /// Show what `run` would do: targets, timeline and every object. Changes nothing.
    Plan(Plan),
    /// Check scenario files without a cluster.
    Validate(Validate),
    /// List the scenarios that would run.
    List(List),
    /// Render the reports of an earlier run again.
    Report(Report),
    /// Show which answers moved beyond chance between two runs, or between the newest run and all before it.
    Compare(Compare),
    /// Run scenarios many times with every fault left out, and show how often their expectations fail for nothing.
    Calibrate(Calibrate),
    /// Remove what earlier runs left in the cluster.
    Cleanup(Cleanup),
    /// Find out whether a cluster is fit for scenarios: version, permissions, fuse, and whether policies are enforced.
    Doctor(Doctor),
    /// Write a scenario to begin with. As it is, it runs in the sandbox.
    Init(Init),
    /// Start the embedded sandbox cluster alone and print its kubeconfig.
    Sandbox(Sandbox),
    /// Print the JSON Schemas of the file formats.
    Schema(Schema),
    /// Print a script that completes this program's arguments in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Run one program of the sandbox's inference deployment (in a pod).
    #[command(hide = true)]
    Pod(Pod),
}

/// Which scenarios.
#[derive(Debug, ClapArgs)]
pub struct Selection {
    /// Scenario files, folders of them, or globs.
    #[arg(required = true, value_name = "FILE|FOLDER|GLOB")]
    pub paths: Vec<String>,
    /// Only scenarios with this tag (any of several).
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// No scenarios with this tag.
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub skip_tag: Vec<String>,
    /// Set a variable of the scenarios: NAME=VALUE.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// Read variables from a YAML file.
    #[arg(long = "vars-file", value_name = "FILE")]
    pub vars_files: Vec<PathBuf>,
    /// Set a variable whose value is never written or shown: NAME=VALUE, or NAME to take the value from the
    /// environment variable of that name.
    #[arg(long = "secret", value_name = "NAME[=VALUE]")]
    pub secrets: Vec<String>,
}

/// Which cluster.
#[derive(Debug, ClapArgs)]
pub struct Target {
    /// Run against the embedded sandbox cluster instead of a real one.
    #[arg(long)]
    pub sandbox: bool,
    /// The sandbox's topology, a YAML file.
    #[arg(long, value_name = "FILE", requires = "sandbox")]
    pub sandbox_topology: Option<PathBuf>,
    /// The kubeconfig's path.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context.
    #[arg(long)]
    pub context: Option<String>,
    /// The namespace of scenarios that name none.
    #[arg(short, long)]
    pub namespace: Option<String>,
}

/// `run`
#[derive(Debug, ClapArgs)]
pub struct Run {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub safety: Safety,
    #[command(flatten)]
    pub proving: Proving,
    /// The folder for the results. Default: shakedown-results/RUN-ID.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The seed of everything that is chosen by chance. Default: a new one, printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Do not begin another scenario after one that did not pass.
    #[arg(long)]
    pub fail_fast: bool,
    /// Do not look at the environment for a CI system: no annotations, no step summary.
    #[arg(long)]
    pub no_ci_detect: bool,
    #[command(flatten)]
    pub gate: Gate,
    #[command(flatten)]
    pub exports: Exports,
}

/// How verdicts are come to.
#[derive(Debug, ClapArgs)]
pub struct Gate {
    /// Inject faults although the baseline fails its expectations or is in no steady state. Without it such a run ends
    /// before its first fault and is inconclusive.
    #[arg(long, env = "SHAKEDOWN_INJECT_ANYWAY")]
    pub inject_anyway: bool,
    /// Leave every fault out. A gate that cannot pass then is no gate.
    #[arg(long, conflicts_with = "overkill")]
    pub control: bool,
    /// Replace every fault by a full cut of all pods that it may act on. A gate that does not fail then is no gate: the
    /// exit code is 0 when every scenario failed, and 1 when one did not.
    #[arg(long)]
    pub overkill: bool,
    /// Repeat a scenario that was inconclusive, at most so often.
    #[arg(long, value_name = "N", default_value = "0", env = "SHAKEDOWN_RETRY_INCONCLUSIVE")]
    pub retry_inconclusive: u32,
    /// Repeat a scenario that failed, at most so often. A pass after a failure is flaky, and fails all the same.
    #[arg(long, value_name = "N", default_value = "0", env = "SHAKEDOWN_RETRIES")]
    pub retries: u32,
    /// What a flaky pass counts as.
    #[arg(long, value_enum, default_value = "fail", env = "SHAKEDOWN_FLAKY")]
    pub flaky: Flaky,
}

/// What a pass after a failure counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Flaky {
    /// A failure.
    #[default]
    Fail,
    /// A pass.
    Pass,
}

/// `calibrate`
#[derive(Debug, ClapArgs)]
pub struct Calibrate {
    #[command(flatten)]
    pub run: Run,
    /// How often each scenario runs.
    #[arg(long, value_name = "N", default_value = "20")]
    pub runs: std::num::NonZeroU32,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// `compare`
#[derive(Debug, ClapArgs)]
pub struct Compare {
    /// A result.json, or the folder with it: what it was before.
    #[arg(value_name = "A", required_unless_present = "history", conflicts_with = "history")]
    pub before: Option<PathBuf>,
    /// The same: what it is now.
    #[arg(value_name = "B", required_unless_present = "history")]
    pub after: Option<PathBuf>,
    /// Compare of each scenario the newest run with all earlier ones whose result.json are below this folder.
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// Show also what is what it was.
    #[arg(long)]
    pub all: bool,
    /// Exit with 1 when something got worse.
    #[arg(long, env = "SHAKEDOWN_FAIL_ON_REGRESSION")]
    pub fail_on_regression: bool,
}

/// Where else the result goes.
#[derive(Debug, Default, ClapArgs)]
pub struct Exports {
    /// Send a trace and metrics to an OpenTelemetry collector: OTLP over HTTP in JSON, such as http://localhost:4318; with
    /// the headers of OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, value_name = "ENDPOINT")]
    pub otlp: Option<String>,
    /// Write metrics for the textfile collector of Prometheus' node exporter.
    #[arg(long, value_name = "FILE")]
    pub prometheus_textfile: Option<PathBuf>,
    /// POST a summary as JSON to this URL at the end (several are allowed).
    #[arg(long, value_name = "URL", value_delimiter = ' ')]
    pub notify: Vec<String>,
}

/// What protects the cluster.
#[derive(Debug, ClapArgs)]
pub struct Safety {
    /// How long after the runner's last sign of life the cluster itself removes every fault: at least 5 s. A run that cannot
    /// reach the cluster for this long ends, because its faults do.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = fuse_margin)]
    pub fuse_margin: Duration,
    /// The image that the fuse's Job names, for clusters whose policies refuse unknown ones. It is never pulled.
    #[arg(long, value_name = "IMAGE")]
    pub fuse_image: Option<String>,
    /// Inject without a fuse: if the runner dies, its faults stay.
    #[arg(long)]
    pub no_fuse: bool,
    /// How long the undo of a fault is tried before it counts as left behind. The fuse goes on where this ends.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub undo_timeout: Duration,
    /// How long a fault may take until it is active, where an engine takes its time (Chaos Mesh, manifests).
    #[arg(long, value_name = "DURATION", default_value = "60s", env = "SHAKEDOWN_INJECT_TIMEOUT")]
    pub inject_timeout: Duration,
    /// Take the finalizer of a Chaos Mesh resource off when its removal hangs for half of --undo-timeout. What it has put
    /// into pods may stay there: the run then exits with 6.
    #[arg(long, env = "SHAKEDOWN_FORCE_CLEANUP")]
    pub force_cleanup: bool,
    /// How long to wait for another run in the same namespace.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub wait_lock: Duration,
}

/// A fuse counts whole seconds, and its pushes need some of them.
fn fuse_margin(text: &str) -> Result<Duration, String> {
    let margin: Duration = text.parse().map_err(|error| format!("{error}"))?;
    if margin.get() >= LEAST_MARGIN { Ok(margin) } else { Err("a fuse needs at least 5 s".to_owned()) }
}

/// The shortest life of a fuse.
const LEAST_MARGIN: std::time::Duration = std::time::Duration::from_secs(5);

impl Safety {
    /// The fuses of the run; none for no fuse.
    pub fn fuse(&self) -> Option<shakedown_engine::plan::Fuse> {
        let fuse = || shakedown_engine::plan::Fuse { life: self.fuse_margin.get(), image: self.fuse_image.clone() };
        (!self.no_fuse).then(fuse)
    }

    /// How patient faults of Chaos Mesh are.
    pub fn limits(&self) -> shakedown_faults::chaos::Limits {
        shakedown_faults::chaos::Limits {
            active: self.inject_timeout.get(),
            force_after: self.force_cleanup.then(|| self.undo_timeout.get() / 2),
        }
    }
}

/// What shows that faults act.
#[derive(Debug, ClapArgs)]
pub struct Proving {
    /// An image whose entry point is this program, for the pods that witness partitions. Default: our own, in a cluster.
    #[arg(long, value_name = "IMAGE")]
    pub witness_image: Option<String>,
    /// The same for the canary that finds out whether policies are enforced. Default: the witnesses' image.
    #[arg(long, value_name = "IMAGE")]
    pub canary_image: Option<String>,
    /// Do not create canary pods.
    #[arg(long)]
    pub no_canary: bool,
}

/// `doctor`
#[derive(Debug, ClapArgs)]
pub struct Doctor {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub proving: Proving,
}

/// `plan`
#[derive(Debug, ClapArgs)]
pub struct Plan {
    #[command(flatten)]
    pub selection: Selection,
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub safety: Safety,
    #[command(flatten)]
    pub proving: Proving,
    /// The seed of everything that is chosen by chance. Default: a new one, printed.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print the plans as text for people, or as data.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: PlanFormat,
}

/// How plans are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Text for people.
    Text,
    /// One JSON object with the list `plans`.
    Json,
    /// The same as YAML.
    Yaml,
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub struct Validate {
    #[command(flatten)]
    pub selection: Selection,
}

/// `list`
#[derive(Debug, ClapArgs)]
pub struct List {
    #[command(flatten)]
    pub selection: Selection,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// `report`
#[derive(Debug, ClapArgs)]
pub struct Report {
    /// A result.json.
    #[arg(value_name = "RESULT.json", required_unless_present = "history", conflicts_with = "history")]
    pub result: Option<PathBuf>,
    /// Show how every expectation fared over the runs whose result.json are below this folder.
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// How many runs of each scenario the history shows, counted from the newest.
    #[arg(long, value_name = "N", default_value = "30")]
    pub last: std::num::NonZeroUsize,
    /// The folder for the reports.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `cleanup`
#[derive(Debug, ClapArgs)]
pub struct Cleanup {
    /// A run's result folder, or its journal. Default: the latest run in shakedown-results.
    #[arg(value_name = "RESULTS", conflicts_with_all = ["run", "all", "older_than"])]
    pub results: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
    /// Everything of this run, found by its labels.
    #[arg(long, value_name = "RUN-ID")]
    pub run: Option<String>,
    /// Everything of every run that is not going on, found by labels.
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Everything of every run that is not going on and began longer ago than this, found by labels.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["run", "all"])]
    pub older_than: Option<Duration>,
    /// Change nothing; exit with 6 when something is left that acts. Labels on pods that nothing selects any more are
    /// listed and do no harm. With nothing else named, every namespace is looked at, beside what the latest journal says.
    #[arg(long)]
    pub check: bool,
    /// Take the finalizer of a Chaos Mesh resource off when it does not go by itself. What it has put into pods may stay
    /// there until they are replaced: the exit code is then 6 all the same.
    #[arg(long, conflicts_with = "check", env = "SHAKEDOWN_FORCE_CLEANUP")]
    pub force_cleanup: bool,
}

/// `init`
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// The file to write. The schema is written beside it, for editors.
    #[arg(default_value = "scenario.yaml")]
    pub file: PathBuf,
    /// The scenario's name.
    #[arg(long, default_value = "one-pod-cut-off")]
    pub name: String,
    /// The namespace of the pods. Default: the sandbox's.
    #[arg(short, long)]
    pub namespace: Option<String>,
    /// The service that gets the load.
    #[arg(long, value_name = "NAME:PORT", default_value = "vllm-agg-0-frontend:8000")]
    pub service: String,
    /// The path that the load asks for.
    #[arg(long, default_value = "/v1/models")]
    pub path: String,
    /// The beginning of the names of the pods of which one is cut off.
    #[arg(long, value_name = "PREFIX", default_value = "vllm-agg-0-vllmdecodeworker")]
    pub pods: String,
    /// The service that it is cut off from.
    #[arg(long, value_name = "SERVICE", default_value = "nats")]
    pub peer: String,
    /// Write over a file that is there already.
    #[arg(long)]
    pub force: bool,
}

/// `sandbox`
#[derive(Debug, ClapArgs)]
pub struct Sandbox {
    /// The topology, a YAML file.
    #[arg(long, value_name = "FILE", env = "SHAKEDOWN_SANDBOX_TOPOLOGY")]
    pub topology: Option<PathBuf>,
    /// Write the kubeconfig to this file instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// Print the default topology and end.
    #[arg(long)]
    pub print_topology: bool,
}

/// `schema`
#[derive(Debug, ClapArgs)]
pub struct Schema {
    /// Which format.
    #[arg(value_enum, default_value = "scenario")]
    pub which: SchemaName,
    /// Write all of them to the folder `schemas` of a checkout.
    #[arg(long, hide = true)]
    pub write: bool,
}

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    /// The scenario files.
    Scenario,
    /// `result.json`.
    Result,
    /// A line of `events.ndjson`.
    Event,
}

/// `pod`
#[derive(Debug, ClapArgs)]
pub struct Pod {
    /// Which program.
    #[command(subcommand)]
    pub program: PodProgram,
}

/// A program of the inference deployment.
#[derive(Debug, Subcommand)]
pub enum PodProgram {
    /// The frontend with the OpenAI API.
    Frontend {
        /// Its configuration, JSON.
        #[arg(long, default_value = "{}", env = "SHAKEDOWN_POD_CONFIG")]
        config: String,
    },
    /// A worker.
    Worker {
        /// Its configuration, JSON.
        #[arg(long, default_value = "{}", env = "SHAKEDOWN_POD_CONFIG")]
        config: String,
    },
    /// The bus.
    Bus {
        /// Its configuration, JSON.
        #[arg(long, default_value = "{}", env = "SHAKEDOWN_POD_CONFIG")]
        config: String,
    },
    /// Tries to connect to endpoints again and again, and prints what it can reach: a partition's witness.
    Probe {
        /// Its configuration, JSON.
        #[arg(long, default_value = "{}", env = "SHAKEDOWN_POD_CONFIG")]
        config: String,
    },
}
