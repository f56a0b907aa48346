//! Stretches of a fault without proof: how they are recorded, and when they make a fault unproven. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use shakedown_reports::words;
use shakedown_schemas::result::UnprovenStretch;
use tokio::time::Instant;

use shakedown_faults::Stretch;

/// The longest time before its undo at which a fault is checked. The undo does not wait for the result.
pub(super) const LAST_CHECK: Duration = Duration::from_secs(5);

/// The longest stretch without proof of a fault that counts as proven, in seconds: equal to the time between a fault's last
/// check and its undo.
const LONGEST_S: f64 = LAST_CHECK.as_secs() as f64;

/// The stretches within a fault's time, in seconds since the load's start.
pub(super) fn clipped(stretches: Vec<Stretch>, zero: Instant, [from_s, to_s]: [f64; 2]) -> Vec<UnprovenStretch> {
    let seconds = |at: Instant| at.saturating_duration_since(zero).as_secs_f64();
    let clip = |stretch: Stretch| UnprovenStretch {
        from_s: seconds(stretch.from).max(from_s),
        to_s: stretch.to.map_or(to_s, seconds).min(to_s),
        why: stretch.why,
        target: stretch.target,
    };
    stretches.into_iter().map(clip).filter(|stretch| stretch.from_s < stretch.to_s).collect()
}

/// Overlapping stretches as one.
struct Merged<'a> {
    from_s: f64,
    to_s: f64,
    /// Each reason once.
    why: Vec<&'a str>,
}

fn merged<'a>(stretches: impl IntoIterator<Item = &'a UnprovenStretch>) -> Vec<Merged<'a>> {
    let mut sorted: Vec<&UnprovenStretch> = stretches.into_iter().collect();
    sorted.sort_by(|a, b| a.from_s.total_cmp(&b.from_s));
    let mut all: Vec<Merged<'_>> = Vec::new();
    for stretch in sorted {
        match all.last_mut().filter(|last| stretch.from_s <= last.to_s) {
            Some(last) => {
                last.to_s = last.to_s.max(stretch.to_s);
                if !last.why.contains(&stretch.why.as_str()) {
                    last.why.push(&stretch.why);
                }
            }
            None => all.push(Merged { from_s: stretch.from_s, to_s: stretch.to_s, why: vec![&stretch.why] }),
        }
    }
    all
}

/// The stretches that concern all targets.
fn of_all(stretches: &[UnprovenStretch]) -> impl Iterator<Item = &UnprovenStretch> + Clone {
    stretches.iter().filter(|it| it.target.is_none())
}

/// The time without proof within another one, in seconds: of the whole fault, and on average of that many targets.
pub(super) fn totals(stretches: &[UnprovenStretch], [from_s, to_s]: [f64; 2], targets: usize) -> [f64; 2] {
    let length = |all: Vec<Merged<'_>>| -> f64 {
        all.iter().map(|it| (it.to_s.min(to_s) - it.from_s.max(from_s)).max(0.0)).sum()
    };
    let whole = length(merged(of_all(stretches)));
    let lost: BTreeSet<&String> = stretches.iter().filter_map(|it| it.target.as_ref()).collect();
    let more = lost.into_iter().map(|uid| {
        let its = stretches.iter().filter(|it| it.target.as_ref() == Some(uid));
        length(merged(of_all(stretches).chain(its))) - whole
    });
    [whole, whole + more.sum::<f64>() / targets.max(1) as f64]
}

/// Why these stretches withdraw the proof. None if they do not.
pub(super) fn too_long(stretches: &[UnprovenStretch]) -> Option<String> {
    let all = merged(of_all(stretches));
    let longest = all.iter().max_by(|a, b| (a.to_s - a.from_s).total_cmp(&(b.to_s - b.from_s)))?;
    let length = longest.to_s - longest.from_s;
    (length > LONGEST_S).then(|| {
        format!(
            "not proven from {} to {}, for more than {}: {}",
            words::moment(longest.from_s),
            words::moment(longest.to_s),
            words::seconds(LONGEST_S),
            longest.why.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(stretches: &[(f64, f64)]) -> Vec<UnprovenStretch> {
        let one = |(from_s, to_s): &(f64, f64)| UnprovenStretch {
            from_s: *from_s,
            to_s: *to_s,
            why: "blind".to_owned(),
            target: None,
        };
        stretches.iter().map(one).collect()
    }

    #[test]
    fn a_stretch_counts_within_the_time_of_its_fault() {
        let zero = Instant::now();
        let at = |seconds: u64| zero + Duration::from_secs(seconds);
        let stretch = |from, to| Stretch { from: at(from), to, why: "blind".to_owned(), target: None };
        let all = vec![
            stretch(1, Some(at(4))),
            stretch(3, Some(at(12))),
            stretch(14, Some(at(15))),
            stretch(19, None),
            stretch(20, None),
        ];
        assert_eq!(clipped(all, zero, [10.0, 20.0]), of(&[(10.0, 12.0), (14.0, 15.0), (19.0, 20.0)]));
    }

    #[test]
    fn a_moment_counts_once_and_five_seconds_are_too_long() {
        assert_eq!(totals(&of(&[(3.0, 5.0), (4.0, 7.0), (10.0, 11.0)]), [3.5, 20.0], 3), [4.5; 2]);
        assert_eq!(too_long(&[]), None);
        assert_eq!(too_long(&of(&[(3.0, 8.0), (9.0, 14.0)])), None);
        let problem = "not proven from 3.0s to 9.0s, for more than 5s: blind";
        assert_eq!(too_long(&of(&[(3.0, 8.0), (5.0, 9.0)])).as_deref(), Some(problem));
    }
}
