//! Permissions first: what the account needs for one scenario, asked before any load is sent.

mod needs;

use std::collections::BTreeSet;

use shakedown_schemas::Document;
use shakedown_schemas::scenario::Fault;

use super::default_namespace;
use super::error::PlanError;
use super::options::Options;
use super::spec::Plan;
use needs::{Kinds, Scenario, Sorted};
use shakedown_cluster::permissions::{Answers, Need, Needs, grant};
use shakedown_cluster::{Cluster, ClusterError, labels};

/// What the report says where the server answers no question about permissions.
const REFUSED: &str = "this API server does not report the permissions of an account, so a missing permission is an error \
                           only when it is needed";

/// The permissions of this account, as far as one scenario needs them.
pub struct Permissions<'a> {
    document: &'a Document,
    cluster: &'a Cluster,
    namespace: String,
    options: &'a Options,
    needs: Sorted,
    /// What planning was refused, in the server's words.
    refused: Option<String>,
    answers: Answers,
}

impl<'a> Permissions<'a> {
    /// Asks for what the scenario says that it needs. Without a cluster, it needs none.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_scenario(
        document: &'a Document,
        cluster: Option<&'a Cluster>,
        options: &'a Options,
    ) -> Result<Option<Self>, PlanError> {
        let Some(cluster) = cluster else { return Ok(None) };
        let namespace = default_namespace(&document.scenario, Some(cluster), options);
        let (needs, answers) = (Sorted::default(), Answers::default());
        let mut it = Self { document, cluster, namespace, options, needs, refused: None, answers };
        it.needs = it.sorted(None, &Kinds::default());
        cluster.ask(&it.needs.certain, &mut it.answers).await?;
        Ok(Some(it))
    }

    fn sorted(&self, plan: Option<&Plan>, kinds: &Kinds) -> Sorted {
        let Self { document, namespace, options, .. } = self;
        Scenario { document, namespace, options, plan, kinds }.needs()
    }

    /// Asks for what only the plan says as well.
    ///
    /// # Errors
    /// When the cluster does not answer.
    async fn of_plan(&mut self, planned: &Result<Plan, PlanError>) -> Result<(), PlanError> {
        match planned {
            Ok(plan) => self.needs = self.sorted(Some(plan), &Kinds::default()),
            Err(PlanError::Cluster(error @ ClusterError::Forbidden { .. })) => {
                self.refused = Some(error.to_string());
                self.needs = self.sorted(None, &self.kinds().await);
                self.needs.believe_possible();
            }
            // The scenario does not fit, or nothing answers: more permissions would not help.
            Err(_) => self.needs.witness.clear(),
        }
        self.cluster.ask(&self.needs.certain, &mut self.answers).await?;
        Ok(self.cluster.ask(&self.needs.witness, &mut self.answers).await?)
    }

    /// The kinds that the scenario's manifests name. A kind that the cluster does not report is left out.
    async fn kinds(&self) -> Kinds {
        let faults = self.document.scenario.phases.iter().flat_map(|phase| phase.faults.values());
        let mut kinds = Kinds::default();
        let manifests = faults.filter_map(|fault| if let Fault::Manifest(it) = fault { Some(it) } else { None });
        for name in manifests.flat_map(needs::kinds_of) {
            if let Ok(Some(found)) = self.cluster.discover(&name.0, &name.1).await {
                kinds.insert(name, found);
            }
        }
        kinds
    }

    fn lacking<'n>(&self, needs: &'n Needs) -> Vec<&'n Need> {
        needs.iter().filter(|(need, names)| self.answers.lack(need, names)).map(|(need, _)| need).collect()
    }

    /// Whether something is missing without which the scenario cannot run.
    pub fn are_missing(&self) -> bool {
        !self.lacking(&self.needs.certain).is_empty()
    }

    /// The error that names what is missing, with the Roles that grant everything that the scenario needs where something
    /// is missing; none when nothing is.
    async fn refusal(&self) -> Option<String> {
        let missing = self.lacking(&self.needs.certain);
        if missing.is_empty() {
            return None;
        }
        let (who, roles) = self.roles(&missing).await;
        let mut lines = list(&missing);
        if let Some(refused) = &self.refused {
            lines.push_str(&format!("\nplanning ended with: {refused}"));
        }
        let scenario = &self.document.scenario.name;
        Some(format!("this account{who} lacks permissions that scenario {scenario} needs:{lines}\n{roles}"))
    }

    /// A warning that names what the planned witnesses lack, with and without the Roles that grant it; none when nothing is
    /// missing.
    async fn without_witness(&self) -> Option<[String; 2]> {
        let missing = self.lacking(&self.needs.witness);
        if missing.is_empty() {
            return None;
        }
        let (who, roles) = self.roles(&missing).await;
        let scenario = &self.document.scenario.name;
        let text = format!(
            "this account{who} lacks permissions for the witnesses of scenario {scenario}, so its own requests must show that \
             its partitions act:{}",
            list(&missing)
        );
        Some([format!("{text}\n{roles}"), format!("{text}\nhelp: `shakedown plan` prints a Role that grants them")])
    }

    /// The account as text, and a help with the Roles for the places where something is missing. A Role of that name that was
    /// applied before is replaced, so it must keep what it has.
    async fn roles(&self, missing: &[&Need]) -> (String, String) {
        let account = self.cluster.account().await;
        let places: BTreeSet<&str> = missing.iter().map(|need| need.namespace.as_str()).collect();
        let of = |all: &[&Needs]| -> BTreeSet<Need> {
            let all = all.iter().flat_map(|needs| needs.keys());
            all.filter(|need| places.contains(need.namespace.as_str())).cloned().collect()
        };
        let Sorted { certain, witness, optional, .. } = &self.needs;
        let name = format!("shakedown-{}", labels::name_part(&self.document.scenario.name));
        let name = name.trim_end_matches('-');
        let roles = grant(&of(&[certain]), &of(&[witness, optional]), name, account.as_deref());
        let who = account.map(|name| format!(" ({name})")).unwrap_or_default();
        (who, format!("help: `kubectl apply -f` this, as an administrator:\n{roles}"))
    }
}

/// A plan, and what this account lacks for it.
pub struct Permitted {
    /// The plan, or why there is none.
    pub plan: Result<Plan, PlanError>,
    /// The error that names what is missing, with the Roles that grant it. None when nothing is.
    pub refusal: Option<String>,
    /// A warning that names what the planned witnesses lack, with and without the Roles that grant it. None when nothing
    /// is, or when there is a refusal.
    pub without_witness: Option<[String; 2]>,
    /// The warning that the server refuses to answer, if it does.
    pub unknown: Option<&'static str>,
}

/// Plans a scenario, and asks for the permissions that only its plan knows. `permissions` are those of the scenario.
pub async fn permitted(
    document: &Document,
    cluster: Option<&Cluster>,
    options: &Options,
    permissions: Option<Permissions<'_>>,
) -> Permitted {
    let plan = super::plan(document, cluster, options).await;
    let Some(mut permissions) = permissions else {
        return Permitted { plan, refusal: None, without_witness: None, unknown: None };
    };
    let asked = permissions.of_plan(&plan).await;
    let refusal = permissions.refusal().await;
    let without_witness = if refusal.is_none() { permissions.without_witness().await } else { None };
    let unknown = permissions.answers.refused.then_some(REFUSED);
    Permitted { plan: plan.and_then(|plan| asked.map(|()| plan)), refusal, without_witness, unknown }
}

fn list(missing: &[&Need]) -> String {
    missing.iter().map(|need| format!("\n  {need}")).collect()
}

#[cfg(test)]
mod tests;
