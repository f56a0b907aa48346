//! Reads journals, including those with torn last lines.

use super::*;
use crate::{Kind, ObjectKey};

fn key(name: &str) -> ObjectKey {
    ObjectKey { kind: Kind::NetworkPolicy, namespace: "n".into(), name: name.into(), uid: None }
}

fn typed(command: &str) -> String {
    format!("{command} --context c")
}

fn text(folder: &Path) -> String {
    std::fs::read_to_string(folder.join(FILE)).unwrap()
}

fn open(folder: &Path, run: &str) -> Journal {
    Journal::open(folder, run, Box::new(str::to_owned)).unwrap()
}

fn left(folder: &Path) -> Vec<Item> {
    let contents = read(&text(folder)).unwrap();
    assert!(contents.outstanding.iter().all(|left| left.run == "r"));
    contents.outstanding.into_iter().map(|left| left.item).collect()
}

#[test]
fn what_was_begun_and_is_not_proven_gone_is_outstanding() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "r");
    let pod = ObjectKey { kind: Kind::Pod, ..key("pod") };
    let mark = journal.intend(&ObjectAction::Mark(pod.clone(), "l".into()), typed).unwrap();
    let marked = Item::Mark(pod.clone(), "l".into());
    assert_eq!(left(folder.path()), std::slice::from_ref(&marked), "before its end");
    journal.settle(mark, Outcome::Done(None));
    let made = journal.intend(&ObjectAction::Create(key("a")), typed).unwrap();
    journal.settle(made, Outcome::Unclear("no answer".into()));
    assert_eq!(left(folder.path()), [Item::Object(key("a")), marked.clone()], "the outcome is not known");
    let made = journal.intend(&ObjectAction::Create(key("b")), typed).unwrap();
    journal.settle(made, Outcome::Done(Some("u".into())));
    let exact = ObjectKey { uid: Some("u".into()), ..key("b") };
    let all = [Item::Object(exact.clone()), Item::Object(key("a")), marked.clone()];
    assert_eq!(left(folder.path()), all, "with the UID that the server gave");
    let gone = journal.intend(&ObjectAction::Delete(exact), typed).unwrap();
    journal.settle(gone, Outcome::Done(None));
    assert_eq!(left(folder.path()), all, "a delete that was accepted proves nothing");
    journal.settle(made, Outcome::Gone);
    assert_eq!(left(folder.path()), [Item::Object(key("a")), marked], "what is proven gone is gone");
    journal.settle(mark, Outcome::Gone);
    let refused = journal.intend(&ObjectAction::Create(key("c")), typed).unwrap();
    journal.settle(refused, Outcome::Refused("forbidden".into()));
    assert_eq!(left(folder.path()), [Item::Object(key("a"))], "nothing came of what was refused");
}

#[test]
fn what_is_unclear_says_since_when() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "r");
    let unclear = |folder: &Path| read(&text(folder)).unwrap().outstanding[0].unclear.is_some();
    let made = journal.intend(&ObjectAction::Create(key("a")), typed).unwrap();
    assert!(unclear(folder.path()), "killed in the middle of it");
    journal.settle(made, Outcome::Unclear("reset".into()));
    assert!(unclear(folder.path()));
    // Another try was answered. The first one may still be carried out, as an object with another UID.
    journal.settle(made, Outcome::Done(Some("u".into())));
    assert!(unclear(folder.path()));
    assert_eq!(left(folder.path()), [Item::Object(key("a"))]);
    journal.settle(made, Outcome::Gone);
    let made = journal.intend(&ObjectAction::Create(key("a")), typed).unwrap();
    journal.settle(made, Outcome::Done(Some("u".into())));
    assert!(!unclear(folder.path()));
}

#[test]
fn a_pod_that_may_have_been_ended_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "r");
    let pod = |name: &str| ObjectKey { kind: Kind::Pod, uid: Some(format!("uid-{name}")), ..key(name) };
    let ends = |folder: &Path| -> Vec<String> {
        read(&text(folder)).unwrap().unclear_ends.into_iter().map(|(_, key, _)| key.name).collect()
    };
    let killed = journal.intend(&ObjectAction::Delete(pod("a")), typed).unwrap();
    assert_eq!(ends(folder.path()), ["a"], "killed in the middle of it");
    journal.settle(killed, Outcome::Unclear("no answer".into()));
    assert_eq!(ends(folder.path()), ["a"]);
    for (name, outcome) in [("b", Outcome::Done(None)), ("c", Outcome::Failed("forbidden".into()))] {
        let known = journal.intend(&ObjectAction::Delete(pod(name)), typed).unwrap();
        journal.settle(known, outcome);
    }
    // A witness is ours, and an undo that failed leaves it outstanding.
    let witness = journal.intend(&ObjectAction::Create(ObjectKey { kind: Kind::Pod, ..key("w") }), typed).unwrap();
    journal.settle(witness, Outcome::Done(Some("uid-w".into())));
    journal.intend(&ObjectAction::Delete(pod("w")), typed).unwrap();
    assert_eq!(ends(folder.path()), ["a"]);
    journal.settle(killed, Outcome::Gone);
    assert_eq!(ends(folder.path()), [""; 0], "it was looked at again");
}

#[test]
fn a_torn_line_spoils_no_other_one() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), "r").intend(&ObjectAction::Create(key("a")), typed).unwrap();
    let path = folder.path().join(FILE);
    let first = std::fs::read(&path).unwrap();
    for length in 1..first.len() {
        // Killed in the middle of a line, at every byte of it; then another run writes to the same folder.
        std::fs::write(&path, [&first[..], &first[..length]].concat()).unwrap();
        assert_eq!(read(&text(folder.path())).unwrap().outstanding.len(), 1, "{length}");
        open(folder.path(), "s").intend(&ObjectAction::Create(key("b")), typed).unwrap();
        let runs = |text: &str| read(text).unwrap().outstanding.into_iter().map(|it| it.run).collect::<Vec<_>>();
        assert_eq!(runs(&text(folder.path())), ["s", "r"], "{length}");
        // A disk that was full for a moment: the next line follows on the same one.
        let second = text(folder.path()).lines().last().unwrap().to_owned();
        for lines in [[&first[..], &first[..length], second.as_bytes()], [&first[..length], second.as_bytes(), b"\n"]] {
            let all = String::from_utf8(lines.concat()).unwrap();
            let contents = read(&all).unwrap();
            assert!(contents.outstanding.iter().any(|left| left.run == "s"), "{length}: {all}");
        }
    }
    let contents = read(&format!("nonsense\n{}", text(folder.path()))).unwrap();
    assert_eq!(contents.unreadable.first(), Some(&1), "what cannot be read is named");
    assert_eq!(contents.outstanding.len(), 2);
    assert!(read("nonsense\n").is_err());
    assert_eq!(read(""), Ok(Contents::default()));
}

#[test]
fn a_line_that_could_not_be_written_ends_before_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "r");
    let seq = journal.intend(&ObjectAction::Create(key("a")), typed).unwrap();
    // Half of a line, and then no room.
    std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join(FILE))
        .unwrap()
        .write_all(b"{\"run\":\"r")
        .unwrap();
    journal.lock().torn = true;
    journal.settle(seq, Outcome::Done(Some("u".into())));
    let contents = read(&text(folder.path())).unwrap();
    assert_eq!(contents.outstanding[0].item, Item::Object(ObjectKey { uid: Some("u".into()), ..key("a") }));
    assert_eq!(contents.unreadable, [2]);
}

#[test]
fn secrets_in_names_do_not_stand_in_a_journal() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), "r", Box::new(|text| text.replace("hunter2", "[redacted]"))).unwrap();
    let object = key("for-hunter2");
    for act in [
        ObjectAction::Create(object.clone()),
        ObjectAction::Delete(object.clone()),
        ObjectAction::Mark(object.clone(), "l/hunter2".into()),
        ObjectAction::Unmark(object.clone(), "l/hunter2".into()),
        ObjectAction::Create(ObjectKey { namespace: "hunter2".into(), ..object }),
    ] {
        let seq = journal.intend(&act, typed).unwrap();
        journal.settle(seq, Outcome::Failed("could not delete for-hunter2".into()));
        journal.settle(seq, Outcome::Unclear("could not create for-hunter2".into()));
    }
    let text = text(folder.path());
    assert!(!text.contains("hunter2") && text.contains("for-[redacted]"), "{text}");
    assert!(read(&text).is_ok());
}

#[test]
fn a_journal_is_locked_while_its_run_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    let journal = open(folder.path(), "r");
    assert!(is_written(&path).unwrap());
    let second = Journal::open(folder.path(), "s", Box::new(str::to_owned));
    assert!(second.unwrap_err().to_string().contains("--out"));
    drop(journal);
    // A program that another test starts right now has the file open until it begins.
    while is_written(&path).unwrap() {
        std::thread::yield_now();
    }
}

#[test]
fn every_entry_says_how_it_is_undone_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path(), "r").intend(&ObjectAction::Create(key("a")), typed).unwrap();
    assert!(text(folder.path()).contains(r#""undo":"kubectl -n n delete networkpolicy a --context c""#));
}

#[test]
fn a_journal_is_of_the_sandbox_if_all_its_runs_are() {
    let folder = tempfile::tempdir().unwrap();
    let journal = open(folder.path(), "r");
    journal.in_sandbox().unwrap();
    journal.intend(&ObjectAction::Create(key("a")), typed).unwrap();
    drop(journal);
    let contents = read(&text(folder.path())).unwrap();
    assert!(contents.is_sandboxed && contents.outstanding.len() == 1, "{contents:?}");
    open(folder.path(), "other").intend(&ObjectAction::Create(key("b")), typed).unwrap();
    assert!(!read(&text(folder.path())).unwrap().is_sandboxed, "the other run was in a cluster");
    assert!(!read("").unwrap().is_sandboxed);
}
