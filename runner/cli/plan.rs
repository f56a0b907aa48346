//! `shakedown plan`: what `run` would do, resolved against the cluster. It changes nothing.

use shakedown_reports::Redactor;

use super::args;
use super::console::Style;
use super::sandbox::Environment;
use super::{Failure, exit, print, proof, run, select};
use shakedown_engine::plan::{self, Options};

/// Prints the plan of every selected scenario.
///
/// # Errors
/// When a file is not valid (2), the cluster does not answer or a target is missing (3).
pub async fn plan(args: args::Plan, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    let documents = select::scenarios(&args.selection, style, redactor)?;
    let needed = documents.iter().any(|document| !document.scenario.needs_no_cluster());
    let environment = Environment::open(&args.target, needed, redactor).await?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let id = run::run_id(jiff::Timestamp::now());
    let proof = proof::known(&args.proving, environment.cluster()).await.map_err(Failure::environment)?;
    let mut problems = Vec::new();
    for (serial, document) in documents.iter().enumerate() {
        let options = Options {
            run: id.clone(),
            serial,
            seed,
            namespace: args.target.namespace.clone(),
            fuse_margin: (!args.safety.no_fuse).then(|| args.safety.fuse_margin.get()),
            proof: proof.clone(),
            chaos: args.safety.limits(),
        };
        match plan::plan(document, environment.cluster(), &options).await {
            Ok(planned) => print::text(&redactor.text(&plan::show(document, &planned, environment.cluster(), seed))),
            Err(error) => problems.push(format!("{}: {error}", document.file)),
        }
    }
    environment.close().await;
    if problems.is_empty() { Ok(exit::PASSED) } else { Err(Failure::environment(problems.join("\n"))) }
}
