//! Scenarios that are drawn from a seed, and an adversary: another actor in the namespace, wall clocks that are wrong, and a
//! process that is stopped. A run may fail under them. It must not pass without its faults, leave an object, or change objects of
//! others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::Signal;

use super::actor::Interference;
use super::case::{Case, Ended, Place};
use super::clock::Clock;
use super::mix::Mix;
use super::proxy::{Call, Handling};
use super::table::Shown;
use super::trouble::rehearse;
use super::{Form, Future, LONG_FUSE, SHORT_FUSE, form, seed};

/// How long a process is stopped: longer than its fuse lives.
const SUSPENDED: Duration = Duration::from_secs(12);

/// Another run, on a pod that the first one leaves alone.
const SECOND: &str = scenario!(
    "second",
    "40/s",
    r#"  - name: cut
    duration: 1s
    faults:
      other:
        partition: {pods: {name: other}, from: [{cidr: 203.0.113.0/24}], prove: applied}
    expect: [success_rate: {min: 50%}]
"#
);

/// A scenario, and the calls of a run of it that nothing happens to.
struct Drawn {
    mix: Mix,
    calls: Vec<Call>,
}

impl Drawn {
    /// The calls between which the run holds its lock.
    fn while_locked(&self) -> std::ops::Range<usize> {
        let lease = |call: &&Call| call.what.contains("/leases");
        let numbers = |verb: &str| {
            let calls = self.calls.iter().filter(lease).filter(|call| call.what.starts_with(verb));
            calls.map(|call| call.number).collect::<Vec<_>>()
        };
        let (made, removed) = (numbers("POST"), numbers("DELETE"));
        made.first().expect("a lock") + 1..*removed.last().expect("a lock that was given back")
    }
}

/// What happens to a run, by its calls.
fn at(number: usize, handling: Handling) -> impl Fn(&Call) -> Handling + Send + Sync + 'static {
    move |call| if call.number == number { handling } else { Handling::Forward }
}

/// Another actor does something right before a call.
async fn disturbed(
    place: Place,
    drawn: Arc<Drawn>,
    name: String,
    number: usize,
    what: Interference,
    pick: usize,
) -> Shown {
    let mut shown = Shown::of(format!("another actor {}", what.name()), &name);
    let done = AtomicBool::new(false);
    let script = move |call: &Call| {
        // Calls do not come in quite the same order each time, and only a creation has a name that is still free.
        let fits = what != Interference::Create || (call.action.is_some() && call.what.starts_with("POST"));
        let now = call.number >= number && fits && !done.swap(true, Ordering::SeqCst);
        if now { Handling::Interfere(what, pick) } else { Handling::Forward }
    };
    let mut case = Case::start(&place, &name, &drawn.mix, LONG_FUSE, script).await;
    let ended = case.ended().await;
    shown.end(&case, &drawn.mix, ended).await;
    shown.look(&case).await;
    case.close().await;
    shown
}

/// The arguments of another run in a case's folder, straight at the server.
fn second<'a>(case: &'a Case, more: &[&'a str]) -> Vec<&'a str> {
    case.scenario("second.yaml", SECOND);
    let kubeconfig = case.server().kubeconfig.to_str().expect("a path in UTF-8");
    [&["run", "second.yaml", "--out", "second", "--no-canary", "--kubeconfig", kubeconfig], more].concat()
}

/// The problem with an end that has none of these exit codes. On a busy machine a run may be inconclusive, but not because others
/// took something from it.
fn unexpected(who: &str, ended: &Result<Ended, String>, codes: &[i32]) -> Option<String> {
    let ended = match ended {
        Ok(ended) => ended,
        Err(problem) => return Some(format!("{who}: {problem}")),
    };
    let reason = ended.result["scenarios"][0]["reason"].as_str().unwrap_or_default();
    let robbed = ["another client", "fuse", "lock"].into_iter().any(|word| reason.contains(word));
    let fits = ended.code.is_some_and(|code| codes.contains(&code)) || (ended.code == Some(4) && !robbed);
    (!fits).then(|| format!("{who}: exit code {:?}, {reason}\n{}", ended.code, ended.stderr))
}

/// A run by a wrong clock, of which a janitor and a second run by a right one must keep their hands off.
async fn beside_others(place: Place, drawn: Arc<Drawn>, name: String, number: usize, clock: Clock) -> Shown {
    let mut shown = Shown::of(format!("clock {}: second run, janitor", clock.name()), &name);
    let script = at(number, Handling::Tell);
    let mut case = Case::with_clock(&place, &name, &drawn.mix, LONG_FUSE, clock, script).await;
    case.held().await;
    let other = case.spawn(&second(&case, &[]));
    let kubeconfig = case.server().kubeconfig.display().to_string();
    let here = case.namespace().to_owned();
    let janitor = case.spawn(&["cleanup", "--all", "--namespace", &here, "--kubeconfig", &kubeconfig]);
    let ended = case.ended().await;
    shown.problems.extend(unexpected("the run by a wrong clock", &ended, &[0]));
    // It is refused, or comes when the first run is over.
    shown.problems.extend(unexpected("the second run", &case.end(other, "second").await, &[0, 3]));
    shown.problems.extend(unexpected("cleanup --all", &case.end(janitor, "none").await, &[0]));
    shown.end(&case, &drawn.mix, ended).await;
    shown.look(&case).await;
    case.close().await;
    shown
}

/// A run by a wrong clock is killed, and another one by a right clock waits for its lock and takes over.
async fn taken_over(place: Place, drawn: Arc<Drawn>, name: String, number: usize, clock: Clock) -> Shown {
    let mut shown = Shown::of(format!("clock {}: killed, taken over", clock.name()), &name);
    let mut case =
        Case::with_clock(&place, &name, &drawn.mix, LONG_FUSE, clock, at(number, Handling::HoldBefore)).await;
    case.held().await;
    case.kill().await;
    let other = case.spawn(&second(&case, &["--wait-lock", "2m"]));
    shown.problems.extend(unexpected("the second run", &case.end(other, "second").await, &[0]));
    shown.left = [case.left().await, case.marked().await].concat();
    shown.look(&case).await;
    case.close().await;
    shown
}

/// The process is stopped, as on a suspended machine, and continues after its fuse has burned down.
async fn suspended(place: Place, drawn: Arc<Drawn>, name: String, number: usize) -> Shown {
    let mut shown = Shown::of(format!("suspended for {} s", SUSPENDED.as_secs()), &name);
    let mut case = Case::start(&place, &name, &drawn.mix, SHORT_FUSE, at(number, Handling::Tell)).await;
    case.held().await;
    if !case.is_over() {
        case.signal(Signal::STOP);
        tokio::time::sleep(SUSPENDED).await;
        case.signal(Signal::CONT);
    }
    let ended = case.ended().await;
    shown.end(&case, &drawn.mix, ended).await;
    shown.look(&case).await;
    case.close().await;
    shown
}

/// All of the adversary's cases.
pub async fn campaign(place: &Place) {
    let mut random = StdRng::seed_from_u64(seed());
    let (mixes, of_each) = match form() {
        Form::Short => (2, 1),
        Form::Full => (4, 3),
    };
    let mut drawn = Vec::new();
    for number in 0..mixes {
        let mix = Mix::drawn(&mut random);
        let (calls, _) = rehearse(place, &format!("rehearsal-{number}"), &mix).await;
        drawn.push(Arc::new(Drawn { mix, calls }));
    }
    let mut cases: Vec<Future> = Vec::new();
    let mut turn = 0;
    for (number, drawn) in drawn.iter().enumerate() {
        for call in &drawn.calls {
            // Every action, and every fourth of the other calls. They take turns; in full each action meets everything.
            let acts = call.action.is_some();
            if form() == Form::Short && !acts && call.number % 4 != 0 {
                continue;
            }
            turn += 1;
            for (which, what) in Interference::ALL.into_iter().enumerate() {
                // Each creation meets its own: it is the last of all.
                let its_turn = (turn % (Interference::ALL.len() - 1) == which) || (form() == Form::Full && acts);
                let creates = what == Interference::Create;
                if (its_turn && !creates) || (creates && acts && call.what.starts_with("POST")) {
                    let name = format!("actor-{number}-{}-{which}", call.number);
                    let pick = random.random_range(0..1000);
                    let case = disturbed(place.clone(), drawn.clone(), name, call.number, what, pick);
                    cases.push(Box::pin(case));
                }
            }
        }
    }
    for round in 0..of_each {
        for (which, clock) in Clock::WRONG.into_iter().enumerate() {
            let drawn = &drawn[(round + which) % drawn.len()];
            let mut number = || random.random_range(drawn.while_locked());
            let name = |word: &str| format!("{word}-{round}-{which}");
            cases.push(Box::pin(beside_others(place.clone(), drawn.clone(), name("beside"), number(), clock)));
            cases.push(Box::pin(taken_over(place.clone(), drawn.clone(), name("over"), number(), clock)));
            let call = random.random_range(0..drawn.calls.len());
            cases.push(Box::pin(suspended(place.clone(), drawn.clone(), name("still"), call)));
        }
    }
    super::campaign(&format!("an adversary (seed {}), {}", seed(), place.server.name), cases).await;
}
