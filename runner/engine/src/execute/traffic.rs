//! Converts the judge's findings about the requests into evidence for the faults. Neither crate depends on the other.

use shakedown_faults::effect::Traffic;
use shakedown_judge::Felt;

/// The evidence of the requests in a phase for one of its faults. A change in any load suffices; the earliest counts. `others`
/// are the names of the other faults that were injected in the phase. With any of those, a change proves no fault.
pub(super) fn of(phase: &str, felt: &[Felt], others: &[&str]) -> Traffic {
    let of_phase: Vec<&Felt> = felt.iter().filter(|it| it.phase == phase).collect();
    if of_phase.is_empty() {
        return Traffic::Unknown;
    }
    let changed = of_phase.iter().filter(|it| !it.changes.is_empty());
    match changed.min_by(|a, b| a.at_s.total_cmp(&b.at_s)) {
        Some(it) => {
            let words = format!("the requests of load {} changed: {}", it.load, it.changes.join(", "));
            match others {
                [] => Traffic::Changed { at_s: it.at_s, words },
                [one] => Traffic::Shared { words, others: format!("fault {one}") },
                many => Traffic::Shared { words, others: format!("faults {}", many.join(", ")) },
            }
        }
        None => {
            if let Some(why) = of_phase.iter().find_map(|it| it.incomparable.clone()) {
                return Traffic::Incomparable { why };
            }
            let windows =
                of_phase.iter().filter_map(|it| it.windows.as_ref().map(|words| format!("load {}: {words}", it.load)));
            let hints =
                of_phase.iter().filter_map(|it| it.hint.as_ref().map(|words| format!("{words} (load {})", it.load)));
            Traffic::Unchanged {
                windows: windows.collect::<Vec<_>>().join("; "),
                hint: hints.collect::<Vec<_>>().join("; "),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_change_of_any_load_counts() {
        let felt = |load: &str, phase: &str, at_s, changes: &[&str]| Felt {
            load: load.into(),
            phase: phase.into(),
            changes: changes.iter().map(|it| (*it).to_owned()).collect(),
            at_s,
            windows: Some("1 of 60 windows".into()),
            hint: None,
            incomparable: None,
        };
        let all = [
            felt("a", "p", 3.0, &[]),
            felt("b", "p", 7.0, &["p50 1ms to 2ms"]),
            felt("c", "p", 5.0, &["p50 1ms to 3ms", "p95 2ms to 5ms"]),
            felt("a", "q", 3.0, &[]),
        ];
        let words = "the requests of load c changed: p50 1ms to 3ms, p95 2ms to 5ms".to_owned();
        assert_eq!(of("p", &all, &[]), Traffic::Changed { at_s: 5.0, words: words.clone() });
        assert_eq!(of("p", &all, &["a", "b"]), Traffic::Shared { words, others: "faults a, b".to_owned() });
        assert_eq!(
            of("q", &all, &["a"]),
            Traffic::Unchanged { windows: "load a: 1 of 60 windows".into(), hint: String::new() }
        );
        assert_eq!(of("r", &all, &["a"]), Traffic::Unknown);
        let hinted = Felt { hint: Some("3 of 90 requests failed".into()), ..felt("a", "q", 3.0, &[]) };
        let hint = Traffic::Unchanged {
            windows: "load a: 1 of 60 windows".into(),
            hint: "3 of 90 requests failed (load a)".into(),
        };
        assert_eq!(of("q", &[hinted], &[]), hint);
        let other = Felt { incomparable: Some("other pace".into()), ..felt("a", "q", 3.0, &[]) };
        assert_eq!(of("q", &[other], &[]), Traffic::Incomparable { why: "other pace".into() });
    }
}
