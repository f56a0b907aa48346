//! Checks the permissions that an account needs for one scenario, before any load is sent.

mod needs;

use std::collections::BTreeSet;

use shakedown_schemas::scenario::Fault;
use shakedown_schemas::{Document, Explained};

use super::default_namespace;
use super::error::PlanError;
use super::options::Options;
use super::spec::Plan;
use needs::{Kinds, Scenario, Sorted};
use shakedown_cluster::permissions::{Answers, Need, Needs, grant};
use shakedown_cluster::{Cluster, ClusterError, labels};

/// The warning for a server that does not support access reviews.
const REFUSED: &str = "this API server does not report the permissions of an account, so a missing permission is an error \
                           only when it is needed";

/// The permissions of this account that one scenario needs.
pub struct Permissions<'a> {
    document: &'a Document,
    cluster: &'a Cluster,
    namespace: String,
    options: &'a Options,
    needs: Sorted,
    /// The server's refusal that ended planning, verbatim.
    refused: Option<String>,
    answers: Answers,
}

impl<'a> Permissions<'a> {
    /// Checks the permissions that follow from the scenario. Without a cluster, it needs none.
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

    /// Checks the permissions that follow from the plan.
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
            // The scenario does not fit, or the cluster does not answer: more permissions would not help.
            Err(_) => self.needs.witness.clear(),
        }
        self.cluster.ask(&self.needs.certain, &mut self.answers).await?;
        Ok(self.cluster.ask(&self.needs.witness, &mut self.answers).await?)
    }

    /// The kinds that the scenario's manifests name, without those that the cluster does not report.
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

    /// Whether a required permission is missing.
    pub fn are_missing(&self) -> bool {
        !self.lacking(&self.needs.certain).is_empty()
    }

    /// The error that names the missing permissions. Its help contains the Roles that grant everything that the scenario
    /// needs in these places. None if nothing is missing.
    async fn refusal(&self) -> Option<Explained> {
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
        let message = format!("this account{who} lacks permissions that scenario {scenario} needs:{lines}");
        Some(Explained::new(message, roles))
    }

    /// A warning about the missing permissions of planned witnesses, with and without the Roles that grant them. None if
    /// nothing is missing.
    async fn without_witness(&self) -> Option<[Explained; 2]> {
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
        let [with, without] = [roles.as_str(), "`shakedown plan` prints a Role that grants them"];
        Some([with, without].map(|help| Explained::new(text.as_str(), help)))
    }

    /// The account as text, and a help with the Roles for the places with missing permissions. The Role replaces an earlier
    /// one of its name, so it must also contain the permissions that the account has.
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
        (who, format!("`kubectl apply -f` this, as an administrator:\n{roles}"))
    }
}

/// A plan, and what this account lacks for it.
pub struct Permitted {
    /// The plan, or why there is none.
    pub plan: Result<Plan, PlanError>,
    /// The error that names the missing permissions, with the Roles that grant them. None if nothing is missing.
    pub refusal: Option<Explained>,
    /// A warning about the missing permissions of planned witnesses, with and without the Roles that grant them. None if
    /// nothing is missing, or if there is a refusal.
    pub without_witness: Option<[Explained; 2]>,
    /// The warning that the server refuses to answer, if it does.
    pub unknown: Option<&'static str>,
}

/// Plans a scenario, and checks the permissions that follow from the plan. `permissions` are those of the scenario.
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
