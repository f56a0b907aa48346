//! `--last-failed`: the scenarios that did not pass in the previous result.

use std::path::Path;

use shakedown_schemas::Document;
use shakedown_schemas::result::Trial;

use super::output::LATEST;
use super::previous::{Ended, RESULT};
use super::{Failure, print, report, totals};

/// Keeps the scenarios that did not pass or did not run in the previous result. In a trial: the scenarios with another
/// outcome than required. Keeps all, with a note, if there is no such result or if none is left.
///
/// # Errors
/// With exit code 2 if the previous result cannot be read.
pub fn unpassed(documents: &mut Vec<Document>, out: Option<&Path>, trial: Option<Trial>) -> Result<(), Failure> {
    let previous = out.unwrap_or(Path::new(LATEST)).join(RESULT);
    if !previous.exists() {
        print::note(format_args!("--last-failed: there is no `{}`, so all scenarios run", previous.display()));
        return Ok(());
    }
    let ended = Ended::of(&report::read(&previous).map_err(Failure::usage)?);
    if let Some(other) = ended.unlike(trial) {
        let (other, this) = (totals::kind(other), totals::kind(trial));
        print::note(format_args!(
            "--last-failed: the previous run was {other} and this is {this}, so all scenarios run"
        ));
        return Ok(());
    }
    let all = documents.len();
    let states: Vec<Option<bool>> = documents.iter().map(|it| ended.is_done(&it.file, &it.scenario.name)).collect();
    if !states.contains(&Some(false)) {
        print::note(format_args!("--last-failed: {}, so all run", none_left(&states, trial)));
        return Ok(());
    }
    let mut states = states.into_iter();
    documents.retain(|_| states.next() == Some(Some(false)));
    print::note(format_args!("--last-failed: {} of {all} scenarios run", documents.len()));
    Ok(())
}

/// Why no scenario is left to repeat.
fn none_left(states: &[Option<bool>], trial: Option<Trial>) -> String {
    let passed = if trial.is_none() { "passed" } else { "ended as it must" };
    match states.iter().flatten().count() {
        0 => "none of the selected scenarios is in the previous result".to_owned(),
        known if known == states.len() => format!("every selected scenario {passed} in the previous run"),
        known => {
            format!("{known} of {} selected scenarios are in the previous result, and each {passed}", states.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_in_the_previous_result_did_not_pass() {
        assert_eq!(none_left(&[None, None], None), "none of the selected scenarios is in the previous result");
        assert_eq!(none_left(&[Some(true)], None), "every selected scenario passed in the previous run");
        let some = none_left(&[Some(true), None], Some(Trial::Overkill));
        assert_eq!(some, "1 of 2 selected scenarios are in the previous result, and each ended as it must");
    }
}
