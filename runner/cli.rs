//! The command line: arguments in, exit code out. Each command is one file. The files next to them contain what
//! commands share: selecting scenarios, writing outputs, the console.
//!
//! Results go to stdout, progress and errors to stderr.

mod args;
mod calibrate;
mod checked;
mod ci;
mod cleanup;
mod compare;
mod config;
mod console;
mod doctor;
pub mod exit;
mod explain;
mod failure;
mod filter;
mod finish;
mod identity;
mod import;
mod init;
mod last_failed;
mod last_words;
mod list;
mod live;
mod merge;
mod output;
mod plan;
mod previous;
mod print;
mod problems;
mod project;
mod proof;
mod report;
mod run;
mod sandbox;
mod schema;
mod select;
mod signals;
mod style;
mod suite;
mod summary;
mod table;
mod topologies;
mod totals;
mod usage;
mod validate;
mod variables;
mod wrap;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};

use args::{Args, Command};
pub use failure::Failure;
use shakedown_schemas::Explained;
use shakedown_secrets::Redactor;
use usage::{complain, unwritten};

/// Runs the program.
pub fn main() -> ExitCode {
    let project = match project::Project::find(&Args::command()) {
        Ok(project) => project,
        Err(failure) => return complain(&console::Style::new(args::Color::Auto), &failure),
    };
    let command = || variables::with_variables(project.with_defaults(Args::command()));
    let matches = command().try_get_matches();
    let args = match matches.and_then(|matches| Args::from_arg_matches(&matches)) {
        Ok(args) => args,
        Err(error) => return usage::exit_code(error),
    };
    if args.quiet {
        print::hush();
    }
    // One provider for all TLS in the process. A second installation is refused, which is harmless.
    _ = rustls::crypto::ring::default_provider().install_default();
    let style = console::Style::new(args.color);
    // Secrets that the commands found are redacted in the last message as well.
    let redactor = Redactor::default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&style, &Failure::environment(format!("could not start: {error}"))),
    };
    let result = runtime.block_on(async {
        match args.command {
            Command::Run(run) => run::run(run, style, args.quiet, args.verbose, &redactor).await,
            Command::Plan(plan) => plan::plan(plan, style, &redactor).await,
            Command::Validate(validate) => validate::validate(&validate, style, &redactor),
            Command::List(list) => list::list(&list, style, &redactor),
            Command::Report(report) => report::report(&report, style, &redactor),
            Command::Compare(compare) => compare::compare(&compare, &redactor),
            Command::Calibrate(calibrate) => {
                calibrate::calibrate(calibrate, style, args.quiet, args.verbose, &redactor).await
            }
            Command::Cleanup(cleanup) => cleanup::cleanup(cleanup, &redactor).await,
            Command::Doctor(doctor) => doctor::doctor(doctor, &redactor).await,
            Command::Init(init) => init::init(&init, args.quiet, &redactor).await,
            Command::Import(import) => import::import(&import),
            Command::Sandbox(sandbox) => sandbox::sandbox(sandbox).await,
            Command::Schema(schema) => schema::schema(&schema),
            Command::Explain(explain) => explain::explain(&explain),
            Command::Config(config) => config::config(&config, command(), &project, &redactor),
            Command::Completions { shell } => {
                // The generator panics if it cannot write.
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Args::command(), "shakedown", &mut script);
                print::text(&String::from_utf8_lossy(&script));
                Ok(exit::PASSED)
            }
            Command::Pod(pod) => sandbox::pod(pod).await,
        }
    });
    // Tasks of an interrupted command (a port-forward, a sandbox) end with the process.
    runtime.shutdown_background();
    match (result, print::unwritten()) {
        // Of the other codes, none looks like a success.
        (Ok(exit::PASSED), Some(error)) => unwritten(&style, exit::ENVIRONMENT, error),
        (Ok(code), Some(error)) => unwritten(&style, code, error),
        (Ok(code), _) => ExitCode::from(code),
        (Err(failure), _) => {
            let Explained { message, help } = &failure.why;
            let text = |text: &String| redactor.text(text);
            let why = Explained { message: text(message), help: help.as_ref().map(text) };
            complain(&style, &Failure { why, ..failure })
        }
    }
}
