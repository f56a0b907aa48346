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
pub const REFUSED: &str = "this API server does not report the permissions of an account, so a missing permission is an error \
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
    /// Checks the permissions that follow from the scenario.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_scenario(
        document: &'a Document,
        cluster: &'a Cluster,
        options: &'a Options,
    ) -> Result<Self, PlanError> {
        let namespace = default_namespace(&document.scenario, Some(cluster), options);
        let (needs, answers) = (Sorted::default(), Answers::default());
        let mut it = Self { document, cluster, namespace, options, needs, refused: None, answers };
        it.needs = it.sorted(None, &Kinds::default());
        cluster.ask(&it.needs.certain, &mut it.answers).await?;
        Ok(it)
    }

    fn sorted(&self, plan: Option<&Plan>, kinds: &Kinds) -> Sorted {
        let Self { document, namespace, options, .. } = self;
        Scenario { document, namespace, options, plan, kinds }.needs()
    }

    /// Checks the permissions that follow from the plan.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub async fn of_plan(&mut self, planned: &Result<Plan, PlanError>) -> Result<(), PlanError> {
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
        for name in faults.flat_map(|fault| match fault {
            Fault::Manifest(it) => needs::kinds_of(it),
            _ => Vec::new(),
        }) {
            if let Ok(Some(found)) = self.cluster.discover(&name.0, &name.1).await {
                kinds.insert(name, found);
            }
        }
        kinds
    }

    /// Whether the server refuses to answer.
    pub const fn are_unknown(&self) -> bool {
        self.answers.refused
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
    pub async fn refusal(&self) -> Option<Explained> {
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
    pub async fn without_witness(&self) -> Option<[Explained; 2]> {
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

fn list(missing: &[&Need]) -> String {
    missing.iter().map(|need| format!("\n  {need}")).collect()
}

#[cfg(test)]
mod tests;
