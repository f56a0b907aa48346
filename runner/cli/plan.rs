//! `shakedown plan`: what `run` would do, resolved against the cluster. It changes nothing.

use serde_json::{Value, json};
use shakedown_reports::Redactor;
use shakedown_schemas::{Document, Explained};

use super::args;
use super::console::Style;
use super::sandbox::Environment;
use super::{Failure, exit, identity, print, proof, select};
use shakedown_cluster::Cluster;
use shakedown_engine::plan::{self, Options, Permissions, Plan, PlanError};

/// Prints the plan of every selected scenario.
///
/// # Errors
/// Exit code 2 if a file is invalid, 3 if the cluster does not answer or a target is missing.
pub async fn plan(args: args::Plan, style: Style, redactor: &Redactor) -> Result<u8, Failure> {
    let documents = select::scenarios(&args.selection, style, redactor)?;
    select::in_namespace(&documents, args.target.namespace.as_deref())?;
    if args.resolved {
        print::text(&documents.iter().map(|it| resolved(it, redactor)).collect::<Vec<_>>().join("---\n"));
        return Ok(exit::PASSED);
    }
    let environment = Environment::open_for(&args.target, &documents, redactor).await?;
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let id = identity::run_id(jiff::Timestamp::now());
    let clusters: Vec<_> = environment.clusters().collect();
    let mut proofs = Vec::new();
    for cluster in &clusters {
        proofs.push(proof::known(&args.proving, *cluster).await.map_err(Failure::environment)?);
    }
    let mut plans = Vec::new();
    let mut problems = Vec::new();
    for (serial, document) in documents.iter().enumerate() {
        let place = environment.place_of(serial);
        let options = Options {
            run: id.clone(),
            serial,
            seed,
            namespace: args.target.namespace.clone(),
            fuse: args.safety.fuse(),
            proof: proofs[place].clone(),
            chaos: args.safety.limits(),
        };
        let problem = |what: &dyn std::fmt::Display| format!("{}: {what}", document.file);
        let (planned, refusal) = permitted(document, clusters[place], &options).await;
        match (planned, refusal) {
            (Ok(planned), refusal) => {
                plans.push(planned);
                problems.extend(refusal.map(|it| problem(&it)));
            }
            // The missing permissions include those that ended planning.
            (Err(_), Some(refusal)) => problems.push(problem(&refusal)),
            (Err(error), None) => problems.push(problem(&error)),
        }
    }
    environment.close().await;
    let text = printed(&plans, args.output, redactor).map_err(|error| Failure::environment(error.to_string()))?;
    if args.output == args::PlanFormat::Text {
        print::prose(&text)
    } else {
        print::text(&text)
    }
    // Each has its own next step.
    let problems = problems.join("\n");
    if problems.is_empty() { Ok(exit::PASSED) } else { Err(Failure::environment(problems)) }
}

/// The file of a scenario after all of its variables were replaced, without secrets.
fn resolved(document: &Document, redactor: &Redactor) -> String {
    let mut value = document.resolved.clone();
    if let Some(map) = value.as_object_mut() {
        map.shift_remove("vars");
    }
    shakedown_reports::to_yaml(&redactor.value(value))
}

/// The plan of a scenario, and the error that names the permissions that this account lacks for it.
async fn permitted(
    document: &Document,
    cluster: Option<&Cluster>,
    options: &Options,
) -> (Result<Plan, PlanError>, Option<Explained>) {
    let asked = match cluster {
        Some(cluster) => Permissions::of_scenario(document, cluster, options).await.map(Some),
        None => Ok(None),
    };
    let mut permissions = match asked {
        Ok(permissions) => permissions,
        Err(error) => return (Err(error), None),
    };
    let planned = plan::plan(document, cluster, options).await;
    let Some(permissions) = &mut permissions else { return (planned, None) };
    let asked = permissions.of_plan(&planned).await;
    if permissions.are_unknown() {
        print::remark(format_args!("warning: {}", plan::REFUSED));
    }
    let refusal = permissions.refusal().await;
    if let (None, Some([text, _])) = (&refusal, permissions.without_witness().await) {
        print::remark(format_args!("warning: {text}"));
    }
    (planned.and_then(|plan| asked.map(|()| plan)), refusal)
}

/// The printed plans, without secrets.
fn printed(plans: &[Plan], format: args::PlanFormat, redactor: &Redactor) -> Result<String, serde_json::Error> {
    let data =
        || -> Result<Value, serde_json::Error> { Ok(redactor.value(json!({"plans": serde_json::to_value(plans)?}))) };
    Ok(match format {
        args::PlanFormat::Text => plans.iter().map(|plan| redactor.text(&plan::show(plan))).collect(),
        args::PlanFormat::Json => serde_json::to_string_pretty(&data()?)? + "\n",
        args::PlanFormat::Yaml => shakedown_reports::to_yaml(&data()?),
    })
}
