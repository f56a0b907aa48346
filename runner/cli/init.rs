//! `shakedown init`: writes a first scenario whose load depends on the fault's link. It asks the cluster for names, and on a
//! terminal the user for the rest. It changes nothing in the cluster.

mod answers;
mod ask;
mod facts;
mod guess;
mod write;

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use shakedown_cluster::quoted;
use shakedown_reports::Redactor;
use shakedown_schemas::{Explained, Overrides, json_schema};

use answers::{Answers, Complete, Pods};
use ask::Dialogue;
use facts::Facts;

use super::args::{Init, Like, Target};
use super::sandbox::{Environment, named};
use super::{Failure, exit, print};

/// The schema's file, next to the scenario: editors use it for completion without a network.
const SCHEMA: &str = "shakedown.schema.json";

/// The name that means stdout.
const STDOUT: &str = "-";

/// Writes the scenario, and the schema next to it.
///
/// # Errors
/// Exit code 2 if the file exists already, a value cannot be part of a scenario or the input ends; 3 if a named cluster
/// does not answer or the file cannot be written.
pub async fn init(args: &Init, quiet: bool, redactor: &Redactor) -> Result<u8, Failure> {
    let file = &args.file;
    // Before any question.
    if !args.force && file != Path::new(STDOUT) && file.exists() {
        return Err(exists(file));
    }
    let asks = !args.yes && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let mut dialogue = Dialogue::new(std::io::stdin().lock(), std::io::stderr());
    let facts = match reach(&args.target, args.no_cluster, redactor).await? {
        Ok(environment) => {
            let facts = look(args, &environment, asks.then_some(&mut dialogue)).await;
            environment.close().await;
            Some(facts?)
        }
        Err(why) => {
            print::remark(format_args!("{why}: the names in the file are examples"));
            None
        }
    };
    if let (Some(facts), false) = (&facts, quiet) {
        ask::found(facts).iter().for_each(print::remark);
    }
    let complete = match asks {
        true => dialogue.complete(given(args), facts.as_ref())?,
        false => guess::complete(given(args), facts.as_ref()),
    };
    let text = write::scenario(&complete, SCHEMA);
    shakedown_schemas::parse(&file.display().to_string(), text.as_bytes(), &Overrides::default()).map_err(
        |problems| {
            let problems: Vec<String> = problems.iter().map(|problem| problem.message.clone()).collect();
            Failure::usage(Explained::new(
                format!("the scenario with these values is invalid: {}", problems.join("; ")),
                "`shakedown init --help` lists the values of each flag",
            ))
        },
    )?;
    let warn = || {
        let unknown = facts.as_ref().map(|facts| complete.unknown(facts)).unwrap_or_default();
        unknown.iter().for_each(|it| print::remark(format_args!("warning: {it}")));
    };
    if file == Path::new(STDOUT) {
        print::text(&text);
        warn();
        return Ok(exit::PASSED);
    }
    save(file, &text, args.force)?;
    let schema = file.with_file_name(SCHEMA);
    std::fs::write(&schema, json_schema::text(&json_schema::scenario_schema()))
        .map_err(|error| Failure::unwritten(&schema, &error))?;
    print::line(format_args!("wrote {} and {}", file.display(), schema.display()));
    warn();
    steps(args, &complete, facts.as_ref()).iter().for_each(print::line);
    Ok(exit::PASSED)
}

/// The cluster, or the reason why none is read. Only a cluster that the user names must answer.
async fn reach(target: &Target, skip: bool, redactor: &Redactor) -> Result<Result<Environment, String>, Failure> {
    if skip {
        return Ok(Err("no cluster was read".to_owned()));
    }
    let is_named = target.sandbox || target.kubeconfig.is_some() || target.context.is_some();
    match Environment::open(target, redactor).await {
        Err(failure) if !is_named => Ok(Err(redactor.text(&failure.why.message))),
        opened => opened.map(Ok),
    }
}

async fn look<R: std::io::BufRead, W: Write>(
    args: &Init,
    environment: &Environment,
    dialogue: Option<&mut Dialogue<R, W>>,
) -> Result<Facts, Failure> {
    let Some(cluster) = environment.cluster() else { return Ok(Facts::default()) };
    let default = cluster.default_namespace();
    let namespace = match (&args.target.namespace, dialogue) {
        (Some(namespace), _) => namespace.clone(),
        (None, Some(dialogue)) if !args.target.sandbox => dialogue.namespace(default)?,
        (None, _) => default.to_owned(),
    };
    facts::look(cluster, &namespace).await.map_err(Failure::environment)
}

/// The answers of the flags.
fn given(args: &Init) -> Answers {
    Answers {
        from: args.from,
        name: args.name.clone(),
        namespace: args.target.namespace.clone(),
        service: args.service.clone(),
        pods: args.pods.as_deref().map(Pods::parse),
        peer: args.peer.clone(),
        fault: args.fault,
        method: args.method.clone(),
        path: args.path.clone(),
        body: args.body.clone(),
        model: args.model.clone(),
    }
}

/// The next commands. A rehearsal is proposed only if the sandbox has everything that the scenario names.
fn steps(args: &Init, complete: &Complete, facts: Option<&Facts>) -> Vec<String> {
    let file = quoted(&args.file.display().to_string());
    let target = &args.target;
    let mut flags = named(target).flags();
    // Without a sandbox of its own, the names must be those of a built-in one.
    let built_in = match complete.from {
        Like::Llm => Some(""),
        Like::Shop => Some(" --sandbox-topology shop"),
        Like::Queue => None,
    };
    let example = guess::complete(Answers { from: Some(complete.from), ..Answers::default() }, None);
    let (name, fault, replicas) = (complete.name.clone(), complete.fault, complete.replicas);
    let is_example = || built_in.is_some() && *complete == Complete { name, fault, replicas, ..example };
    let rehearsable = facts.filter(|_| target.sandbox).map_or_else(is_example, |sandbox| complete.runs_in(sandbox));
    let topology =
        target.sandbox_topology.as_ref().map(|it| format!(" --sandbox-topology {}", quoted(&it.display().to_string())));
    if rehearsable {
        let built_in = built_in.filter(|_| !target.sandbox).unwrap_or_default();
        flags = format!(" --sandbox{}", topology.unwrap_or_else(|| built_in.to_owned()));
    }
    let mut lines = Vec::new();
    if rehearsable {
        lines.push(format!("rehearse it without a cluster: shakedown run{flags} {file}"));
        lines.push(format!("check that it can fail:        shakedown run{flags} --overkill {file}"));
        lines.push(format!("preview it on your cluster:    shakedown plan {file}"));
        return lines;
    }
    if target.sandbox {
        lines.push("the sandbox cannot run it: write it again from your own cluster, without `--sandbox`".to_owned());
        return lines;
    }
    lines.push(format!("preview it:             shakedown plan{flags} {file}"));
    lines.push(format!("run it:                 shakedown run{flags} {file}"));
    lines.push(format!("check that it can fail: shakedown run{flags} --overkill {file}"));
    lines
}

pub(super) fn save(file: &Path, text: &str, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).create_new(!force);
    let mut out = options.open(file).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => exists(file),
        _ => Failure::unwritten(file, &error),
    })?;
    out.write_all(text.as_bytes()).map_err(|error| Failure::unwritten(file, &error))
}

fn exists(file: &Path) -> Failure {
    Failure::usage(Explained::new(format!("{} already exists", file.display()), "name another file, or add --force"))
}
