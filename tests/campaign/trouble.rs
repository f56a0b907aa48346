//! A runner that dies, and an API server that is in trouble. The faults are always the same, one of every kind.

use std::time::Duration;

use hyper::StatusCode;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::case::{Case, Place};
use super::mix::Mix;
use super::proxy::{Call, Handling};
use super::table::Shown;
use super::{Form, Future, LONG_FUSE, SHORT_FUSE, campaign, form, seed};

/// How often a rehearsal is repeated on a machine that is too busy for it.
const REHEARSALS: usize = 4;

/// The calls of a run that nothing happens to, and how long it takes from its start to its end.
pub async fn rehearse(place: &Place, name: &str, mix: &Mix) -> (Vec<Call>, Duration) {
    for number in 0..REHEARSALS {
        let mut case = Case::start(place, &format!("{name}-{number}"), mix, LONG_FUSE, |_| Handling::Forward).await;
        let begun = std::time::Instant::now();
        let ended = case.ended().await.expect("an end");
        let took = begun.elapsed();
        let nothing = Vec::<String>::new();
        assert_eq!([case.left().await, case.marked().await, case.actor.touched().await].concat(), nothing);
        let calls = case.proxy.calls();
        if ended.code == Some(0) {
            assert_eq!(case.history.empty(mix), nothing, "{}\n{}", mix.scenario(), ended.stderr);
            case.close().await;
            return (calls, took);
        }
        let reason = &ended.result["scenarios"][0]["reason"];
        assert!(ended.code == Some(4), "exit code {:?}: {reason}\n{}", ended.code, ended.stderr);
        case.close().await;
    }
    panic!("this machine was too busy for {REHEARSALS} rehearsals")
}

/// Kills a run when a call is held, or after a while, and looks at what becomes of its faults.
async fn killed(place: Place, group: String, name: String, at: Result<(usize, Handling), Duration>) -> Shown {
    let script = move |call: &Call| match at {
        Ok((action, handling)) if call.action == Some(action) => handling,
        _ => Handling::Forward,
    };
    let mut case = Case::start(&place, &name, &Mix::fixed(), SHORT_FUSE, script).await;
    let wait = async {
        match at {
            Ok(_) => case.proxy.held().await,
            Err(moment) => tokio::time::sleep(moment).await,
        }
    };
    // A run that is slower than its fuse ends by itself, on another way than the rehearsal's.
    _ = tokio::time::timeout(Duration::from_secs(40), wait).await;
    let over = case.is_over();
    case.kill().await;
    let mut shown = Shown::of(group, name);
    shown.wait(&case).await;
    shown.gone = shown.gone.filter(|_| !over);
    shown.look(&case).await;
    if case.journal().is_some() {
        // What no fuse removes does no harm, and cleanup takes it off; twice is as good as once.
        for args in [&["--check", "out"][..], &["out"], &["out"]] {
            let answer = case.cleanup(args).await;
            if answer.0 != Some(0) {
                shown.problems.push(format!("cleanup {args:?}: {answer:?}"));
            }
        }
        let marked = case.marked().await;
        if !marked.is_empty() {
            shown.problems.push(format!("marks after cleanup: {}", marked.join(", ")));
        }
        shown.touched = case.actor.touched().await;
    }
    case.close().await;
    shown
}

pub async fn kill_campaign(place: &Place) {
    let (calls, took) = rehearse(place, "rehearsal", &Mix::fixed()).await;
    let mut cases: Vec<Future> = Vec::new();
    for call in &calls {
        let Some(action) = call.action else { continue };
        for (word, handling) in [("before", Handling::HoldBefore), ("after", Handling::HoldAfter)] {
            let group = format!("killed right {word} an action");
            cases.push(Box::pin(killed(place.clone(), group, format!("{word}-{action}"), Ok((action, handling)))));
        }
    }
    let actions = calls.iter().filter(|call| call.action.is_some()).count();
    assert!(actions >= 12, "the faults, a fuse and a lock are at least twelve actions: {calls:#?}");
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let moments = match form() {
        Form::Short => 6,
        Form::Full => 50,
    };
    for number in 0..moments {
        let moment = took.mul_f64(random.random_range(0.0..1.0));
        let group = format!("killed at a random moment (seed {seed})");
        cases.push(Box::pin(killed(place.clone(), group, format!("random-{number}"), Err(moment))));
    }
    campaign(&format!("SIGKILL, {}", place.server.name), cases).await;
}

/// Does something to some calls of a run, and looks at how it ends.
async fn troubled(
    place: Place,
    group: String,
    name: String,
    fuse: Duration,
    script: impl Fn(&Call) -> Handling + Send + Sync + 'static,
) -> Shown {
    let mix = Mix::fixed();
    let mut case = Case::start(&place, &name, &mix, fuse, script).await;
    let mut shown = Shown::of(group, name);
    let ended = case.ended().await;
    shown.end(&case, &mix, ended).await;
    shown.look(&case).await;
    case.close().await;
    shown
}

/// Whether the short form gives trouble to this call. On the sandbox each call has some. The real control plane answers the same
/// calls of the same run, and takes longer: there, each action has some, and every fourth of the other calls.
fn is_troubled(place: &Place, call: &Call) -> bool {
    place.server.is_sandbox() || call.action.is_some() || call.number.is_multiple_of(4)
}

pub async fn trouble_campaign(place: &Place) {
    let kinds = [
        ("500", Handling::Refuse(StatusCode::INTERNAL_SERVER_ERROR)),
        ("503", Handling::Refuse(StatusCode::SERVICE_UNAVAILABLE)),
        ("429 with Retry-After", Handling::Refuse(StatusCode::TOO_MANY_REQUESTS)),
        ("reset before the action", Handling::Reset),
        ("reset after the action", Handling::ResetAfter),
        ("12 s late", Handling::Late(Duration::from_secs(12))),
        ("silence", Handling::Silence),
    ];
    let (calls, _) = rehearse(place, "rehearsal", &Mix::fixed()).await;
    let mut cases: Vec<Future> = Vec::new();
    let mut turn = 0;
    for call in &calls {
        let number = call.number;
        turn += usize::from(is_troubled(place, call));
        for (kind, (word, handling)) in kinds.into_iter().enumerate() {
            let wanted = match form() {
                Form::Short => is_troubled(place, call) && turn % kinds.len() == kind,
                Form::Full => true,
            };
            if wanted {
                let script = move |call: &Call| if call.number == number { handling } else { Handling::Forward };
                let name = format!("kind{kind}-{number}");
                cases.push(Box::pin(troubled(place.clone(), format!("one call: {word}"), name, LONG_FUSE, script)));
            }
        }
        let every = match form() {
            Form::Short if place.server.is_sandbox() => 6,
            Form::Short => 12,
            Form::Full => 1,
        };
        if number % every == every - 1 {
            let dead = move |call: &Call| {
                if call.number < number { Handling::Forward } else { Handling::Refuse(StatusCode::SERVICE_UNAVAILABLE) }
            };
            let group = "no call answered any more".to_owned();
            cases.push(Box::pin(troubled(place.clone(), group, format!("dead-{number}"), SHORT_FUSE, dead)));
        }
    }
    campaign(&format!("API trouble, {}", place.server.name), cases).await;
}
