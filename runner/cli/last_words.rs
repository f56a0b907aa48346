//! What the second signal says, which ends a run before its undo is complete.

use std::io::ErrorKind;
use std::path::Path;

use super::output::Output;
use super::{args, exit, sandbox};
use shakedown_cluster::{journal, quoted};

/// The message and the exit code for a second signal, by what the run leaves.
pub fn last_words(
    target: &args::Target,
    has_fuse: bool,
    output: &Output,
) -> impl FnOnce(u8) -> (String, u8) + Send + use<> {
    let is_sandbox = target.sandbox;
    let journal = output.path(journal::FILE);
    let folder = std::path::absolute(output.folder()).unwrap_or_else(|_| output.folder().to_owned());
    let mut command =
        format!("shakedown cleanup {}{}", quoted(&folder.display().to_string()), sandbox::named(target).flags());
    if let Some(namespace) = &target.namespace {
        command.push_str(&format!(" --namespace {}", quoted(namespace)));
    }
    move |code| {
        if is_sandbox {
            return (", and the sandbox with it".to_owned(), code);
        }
        match left(&journal) {
            None => (". Its journal names no leftovers in the cluster".to_owned(), code),
            Some(objects) => {
                let fuse = if has_fuse { " The fuse removes them when it expires." } else { "" };
                let words = format!(". Leftovers in the cluster: {objects}.{fuse} To remove them now:\n  {command}");
                (words, exit::LEFTOVERS)
            }
        }
    }
}

/// What a run leaves if it ends now, in words, by its journal. None if that is nothing.
fn left(path: &Path) -> Option<String> {
    let contents = match std::fs::read(path) {
        Ok(bytes) => journal::read(&String::from_utf8_lossy(&bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => Err(error.to_string()),
    };
    let contents = match contents {
        Ok(contents) => contents,
        Err(error) => return Some(format!("unknown, because the journal cannot be read ({error})")),
    };
    let mut names: Vec<String> = contents.outstanding.iter().map(|left| left.item.to_string()).collect();
    if !contents.unreadable.is_empty() {
        names.push("those of unreadable lines of the journal".to_owned());
    }
    (!names.is_empty()).then(|| names.join(", "))
}
