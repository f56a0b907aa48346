//! The means to prove faults, determined before planning: an image for witnesses, and the known enforcement of
//! NetworkPolicy.

use shakedown_schemas::result::{Evidence, Proof as Shown, ScenarioResult, Verdict};

use super::args;
use shakedown_cluster::{Cluster, WitnessImage};
use shakedown_engine::plan::Proof;
use shakedown_faults::canary;
use shakedown_faults::enforcement::{self, Enforcement};

/// The program of the sandbox's pods: this program.
const SANDBOX_IMAGE: &str = "shakedown-sandbox";

/// The image for witnesses: the given one, or else the image of the runner's own pod.
pub async fn image(args: &args::Proving, cluster: &Cluster) -> Option<WitnessImage> {
    match &args.witness_image {
        Some(image) => Some(WitnessImage::named(image)),
        None if cluster.info().sandbox => Some(WitnessImage::named(SANDBOX_IMAGE)),
        None => cluster.own_image().await,
    }
}

/// The image for canaries.
pub async fn canary_image(args: &args::Proving, cluster: &Cluster) -> Option<WitnessImage> {
    match &args.canary_image {
        Some(image) => Some(WitnessImage::named(image)),
        None => image(args, cluster).await,
    }
}

/// The facts that are known without a change of the cluster.
///
/// # Errors
/// If the cluster does not answer.
pub async fn known(args: &args::Proving, cluster: Option<&Cluster>) -> Result<Proof, String> {
    let Some(cluster) = cluster else { return Ok(Proof::default()) };
    let enforcement = enforcement::recall(cluster).await.map_err(|error| error.to_string())?;
    let canary = if args.no_canary { None } else { canary_image(args, cluster).await };
    Ok(Proof { image: image(args, cluster).await, canary, enforcement })
}

/// A witness that was cut off proves that this cluster enforces policies, and may show the effect on established
/// connections. The result is cached for later runs.
pub async fn learn(cluster: &Cluster, scenario: &ScenarioResult) {
    let proven = scenario.faults.iter().filter(|fault| fault.injection == Verdict::Pass);
    let evidence: Vec<&Evidence> = proven.flat_map(|fault| fault.evidence.iter().filter(|it| it.holds)).collect();
    let is_shown = |proof: Shown| evidence.iter().any(|it| it.shows == proof);
    if !is_shown(Shown::Enforced) {
        return;
    }
    let keeps = match (is_shown(Shown::ConnectionsKept), is_shown(Shown::ConnectionsCut)) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        // A fault may be too short for a result.
        _ => enforcement::recall(cluster).await.ok().flatten().and_then(|known| known.keeps),
    };
    // If the cache cannot be written, the next run only has to test again.
    _ = enforcement::remember(cluster, &Enforcement { keeps, ..Enforcement::now(true, "confirmed by a witness") })
        .await;
}

/// The same. If the enforcement of policies is unknown, a canary tests it, unless that is turned off or there is no
/// image for it. Its errors do not stop a run: the faults are proven in other ways.
///
/// # Errors
/// If the cluster does not answer.
pub async fn find(
    args: &args::Proving,
    cluster: Option<&Cluster>,
    run: &str,
    namespace: Option<&str>,
) -> Result<(Proof, Option<String>), String> {
    let mut proof = known(args, cluster).await?;
    let (Some(cluster), Some(namespace)) = (cluster, namespace) else { return Ok((proof, None)) };
    if proof.enforcement.is_some() {
        return Ok((proof, None));
    }
    let Some(image) = proof.canary.clone() else { return Ok((proof, None)) };
    match canary::run(cluster, run, namespace, &image, canary::START_LIMIT).await {
        Ok(answer) => {
            _ = enforcement::remember(cluster, &answer).await;
            proof.enforcement = Some(answer);
            Ok((proof, None))
        }
        Err(error) => Ok((proof, Some(format!("the canary did not find out whether policies are enforced: {error}")))),
    }
}
