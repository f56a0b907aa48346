//! What the cases of a campaign showed, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::case::{Case, Ended, GRACE};
use super::mix::Mix;

/// What a case showed.
#[derive(Debug, Default)]
pub struct Shown {
    /// The kind of trouble.
    pub group: String,
    pub name: String,
    /// Whether the run passed.
    pub passed: bool,
    /// The faults that did not act in a run that passed.
    pub empty: Vec<String>,
    /// How long it took until nothing was left, where the cluster had to do it.
    pub gone: Option<Duration>,
    /// What was there when nothing should have been any more.
    pub left: Vec<String>,
    /// Objects of other clients that are not as they were.
    pub touched: Vec<String>,
    /// Everything else that is not as it should be.
    pub problems: Vec<String>,
}

impl Shown {
    pub fn of(group: impl Into<String>, name: impl Into<String>) -> Self {
        Self { group: group.into(), name: name.into(), ..Self::default() }
    }

    /// Everything that is not as it should be, in words.
    pub fn all_problems(&self) -> Vec<String> {
        let lists = [("an empty pass", &self.empty), ("left", &self.left), ("touched", &self.touched)];
        let listed = lists.into_iter().flat_map(|(word, list)| list.iter().map(move |it| format!("{word}: {it}")));
        listed.chain(self.problems.iter().cloned()).map(|it| format!("{} {}: {it}", self.group, self.name)).collect()
    }

    /// Looks at the end of a run: whether its exit code says what is left, and whether it passed for nothing.
    pub async fn end(&mut self, case: &Case, mix: &Mix, ended: Result<Ended, String>) {
        let ended = match ended {
            Ok(ended) => ended,
            Err(problem) => return self.problems.push(problem),
        };
        let left = [case.left().await, case.marked().await].concat();
        self.passed = ended.code == Some(0) || ended.verdict.as_deref() == Some("pass");
        let fitting =
            if left.is_empty() { matches!(ended.code, Some(0 | 1 | 3 | 4 | 6)) } else { ended.code == Some(6) };
        if !fitting {
            let left = left.join(", ");
            self.problems.push(format!("exit code {:?} with {left:?} left\n{}", ended.code, ended.stderr));
        }
        if self.passed {
            self.empty = case.history.empty(mix);
            if !self.empty.is_empty() {
                self.problems.push(format!("the run:\n{}", ended.stderr));
            }
        }
    }

    /// Looks at the namespace when no process of ours acts in it any more: after the fuse's deadline at the latest nothing is
    /// there.
    pub async fn look(&mut self, case: &Case) {
        if !case.left().await.is_empty() {
            self.wait(case).await;
        }
        self.touched = case.actor.touched().await;
        case.actor.take_copies_away().await;
        let by_labels = case.cleanup(&["--check", "--all", "--namespace", case.namespace()]).await;
        if by_labels.0 != Some(0) {
            self.problems.push(format!("cleanup --check --all: {by_labels:?}"));
        }
        if !self.all_problems().is_empty() {
            self.problems.extend(case.actor.done().iter().map(|it| format!("the other actor: {it}")));
        }
    }

    /// Waits until the cluster itself has removed everything.
    pub async fn wait(&mut self, case: &Case) {
        match case.gone().await {
            Ok(gone) => self.gone = Some(gone),
            Err(left) => {
                self.left = left;
                self.problems.push(format!("it is there after the fuse's deadline and {GRACE:?}"));
            }
        }
    }
}

/// The table, with one line for each kind of trouble.
pub fn table(title: &str, took: Duration, shown: &[Shown]) -> String {
    let mut groups: BTreeMap<&str, Vec<&Shown>> = BTreeMap::new();
    for it in shown {
        groups.entry(&it.group).or_default().push(it);
    }
    let mut text = format!("\n{title}: {} runs in {:.0} s\n", shown.len(), took.as_secs_f64());
    let columns = ["runs", "passed", "empty passes", "leftovers", "strangers touched", "slowest gone", "problems"];
    _ = writeln!(text, "| {:42} | {} |\n| --- |{}", "", columns.join(" | "), " ---: |".repeat(columns.len()));
    let all: Vec<&Shown> = shown.iter().collect();
    for (group, cases) in groups.iter().map(|(group, cases)| (*group, cases)).chain([("all", &all)]) {
        let count = |of: fn(&Shown) -> usize| cases.iter().map(|it| of(it)).sum::<usize>();
        let slowest = cases.iter().filter_map(|it| it.gone).max();
        _ = writeln!(
            text,
            "| {group:42} | {} | {} | {} | {} | {} | {} | {} |",
            cases.len(),
            count(|it| usize::from(it.passed)),
            count(|it| usize::from(!it.empty.is_empty())),
            count(|it| it.left.len()),
            count(|it| it.touched.len()),
            slowest.map_or_else(|| "-".to_owned(), |gone| format!("{:.1} s", gone.as_secs_f64())),
            count(|it| usize::from(!it.all_problems().is_empty())),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_trouble_has_a_line_and_all_have_one() {
        let mut bad = Shown::of("b", "2");
        bad.passed = true;
        bad.empty = vec!["first".to_owned(), "second".to_owned()];
        bad.touched = vec!["it".to_owned()];
        let text = table("title", Duration::from_secs(1), &[Shown::of("a", "1"), bad]);
        let lines: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        let of = |group: &str| lines.iter().find(|line| line.starts_with(&format!("| {group} |"))).expect("a line");
        assert_eq!(of("a"), "| a | 1 | 0 | 0 | 0 | 0 | - | 0 |");
        assert_eq!(of("b"), "| b | 1 | 1 | 1 | 0 | 1 | - | 1 |");
        assert_eq!(of("all"), "| all | 2 | 1 | 1 | 0 | 1 | - | 1 |");
    }
}
