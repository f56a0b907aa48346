//! `shakedown plan`: what `run` would do, resolved against the cluster. It changes nothing.

use serde_json::{Value, json};
use shakedown_reports::Redactor;

use super::args;
use super::console::Style;
use super::sandbox::Environment;
use super::{Failure, exit, print, proof, run, select};
use shakedown_engine::plan::{self, Options, Plan};

/// Prints the plan of every selected scenario.
///
/// # Errors
/// When a file is not valid (2), the cluster does not answer or a target is missing (3).
pub async fn plan(args: args::Plan, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    let documents = select::scenarios(&args.selection, style, redactor)?;
    select::in_namespace(&documents, args.target.namespace.as_deref())?;
    let needed = documents.iter().any(|document| !document.scenario.needs_no_cluster());
    let environment = Environment::open(&args.target, needed, redactor).await?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let id = run::run_id(jiff::Timestamp::now());
    let proof = proof::known(&args.proving, environment.cluster()).await.map_err(Failure::environment)?;
    let mut plans = Vec::new();
    let mut problems = Vec::new();
    for (serial, document) in documents.iter().enumerate() {
        let options = Options {
            run: id.clone(),
            serial,
            seed,
            namespace: args.target.namespace.clone(),
            fuse: args.safety.fuse(),
            proof: proof.clone(),
            chaos: args.safety.limits(),
        };
        match plan::plan(document, environment.cluster(), &options).await {
            Ok(planned) => plans.push(planned),
            Err(error) => problems.push(format!("{}: {error}", document.file)),
        }
    }
    environment.close().await;
    print::text(&printed(&plans, args.output, redactor).map_err(Failure::environment)?);
    if problems.is_empty() { Ok(exit::PASSED) } else { Err(Failure::environment(problems.join("\n"))) }
}

/// The plans as they are printed, without secrets.
fn printed(plans: &[Plan], format: args::PlanFormat, redactor: &Redactor) -> Result<String, serde_json::Error> {
    let data =
        || -> Result<Value, serde_json::Error> { Ok(redactor.value(json!({"plans": serde_json::to_value(plans)?}))) };
    Ok(match format {
        args::PlanFormat::Text => plans.iter().map(|plan| redactor.text(&plan::show(plan))).collect(),
        args::PlanFormat::Json => serde_json::to_string_pretty(&data()?)? + "\n",
        args::PlanFormat::Yaml => shakedown_reports::to_yaml(&data()?),
    })
}
