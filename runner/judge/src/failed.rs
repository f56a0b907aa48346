//! Samples of failed requests for the reports: one for each failure and phase. Nothing here judges.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use shakedown_observe::{Cell, Failure, LoadObservations, PhasePart, Sample};
use shakedown_schemas::result::FailureSample;

use super::seconds;

/// A body in which more than one byte in this many is not text is shown in hexadecimal.
const MOST_UNREADABLE: usize = 10;
/// The number of bytes of such a body that are shown.
const HEX: usize = 32;

/// The samples of a phase, the most frequent kind of its judged requests first.
pub(super) fn samples(load: &LoadObservations, phase: usize, judged: &Cell) -> Vec<FailureSample> {
    let mut kept: BTreeMap<Failure, (bool, &Sample)> = BTreeMap::new();
    for segment in load.segments.iter().filter(|segment| segment.mark.phase == phase) {
        let is_judged = segment.mark.part == PhasePart::Judged;
        for (failure, sample) in segment.samples.iter() {
            let known = kept.entry(failure).or_insert((is_judged, sample));
            if is_judged && !known.0 {
                *known = (true, sample);
            }
        }
    }
    let mut kept: Vec<_> = kept.into_iter().collect();
    let count = |failure: &Failure| judged.failed.get(failure).copied().unwrap_or_default();
    kept.sort_by_key(|(failure, _)| (std::cmp::Reverse(count(failure)), *failure));
    kept.into_iter().map(|(failure, (_, sample))| shown(failure, sample)).collect()
}

fn shown(failure: Failure, it: &Sample) -> FailureSample {
    let mut headers: IndexMap<String, String> = IndexMap::new();
    for (name, value) in &it.headers {
        headers
            .entry(name.clone())
            .and_modify(|known| *known += &format!(", {value}"))
            .or_insert_with(|| value.clone());
    }
    FailureSample {
        failure: failure.to_string(),
        at_s: seconds(it.due_ns),
        request: it.request.clone(),
        status: it.status,
        headers,
        body: text(&it.body, it.is_cut),
        body_is_cut: it.is_cut,
        cause: it.cause.clone(),
    }
}

/// The bytes of a body as text, without a character that is cut at the end.
fn text(body: &[u8], is_cut: bool) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    if is_cut {
        text.truncate(text.trim_end_matches('\u{fffd}').len());
    }
    let unreadable = |c: &char| *c == '\u{fffd}' || c.is_control() && !c.is_whitespace();
    if text.chars().filter(unreadable).count() * MOST_UNREADABLE > text.chars().count() {
        let digits: Vec<String> = body.iter().take(HEX).map(|byte| format!("{byte:02x}")).collect();
        return format!("not text: {}", digits.join(" "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Timeline;

    #[test]
    fn the_judged_part_comes_first_and_the_most_frequent_kind() {
        let timeline = Timeline::new(20.0).phase("a", 4.0).phase("b", 4.0).settle(2.0);
        let mut observations =
            timeline.answer(|it| if it.index.is_multiple_of(3) { it.refused() } else { it.timeout() }).observe();
        let of = |text: &str| Sample { cause: text.to_owned(), ..Sample::default() };
        let load = &mut observations.loads[0];
        for segment in &mut load.segments {
            let part = format!("{:?}", segment.mark.part);
            if segment.mark.part == PhasePart::Judged {
                segment.samples.keep(Failure::Timeout, of(&part));
            }
            segment.samples.keep(Failure::Refused, of(&part));
            if segment.mark.part == PhasePart::Settling {
                segment.samples.keep(Failure::Tls, of(&part));
            }
        }
        let judged = crate::stats::total(load, 1);
        let found: Vec<_> = samples(load, 1, &judged).into_iter().map(|it| (it.failure, it.cause)).collect();
        let expected = [("timeout", "Judged"), ("connection_refused", "Judged"), ("tls", "Settling")];
        assert_eq!(found, expected.map(|(kind, part)| (kind.to_owned(), part.to_owned())));
    }

    #[test]
    fn a_body_is_text_or_digits_and_ends_with_a_whole_character() {
        assert_eq!(text("naïve".as_bytes(), false), "naïve");
        assert_eq!(text(&"naï".as_bytes()[..3], true), "na");
        assert_eq!(text(&[0x1f, 0x8b, 8, 0, 0xff], true), "not text: 1f 8b 08 00 ff");
        let headers = vec![("via".to_owned(), "a".to_owned()), ("via".to_owned(), "b".to_owned())];
        let shown = shown(Failure::Check, &Sample { headers, ..Sample::default() });
        assert_eq!(shown.headers["via"], "a, b");
    }
}
