//! The arguments of a suite: which scenarios, and how they follow each other.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args as ClapArgs;
use regex::Regex;
use shakedown_schemas::units::Duration;

/// The selected scenarios.
#[derive(Debug, ClapArgs)]
pub struct Selection {
    /// Scenario files, folders of them, or globs. `-` reads one scenario from stdin.
    #[arg(required_unless_present = "file", value_name = "FILE|FOLDER|GLOB")]
    pub paths: Vec<String>,
    /// Add a file, folder or glob, as in kubectl.
    #[arg(short, long, value_name = "FILE|FOLDER|GLOB")]
    pub file: Vec<String>,
    /// Select scenarios with any of these tags.
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub tag: Vec<String>,
    /// Skip scenarios with any of these tags.
    #[arg(long, value_name = "TAG", value_delimiter = ',')]
    pub skip_tag: Vec<String>,
    /// Select scenarios whose name or path, without its extension, contains this text, or matches this regular expression
    /// between slashes: `/^checkout-/`. Repeat it to select more.
    #[arg(long, value_name = "TEXT|/REGEX/")]
    pub filter: Vec<Filter>,
    /// Select one of N parts of the suite, such as 1/3. The parts follow from the sorted paths, so all machines of a CI
    /// job divide the suite in the same way. `report --merge` joins their results.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<SuitePart>,
    /// Set a variable of the scenarios: NAME=VALUE.
    #[arg(long = "var", value_name = "NAME=VALUE")]
    pub vars: Vec<String>,
    /// Read variables from a YAML file.
    #[arg(long = "vars-file", value_name = "FILE")]
    pub vars_files: Vec<PathBuf>,
    /// Set a secret variable: NAME=VALUE, NAME@FILE to read a file, or NAME to read the environment variable of that
    /// name. The value is never written or shown.
    #[arg(long = "secret", value_name = "NAME[=VALUE|@FILE]")]
    pub secrets: Vec<String>,
}

impl Selection {
    /// All files, folders and globs, in the order of the command line.
    pub fn all(&self) -> Vec<String> {
        self.paths.iter().chain(&self.file).cloned().collect()
    }
}

/// How the scenarios of a run follow each other.
#[derive(Debug, ClapArgs)]
pub struct Course {
    /// Start no further scenario after the first one that does not pass. The reports list those that did not run.
    #[arg(long)]
    pub fail_fast: bool,
    /// Run only the scenarios that did not pass in the previous result: that in --out, or else the newest in
    /// shakedown-results. If all passed, all of them run. After an --overkill run, those that did not fail.
    #[arg(long)]
    pub last_failed: bool,
    /// End the run after this time. A running scenario undoes its faults and ends with an error, and no further one
    /// begins. Such a run never passes.
    #[arg(long, value_name = "DURATION")]
    pub max_time: Option<Duration>,
    /// Run up to N scenarios at the same time. Never two in one namespace.
    #[arg(long, value_name = "N", default_value = "1", value_parser = super::numbers::positive::<std::num::NonZeroUsize>)]
    pub parallel: std::num::NonZeroUsize,
    /// Change nothing: show what would be done, as `plan` does. Only for ordinary runs of all selected scenarios.
    #[arg(long, conflicts_with_all = ["last_failed", "control", "overkill", "quick", "speed"])]
    pub dry_run: bool,
}

/// A condition on the name or the path of a scenario.
#[derive(Debug, Clone)]
pub enum Filter {
    /// A part of it.
    Text(String),
    /// A regular expression that matches in it.
    Regex(Regex),
}

impl Filter {
    /// True if one of the texts meets the condition.
    pub fn meets(&self, texts: [&str; 2]) -> bool {
        texts.iter().any(|text| match self {
            Self::Text(part) => text.contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        })
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty text matches every scenario".to_owned());
        }
        match text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|it| !it.is_empty()) {
            Some(regex) => Regex::new(regex).map(Self::Regex).map_err(|error| error.to_string()),
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

/// One of several parts of a suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SuitePart {
    /// Its number, from 1 to `of`.
    pub number: usize,
    /// The number of parts.
    pub of: usize,
}

impl FromStr for SuitePart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((number, of)) if (1..=of).contains(&number) => Ok(Self { number, of }),
            _ => Err("write the number of the part and the number of parts, such as 1/3".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_part_or_a_regular_expression() {
        let meets = |filter: &str| {
            let filter: Filter = filter.parse().unwrap();
            filter.meets(["checkout-loses-postgres", "shop/checkout.yaml"])
        };
        assert!(meets("postgres") && meets("shop/") && meets("/^checkout-/") && meets("/ut\\.yaml$/"));
        assert!(!meets("Postgres") && !meets("^checkout") && !meets("/^postgres/"));
        for wrong in ["", "/(/"] {
            assert!(wrong.parse::<Filter>().is_err(), "{wrong}");
        }
        assert!(matches!("/".parse::<Filter>(), Ok(Filter::Text(_))));
    }

    #[test]
    fn a_shard_is_one_of_them() {
        assert_eq!("2/3".parse(), Ok(SuitePart { number: 2, of: 3 }));
        for wrong in ["0/3", "4/3", "1", "1/0", "a/b", "-1/3", ""] {
            assert!(wrong.parse::<SuitePart>().is_err(), "{wrong}");
        }
    }
}
