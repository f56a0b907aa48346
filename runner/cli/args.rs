//! The arguments, exactly as typed. The commands resolve the files and the cluster. `variables` gives every flag an
//! environment variable.

mod numbers;
mod suite;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use shakedown_schemas::units::Duration;

pub use suite::{Course, Selection, SuitePart};

/// Run chaos scenarios against a service on Kubernetes and gate on their verdicts.
///
/// Every flag can also be given by an environment variable, such as `--fuse-margin` by SHAKEDOWN_FUSE_MARGIN, and by the
/// project file shakedown.yaml. Exit codes: 0
/// passed, 1 an expectation failed, 2 usage or an invalid scenario, 3 an error of the environment, 4 inconclusive, 5 no
/// scenario selected, 6 leftovers in the cluster, 129, 130 and 143 interrupted by SIGHUP, SIGINT and SIGTERM.
#[derive(Debug, Parser)]
#[command(name = "shakedown", version, propagate_version = true, arg_required_else_help = true)]
pub struct Args {
    /// Choose when to use colours.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
    /// Show only results and errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Show every event and every retry.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// The command.
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

/// The commands.
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
    /// Render the reports of an earlier run.
    Report(Report),
    /// Show the expectations that changed significantly between two runs, or between the newest run and all earlier
    /// ones.
    Compare(Compare),
    /// Run scenarios many times without faults and show the rate of false alarms of each expectation.
    Calibrate(Calibrate),
    /// Remove what earlier runs left in the cluster.
    Cleanup(Cleanup),
    /// Check that a cluster can run scenarios: version, permissions, fuse and enforcement of NetworkPolicy.
    Doctor(Doctor),
    /// Write a first scenario for the services of a cluster, and the schema for editors.
    Init(Init),
    /// Convert a file of Chaos Mesh, Chaos Toolkit, Litmus, krkn or k6 to a scenario, and list what is missing.
    Import(Import),
    /// Start the embedded sandbox cluster without a scenario and print its kubeconfig.
    Sandbox(Sandbox),
    /// Print the JSON Schemas of the file formats.
    Schema(Schema),
    /// Explain a code of `validate`, such as S010, a key of a scenario, such as netem.loss, or one of a topology.
    Explain(Explain),
    /// Show the value of each flag of a command, and its source: the command line, an environment variable,
    /// shakedown.yaml or the default.
    Config(Config),
    /// Print the completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Run one program of the sandbox (in a pod).
    #[command(hide = true)]
    Pod(Pod),
}

/// The target cluster.
#[derive(Debug, ClapArgs)]
pub struct Target {
    /// Run against the embedded sandbox cluster instead of a real one.
    #[arg(long)]
    pub sandbox: bool,
    /// Start this topology in the sandbox: `dynamo`, `quick`, `shop` or a YAML file. Default: the scenario's `sandbox`,
    /// or else `dynamo`.
    #[arg(long, value_name = "NAME|FILE", requires = "sandbox")]
    pub sandbox_topology: Option<PathBuf>,
    /// Use this kubeconfig file.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig.
    #[arg(long)]
    pub context: Option<String>,
    /// Set the namespace of scenarios without `namespace`.
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
    #[command(flatten)]
    pub course: Course,
    /// Write the results to this folder. An earlier result in it is moved to its subfolder `earlier`. Default:
    /// shakedown-results/RUN-ID.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Record what Chaos Mesh does with the faults' objects in this folder, one folder per scenario. The recordings contain
    /// names and addresses, but no secrets of the run.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// Set the seed of all random choices. Default: a new seed, which is printed.
    #[arg(long, value_parser = numbers::seed)]
    pub seed: Option<u64>,
    /// Do not detect a CI system from the environment: write no annotations and no step summary.
    #[arg(long)]
    pub no_ci_detect: bool,
    #[command(flatten)]
    pub gate: Gate,
    #[command(flatten)]
    pub exports: Exports,
}

impl Run {
    /// The arguments of `plan` for the same scenarios.
    pub fn into_plan(self) -> Plan {
        let Self { selection, target, safety, proving, seed, .. } = self;
        Plan { selection, target, safety, proving, seed, output: PlanFormat::Text, resolved: false }
    }
}

/// Options that decide the verdict.
#[derive(Debug, ClapArgs)]
pub struct Gate {
    /// Inject faults even if the baseline fails its expectations or is not in a steady state. By default such a run
    /// stops before its first fault and is inconclusive.
    #[arg(long, env = "SHAKEDOWN_INJECT_ANYWAY")]
    pub inject_anyway: bool,
    /// Shorten long phases to 1/N of their length, but not below the times of their faults, `settle` and recovery. Limits of
    /// `requests` shrink with them. A shortened run never passes: if every expectation holds, it is inconclusive.
    #[arg(long, value_name = "N", value_parser = speed, conflicts_with_all = ["control", "overkill"])]
    pub speed: Option<f64>,
    /// The same as --speed 10.
    #[arg(long, conflicts_with_all = ["control", "overkill", "speed"])]
    pub quick: bool,
    /// Run without faults (control run). A scenario that does not pass then raises false alarms.
    #[arg(long, conflicts_with = "overkill")]
    pub control: bool,
    /// Replace every fault by a full cut of all pods that it may act on (overkill run). A scenario that passes then
    /// detects nothing: the exit code is 0 if every scenario failed, else 1.
    #[arg(long)]
    pub overkill: bool,
    /// Repeat an inconclusive scenario up to N times.
    #[arg(long, value_name = "N", default_value = "0", env = "SHAKEDOWN_RETRY_INCONCLUSIVE")]
    pub retry_inconclusive: u32,
    /// Repeat a failed scenario up to N times. A pass after a failure is flaky and counts as --flaky says.
    #[arg(long, value_name = "N", default_value = "0", env = "SHAKEDOWN_RETRIES")]
    pub retries: u32,
    /// Choose how a flaky pass counts.
    #[arg(long, value_enum, default_value = "fail", env = "SHAKEDOWN_FLAKY")]
    pub flaky: Flaky,
}

/// The verdict of a pass after a failure.
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
    /// Run each scenario N times.
    #[arg(long, value_name = "N", default_value = "20", value_parser = numbers::positive::<std::num::NonZeroU32>)]
    pub runs: std::num::NonZeroU32,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
}

/// `compare`
#[derive(Debug, ClapArgs)]
pub struct Compare {
    /// The earlier result: a result.json or its folder.
    #[arg(value_name = "A", required_unless_present = "history", conflicts_with = "history")]
    pub before: Option<PathBuf>,
    /// The later result: a result.json or its folder.
    #[arg(value_name = "B", required_unless_present = "history")]
    pub after: Option<PathBuf>,
    /// Compare the newest run of each scenario with all its earlier runs. Reads every result.json below this folder.
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// Print Markdown.
    #[arg(long)]
    pub markdown: bool,
    /// Show unchanged expectations as well.
    #[arg(long)]
    pub all: bool,
    /// Exit with 1 if an expectation or the verdict of a scenario got worse, or a scenario is missing.
    #[arg(long, env = "SHAKEDOWN_FAIL_ON_REGRESSION")]
    pub fail_on_regression: bool,
}

/// Further outputs of the result.
#[derive(Debug, Default, ClapArgs)]
pub struct Exports {
    /// Send a trace and metrics to an OpenTelemetry collector, such as http://localhost:4318. Uses OTLP over HTTP in
    /// JSON, with the headers of OTEL_EXPORTER_OTLP_HEADERS.
    #[arg(long, value_name = "ENDPOINT")]
    pub otlp: Option<String>,
    /// Write metrics for the textfile collector of Prometheus' node exporter.
    #[arg(long, value_name = "FILE")]
    pub prometheus_textfile: Option<PathBuf>,
    /// POST a JSON summary to this URL at the end. Repeat it for several URLs.
    #[arg(long, value_name = "URL", value_delimiter = ' ')]
    pub notify: Vec<String>,
}

/// Options that protect the cluster.
#[derive(Debug, ClapArgs)]
pub struct Safety {
    /// Let the cluster remove every fault this long after the runner's last sign of life: at least 5 s. A run that cannot
    /// reach the cluster for this long ends as well.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = fuse_margin)]
    pub fuse_margin: Duration,
    /// Name this image in the fuse's Job, for clusters whose policies refuse unknown images. It is never pulled.
    #[arg(long, value_name = "IMAGE")]
    pub fuse_image: Option<String>,
    /// Inject without a fuse. If the runner dies, its faults stay.
    #[arg(long)]
    pub no_fuse: bool,
    /// Retry the undo of a fault for this long before it counts as a leftover. The fuse stays active after that.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    pub undo_timeout: Duration,
    /// Wait this long for a fault of Chaos Mesh or a manifest to become active.
    #[arg(long, value_name = "DURATION", default_value = "60s", env = "SHAKEDOWN_INJECT_TIMEOUT")]
    pub inject_timeout: Duration,
    /// Remove the finalizer of a Chaos Mesh resource if its deletion hangs for half of --undo-timeout. Its effects may
    /// then stay in the pods, and the run exits with 6.
    #[arg(long, env = "SHAKEDOWN_FORCE_CLEANUP")]
    pub force_cleanup: bool,
    /// Wait this long for the lock of another run in the same namespace.
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    pub wait_lock: Duration,
}

/// How much faster a shortened run is.
fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed > 1.0 && speed <= 1000.0 => Ok(speed),
        _ => Err("write a number above 1, such as 10".to_owned()),
    }
}

impl Gate {
    /// How much faster than the file a shortened run is. None in an ordinary run.
    pub fn shortened(&self) -> Option<f64> {
        self.speed.or_else(|| self.quick.then_some(10.0))
    }
}

/// A run's id, as in labels. An empty id, for example of an unset variable, would find nothing.
fn run_id(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match !text.is_empty() && text.len() <= 63 && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("this is not the id of a run, such as 20261128-200150-vpz2c".to_owned()),
    }
}

/// A fuse counts whole seconds, and its pushes take some of them.
fn fuse_margin(text: &str) -> Result<Duration, String> {
    let margin: Duration = text.parse().map_err(|error| format!("{error}"))?;
    if margin.get() >= LEAST_MARGIN { Ok(margin) } else { Err("a fuse needs at least 5 s".to_owned()) }
}

/// The shortest lifetime of a fuse.
const LEAST_MARGIN: std::time::Duration = std::time::Duration::from_secs(5);

impl Safety {
    /// The fuses of the run. None without a fuse.
    pub fn fuse(&self) -> Option<shakedown_engine::plan::Fuse> {
        let fuse = || shakedown_engine::plan::Fuse { life: self.fuse_margin.get(), image: self.fuse_image.clone() };
        (!self.no_fuse).then(fuse)
    }

    /// The time limits of Chaos Mesh faults.
    pub fn limits(&self) -> shakedown_faults::chaos::Limits {
        shakedown_faults::chaos::Limits {
            active: self.inject_timeout.get(),
            failing: None,
            force_after: self.force_cleanup.then(|| self.undo_timeout.get() / 2),
        }
    }
}

/// Options for the proof that faults act.
#[derive(Debug, ClapArgs)]
pub struct Proving {
    /// Use this image for the witnesses of partitions. Its entry point must be this program. Default: the runner's
    /// image, if it runs in a cluster.
    #[arg(long, value_name = "IMAGE")]
    pub witness_image: Option<String>,
    /// Use this image for canaries, which test the enforcement of NetworkPolicy and what Chaos Mesh can inject on a
    /// node. Default: the image of the witnesses.
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
    /// Set the seed of all random choices. Default: a new seed, which is printed.
    #[arg(long, value_parser = numbers::seed)]
    pub seed: Option<u64>,
    /// Print the plans as text or as data.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: PlanFormat,
    /// Print each scenario as it would run, as YAML: with the values of its variables, its combination of a matrix, and
    /// short forms written out. Needs no cluster.
    #[arg(long)]
    pub resolved: bool,
}

/// The output format of plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// Readable text.
    Text,
    /// One JSON object with the list `plans`.
    Json,
    /// The same object as YAML.
    Yaml,
}

/// `validate`
#[derive(Debug, ClapArgs)]
pub struct Validate {
    #[command(flatten)]
    pub selection: Selection,
    /// Choose the format of the problems. `json` and `sarif` go to stdout.
    #[arg(long, value_enum, default_value_t)]
    pub format: ValidateFormat,
}

/// The formats of `validate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ValidateFormat {
    /// For people: the lines with carets, on stderr
    #[default]
    Text,
    /// The valid scenarios and the problems
    Json,
    /// For code scanning, version 2.1.0
    Sarif,
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
    /// A result.json, or the folder of a run. With --merge, several of them, or a folder that contains them.
    #[arg(value_name = "RESULT.json", required_unless_present = "history", conflicts_with = "history")]
    pub results: Vec<PathBuf>,
    /// Join the results of the shards of a suite into one report. The exit code is that of the whole suite.
    #[arg(long, requires = "out", conflicts_with = "history")]
    pub merge: bool,
    /// Show the history of every expectation. Reads every result.json below this folder.
    #[arg(long, value_name = "DIR")]
    pub history: Option<PathBuf>,
    /// Show the newest N runs of each scenario in the history.
    #[arg(long, value_name = "N", default_value = "30", value_parser = numbers::positive::<std::num::NonZeroUsize>)]
    pub last: std::num::NonZeroUsize,
    /// Write the reports to this folder. Default: next to the result.
    #[arg(long, value_name = "DIR", required_unless_present = "results")]
    pub out: Option<PathBuf>,
}

/// `cleanup`
#[derive(Debug, ClapArgs)]
pub struct Cleanup {
    /// A run's result folder, or its journal. Default: the latest run in shakedown-results.
    #[arg(value_name = "RESULTS", conflicts_with_all = ["run", "all", "older_than"])]
    pub results: Option<PathBuf>,
    #[command(flatten)]
    pub target: Target,
    /// Remove everything of this run, found by its labels.
    #[arg(long, value_name = "RUN-ID", value_parser = run_id)]
    pub run: Option<String>,
    /// Remove everything of all runs that are not active, found by labels.
    #[arg(long, conflicts_with = "run")]
    pub all: bool,
    /// Remove everything of runs that are not active and that started longer ago than this, found by labels.
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["run", "all"])]
    pub older_than: Option<Duration>,
    /// Only check: exit with 6 if a leftover still acts. Labels on pods that no policy selects are listed as harmless.
    /// Without further arguments, checks every namespace in addition to the latest journal.
    #[arg(long)]
    pub check: bool,
    /// Remove the finalizer of a Chaos Mesh resource if its deletion hangs. Its effects may stay in the pods until the
    /// pods are replaced, so the exit code is still 6.
    #[arg(long, conflicts_with = "check", env = "SHAKEDOWN_FORCE_CLEANUP")]
    pub force_cleanup: bool,
}

/// `init`
#[derive(Debug, ClapArgs)]
pub struct Init {
    /// The file to write, and the schema for editors next to it. `-` writes the scenario to stdout.
    #[arg(default_value = "scenario.yaml")]
    pub file: PathBuf,
    /// Choose the kind of service. Default: by the workloads of the namespace.
    #[arg(long, value_enum)]
    pub from: Option<Like>,
    #[command(flatten)]
    pub target: Target,
    /// Do not ask a cluster for names: write an example.
    #[arg(long, conflicts_with_all = ["sandbox", "kubeconfig", "context"])]
    pub no_cluster: bool,
    /// Take the defaults of all questions. They are asked only on a terminal.
    #[arg(short, long)]
    pub yes: bool,
    /// Set the scenario's name. Default: from its pods and its peer.
    #[arg(long)]
    pub name: Option<String>,
    /// Set the service that receives the load.
    #[arg(long, value_name = "NAME:PORT")]
    pub service: Option<String>,
    /// Hit one of these pods: labels (app=web), a workload (deployment/web), or the beginning of their names.
    #[arg(long, value_name = "PODS")]
    pub pods: Option<String>,
    /// Cut the pod off from this service.
    #[arg(long, value_name = "SERVICE")]
    pub peer: Option<String>,
    /// Choose the fault. Default: a partition; with a single pod, a delay or a kill.
    #[arg(long, value_enum)]
    pub fault: Option<Strike>,
    /// Set the method of a request. Default: GET, or POST with a body.
    #[arg(long)]
    pub method: Option<String>,
    /// Set the path of a request. It must need the service that the pod loses.
    #[arg(long)]
    pub path: Option<String>,
    /// Set the body of a request.
    #[arg(long)]
    pub body: Option<String>,
    /// Set the model of an LLM.
    #[arg(long)]
    pub model: Option<String>,
    /// Overwrite an existing file.
    #[arg(long)]
    pub force: bool,
}

/// The kind of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Like {
    /// A web service with a database.
    Shop,
    /// An LLM service with an OpenAI API.
    Llm,
    /// A service that puts jobs into a queue.
    Queue,
}

/// The kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Strike {
    /// Cut one pod off from the peer.
    Partition,
    /// Delete one pod with a grace period of 0 s: SIGTERM, then SIGKILL after 2 s.
    PodKill,
    /// Delay the packets between one pod and the peer. Needs Chaos Mesh.
    Delay,
}

/// `sandbox`
#[derive(Debug, ClapArgs)]
pub struct Sandbox {
    /// Start this topology: `dynamo`, `quick`, `shop` or a YAML file. Default: `dynamo`.
    #[arg(long, value_name = "NAME|FILE", env = "SHAKEDOWN_SANDBOX_TOPOLOGY")]
    pub topology: Option<PathBuf>,
    /// Write the kubeconfig to this file instead of printing it.
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
    /// Print this built-in topology and exit.
    #[arg(long)]
    pub print_topology: bool,
}

/// `schema`
#[derive(Debug, ClapArgs)]
pub struct Schema {
    /// The format to print.
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
    /// The topology of a sandbox.
    Topology,
}

/// `import`
#[derive(Debug, ClapArgs)]
pub struct Import {
    /// A file of another tool: YAML, JSON, or a script of k6.
    pub file: PathBuf,
    /// Send the load to this service. Default: that of the requests of the file, or a service to be replaced.
    #[arg(long, value_name = "NAME:PORT")]
    pub service: Option<String>,
    /// Write the scenario to this file. Default: stdout.
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite an existing file.
    #[arg(long, requires = "out")]
    pub force: bool,
}

/// `explain`
#[derive(Debug, ClapArgs)]
pub struct Explain {
    /// A code, or the path of a key from the top or from a kind, in a topology with `topology.` before it. Default: the keys of a
    /// scenario.
    #[arg(value_name = "CODE|KEY", value_parser = Topic, hide_possible_values = true)]
    pub topic: Option<String>,
    /// Show all keys below, without descriptions.
    #[arg(long)]
    pub recursive: bool,
}

/// Accepts every text, because a path can be longer. The completion of shells knows the usual topics.
#[derive(Clone)]
struct Topic;

impl clap::builder::TypedValueParser for Topic {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        clap::builder::StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = clap::builder::PossibleValue> + '_>> {
        let all = shakedown_schemas::topics().into_iter().chain(super::topologies::keys().topics());
        Some(Box::new(all.map(clap::builder::PossibleValue::new)))
    }
}

/// `config`
#[derive(Debug, ClapArgs)]
pub struct Config {
    /// Show defaults and flags without a value as well.
    #[arg(long)]
    pub all: bool,
    /// A command with its arguments, which are not run. Default: run.
    #[arg(value_name = "COMMAND", trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// `pod`
#[derive(Debug, ClapArgs)]
pub struct Pod {
    /// The program to run.
    pub program: String,
    /// Set its configuration as JSON.
    #[arg(long, default_value = "{}", env = "SHAKEDOWN_POD_CONFIG")]
    pub config: String,
}
